//! What a licence expression is made of.

use std::collections::BTreeSet;

use kiln_model::LicenseExpression;

/// Returns whether the expression is exactly one identifier of the SPDX licence list.
pub(crate) fn is_single_id(license: &LicenseExpression) -> bool {
    let text = license.as_str();
    spdx::license_id(text).is_some_and(|id| id.name == text)
}

/// Returns the `LicenseRef-…` names in the expression: licences that are on no list.
pub(crate) fn license_refs(license: &LicenseExpression) -> BTreeSet<String> {
    let words = license
        .as_str()
        .split(|c: char| c.is_whitespace() || "()".contains(c));
    words
        .filter(|word| word.starts_with("LicenseRef-"))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_told_from_identifiers() {
        let check = |text: &str, expected: bool, refs: &[&str]| {
            let license: LicenseExpression = text.parse().expect("the test is well-formed");
            assert_eq!(is_single_id(&license), expected, "{text}");
            assert_eq!(
                license_refs(&license),
                refs.iter().map(|&name| name.to_owned()).collect()
            );
        };
        check("curl", true, &[]);
        check("GPL-2.0-or-later", true, &[]);
        check("Apache-2.0 OR MIT", false, &[]);
        check("GPL-2.0-only WITH Classpath-exception-2.0", false, &[]);
        check("LicenseRef-x", false, &["LicenseRef-x"]);
        check(
            "(LicenseRef-b OR MIT) AND LicenseRef-a",
            false,
            &["LicenseRef-a", "LicenseRef-b"],
        );
    }
}
