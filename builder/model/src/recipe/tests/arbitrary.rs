//! Arbitrary bytes, and good files with arbitrary changes: the readers answer, whatever comes, with a
//! place that is in the file; and what `kiln fmt` lays out says the same as before.

use proptest::prelude::*;

use super::super::*;
use super::GOOD;
use crate::{BaseImage, BaseLock, Config, Lock, RecipeLock};

/// Pieces that YAML and TOML give a meaning to.
const PIECES: &[&str] = &[
    ":",
    ": ",
    "- ",
    "\n",
    "\r\n",
    "  ",
    "\t",
    "[",
    "]",
    "{",
    "}",
    ",",
    "&a ",
    "*a",
    "!t ",
    "!!binary ",
    "<<: ",
    "? ",
    "|\n",
    ">-\n",
    "\"",
    "'",
    "#",
    " # c\n",
    "---\n",
    "...\n",
    "%YAML 1.1\n",
    "~",
    "null",
    "1e9",
    "010",
    ".inf",
    "ä",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "\0",
    "\u{1b}",
    "=",
    "[[",
    "\\",
    "name",
    "schema: 1\n",
    "files",
    "@",
];

fn check_place(bytes: &[u8], place: Place) {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.split('\n').count() as u64;
    assert!((1..=lines + 1).contains(&place.line), "{place} in {text:?}");
    let line = text
        .split('\n')
        .nth(usize::try_from(place.line - 1).unwrap())
        .unwrap_or("");
    let columns = line.chars().count() as u64 + 1;
    assert!((1..=columns).contains(&place.column), "{place} in {text:?}");
}

/// Gives bytes to every reader of files that people write.
fn check(bytes: &[u8]) {
    match Recipe::parse(bytes, "demo") {
        Ok(recipe) => {
            let json = Recipe::document(bytes, "demo").unwrap().to_string();
            assert_eq!(Recipe::parse(json.as_bytes(), "demo"), Ok(recipe.clone()));
            if let Ok(formatted) = Recipe::format(bytes, "demo") {
                assert_eq!(Recipe::parse(formatted.as_bytes(), "demo"), Ok(recipe));
                assert_eq!(Recipe::format(formatted.as_bytes(), "demo"), Ok(formatted));
            }
        }
        Err(error) => {
            check_place(bytes, error.place);
            drop((error.to_string(), error.cause.hint()));
            assert!(Recipe::format(bytes, "demo").is_err());
        }
    }
    if let Err(error) = BaseImage::parse(bytes, "demo") {
        check_place(bytes, error.place);
    }
    if let Err(error) = Config::parse(bytes) {
        check_place(bytes, error.place);
    }
    let text = String::from_utf8_lossy(bytes);
    let _ = (BaseLock::parse(&text), RecipeLock::parse(&text));
    let path = NodePath::top()
        .key("packages")
        .with("name", "demo")
        .key("files")
        .item("x");
    if let Some(place) = path.find(&text) {
        check_place(text.as_bytes(), place);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn arbitrary_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        check(&bytes);
    }

    #[test]
    fn arbitrary_texts_are_answered(
        pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..60)
    ) {
        check(pieces.concat().as_bytes());
    }

    #[test]
    fn good_recipes_with_arbitrary_changes_are_answered(
        changes in proptest::collection::vec(
            (any::<prop::sample::Index>(), 0..8_usize, proptest::sample::select(PIECES)),
            1..4,
        )
    ) {
        let mut text: Vec<char> = GOOD.chars().collect();
        for (place, length, piece) in changes {
            let start = place.index(text.len());
            let end = (start + length).min(text.len());
            text.splice(start..end, piece.chars());
        }
        check(text.into_iter().collect::<String>().as_bytes());
    }
}
