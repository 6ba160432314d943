//! What a key's value may be, in words, and example values on one line.

use serde_json::Value;

use super::Language;

/// Longest example that a table shows; longer ones are seen in the whole file.
const LONGEST: usize = 64;

/// Returns the object that a property, or what it lists or maps to, is described by, and what its
/// path ends in.
pub(super) fn target<'a>(
    root: &'a Value,
    property: &'a Value,
) -> Option<(&'static str, &'a Value)> {
    for (ending, inner) in [
        ("", Some(property)),
        ("[]", property.get("items")),
        (".NAME", property.get("additionalProperties")),
    ] {
        let schema = inner.and_then(|inner| referred(root, inner));
        if let Some(schema) = schema.filter(|schema| schema.get("properties").is_some()) {
            return Some((ending, schema));
        }
    }
    None
}

/// Follows a reference, also one that may be left out.
fn referred<'a>(root: &'a Value, schema: &'a Value) -> Option<&'a Value> {
    let direct = schema.get("$ref").and_then(Value::as_str);
    let optional = || {
        let choices = schema.get("anyOf")?.as_array()?;
        choices
            .iter()
            .find_map(|choice| choice.get("$ref")?.as_str())
    };
    let name = direct.or_else(optional)?.strip_prefix("#/$defs/")?;
    root.get("$defs")?.get(name)
}

/// Returns a link to an object's section. Code hosts name a heading's anchor by its letters.
pub(super) fn link(path: &str) -> String {
    let kept = path
        .chars()
        .filter(|c| c.is_alphanumeric() || "-_".contains(*c));
    let anchor: String = kept.flat_map(char::to_lowercase).collect();
    format!("[`{path}`](#{anchor})")
}

/// Says what a property's value may be.
pub(super) fn describe(root: &Value, property: &Value, path: &str) -> String {
    match target(root, property) {
        Some(("[]", _)) => return format!("list of {}", link(&format!("{path}[]"))),
        Some((".NAME", _)) => {
            return format!("map from names to {}", link(&format!("{path}.NAME")));
        }
        Some(_) => return link(path),
        None => {}
    }
    let choices = one_of(root, property);
    if !choices.is_empty() {
        let words: Vec<String> = choices
            .iter()
            .map(|(word, _)| format!("`{word}`"))
            .collect();
        return alternatives(&words);
    }
    if let Some(items) = property.get("items") {
        let each = scalar(items);
        return format!("list of {each}s");
    }
    if let Some(values) = property
        .get("additionalProperties")
        .filter(|v| v.is_object())
    {
        let each = scalar(values);
        return match names(property) {
            Some(names) => format!("map from {} to {each}s", alternatives(&names)),
            None => format!("map from texts to {each}s"),
        };
    }
    let bounds = match (property.get("const"), property.get("minimum")) {
        (Some(only), _) => return format!("`{only}`"),
        (None, Some(least)) if least.as_u64() != Some(0) => format!(", at least {least}"),
        _ => String::new(),
    };
    format!("{}{bounds}", scalar(property))
}

fn alternatives(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// The keys that a map may have.
fn names(property: &Value) -> Option<Vec<String>> {
    let names = property.get("propertyNames")?.get("enum")?.as_array()?;
    let texts = names.iter().filter_map(Value::as_str);
    Some(texts.map(|name| format!("`{name}`")).collect())
}

fn scalar(schema: &Value) -> String {
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.first(),
        other => other,
    };
    match (
        kind.and_then(Value::as_str),
        schema.get("format").and_then(Value::as_str),
        schema.get("pattern").and_then(Value::as_str),
    ) {
        (Some("string"), Some("date"), _) => "date, `YYYY-MM-DD`".to_owned(),
        (Some("string"), _, Some("^[0-9a-f]{64}$")) => {
            "64 lower-case hexadecimal digits".to_owned()
        }
        (Some("integer"), ..) => "whole number".to_owned(),
        (Some("boolean"), ..) => "`true` or `false`".to_owned(),
        _ => "text".to_owned(),
    }
}

/// Returns the words that a value is one of, and what each means.
pub(super) fn one_of<'a>(root: &'a Value, property: &'a Value) -> Vec<(&'a str, &'a str)> {
    let schema = referred(root, property).unwrap_or(property);
    let choices = schema.get("oneOf").and_then(Value::as_array);
    let word = |choice: &'a Value| {
        let word = choice.get("const")?.as_str()?;
        let meaning = choice.get("description").and_then(Value::as_str);
        Some((word, meaning.unwrap_or_default()))
    };
    choices.into_iter().flatten().filter_map(word).collect()
}

/// Writes an example on one line; or where to look where it would be too long.
pub(super) fn inline(value: &Value, language: Language) -> String {
    let text = flow(value, language);
    if text.len() > LONGEST || text.contains("\\n") {
        return "see below".to_owned();
    }
    format!("`{text}`")
}

fn flow(value: &Value, language: Language) -> String {
    match value {
        Value::String(text) if language == Language::Yaml && is_plain(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| flow(item, language)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(items) => {
            let items = items
                .iter()
                .map(|(key, value)| format!("{key}: {}", flow(value, language)));
            format!("{{{}}}", items.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// Whether YAML reads the text as itself without quotes, also within brackets.
fn is_plain(text: &str) -> bool {
    let is_number = text.starts_with(|c: char| c.is_ascii_digit()) && !text.contains('-');
    let has_marks = text.contains([',', '[', ']', '{', '}', '#', '"', '\n', '|', '\\']);
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || "-/".contains(c))
        && !is_number
        && !has_marks
        && !text.contains(": ")
        && !text.starts_with("- ")
        && !text.ends_with(':')
}
