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
