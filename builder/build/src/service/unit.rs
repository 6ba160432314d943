//! Reads a systemd unit file (systemd.syntax(7)) as far as a package can be judged by it.
//!
//! ```text
//! # comment            ; comment
//! [Section]
//! Key=value            a value that ends in `\` goes on in the next line that is no comment
//! ```
//!
//! What each key may hold is systemd's to say; looked at are the sections, what a kind of unit can not
//! do without, programs, and accounts.

use std::collections::BTreeSet;

use kiln_model::recipe::{UnitKind, UnitName, is_system_account, nearest};

/// What is certainly wrong with a unit file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitMistake {
    /// The file is no text.
    #[error("it is no UTF-8 text")]
    Encoding,
    /// A line that is neither a section, a key with a value, nor a comment.
    #[error("the line is neither `[SECTION]`, `KEY=VALUE` nor a comment")]
    Line,
    /// A key that no section holds.
    #[error("a key stands before the first section")]
    OutsideSection,
    /// The section that its kind of unit needs is not there.
    #[error("there is no `[{section}]` section")]
    NoSection {
        /// The section.
        section: &'static str,
    },
    /// A service that runs nothing, or a unit that nothing triggers.
    #[error("`[{section}]` has no `{keys}`")]
    NothingToDo {
        /// The section.
        section: &'static str,
        /// The keys of which it needs one.
        keys: &'static str,
    },
    /// systemd starts programs by absolute paths, or by names that it looks up.
    #[error("`{program}` is neither an absolute path nor a program's name")]
    RelativeProgram {
        /// The program.
        program: String,
    },
    /// A program that is not there.
    #[error("no package of this recipe ships `{program}`, and the system does not either")]
    NoProgram {
        /// The program.
        program: String,
        /// A program that the recipe ships and that was probably meant.
        nearest: Option<String>,
    },
    /// An account that nobody creates.
    #[error("`{key}={account}` is neither declared in `users` nor an account of every system")]
    NoAccount {
        /// The key.
        key: &'static str,
        /// The account.
        account: String,
    },
    /// A unit can not be enabled.
    #[error("`preset: enable` has no effect: there is no `[Install]` section")]
    NotEnabled,
}

/// What a unit's file is compared with.
pub(super) struct Surroundings<'a> {
    /// Users and groups that exist as soon as the package is installed.
    pub(super) accounts: &'a BTreeSet<String>,
    /// Says what is wrong with an absolute path as a program.
    pub(super) program: &'a dyn Fn(&str) -> Option<UnitMistake>,
    /// Whether the unit's preset enables it.
    pub(super) is_enabled: IsEnabled,
}

/// Whether a unit's preset enables it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IsEnabled {
    Yes,
    No,
}

/// Returns the program among `shipped` paths that was probably meant: its name is what people mistype.
pub(super) fn nearest_program<'a>(
    program: &str,
    shipped: impl Iterator<Item = &'a str> + Clone,
) -> Option<String> {
    let name = |path: &'a str| path.rsplit('/').next().unwrap_or(path);
    let wanted = program.rsplit('/').next().unwrap_or(program);
    let meant = nearest(wanted, shipped.clone().map(name))?;
    let mut shipped = shipped.filter(|path| name(path) == meant);
    shipped.next().map(str::to_owned)
}

/// One `Key=value`.
struct Entry<'a> {
    line: u64,
    section: &'a str,
    key: &'a str,
    value: String,
}

/// Returns everything that is certainly wrong with a unit file, with lines from 1.
pub(super) fn mistakes(
    unit: &UnitName,
    bytes: &[u8],
    surroundings: &Surroundings<'_>,
) -> Vec<(u64, UnitMistake)> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return vec![(1, UnitMistake::Encoding)];
    };
    let mut found = Vec::new();
    let (entries, sections) = read(text, &mut found);
    found.extend(kind_mistakes(unit.kind(), &entries, &sections));
    if surroundings.is_enabled == IsEnabled::Yes && !sections.contains("Install") {
        found.push((1, UnitMistake::NotEnabled));
    }
    for entry in &entries {
        found.extend(entry_mistake(entry, surroundings, &entries).map(|m| (entry.line, m)));
    }
    found.sort_by_key(|(line, _)| *line);
    found
}

