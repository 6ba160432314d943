//! The one door to the YAML parser: strict settings, and errors with a place and a typed cause.
//!
//! No anchors, aliases, tags, merge keys or second documents; duplicate and unknown keys are errors;
//! at most 1 MiB, depth 32 and 100 000 nodes (`facts`: hostile YAML).

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::{Cause, Place, YamlError};
use super::node::map_around;
use super::walk::{self, MAX_DEPTH, MAX_NODES};

/// Largest recipe, in bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// A value and where it starts.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = serde_yaml::Spanned::<T>::deserialize(deserializer)?;
        Ok(Self {
            value: spanned.value,
            place: place_of(&spanned.referenced),
        })
    }
}

/// The text of a number, as it stands: readers of YAML disagree on `010`, `1_000`, `0x10`, `1:30`.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Number(String);

impl Number {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl JsonSchema for Number {
    fn schema_name() -> Cow<'static, str> {
        u32::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        u32::json_schema(generator)
    }

    fn inline_schema() -> bool {
        u32::inline_schema()
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }

    fn inline_schema() -> bool {
        T::inline_schema()
    }
}

fn place_of(location: &serde_yaml::Location) -> Place {
    Place {
        line: location.line(),
        column: location.column(),
    }
}

/// Reads one YAML document of type `T`.
///
/// # Errors
/// The cause and where it is, for everything that is not such a document.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, YamlError> {
    if bytes.len() > MAX_BYTES {
        return Err(YamlError::at_start(Cause::TooLarge {
            limit: MAX_BYTES,
            actual: bytes.len(),
        }));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        YamlError {
            cause: Cause::Encoding,
            place: Place::after(&String::from_utf8_lossy(before)),
        }
    })?;
    refuse_unwanted_characters(text)?;
    walk::check(text)?;
    serde_yaml::from_str_with_options(text, options()).map_err(|error| translate(text, &error))
}

fn options() -> serde_yaml::Options {
    serde_yaml::options! {
        strict_booleans: true,
        duplicate_keys: serde_yaml::DuplicateKeyPolicy::Error,
        merge_keys: serde_yaml::MergeKeyPolicy::Error,
        reject_unsupported_tags: true,
        with_snippet: false,
        budget: serde_yaml::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_documents: 1,
            max_aliases: 0,
            max_anchors: 0,
            max_merge_keys: 0,
        },
    }
}

/// A byte order mark, NUL or other control characters read differently in every tool.
fn refuse_unwanted_characters(text: &str) -> Result<(), YamlError> {
    for (number, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let found = line.chars().enumerate().find(|(_, c)| {
            (c.is_control() && *c != '\t')
                || matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}' | '\u{85}')
        });
        if let Some((column, character)) = found {
            let place = Place {
                line: number as u64 + 1,
                column: column as u64 + 1,
            };
            return Err(YamlError {
                cause: Cause::Character { character },
                place,
            });
        }
    }
    Ok(())
}

fn translate(text: &str, error: &serde_yaml::Error) -> YamlError {
    let error = error.without_snippet();
    let place = error
        .location()
        .map_or(Place { line: 1, column: 1 }, |at| place_of(&at));
    let cause = match error {
        serde_yaml::Error::SerdeUnknownField {
            field, expected, ..
        } => Cause::unknown_key(field, expected.iter().copied()),
        serde_yaml::Error::SerdeUnknownVariant {
            variant, expected, ..
        } => Cause::unknown_word(variant, expected.iter().copied()),
        serde_yaml::Error::SerdeMissingField { field, .. } => {
            let cause = Cause::MissingKey {
                key: (*field).to_owned(),
            };
            // The parser points at the last key of the map: its first says better which map it is.
            let place = map_around(text, place).unwrap_or(place);
            return YamlError { cause, place };
        }
        other => cause_in_words(&other.to_string()),
    };
    YamlError { cause, place }
}

/// The parser's words for what has no variant of its own, in ours.
fn cause_in_words(message: &str) -> Cause {
    const SHAPES: [(&str, &str); 6] = [
        (
            "expected string scalar",
            "one value here, not a list or keys",
        ),
        ("expected sequence start", "a list here"),
        ("expected mapping start", "keys with values here"),
        ("invalid boolean", "`true` or `false`"),
        (
            "cannot deserialize null into string",
            "a text here, got nothing",
        ),
        (
            "unexpected end of input",
            "keys with values, got an empty file",
        ),
    ];
    if message.contains("recursion limit") {
        return Cause::TooDeep { limit: MAX_DEPTH };
    }
    if message.contains("alias references") {
        return Cause::Forbidden { what: "an alias" };
    }
    let reason = first_line(message);
    match SHAPES.iter().find(|(words, _)| reason.starts_with(words)) {
        Some((_, expected)) => Cause::Shape { expected },
        None => Cause::Syntax { reason },
    }
}

/// The parser appends its own place in words; ours is shown beside the file's name.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let cut = line.find(" at line ").unwrap_or(line.len());
    line[..cut].trim_start_matches("error: ").to_owned()
}
