//! A YAML text as nodes with places, for what serde does not tell: where things stand, in which order.

use granit_parser::{Event, Parser, Span, StructureStyle};

use super::error::Place;

/// One value and where it starts.
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) content: Content,
    /// Whether it is a list or map in block style: one entry per line.
    pub(super) is_block: bool,
}

/// What a value holds.
pub(super) enum Content {
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// Returns the text of a value that is one.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
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
            Event::Scalar(text, ..) => Node {
                place,
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
        }
    }
}
