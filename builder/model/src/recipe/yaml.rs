//! The one door to the YAML parser: strict settings, and errors with a place and a typed cause.
//!
//! No anchors, aliases, tags, merge keys or second documents; duplicate and unknown keys are errors;
//! at most 1 MiB, depth 32 and 100 000 nodes (`facts`: hostile YAML).

use std::borrow::Cow;

use granit_parser::{Event, Parser};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::{Cause, Place, YamlError};

/// Largest recipe, in bytes.
const MAX_BYTES: usize = 1024 * 1024;
/// Deepest nesting.
const MAX_DEPTH: usize = 32;
/// Most nodes.
const MAX_NODES: usize = 100_000;

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
        let line_start = before
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |at| at + 1);
        let line = before.iter().filter(|b| **b == b'\n').count() as u64 + 1;
        let column = (before.len() - line_start) as u64 + 1;
        YamlError {
            cause: Cause::Encoding,
            place: Place { line, column },
        }
    })?;
    refuse_unwanted_characters(text)?;
    refuse_unwanted_constructs(text)?;
    serde_yaml::from_str_with_options(text, options()).map_err(|error| translate(&error))
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

/// Walks the parser's events before serde sees them: what recipes do not use is named exactly, and
/// tags such as `!!binary`, which serde would silently apply, are refused.
fn refuse_unwanted_constructs(text: &str) -> Result<(), YamlError> {
    let mut depth = 0;
    let mut nodes = 0;
    let mut documents = 0;
    for item in Parser::new_from_str(text) {
        // A syntax error is reported by serde's pass, in its words.
        let Ok((event, span)) = item else {
            return Ok(());
        };
        let place = Place {
            line: span.start.line() as u64,
            column: span.start.col() as u64 + 1,
        };
        let refuse = |cause| Err(YamlError { cause, place });
        let (anchor, tag) = match &event {
            Event::Scalar(_, _, anchor, tag) => (*anchor, tag.as_ref()),
            Event::SequenceStart(_, anchor, tag) | Event::MappingStart(_, anchor, tag) => {
                (*anchor, tag.as_ref())
            }
            _ => (0, None),
        };
        if tag.is_some() {
            return refuse(Cause::Forbidden { what: "a tag" });
        }
        if anchor != 0 {
            return refuse(Cause::Forbidden { what: "an anchor" });
        }
        match event {
            Event::DocumentStart(..) if documents == 1 => {
                return refuse(Cause::Forbidden {
                    what: "a second document",
                });
            }
            Event::DocumentStart(..) => documents = 1,
            Event::Alias(..) | Event::UnresolvedAlias(..) => {
                return refuse(Cause::Forbidden { what: "an alias" });
            }
            Event::SequenceStart(..) | Event::MappingStart(..) => depth += 1,
            Event::SequenceEnd | Event::MappingEnd => depth -= 1,
            _ => {}
        }
        nodes += 1;
        if depth > MAX_DEPTH {
            return refuse(Cause::TooDeep { limit: MAX_DEPTH });
        }
        if nodes > MAX_NODES {
            return refuse(Cause::TooMany { limit: MAX_NODES });
        }
    }
    Ok(())
}

fn translate(error: &serde_yaml::Error) -> YamlError {
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
        serde_yaml::Error::SerdeMissingField { field, .. } => Cause::MissingKey {
            key: (*field).to_owned(),
        },
        serde_yaml::Error::DuplicateMappingKey { key, .. } => Cause::DuplicateKey {
            key: key.clone().unwrap_or_default(),
        },
        serde_yaml::Error::MergeKeyNotAllowed { .. } => Cause::Forbidden {
            what: "a merge key",
        },
        other if other.to_string().contains("recursion limit") => {
            Cause::TooDeep { limit: MAX_DEPTH }
        }
        other if other.to_string().contains("alias references") => {
            Cause::Forbidden { what: "an alias" }
        }
        other => Cause::Syntax {
            reason: first_line(&other.to_string()),
        },
    };
    YamlError { cause, place }
}

/// The parser appends its own place in words; ours is shown beside the file's name.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let cut = line.find(" at line ").unwrap_or(line.len());
    line[..cut].trim_start_matches("error: ").to_owned()
}
