//! What the writer of a file can do about each thing that can be wrong with it.

use super::error::Cause;
use crate::digest::DigestError;
use crate::image_reference::ImageReferenceError;
use crate::name::NameError;
use crate::path::PathError;
use crate::source::LocationError;
use crate::text::TextError;

impl Cause {
    /// Returns what the writer of the file can do about it, where there is something to say.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        self.hint_on_form().or_else(|| self.hint_on_value())
    }

    /// Of what the format itself asks for.
    fn hint_on_form(&self) -> Option<String> {
        Some(match self {
            Self::UnknownKey {
                nearest: Some(name),
                ..
            }
            | Self::UnknownWord {
                nearest: Some(name),
                ..
            } => format!("did you mean `{name}`?"),
            Self::UnknownKey { expected, .. } => {
                format!("possible here: {}", expected.join(", "))
            }
            Self::MissingKey { key } => {
                format!("add `{key}: …`; docs/recipe.md says what belongs there")
            }
            Self::DuplicateKey { first, .. } => {
                format!("the first one is at {first}; keep one of the two")
            }
            Self::Forbidden {
                what: "a directive" | "a second document",
            } => "one file holds one document, without directives".to_owned(),
            Self::Forbidden {
                what: "a list or map as a key",
            } => "a text that starts with `[` or `{` needs quotes".to_owned(),
            Self::Forbidden { what: "a tag" } => {
                "a text that starts with `!` needs quotes".to_owned()
            }
            Self::Forbidden {
                what: "an alias" | "an anchor",
            } => "write the value out; a text that starts with `*` or `&` needs quotes".to_owned(),
            Self::Forbidden { .. } => "write the value out".to_owned(),
            Self::Shape { expected } if expected.starts_with("a list") => {
                "write `[A, B]`, or `- A` on lines of their own".to_owned()
            }
            Self::Shape { expected } if expected.starts_with("a text") => {
                "write the value, or remove the key; the word `null` needs quotes".to_owned()
            }
            Self::Syntax { reason } => return hint_on_syntax(reason),
            Self::TooLarge { .. } | Self::TooDeep { .. } | Self::TooMany { .. } => {
                "is this the right file?".to_owned()
            }
            Self::Encoding
            | Self::Character {
                character: '\u{feff}',
            } => "save the file as UTF-8 without a byte order mark".to_owned(),
            Self::Character { character: '\0' } => {
                "save the file as UTF-8, not as UTF-16 or UTF-32".to_owned()
            }
            Self::Character { character: '\r' } => {
                "end lines with a line feed, as `\\n` or `\\r\\n`".to_owned()
            }
            Self::Character { .. } => "remove the character".to_owned(),
            Self::Schema { expected, actual } if actual > expected => {
                "a newer kiln wrote this file: update kiln".to_owned()
            }
            Self::Schema { expected, .. } => format!("write `schema: {expected}`"),
            _ => return None,
        })
    }

    /// Of single values.
    fn hint_on_value(&self) -> Option<String> {
        Some(match self {
            Self::UnquotedVersion { text } => {
                format!("write \"{text}\": YAML reads an unquoted 1.10 as the number 1.1")
            }
            Self::UnquotedDigest { .. } => {
                "put it in quotes: YAML reads digits, and digits around one `e`, as a number"
                    .to_owned()
            }
            Self::Number { .. } => {
                "write it like 12: no sign, point, exponent, prefix, leading zero or quotes".to_owned()
            }
            Self::Name(error) => return hint_on_name(error),
            Self::Dependency(error) => return error.hint(),
            Self::Capability(error) => return error.hint(),
            Self::Mode(_) => "for example \"0750\"".to_owned(),
            Self::Evr(_) => "for example \"1.6.18-1\"".to_owned(),
            Self::ChangelogNewest { expected, .. } => {
                format!("add an entry for `{expected}` above it, or leave `version` out")
            }
            Self::ChangelogOrder { .. } => {
                "raise `release`; where upstream's versions went backwards, set `epoch`; a pre-release is \
                 written 1.0~rc1"
                    .to_owned()
            }
            Self::NothingBefore { .. } => "put it below the pattern that matches too much".to_owned(),
            Self::Empty {
                what: "files or requires",
            } => "a package without files needs others: `requires: [\"=NAME\"]`".to_owned(),
            Self::Placeholder { .. } => {
                "replace it; the comment that `kiln new` left beside it says by what".to_owned()
            }
            Self::Digest(DigestError::Character { character }) if character.is_ascii_uppercase() => {
                "write the digits in lower case, as `sha256sum FILE` prints them".to_owned()
            }
            Self::Digest(DigestError::Character { .. } | DigestError::Length { .. }) => {
                "`sha256sum FILE` prints the 64 digits".to_owned()
            }
            Self::Digest(DigestError::Algorithm { .. }) => {
                "write `sha256:` and 64 lower-case hexadecimal digits".to_owned()
            }
            Self::Text(TextError::License {
                nearest: Some(name),
                ..
            }) => format!("did you mean `{name}`?"),
            Self::Text(TextError::License { .. }) => {
                "SPDX identifiers are listed at https://spdx.org/licenses; for a licence without one \
                 write `LicenseRef-NAME`"
                    .to_owned()
            }
            Self::Image(error) => return hint_on_image(error),
            Self::Path(PathError::NotAbsolute(text)) if !text.is_empty() => {
                format!("write `/{}`, the path on an installed system", text.trim_start_matches("./"))
            }
            Self::Service(error) => return error.hint(),
            Self::OtherName { .. } => {
                "rename the folder or file, or change the name in it".to_owned()
            }
            Self::Meaningless { key, .. } => format!("remove `{key}`, or what rules it out"),
            Self::Needed { key, .. } => format!("add `{key}`; docs/recipe.md shows how"),
            Self::Twice { .. } => "keep one of the two".to_owned(),
            Self::FileReference { .. } => {
                "name a file below that folder, without `..` and without a leading `/`".to_owned()
            }
            Self::BundlePrefix { .. } => "for example /usr/lib/NAME, the default".to_owned(),
            _ => return self.hint_on_source(),
        })
    }

    /// Of sources and their addresses.
    fn hint_on_source(&self) -> Option<String> {
        Some(match self {
            Self::Location(LocationError::Credentials) => {
                "credentials never stand in a recipe".to_owned()
            }
            Self::Location(LocationError::Git(error)) | Self::Git(error) => return error.hint(),
            Self::RepositoryAsFile { .. } => {
                "write `git: ADDRESS` and `tag: NAME` or `commit: ID`; see docs/git-sources.md".to_owned()
            }
            Self::FirstSourceKept => "put the archive of the source tree first".to_owned(),
            Self::NoCommit => {
                "a branch moves: name a tag, which `kiln lock` resolves, or a commit".to_owned()
            }
            Self::SourceFolder { .. } => {
                "the folder is the file name without its archive ending; letters, digits, `.`, `_`, \
                 `+`, `~`, `-`, each folder once"
                    .to_owned()
            }
            _ => return None,
        })
    }
}

