//! Puts keys into the order of the format, with the comments above them, by moving whole lines.
//!
//! Only maps in block style are touched. Where a line does not start with its key, the map stays as it
//! is; the caller reads the result again in any case.

use serde_json::Value;

use super::node::{Content, Node, tree};

/// Returns the text with the keys of its maps in the order in which `schema` lists them.
pub(super) fn in_order(text: &str, schema: &Value) -> String {
    let Some(top) = tree(text) else {
        return text.to_owned();
    };
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let end = lines.len();
    sort_node(&mut lines, &top, end, schema, schema);
    let mut sorted = lines.join("\n");
    if text.ends_with('\n') {
        sorted.push('\n');
    }
    sorted
}

/// Follows references, and takes the other branch of what may be absent.
fn resolve<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let pointer = reference.trim_start_matches('#');
        return root.pointer(pointer).unwrap_or(schema);
    }
    let is_something = |branch: &&Value| branch.get("type").is_none_or(|kind| kind != "null");
    let branches = schema.get("anyOf").and_then(Value::as_array);
    match branches.and_then(|branches| branches.iter().find(is_something)) {
        Some(branch) => resolve(branch, root),
        None => schema,
    }
}

/// Sorts what is in a node whose lines end before `end`; inner maps first, since they keep their
/// number of lines.
fn sort_node(lines: &mut [String], node: &Node, end: usize, schema: &Value, root: &Value) {
    let schema = resolve(schema, root);
    match &node.content {
        Content::Text(_) => {}
        Content::List(items) => {
            let Some(schema) = schema.get("items") else {
                return;
            };
            for (index, item) in items.iter().enumerate() {
                let next = items.get(index + 1).map_or(end, line_of);
                sort_node(lines, item, next.min(end), schema, root);
            }
        }
        Content::Map(entries) => {
            let properties = schema.get("properties").and_then(Value::as_object);
            for (index, (key, value)) in entries.iter().enumerate() {
                let name = key.text().unwrap_or_default();
                let inner = properties
                    .and_then(|properties| properties.get(name))
                    .or_else(|| schema.get("additionalProperties"));
                let next = entries.get(index + 1).map_or(end, |(key, _)| line_of(key));
                if let Some(inner) = inner {
                    sort_node(lines, value, next.min(end), inner, root);
                }
            }
            if let (Some(properties), true) = (properties, node.is_block) {
                let rank = |(key, _): &(Node, Node)| {
                    let name = key.text().unwrap_or_default();
                    properties.keys().position(|known| known == name)
                };
                let ranks: Vec<Option<usize>> = entries.iter().map(rank).collect();
                sort_map(lines, entries, &ranks, end);
            }
        }
    }
}

/// Returns the index of the line that a node starts in.
fn line_of(node: &Node) -> usize {
    usize::try_from(node.place.line)
        .unwrap_or(usize::MAX)
        .saturating_sub(1)
}

fn column_of(node: &Node) -> usize {
    usize::try_from(node.place.column)
        .unwrap_or(usize::MAX)
        .saturating_sub(1)
}

fn sort_map(
    lines: &mut [String],
    entries: &[(Node, Node)],
    ranks: &[Option<usize>],
    end: usize,
) -> Option<()> {
    if ranks.is_sorted() || end > lines.len() {
        return None;
    }
    let column = column_of(&entries.first()?.0);
    let first = line_of(&entries.first()?.0);
    // What stands before the first key in its line: white space, and the dashes of lists.
    let lead = lines.get(first)?.get(..column)?.to_owned();
    if !lead.chars().all(|c| c == ' ' || c == '-') {
        return None;
    }
    let has_lead = lead.contains('-');
    let is_comment = |line: &String| line.trim_start().starts_with('#');
    let comments_above = |lines: &[String], line: usize| {
        let above = lines[..line].iter().rev();
        above.take_while(|line| is_comment(line)).count()
    };
    // Comments above the first key of a file or of a list's item are about the whole of it: they stay.
    let mut starts = if column == 0 || has_lead {
        vec![first]
    } else {
        vec![first - comments_above(lines, first)]
    };
    for (key, _) in &entries[1..] {
        let line = line_of(key);
        let is_key_first = lines.get(line)?.get(..column)?.chars().all(|c| c == ' ');
        if column_of(key) != column || !is_key_first || line <= *starts.last()? {
            return None;
        }
        let comments = comments_above(lines, line);
        starts.push(line - comments.min(line - starts.last()? - 1));
    }
    let chunk = |index: usize| {
        let stop = starts.get(index + 1).copied().unwrap_or(end);
        lines[starts[index]..stop].to_vec()
    };
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|index| ranks[*index].unwrap_or(usize::MAX));
    let is_comment_first = line_of(&entries[order[0]].0) != starts[order[0]];
    if has_lead && order[0] != 0 && is_comment_first {
        return None;
    }
    let mut sorted: Vec<String> = Vec::new();
    for (place, index) in order.iter().enumerate() {
        let mut chunk = chunk(*index);
        if place == 0 && has_lead {
            chunk[0].replace_range(..column, &lead);
        } else if *index == 0 && has_lead {
            chunk[0].replace_range(..column, &" ".repeat(column));
        }
        sorted.extend(chunk);
    }
    lines[starts[0]..end].clone_from_slice(&sorted);
    Some(())
}
