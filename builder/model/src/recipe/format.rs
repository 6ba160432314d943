//! Lays a file out in one way: the order of keys is the format's, the rest is `pretty_yaml`'s work.
//!
//! Nothing is believed: what comes out is read again, and must say the same with the same comments.

use granit_parser::{Event, Parser};
use pretty_yaml::config::{FormatOptions, LanguageOptions, LayoutOptions};

use super::comments::keep_depth;
use super::error::YamlError;
use super::order::in_order;

/// Says why a file keeps its layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The file is wrong by itself.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// The layout could not be changed without changing what the file says, or a comment.
    #[error("the file can not be laid out without a change of what it says: {reason}")]
    Changed {
        /// What would have happened.
        reason: String,
    },
}

/// Longest line, where lists are concerned; texts are never broken.
const WIDTH: usize = 100;

/// Passes after which a layout must have come to rest.
const PASSES: usize = 4;

fn options() -> FormatOptions {
    FormatOptions {
        layout: LayoutOptions {
            print_width: WIDTH,
            ..LayoutOptions::default()
        },
        language: LanguageOptions {
            brace_spacing: false,
            trailing_comma: false,
            ignore_comment_directive: "kiln-fmt-ignore".to_owned(),
            ..LanguageOptions::default()
        },
    }
}

/// Lays out `bytes`, which `parse` reads and `schema` describes.
///
/// # Errors
/// `Yaml` when `parse` refuses the bytes, `Changed` when the layout is not kept to.
pub(crate) fn format<T: PartialEq>(
    bytes: &[u8],
    schema: &serde_json::Value,
    parse: impl Fn(&[u8]) -> Result<T, YamlError>,
) -> Result<String, FormatError> {
    let before = parse(bytes)?;
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    let comments = comments(&text);
    let check = |text: &str| -> Result<(), FormatError> {
        let changed = |reason: &str| FormatError::Changed {
            reason: reason.to_owned(),
        };
        let after = parse(text.as_bytes()).map_err(|error| FormatError::Changed {
            reason: format!("at {}: {error}", error.place),
        })?;
        if after != before {
            return Err(changed("a value would change"));
        }
        if self::comments(text) != comments {
            return Err(changed("a comment would be lost"));
        }
        Ok(())
    };
    let ordered = in_order(&text, schema);
    let mut text = if check(&ordered).is_ok() {
        ordered
    } else {
        text
    };
    for _ in 0..PASSES {
        let next =
            pretty_yaml::format_text(&text, &options()).map_err(|error| FormatError::Changed {
                reason: error.to_string(),
            })?;
        check(&next)?;
        let deep = keep_depth(&text, &next);
        let next = if check(&deep).is_ok() { deep } else { next };
        if next == text {
            return Ok(text);
        }
        text = next;
    }
    Err(FormatError::Changed {
        reason: "the layout does not come to rest".to_owned(),
    })
}

/// Returns the texts of all comments, sorted, without the space around them.
fn comments(text: &str) -> Vec<String> {
    let mut comments: Vec<String> = Parser::new_from_str(text)
        .filter_map(Result::ok)
        .filter_map(|(event, _)| match event {
            Event::Comment(text, _) => Some(text.trim().to_owned()),
            _ => None,
        })
        .collect();
    comments.sort();
    comments
}

#[cfg(test)]
mod tests;
