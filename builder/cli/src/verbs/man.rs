//! `kiln man`: manual pages, made from the arguments themselves. They carry no date.

use std::io;
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man as Page;

use crate::arguments::{Arguments, Man};
use crate::failure::Failure;
use crate::print::{line, note};

/// Prints kiln's page, or writes all pages into a folder.
pub fn run(man: &Man) -> Result<u8, Failure> {
    let pages = pages().map_err(|error| Failure::host(error.into()))?;
    match &man.to {
        None => line(pages[0].1.trim_end()),
        Some(folder) => {
            write(folder, &pages).map_err(|error| Failure::host(error.into()))?;
            note(&format!("{} pages in {}", pages.len(), folder.display()));
        }
    }
    Ok(0)
}

fn write(folder: &Path, pages: &[(String, String)]) -> io::Result<()> {
    fs_err::create_dir_all(folder)?;
    for (name, text) in pages {
        fs_err::write(folder.join(name), text)?;
    }
    Ok(())
}

/// Returns every page by file name, kiln's own first.
fn pages() -> io::Result<Vec<(String, String)>> {
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    let mut pages = vec![page(&command)?];
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        pages.push(page(verb)?);
    }
    Ok(pages)
}

fn page(command: &Command) -> io::Result<(String, String)> {
    let page = Page::new(command.clone());
    let name = page.get_filename();
    let mut text = Vec::new();
    page.render(&mut text)?;
    let text = String::from_utf8(text).map_err(io::Error::other)?;
    let title = name.trim_end_matches(".1");
    let lines = text.lines().map(str::trim_end);
    // A heading of our own: the library leaves an empty date out, and what follows takes its place.
    let lines = lines.map(|line| match line.strip_prefix(".TH ") {
        Some(_) => heading(title),
        None => line
            .replace(".SH EXTRA", ".SH NOTES")
            .replace(".SH Verbs", ".SH VERBS"),
    });
    let mut text: String = lines.map(|line| line + "\n").collect();
    text.push_str(EXIT_STATUS);
    if title != "kiln" {
        text.push_str(".SH \"SEE ALSO\"\n\\fBkiln\\fR(1)\n");
    }
    Ok((name, text))
}

fn heading(title: &str) -> String {
    let (title, version) = (title.to_uppercase(), env!("CARGO_PKG_VERSION"));
    format!(".TH \"{title}\" 1 \"\" \"kiln {version}\" \"Kiln\"")
}

const EXIT_STATUS: &str = "\
.SH \"EXIT STATUS\"
.TP
0
Done.
.TP
1
A step failed, or a check found something.
.TP
2
Bad input, or the host or an input/output error.
.TP
130
Interrupted.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_for_kiln_and_for_every_verb_without_date_or_settings_of_this_host() {
        let pages = pages().unwrap();
        let command = Arguments::command();
        let verbs = command.get_subcommands();
        let verbs = verbs.filter(|verb| !verb.is_hide_set()).count();
        assert_eq!(pages.len(), verbs + 1);
        assert_eq!(pages[0].0, "kiln.1");
        for (name, text) in &pages {
            let title = name.trim_end_matches(".1").to_uppercase();
            let heading = format!(
                ".TH \"{title}\" 1 \"\" \"kiln {}\"",
                env!("CARGO_PKG_VERSION")
            );
            assert_eq!(text.matches(&heading).count(), 1, "{name}: {text}");
            for section in ["NAME", "SYNOPSIS", "OPTIONS OF EVERY VERB", "EXIT STATUS"] {
                let plain = format!(".SH {section}\n");
                let quoted = format!(".SH \"{section}\"\n");
                assert!(
                    text.contains(&plain) || text.contains(&quoted),
                    "{name}: {section}"
                );
            }
        }
    }
}
