//! JSON by path: `/components/3/version`.

use serde_json::Value;

use super::tell_order;
use super::text::compare_texts;
use crate::finder::{Finder, Side};
use crate::printable::{around, cut};
use crate::sequence::{Edit, Relation, relate};

/// Largest document that is read as JSON; greater ones are compared as text.
const LARGEST: usize = 16 << 20;

/// Most that one comparison of documents tells: every element of a long list may differ.
struct Room(usize, usize);

/// Tells in which values two documents differ.
pub(super) fn compare(finder: &mut Finder, left: &[u8], right: &[u8]) {
    // What nests deeper than 128 is refused by the parser, and compared as text.
    let parsed = |bytes: &[u8]| match bytes.len() <= LARGEST {
        true => serde_json::from_slice::<Value>(bytes).ok(),
        false => None,
    };
    let (Some(left_value), Some(right_value)) = (parsed(left), parsed(right)) else {
        return compare_texts(finder, left, right);
    };
    let mut room = Room(finder.effort().per_leaf.max(1) * 3, 0);
    let before = finder.count();
    compare_values(finder, &mut room, "", &left_value, &right_value);
    if room.1 > 0 {
        finder.note(format!("{} more values differ", room.1));
    }
    // The same values, written in another way.
    if finder.count() == before && !finder.is_done() {
        compare_texts(finder, left, right);
    }
}

fn tell(
    finder: &mut Finder,
    room: &mut Room,
    path: &str,
    left: Option<&Value>,
    right: Option<&Value>,
) {
    if room.0 == 0 {
        room.1 += 1;
        return;
    }
    room.0 -= 1;
    let path = if path.is_empty() { "/" } else { path };
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    match (left, right) {
        (Some(left), Some(right)) => {
            let same_text = text(left) == text(right);
            let quoted = |value: &Value| {
                if same_text {
                    value.to_string()
                } else {
                    text(value)
                }
            };
            let (left, right) = around(quoted(left).as_bytes(), quoted(right).as_bytes());
            finder.value("value", path, &left, &right);
        }
        (Some(left), None) => finder.only(Side::Left, "value", path, &cut(&text(left), 300)),
        (None, Some(right)) => finder.only(Side::Right, "value", path, &cut(&text(right), 300)),
        (None, None) => {}
    }
}

fn compare_values(finder: &mut Finder, room: &mut Room, path: &str, left: &Value, right: &Value) {
    if left == right && !left.is_object() && !left.is_array() {
        return;
    }
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            for (key, value) in left {
                let path = format!("{path}/{}", escaped(key));
                match right.get(key) {
                    Some(other) => compare_values(finder, room, &path, value, other),
                    None => tell(finder, room, &path, Some(value), None),
                }
            }
            for (key, value) in right.iter().filter(|(key, _)| !left.contains_key(*key)) {
                tell(
                    finder,
                    room,
                    &format!("{path}/{}", escaped(key)),
                    None,
                    Some(value),
                );
            }
            let both = |keys: &serde_json::Map<String, Value>,
                        other: &serde_json::Map<String, Value>| {
                let keys = keys.keys().filter(|key| other.contains_key(*key));
                keys.cloned().collect::<Vec<String>>()
            };
            let what = if path.is_empty() { "/" } else { path };
            tell_order(finder, what, &both(left, right), &both(right, left));
        }
        (Value::Array(left), Value::Array(right)) => {
            compare_lists(finder, room, path, left, right);
        }
        (left, right) => tell(finder, room, path, Some(left), Some(right)),
    }
}

fn compare_lists(
    finder: &mut Finder,
    room: &mut Room,
    path: &str,
    left: &[Value],
    right: &[Value],
) {
    let texts = |list: &[Value]| -> Vec<String> { list.iter().map(Value::to_string).collect() };
    let (left_texts, right_texts) = (texts(left), texts(right));
    if left_texts == right_texts {
        return;
    }
    if left.len() == right.len()
        && !matches!(relate(&left_texts, &right_texts), Relation::Order { .. })
    {
        for (at, (left, right)) in left.iter().zip(right).enumerate() {
            compare_values(finder, room, &format!("{path}/{at}"), left, right);
        }
        return;
    }
    match relate(&left_texts, &right_texts) {
        Relation::Order { .. } => tell_order(finder, path, &left_texts, &right_texts),
        Relation::Edits(edits) => {
            for edit in edits {
                match edit {
                    Edit::Replaced(at, to) => {
                        let path = format!("{path}/{at}");
                        compare_values(finder, room, &path, &left[at], &right[to]);
                    }
                    Edit::OnlyLeft(at) => {
                        tell(finder, room, &format!("{path}/{at}"), Some(&left[at]), None);
                    }
                    Edit::OnlyRight(at) => {
                        tell(
                            finder,
                            room,
                            &format!("{path}/{at}"),
                            None,
                            Some(&right[at]),
                        );
                    }
                }
            }
        }
    }
}

/// A key as JSON Pointer has it (RFC 6901).
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effort::Effort;

    fn told(left: &str, right: &str) -> Vec<String> {
        let mut finder = Finder::new(&Effort::USUAL);
        compare(&mut finder, left.as_bytes(), right.as_bytes());
        let told = finder.finish().differences;
        told.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn values_are_told_by_their_path() {
        for (left, right, expected) in [
            (
                r#"{"a":[{"v":"1"},{"v":"2"}]}"#,
                r#"{"a":[{"v":"1"},{"v":"3"}]}"#,
                vec!["value /a/1/v: 2 -> 3"],
            ),
            (r#"{"a":1}"#, r#"{"a":"1"}"#, vec!["value /a: 1 -> \"1\""]),
            (
                r#"{"a":1,"b":2}"#,
                r#"{"b":2,"a":1}"#,
                vec!["order /: a | b -> b | a"],
            ),
            (
                r#"{"a":{"x":1,"y":1}}"#,
                r#"{"a":{"y":1,"x":1}}"#,
                vec!["order /a: x | y -> y | x"],
            ),
            (
                r#"["x","y","z"]"#,
                r#"["x","z"]"#,
                vec!["value /1: only left: y"],
            ),
            (
                r#"["x","y"]"#,
                r#"["y","x"]"#,
                vec![r#"order : "x" | "y" -> "y" | "x""#],
            ),
            (r#"{"a/b":1}"#, r#"{"a/b":2}"#, vec!["value /a~1b: 1 -> 2"]),
            (
                r#"{"a":1}"#,
                "{\"a\": 1}",
                vec!["line 1, column 6: {\"a\":1} -> {\"a\": 1}"],
            ),
        ] {
            assert_eq!(told(left, right), expected, "{left} {right}");
        }
    }

    #[test]
    fn what_nests_without_end_is_compared_as_text() {
        let deep = |middle: &str| format!("{}{middle}{}", "[".repeat(10_000), "]".repeat(10_000));
        let told = told(&deep("1"), &deep("2"));
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("line 1, column 10001: "), "{told:?}");
    }
}
