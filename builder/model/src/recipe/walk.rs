//! Walks the parser's events before serde sees them: what recipes do not use is named exactly.
//!
//! Tags such as `!!binary`, which serde would silently apply, duplicate keys, depth and number of
//! values are seen here, each with its place.

use std::collections::BTreeMap;

use granit_parser::{ErrorKind, Event, Options, Parser, ScalarStyle, Span};

use super::error::{Cause, Place, YamlError};
use super::node::place_of;

/// Deepest nesting.
pub(super) const MAX_DEPTH: usize = 32;
/// Most nodes.
pub(super) const MAX_NODES: usize = 100_000;

/// An open list or map.
enum Open {
    List,
    Map {
        keys: BTreeMap<String, Place>,
        /// Whether the next node is a key.
        is_at_key: bool,
    },
}

/// Refuses what recipes do not use.
///
/// # Errors
/// `Forbidden`, `DuplicateKey`, `TooDeep` or `TooMany`. A syntax error is left to serde's pass, which
/// reports it in its words.
pub(super) fn check(text: &str) -> Result<(), YamlError> {
    let mut walk = Walk {
        open: Vec::new(),
        nodes: 0,
        documents: 0,
    };
    refuse_directives(text)?;
    let mut options = Options::default();
    options.emit_anchor_events = true;
    // The scanner reads ahead of its events: it must not get far.
    options.flow_nesting_limit = MAX_DEPTH + 1;
    for item in Parser::new_from_str_with_options(text, options) {
        let (event, span) = match item {
            Ok(item) => item,
            Err(error) if *error.kind() == ErrorKind::RecursionLimitExceeded => {
                return Err(YamlError {
                    cause: Cause::TooDeep { limit: MAX_DEPTH },
                    place: place_of(&Span::empty(*error.marker())),
                });
            }
            Err(_) => return Ok(()),
        };
        let tag = span.tag_span().filter(|_| has_tag(&event));
        let place = place_of(&tag.unwrap_or(span));
        walk.see(&event, place)
            .map_err(|cause| YamlError { cause, place })?;
    }
    Ok(())
}

struct Walk {
    open: Vec<Open>,
    nodes: usize,
    documents: usize,
}

impl Walk {
    fn see(&mut self, event: &Event<'_>, place: Place) -> Result<(), Cause> {
        refuse_properties(event)?;
        match event {
            Event::DocumentStart(..) if self.documents == 1 => {
                return forbidden("a second document");
            }
            Event::DocumentStart(..) => self.documents = 1,
            Event::Scalar(text, style, ..) => self.node(Some((text, *style)), place)?,
            Event::SequenceStart(..) => {
                self.node(None, place)?;
                self.open.push(Open::List);
            }
            Event::MappingStart(..) => {
                self.node(None, place)?;
                self.open.push(Open::Map {
                    keys: BTreeMap::new(),
                    is_at_key: true,
                });
            }
            Event::SequenceEnd | Event::MappingEnd => drop(self.open.pop()),
            _ => {}
        }
        if self.open.len() > MAX_DEPTH {
            return Err(Cause::TooDeep { limit: MAX_DEPTH });
        }
        Ok(())
    }

    /// Counts a node; a key must be a text that does not stand in its map already.
    fn node(&mut self, text: Option<(&str, ScalarStyle)>, place: Place) -> Result<(), Cause> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Cause::TooMany { limit: MAX_NODES });
        }
        let Some(Open::Map { keys, is_at_key }) = self.open.last_mut() else {
            return Ok(());
        };
        let is_key = *is_at_key;
        *is_at_key = !is_key;
        if !is_key {
            return Ok(());
        }
        let Some((key, style)) = text else {
            return forbidden("a list or map as a key");
        };
        if key == "<<" && style == ScalarStyle::Plain {
            return forbidden("a merge key");
        }
        match keys.insert(key.to_owned(), place) {
            None => Ok(()),
            Some(first) => Err(Cause::DuplicateKey {
                key: key.to_owned(),
                first,
            }),
        }
    }
}

fn forbidden(what: &'static str) -> Result<(), Cause> {
    Err(Cause::Forbidden { what })
}

/// A directive stands before the document, in lines that start with `%`.
fn refuse_directives(text: &str) -> Result<(), YamlError> {
    let is_content = |line: &str| !line.trim().is_empty() && !line.starts_with('#');
    let mut lines = text.lines().zip(1..);
    match lines.find(|(line, _)| is_content(line)) {
        Some((content, line)) if content.starts_with('%') => Err(YamlError {
            cause: Cause::Forbidden {
                what: "a directive",
            },
            place: Place { line, column: 1 },
        }),
        _ => Ok(()),
    }
}

fn has_tag(event: &Event<'_>) -> bool {
    matches!(
        event,
        Event::Scalar(.., Some(_))
            | Event::SequenceStart(.., Some(_))
            | Event::MappingStart(.., Some(_))
    )
}

fn refuse_properties(event: &Event<'_>) -> Result<(), Cause> {
    match event {
        Event::Alias(..) | Event::UnresolvedAlias(..) => forbidden("an alias"),
        Event::Anchor(..) => forbidden("an anchor"),
        _ if has_tag(event) => forbidden("a tag"),
        _ => Ok(()),
    }
}
