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

use kiln_model::recipe::{UnitKind, UnitName, is_system_account};

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
            && beginnings.iter().any(|beginning| text.starts_with(beginning))
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
mod tests {
    use super::*;

    /// Reads a unit beside the account `lantern` and the program `/usr/bin/lantern`; expects lines
    /// and mistakes.
    fn check(unit: &str, text: &str, is_enabled: IsEnabled, expected: &[(u64, UnitMistake)]) {
        let accounts = BTreeSet::from(["lantern".to_owned()]);
        let program = |path: &str| {
            (path != "/usr/bin/lantern").then(|| UnitMistake::NoProgram {
                program: path.to_owned(),
                nearest: None,
            })
        };
        let surroundings = Surroundings {
            accounts: &accounts,
            program: &program,
            is_enabled,
        };
        let found = mistakes(&unit.parse().unwrap(), text.as_bytes(), &surroundings);
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn good_units_are_fine() {
        let service = "# c\n[Unit]\nDescription=x\n[Service]\nExecStartPre=-+/usr/bin/lantern \\\n  -t \\\n; c\n  \
                       -q\nExecStart=@/usr/bin/lantern lantern -a=b\nExecReload=kill -HUP $MAINPID\n\
                       User=lantern\nGroup=adm\n[Install]\nWantedBy=multi-user.target\n[X-Own]\nX=\n";
        check("lantern.service", service, IsEnabled::Yes, &[]);
        let oneshot = "[Service]\nType=oneshot\nExecStop=\"/usr/bin/lantern\" off\nUser=%i\nGroup=0\n";
        check("x@.service", oneshot, IsEnabled::No, &[]);
        let dynamic = "[Service]\nDynamicUser=yes\nUser=anyone\nExecStart=%h/run\n";
        check("x.service", dynamic, IsEnabled::No, &[]);
        check("x.timer", "[Timer]\nOnBootSec=1\n", IsEnabled::No, &[]);
        check("x.socket", "[Socket]\nListenDatagram=1\n", IsEnabled::No, &[]);
        check("x.target", "[Unit]\n", IsEnabled::No, &[]);
    }

    #[test]
    fn each_mistake_is_named_with_its_line() {
        use UnitMistake as M;
        let nothing = |section, keys| M::NothingToDo { section, keys };
        let rows: &[(&str, &str, &[(u64, UnitMistake)])] = &[
            ("x.target", "[Unit]\noops\n", &[(2, M::Line)]),
            ("x.target", "[Unit\n[Unit]\n", &[(1, M::Line)]),
            ("x.target", "A=1\n[Unit]\n", &[(1, M::OutsideSection)]),
            ("x.target", "[Unit]\nA b=1\n", &[(2, M::Line)]),
            ("x.service", "", &[(1, M::NoSection { section: "Service" })]),
            (
                "x.service",
                "[Service]\nExecStart=\n",
                &[(1, nothing("Service", "ExecStart="))],
            ),
            ("x.timer", "[Timer]\n", &[(1, nothing("Timer", "OnCalendar="))]),
            (
                "x.socket",
                "[Socket]\nAccept=yes\n",
                &[(1, nothing("Socket", "ListenStream="))],
            ),
            (
                "x.path",
                "[Path]\nUnit=y\n",
                &[(1, nothing("Path", "PathChanged="))],
            ),
            (
                "x.service",
                "[Service]\nExecStart=bin/lantern\n",
                &[(
                    2,
                    M::RelativeProgram {
                        program: "bin/lantern".to_owned(),
                    },
                )],
            ),
            (
                "x.service",
                "[Service]\nExecStart=/usr/bin/lantern\nExecStop=\\\n  -/usr/bin/lamp off\n",
                &[(
                    3,
                    M::NoProgram {
                        program: "/usr/bin/lamp".to_owned(),
                        nearest: None,
                    },
                )],
            ),
            (
                "x.service",
                "[Service]\nExecStart=/usr/bin/lantern\nUser=lamp\nGroup=lamp\n",
                &[
                    (
                        3,
                        M::NoAccount {
                            key: "User",
                            account: "lamp".to_owned(),
                        },
                    ),
                    (
                        4,
                        M::NoAccount {
                            key: "Group",
                            account: "lamp".to_owned(),
                        },
                    ),
                ],
            ),
        ];
        for (unit, text, expected) in rows {
            check(unit, text, IsEnabled::No, expected);
        }
        check("x.target", "[Unit]\n", IsEnabled::Yes, &[(1, M::NotEnabled)]);
        let surroundings = Surroundings {
            accounts: &BTreeSet::new(),
            program: &|_| None,
            is_enabled: IsEnabled::No,
        };
        let found = mistakes(&"x.target".parse().unwrap(), b"\xff", &surroundings);
        assert_eq!(found, [(1, M::Encoding)]);
    }
}
