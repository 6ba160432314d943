//! Keeps comments at the depth that they were written at.
//!
//! `pretty_yaml` 0.6 moves a comment after the last entry of a list or map out to the next line's
//! depth, where it seems to be about something else. Delete this file when it does not any more.

use granit_parser::{Event, Parser};

/// A comment on a line of its own.
struct OwnLine {
    /// Index of the line.
    line: usize,
    text: String,
}

fn own_lines(text: &str) -> Vec<OwnLine> {
    let lines: Vec<&str> = text.lines().collect();
    let comments = Parser::new_from_str(text).filter_map(Result::ok);
    comments
        .filter_map(|(event, span)| {
            let Event::Comment(text, _) = event else {
                return None;
            };
            let line = span.start.line().checked_sub(1)?;
            let is_own = lines.get(line)?.trim_start().starts_with('#');
            is_own.then(|| OwnLine {
                line,
                text: text.trim().to_owned(),
            })
        })
        .collect()
}

/// Returns `after` with each comment that ends a list or map of `before` as deep as its entries.
pub(super) fn keep_depth(before: &str, after: &str) -> String {
    let (old, new) = (own_lines(before), own_lines(after));
    let is_same = old.len() == new.len() && old.iter().zip(&new).all(|(a, b)| a.text == b.text);
    if !is_same {
        return after.to_owned();
    }
    let old_lines: Vec<&str> = before.lines().collect();
    let new_lines: Vec<&str> = after.lines().collect();
    let mut lines: Vec<String> = after.lines().map(str::to_owned).collect();
    for (old, new) in old.iter().zip(&new) {
        let Some(entry) = ended_entry(&old_lines, old.line) else {
            continue;
        };
        let above = new_lines[..new.line].iter().rev();
        let depth = above.clone().find_map(|line| column_of(line, entry));
        if let Some(depth) = depth {
            lines[new.line] = format!("{}{}", " ".repeat(depth), lines[new.line].trim_start());
        }
    }
    lines.join("\n") + "\n"
}

fn depth(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn is_content(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#')
}

/// Returns the start of the entry after which a comment ends its list or map, if it does: the next
/// line is less deep.
fn ended_entry<'a>(lines: &[&'a str], comment: usize) -> Option<&'a str> {
    let column = depth(lines.get(comment)?);
    let next = lines[comment..].iter().find(|line| is_content(line));
    if column <= next.map_or(0, |line| depth(line)) {
        return None;
    }
    let above = lines[..comment].iter().rev();
    for line in above.filter(|line| is_content(line)) {
        let mut rest = line.trim_start();
        let mut start = depth(line);
        loop {
            if start == column {
                return rest.split_whitespace().next();
            }
            // Entries of a map in a list start behind the dash.
            let Some(inner) = rest.strip_prefix("- ") else {
                break;
            };
            start += 2 + depth(inner);
            rest = inner.trim_start();
        }
        if depth(line) < column {
            return None;
        }
    }
    None
}

/// Returns the column at which an entry starts in its line.
fn column_of(line: &str, entry: &str) -> Option<usize> {
    let mut rest = line.trim_start();
    let mut start = depth(line);
    loop {
        if is_content(line) && rest.split_whitespace().next() == Some(entry) {
            return Some(start);
        }
        let inner = rest.strip_prefix("- ")?;
        start += 2 + depth(inner);
        rest = inner.trim_start();
    }
}
