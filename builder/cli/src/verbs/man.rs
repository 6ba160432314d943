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
    let source = format!("kiln {}", env!("CARGO_PKG_VERSION"));
    let page = Page::new(command.clone())
        .date("")
        .source(source)
        .manual("Kiln");
    let mut text = Vec::new();
    page.render(&mut text)?;
    let text = String::from_utf8(text).map_err(io::Error::other)?;
    Ok((page.get_filename(), text))
}
