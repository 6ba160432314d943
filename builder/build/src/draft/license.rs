//! Which licence a text is, by comparison with the texts of the SPDX list.

use std::collections::BTreeMap;

use kiln_model::LicenseExpression;
use spdx::detection::scan::Scanner;
use spdx::detection::{Store, TextData};

/// Share of a text that must be a licence's own words.
const CONFIDENCE: f32 = 0.9;

/// What an approved licence's score may lie below that of one that nobody approved: Pixar's, for one,
/// is Apache's with a word changed, and nearer to some copies of Apache's than its own text.
const PREFERENCE: f32 = 0.05;

/// Returns the SPDX identifiers of the licences that each text is or holds, sorted; none of a text
/// that is no known licence.
pub(super) fn licenses<'a>(
    texts: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> BTreeMap<&'a str, Vec<String>> {
    let texts: Vec<_> = texts.collect();
    // The list is part of the program: that it can not be read is no reason to draft nothing.
    let store = if texts.is_empty() {
        None
    } else {
        Store::load_inline().ok()
    };
    let Some(all) = store else {
        return texts
            .into_iter()
            .map(|(name, _)| (name, Vec::new()))
            .collect();
    };
    let approved = approved(&all);
    texts
        .into_iter()
        .map(|(name, text)| (name, found(&all, &approved, text)))
        .collect()
}

/// Returns the licences that the Open Source Initiative approved.
fn approved(all: &Store) -> Store {
    let mut store = Store::new();
    for name in all.licenses() {
        let is_approved = identifier(name)
            .and_then(|name| spdx::license_id(&name))
            .is_some_and(spdx::LicenseId::is_osi_approved);
        if let (true, Some(text)) = (is_approved, all.get_original(name)) {
            store.add_license(name.clone(), text.clone());
        }
    }
    store
}

fn found(all: &Store, approved: &Store, text: &[u8]) -> Vec<String> {
    let text = TextData::from(String::from_utf8_lossy(text).into_owned());
    let scan = |store| {
        let scanner = Scanner::new(store).confidence_threshold(CONFIDENCE);
        let whole = scanner.scan(&text);
        match whole.license {
            Some(license) => (whole.score, identifier(license.name).into_iter().collect()),
            None => (0.0, parts(&scanner.optimize(true).max_passes(4), &text)),
        }
    };
    let (approved_score, of_approved): (f32, Vec<String>) = scan(approved);
    let (score, of_all) = scan(all);
    if !of_approved.is_empty() && approved_score + PREFERENCE >= score {
        of_approved
    } else {
        of_all
    }
}

/// Returns the licences that are parts of a text.
fn parts(scanner: &Scanner<'_>, text: &TextData) -> Vec<String> {
    let result = scanner.scan(text);
    let parts = result.containing.iter();
    let mut names: Vec<String> = parts
        .filter_map(|part| identifier(part.license.name))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// The list of texts still has GNU's identifiers without `-only`: its texts say neither that nor
/// `-or-later`, and the narrower one grants nothing that was not meant.
fn identifier(name: &str) -> Option<String> {
    let narrow = format!("{name}-only");
    [name, &narrow]
        .into_iter()
        .find(|text| text.parse::<LicenseExpression>().is_ok())
        .map(str::to_owned)
}

/// Returns whether a file, by its name, holds a licence.
pub(super) fn is_license_file(name: &str) -> bool {
    let upper = name.to_uppercase();
    ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT"]
        .iter()
        .any(|word| upper.starts_with(word))
        && !["C", "H", "PY", "SH", "IN"]
            .iter()
            .any(|ending| upper.ends_with(&format!(".{ending}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIT: &str = include_str!("license/mit.txt");

    #[test]
    fn a_licence_is_known_by_its_text() {
        let texts = [
            ("LICENSE", MIT.as_bytes()),
            ("COPYING", b"Do what you want.\n"),
            ("LICENCE", b"\xff\xfe\0"),
            ("EMPTY", b""),
        ];
        let found = licenses(texts.into_iter());
        assert_eq!(found["LICENSE"], ["MIT"]);
        for name in ["COPYING", "LICENCE", "EMPTY"] {
            assert_eq!(found[name], [""; 0], "{name}");
        }
    }

    #[test]
    fn names_tell_licence_files() {
        for name in [
            "LICENSE",
            "LICENSE.txt",
            "COPYING.LESSER",
            "Copying",
            "licence.md",
            "COPYRIGHT",
        ] {
            assert!(is_license_file(name), "{name}");
        }
        for name in ["README", "license.c", "copying.h", "AUTHORS", "license.py"] {
            assert!(!is_license_file(name), "{name}");
        }
    }
}
