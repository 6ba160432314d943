//! `kiln fmt`: recipes and base image files in one layout, with every value and comment.

use kiln_build::{Formatted, format_file, formattable, formattable_named};
use similar::TextDiff;

use crate::arguments::{Common, Fmt};
use crate::failure::Failure;
use crate::print::line;
use crate::session::root;

/// Lines of a difference that are shown of one file.
const SHOWN: usize = 20;

/// Lays out what was asked for. A file that is wrong is told and left alone, the others are done.
pub fn run(common: &Common, fmt: &Fmt) -> Result<u8, Failure> {
    let root = root(common)?;
    let files = if fmt.names.is_empty() {
        formattable(&root).into_iter().map(Ok).collect()
    } else {
        let named = fmt.names.iter().map(|name| formattable_named(&root, name));
        named.collect::<Vec<_>>()
    };
    let mut failures = Vec::new();
    let mut written = 0;
    let total = files.len();
    for file in files {
        let formatted = match file.and_then(|file| format_file(&root, &file)) {
            Ok(formatted) => formatted,
            Err(error) => {
                failures.push(Failure::file(&error));
                continue;
            }
        };
        if formatted.is_unchanged() {
            continue;
        }
        if fmt.check {
            failures.push(Failure::finding(difference(&formatted)));
            continue;
        }
        if let Err(error) = formatted.write() {
            failures.push(Failure::file(&error));
            continue;
        }
        written += 1;
        if !common.quiet {
            line(&format!("formatted {}", formatted.file.display()));
        }
    }
    if let Some(failure) = Failure::joined(failures) {
        return Err(failure);
    }
    if !common.quiet && written == 0 {
        line(&format!("All {total} files are laid out."));
    }
    Ok(0)
}

fn difference(formatted: &Formatted) -> String {
    let diff = TextDiff::from_lines(&formatted.before, &formatted.after);
    let unified = diff.unified_diff().context_radius(1).to_string();
    let mut lines: Vec<String> = unified.lines().map(|line| format!("  {line}")).collect();
    let more = lines.len().saturating_sub(SHOWN);
    lines.truncate(SHOWN);
    if more > 0 {
        lines.push(format!("  … and {more} more lines"));
    }
    format!(
        "error: `{}` is not laid out\n{}\n\nhint: `kiln fmt` does it\n",
        formatted.file.display(),
        lines.join("\n")
    )
}