fn read<'a>(
    text: &'a str,
    found: &mut Vec<(u64, UnitMistake)>,
) -> (Vec<Entry<'a>>, BTreeSet<&'a str>) {
    let mut entries: Vec<Entry<'a>> = Vec::new();
    let mut sections = BTreeSet::new();
    let mut section = None;
    let mut goes_on = false;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.starts_with(['#', ';']) || (line.is_empty() && !goes_on) {
            continue;
        }
        let (content, is_continued) = match line.strip_suffix('\\') {
            Some(content) => (content.trim_end(), true),
            None => (line, false),
        };
        let was_going_on = std::mem::replace(&mut goes_on, is_continued);
        if was_going_on {
            if let Some(last) = entries.last_mut() {
                last.value.push(' ');
                last.value.push_str(content);
            }
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = Some(name);
            sections.insert(name);
            continue;
        }
        let Some((key, value)) = content.split_once('=').filter(|(key, _)| is_key(key)) else {
            found.push((number, UnitMistake::Line));
            goes_on = false;
            continue;
        };
        if section.is_none() {
            found.push((number, UnitMistake::OutsideSection));
        }
        entries.push(Entry {
            line: number,
            section: section.unwrap_or_default(),
            key: key.trim_end(),
            value: value.trim_start().to_owned(),
        });
    }
    (entries, sections)
}

fn is_key(key: &str) -> bool {
    let key = key.trim_end();
    !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// What each kind of unit needs: the beginnings of keys in its section, and how to call them.
const NEEDED: &[(UnitKind, &[&str], &str)] = &[
    (
        UnitKind::Service,
        &["ExecStart=", "ExecStop=", "SuccessAction="],
        "ExecStart=",
    ),
    (UnitKind::Socket, &["Listen"], "ListenStream="),
    (UnitKind::Timer, &["On"], "OnCalendar="),
    (
        UnitKind::Path,
        &["Path", "DirectoryNotEmpty="],
        "PathChanged=",
    ),
    (UnitKind::Mount, &["What="], "What="),
    (UnitKind::Automount, &["Where="], "Where="),
];

fn kind_mistakes(
    kind: UnitKind,
    entries: &[Entry<'_>],
    sections: &BTreeSet<&str>,
) -> Option<(u64, UnitMistake)> {
    let section = kind.section()?;
    if !sections.contains(section) {
        return Some((1, UnitMistake::NoSection { section }));
    }
    let (_, beginnings, keys) = NEEDED.iter().find(|(needing, ..)| *needing == kind)?;
    let does_something = entries.iter().any(|entry| {
        let text = format!("{}=", entry.key);
        entry.section == section
            && !entry.value.is_empty()
            && beginnings
                .iter()
                .any(|beginning| text.starts_with(beginning))
    });
    (!does_something).then_some((1, UnitMistake::NothingToDo { section, keys }))
}

const PROGRAM_KEYS: &[&str] = &[
    "ExecCondition",
    "ExecReload",
    "ExecStart",
    "ExecStartPost",
    "ExecStartPre",
    "ExecStop",
    "ExecStopPost",
];

fn entry_mistake(
    entry: &Entry<'_>,
    surroundings: &Surroundings<'_>,
    entries: &[Entry<'_>],
) -> Option<UnitMistake> {
    if PROGRAM_KEYS.contains(&entry.key) {
        return program_mistake(&entry.value, surroundings);
    }
    let key = match entry.key {
        "User" => "User",
        "Group" => "Group",
        "SocketUser" => "SocketUser",
        "SocketGroup" => "SocketGroup",
        _ => return None,
    };
    let is_dynamic = entries.iter().any(|entry| {
        entry.key == "DynamicUser" && ["yes", "true", "on", "1"].contains(&entry.value.as_str())
    });
    let account = entry.value.as_str();
    let is_known = account.is_empty()
        || is_dynamic
        || account.contains('%')
        || account.bytes().all(|b| b.is_ascii_digit())
        || is_system_account(account)
        || surroundings.accounts.contains(account);
    (!is_known).then(|| UnitMistake::NoAccount {
        key,
        account: account.to_owned(),
    })
}

/// Looks at the program of a command line; what it becomes only at run time is left alone.
fn program_mistake(command: &str, surroundings: &Surroundings<'_>) -> Option<UnitMistake> {
    let command = command.trim_start();
    let command = command.trim_start_matches(['@', '-', ':', '+', '!', '|']);
    let program = match command.chars().next()? {
        quote @ ('"' | '\'') => command[1..].split(quote).next().unwrap_or_default(),
        _ => command.split_whitespace().next().unwrap_or_default(),
    };
    if program.contains(['%', '$', '\\']) {
        return None;
    }
    if program.starts_with('/') {
        return (surroundings.program)(program);
    }
    program.contains('/').then(|| UnitMistake::RelativeProgram {
        program: program.to_owned(),
    })
}

#[cfg(test)]
mod tests;
