//! A YAML text as nodes with places, for what serde does not tell: where things stand, in which order.

use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle};
use serde_json::Value;

use super::error::Place;

/// One value and where it starts.
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) content: Content,
    /// Whether it is a list or map in block style: one entry per line.
    pub(super) is_block: bool,
    /// Whether it is a text without quotes, on one line.
    pub(super) is_plain: bool,
}

/// What a value holds.
pub(super) enum Content {
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// Depth is bounded by whoever read the text before.
    fn as_json(&self) -> Value {
        match &self.content {
            Content::Text(text) if self.is_plain => plain_value(text),
            Content::Text(text) => Value::from(text.as_str()),
            Content::List(items) => items.iter().map(Self::as_json).collect(),
            Content::Map(entries) => {
                let entry = |(key, value): &(Self, Self)| {
                    (key.text().unwrap_or_default().to_owned(), value.as_json())
                };
                Value::Object(entries.iter().map(entry).collect())
            }
        }
    }

    /// Returns the text of a value that is one.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Only what JSON writes with the same characters is a number.
fn plain_value(text: &str) -> Value {
    match text {
        "" | "~" | "null" => return Value::Null,
        "true" => return Value::Bool(true),
        "false" => return Value::Bool(false),
        _ => {}
    }
    match text.parse::<u64>() {
        Ok(number) if number.to_string() == text => Value::from(number),
        _ => Value::from(text),
    }
}

/// Returns where a span starts, counted from 1.
pub(super) fn place_of(span: &Span) -> Place {
    Place {
        line: span.start.line() as u64,
        column: span.start.col() as u64 + 1,
    }
}

/// A list or map whose end was not seen yet.
struct Open {
    place: Place,
    is_map: bool,
    is_block: bool,
    children: Vec<Node>,
}

/// Reads a text into nodes; `None` when it is no YAML. Without recursion, whatever the depth.
pub(super) fn tree(text: &str) -> Option<Node> {
    let mut open: Vec<Open> = Vec::new();
    for item in Parser::new_from_str(text) {
        let (event, span) = item.ok()?;
        let place = place_of(&span);
        let start = |is_map: bool, style: StructureStyle| Open {
            place,
            is_map,
            is_block: style == StructureStyle::Block,
            children: Vec::new(),
        };
        let node = match event {
            // A value that is not there is reported as `~`.
            Event::Scalar(text, style, ..) => Node {
                place,
                is_plain: style == ScalarStyle::Plain,
                content: Content::Text(if span.start.index() < span.end.index() {
                    text.into_owned()
                } else {
                    String::new()
                }),
                is_block: false,
            },
            Event::SequenceStart(style, ..) => {
                open.push(start(false, style));
                continue;
            }
            Event::MappingStart(style, ..) => {
                open.push(start(true, style));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => open.pop()?.close(),
            _ => continue,
        };
        match open.last_mut() {
            Some(parent) => parent.children.push(node),
            None => return Some(node),
        }
    }
    None
}

/// Returns a text's values without comments and layout, as JSON that reads the same: plain numbers,
/// `true`, `false` and nothing stay what they are, everything else is a text.
pub(crate) fn document(text: &str) -> Option<Value> {
    tree(text).map(|node| node.as_json())
}

/// Returns where the map starts that has a key at `place`.
pub(super) fn map_around(text: &str, place: Place) -> Option<Place> {
    let mut waiting = vec![tree(text)?];
    while let Some(node) = waiting.pop() {
        match node.content {
            Content::Text(_) => {}
            Content::List(items) => waiting.extend(items),
            Content::Map(entries) => {
                if entries.iter().any(|(key, _)| key.place == place) {
                    return Some(node.place);
                }
                waiting.extend(entries.into_iter().map(|(_, value)| value));
            }
        }
    }
    None
}

/// Returns where the text `wanted` stands as a value, in the order of the file.
#[must_use]
pub fn places_of(wanted: &str, text: &str) -> Vec<Place> {
    let mut found = Vec::new();
    let mut waiting: Vec<Node> = tree(text).into_iter().collect();
    while let Some(node) = waiting.pop() {
        match node.content {
            Content::Text(text) if text == wanted => found.push(node.place),
            Content::Text(_) => {}
            Content::List(items) => waiting.extend(items),
            Content::Map(entries) => waiting.extend(entries.into_iter().map(|(_, value)| value)),
        }
    }
    found.sort_unstable();
    found
}

impl Open {
    fn close(self) -> Node {
        let content = if self.is_map {
            let mut children = self.children.into_iter();
            let mut pairs = Vec::new();
            while let (Some(key), Some(value)) = (children.next(), children.next()) {
                pairs.push((key, value));
            }
            Content::Map(pairs)
        } else {
            Content::List(self.children)
        };
        Node {
            place: self.place,
            content,
            is_block: self.is_block,
            is_plain: false,
        }
    }
}