fn hint_on_name(error: &NameError) -> Option<String> {
    let lower = error.text.to_lowercase();
    if error.expected.contains("lower-case") && lower != error.text {
        return Some(format!("write `{lower}`"));
    }
    (error.expected.starts_with("a version") && error.text.contains('-')).then(|| {
        "rpm has no `-` in versions: write `~` before a pre-release (1.0~rc1), otherwise `.` or `+`"
            .to_owned()
    })
}

fn hint_on_image(error: &ImageReferenceError) -> Option<String> {
    Some(match error {
        ImageReferenceError::NoDigest { .. } => {
            "`skopeo inspect --format '{{.Digest}}' docker://IMAGE` prints the digest; a tag may mean \
             another image tomorrow"
                .to_owned()
        }
        ImageReferenceError::Tag { .. } => {
            "leave the tag out: the digest alone says which image it is".to_owned()
        }
        ImageReferenceError::Host { text } if text.contains('/') => {
            format!("write docker.io/{text}, if that is where it is")
        }
        ImageReferenceError::Host { text } => {
            format!("write docker.io/library/{text}, if that is where it is")
        }
        ImageReferenceError::Digest(error) => return Cause::Digest(error.clone()).hint(),
        ImageReferenceError::Name { .. } => return None,
    })
}

/// What the parser's words usually mean.
fn hint_on_syntax(reason: &str) -> Option<String> {
    let hint = if reason.contains("tab") {
        "indent with spaces"
    } else if reason.contains("illegal placement of ':'") {
        "is a bracket or quote open since a line above? A text with `: ` in it needs quotes"
    } else if reason.contains("did not find expected key") || reason.contains("indent") {
        "lines of one list or map start in the same column"
    } else {
        return None;
    };
    Some(hint.to_owned())
}
