//! Finds where a value stands in a YAML text, for errors that are noticed after reading it.
//!
//! A value that can not be wrong by itself carries no place. When it turns out not to fit the rest of
//! the project, its text is walked again, and only then.

use super::error::Place;
use super::node::{Content, Node, tree};

/// The way from a file's top to one value: `packages`, the one whose `name` is `curl`, `files`, …
///
/// ```
/// use kiln_model::recipe::NodePath;
/// let text = "packages:\n  - name: curl\n    files: [/usr/bin/curl]\n";
/// let path = NodePath::top().key("packages").with("name", "curl").key("files").item("/usr/bin/curl");
/// assert_eq!(path.find(text).unwrap().to_string(), "3:13");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodePath(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// The value of a key.
    Key(String),
    /// The item of a list that has `value` under `key`.
    With { key: &'static str, value: String },
    /// The item of a list that is this text.
    Item(String),
    /// This line, from 1, of a text.
    Line(u64),
}

impl NodePath {
    /// The whole file.
    #[must_use]
    pub const fn top() -> Self {
        Self(Vec::new())
    }

    /// The value of `key`.
    #[must_use]
    pub fn key(self, key: impl Into<String>) -> Self {
        self.and(Part::Key(key.into()))
    }

    /// The item of a list that has `value` under `key`.
    #[must_use]
    pub fn with(self, key: &'static str, value: impl Into<String>) -> Self {
        let value = value.into();
        self.and(Part::With { key, value })
    }

    /// The item of a list that is the text `item`.
    #[must_use]
    pub fn item(self, item: impl Into<String>) -> Self {
        self.and(Part::Item(item.into()))
    }

    /// Line `number`, from 1, of the text as it is without the white space around it.
    #[must_use]
    pub fn line(self, number: u64) -> Self {
        self.and(Part::Line(number))
    }

    fn and(mut self, part: Part) -> Self {
        self.0.push(part);
        self
    }

    /// Returns where in `text` the value starts; of a list or map under a key, where the key starts.
    ///
    /// A value may be there by default only: then the place is that of what would hold it; `None`
    /// when that is the file itself.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<Place> {
        let top = tree(text)?;
        let mut node = &top;
        let mut place = self.0.is_empty().then_some(top.place);
        for part in &self.0 {
            if let Part::Line(number) = part {
                return place.map(|place| line_of_block(text, place, *number));
            }
            let Some((found, at)) = node.step(part) else {
                break;
            };
            (node, place) = (found, Some(at));
        }
        place
    }
}

/// Returns where a line of the text that starts at `place` stands. Only in a literal block (`|`) are
/// its lines those of the file; of any other text the place is where it starts.
fn line_of_block(text: &str, place: Place, number: u64) -> Place {
    let index = |number: u64| {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        number.saturating_sub(1)
    };
    let lines: Vec<&str> = text.lines().collect();
    let first = index(place.line);
    let above = lines.get(..first).unwrap_or_default().iter().rev();
    let header = above.copied().find(|line| !line.trim().is_empty());
    if !header.is_some_and(opens_literal_block) {
        return place;
    }
    let line = first.saturating_add(index(number));
    match lines.get(line) {
        Some(content) => Place {
            line: line as u64 + 1,
            column: (content.chars().count() - content.trim_start().chars().count()) as u64 + 1,
        },
        None => place,
    }
}

/// Returns whether a line ends in `|`, with or without indicators, and perhaps a comment.
fn opens_literal_block(line: &str) -> bool {
    let line = line.split_once(" #").map_or(line, |(line, _)| line);
    let indicators = |c: char| c.is_ascii_digit() || c == '+' || c == '-';
    line.trim_end().trim_end_matches(indicators).ends_with('|')
}

impl Node {
    fn value(&self, key: &str) -> Option<(&Self, &Self)> {
        let Content::Map(entries) = &self.content else {
            return None;
        };
        let entry = entries.iter().find(|(name, _)| name.text() == Some(key))?;
        Some((&entry.0, &entry.1))
    }

    fn step(&self, part: &Part) -> Option<(&Self, Place)> {
        if let Part::Key(key) = part {
            let (key, value) = self.value(key)?;
            let at = if value.text().is_some_and(|text| !text.is_empty()) {
                value.place
            } else {
                key.place
            };
            return Some((value, at));
        }
        let Content::List(items) = &self.content else {
            return None;
        };
        items.iter().find_map(|item| match part {
            Part::Item(text) => (item.text() == Some(text)).then_some((item, item.place)),
            Part::With { key, value } => {
                let (_, found) = item.value(key)?;
                (found.text() == Some(value)).then_some((item, found.place))
            }
            Part::Key(_) | Part::Line(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# ä comment\r\nname: x\r\nlibraries:\r\n  zlib: {choice: system}\r\n  ssl:\r\n    \
                        choice: bundle\r\n\"süß\": {b: \"ö ü\", c: d}\r\npackages:\r\n  - summary: s\r\n    \
                        name: x\r\n    files:\r\n      - /a\r\n      - \"/b\"\r\n  - {name: y, files: [/é/*, /a]}\r\nempty:\r\n";

    #[test]
    fn values_are_found_where_they_stand() {
        let top = NodePath::top;
        let package = |name| top().key("packages").with("name", name);
        for (path, expected) in [
            (top(), "2:1"),
            (top().key("name"), "2:7"),
            (top().key("libraries").key("zlib").key("choice"), "4:18"),
            (top().key("libraries").key("zlib"), "4:3"),
            (top().key("libraries").key("ssl"), "5:3"),
            (top().key("libraries").key("ssl").key("carry"), "5:3"),
            (top().key("süß").key("c"), "7:22"),
            (package("x"), "10:11"),
            (package("x").key("files").item("/b"), "13:9"),
            (package("y").key("files").item("/a"), "14:29"),
            (package("z").key("files"), "8:1"),
            (top().key("empty"), "15:1"),
        ] {
            let place = path.find(TEXT).unwrap();
            assert_eq!(place.to_string(), expected, "{path:?}");
        }
        assert_eq!(top().key("absent").key("name").find(TEXT), None);
    }

    #[test]
    fn lines_of_a_literal_block_are_found() {
        let text = "a: |\n\n  one\n\n    two\nb: \"x\\ny\"\nc: >\n  one\n  two\nd: e\nf: |-\n  ä\ng: |2 # c\n   x\n";
        for (key, line, expected) in [
            ("a", 1, "3:3"),
            ("a", 2, "4:1"),
            ("a", 3, "5:5"),
            ("a", 99, "3:3"),
            ("b", 2, "6:4"),
            ("c", 2, "8:3"),
            ("f", 1, "12:3"),
            ("g", 1, "14:4"),
        ] {
            let place = NodePath::top().key(key).line(line).find(text).unwrap();
            assert_eq!(place.to_string(), expected, "{key} {line}");
        }
        assert_eq!(NodePath::top().key("z").line(1).find(text), None);
    }

    #[test]
    fn what_is_no_yaml_has_no_places() {
        for text in ["", "a: [", "\t", "- }", &"[".repeat(100_000)] {
            assert_eq!(NodePath::top().key("a").find(text), None);
        }
    }
}
