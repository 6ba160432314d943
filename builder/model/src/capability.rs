//! Capabilities of files, in the form that `setcap` and rpm's `%caps` take (cap_text_formats(7)).
//!
//! ```text
//! text   = clause { " " clause }         cap_net_bind_service=ep
//! clause = [ names ] action { action }   cap_net_raw,cap_net_admin+ep
//! names  = NAME { "," NAME } | "all"
//! action = ( "=" | "+" | "-" ) { "e" | "i" | "p" }
//! ```

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::recipe::nearest;

/// Says why a text is not a file's capabilities.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CapabilityError {
    /// There is no text.
    #[error("expected capabilities like `cap_net_bind_service=ep`, got nothing")]
    Empty,
    /// The kernel has no such capability.
    #[error("unknown capability `{name}`")]
    Unknown {
        /// The name.
        name: String,
        /// The nearest capability that there is.
        nearest: Option<String>,
    },
    /// A clause has no action.
    #[error("expected `=`, `+` or `-` and some of the letters e, i, p after `{clause}`")]
    NoAction {
        /// The clause.
        clause: String,
    },
    /// A letter that is no set of capabilities.
    #[error("expected some of the letters e, i, p in `{clause}`, got {character:?}")]
    Flag {
        /// The clause.
        clause: String,
        /// The character.
        character: char,
    },
    /// Nothing is granted.
    #[error("`{text}` grants nothing")]
    Nothing {
        /// The text.
        text: String,
    },
    /// The kernel keeps one effective bit for a whole file.
    #[error(
        "`{text}` makes some capabilities of the file effective and others not, which no file can hold"
    )]
    PartlyEffective {
        /// The text.
        text: String,
    },
}

impl CapabilityError {
    /// Returns what the writer of the recipe can do about it, where there is something to say.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unknown {
                nearest: Some(name),
                ..
            } => format!("did you mean `{name}`?"),
            Self::Unknown { .. } => {
                "capability(7) lists them: `cap_net_bind_service`, `cap_net_raw`, …".to_owned()
            }
            Self::PartlyEffective { .. } => "give `e` to all of them, or to none".to_owned(),
            _ => "write NAMES=FLAGS, for example `cap_net_bind_service=ep`".to_owned(),
        })
    }
}

/// The kernel's capabilities by number (capability(7), `linux/capability.h` of Linux 5.9 and later).
const CAPABILITIES: [&str; 41] = [
    "cap_chown",
    "cap_dac_override",
    "cap_dac_read_search",
    "cap_fowner",
    "cap_fsetid",
    "cap_kill",
    "cap_setgid",
    "cap_setuid",
    "cap_setpcap",
    "cap_linux_immutable",
    "cap_net_bind_service",
    "cap_net_broadcast",
    "cap_net_admin",
    "cap_net_raw",
    "cap_ipc_lock",
    "cap_ipc_owner",
    "cap_sys_module",
    "cap_sys_rawio",
    "cap_sys_chroot",
    "cap_sys_ptrace",
    "cap_sys_pacct",
    "cap_sys_admin",
    "cap_sys_boot",
    "cap_sys_nice",
    "cap_sys_resource",
    "cap_sys_time",
    "cap_sys_tty_config",
    "cap_mknod",
    "cap_lease",
    "cap_audit_write",
    "cap_audit_control",
    "cap_setfcap",
    "cap_mac_override",
    "cap_mac_admin",
    "cap_syslog",
    "cap_wake_alarm",
    "cap_block_suspend",
    "cap_audit_read",
    "cap_perfmon",
    "cap_bpf",
    "cap_checkpoint_restore",
];

/// Every capability.
const ALL: u64 = (1 << CAPABILITIES.len()) - 1;

/// Capabilities of a file, as they were written: `cap_net_bind_service=ep`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileCapabilities(String);

impl FileCapabilities {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The three sets, one bit for each capability.
#[derive(Default)]
struct Sets {
    effective: u64,
    inheritable: u64,
    permitted: u64,
}

impl Sets {
    fn apply(&mut self, action: char, bits: u64, flags: &str) {
        let sets = [
            (&mut self.effective, 'e'),
            (&mut self.inheritable, 'i'),
            (&mut self.permitted, 'p'),
        ];
        for (set, letter) in sets {
            match (action, flags.contains(letter)) {
                ('=' | '+', true) => *set |= bits,
                ('=', false) | ('-', true) => *set &= !bits,
                _ => {}
            }
        }
    }
}

impl FromStr for FileCapabilities {
    type Err = CapabilityError;

    fn from_str(text: &str) -> Result<Self, CapabilityError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(CapabilityError::Empty);
        }
        let mut sets = Sets::default();
        for clause in text.split_ascii_whitespace() {
            apply_clause(&mut sets, clause)?;
        }
        let granted = sets.permitted | sets.inheritable;
        let text = text.to_owned();
        if granted == 0 {
            return Err(CapabilityError::Nothing { text });
        }
        if sets.effective != 0 && sets.effective != granted {
            return Err(CapabilityError::PartlyEffective { text });
        }
        Ok(Self(text))
    }
}

fn apply_clause(sets: &mut Sets, clause: &str) -> Result<(), CapabilityError> {
    let is_action = |character: char| "=+-".contains(character);
    let no_action = || CapabilityError::NoAction {
        clause: clause.to_owned(),
    };
    let start = clause.find(is_action).unwrap_or(clause.len());
    let (names, mut actions) = clause.split_at(start);
    let bits = parse_names(names)?;
    if actions.is_empty() {
        return Err(no_action());
    }
    while let Some(action) = actions.chars().next() {
        let rest = &actions[1..];
        let (flags, rest) = rest.split_at(rest.find(is_action).unwrap_or(rest.len()));
        if let Some(character) = flags.chars().find(|c| !"eip".contains(*c)) {
            return Err(CapabilityError::Flag {
                clause: clause.to_owned(),
                character,
            });
        }
        if flags.is_empty() && action != '=' {
            return Err(no_action());
        }
        sets.apply(action, bits, flags);
        actions = rest;
    }
    Ok(())
}

fn parse_names(names: &str) -> Result<u64, CapabilityError> {
    if matches!(names, "" | "all") {
        return Ok(ALL);
    }
    let mut bits = 0;
    for name in names.split(',') {
        let number = CAPABILITIES.iter().position(|known| *known == name);
        bits |= 1
            << number.ok_or_else(|| CapabilityError::Unknown {
                name: name.to_owned(),
                nearest: nearest_capability(name),
            })?;
    }
    Ok(bits)
}

/// People forget the prefix.
fn nearest_capability(name: &str) -> Option<String> {
    let lower = name.to_lowercase();
    let prefixed = if lower.starts_with("cap_") {
        lower
    } else {
        format!("cap_{lower}")
    };
    nearest(&prefixed, CAPABILITIES.iter().copied())
}

impl fmt::Display for FileCapabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for FileCapabilities {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_as_setcap_reads_them() {
        for text in [
            "cap_net_bind_service=ep",
            "cap_net_bind_service+ep",
            "cap_net_raw,cap_net_admin=eip",
            "cap_chown=p cap_kill+p",
            "cap_chown=p cap_kill+p =e+p-e",
            "cap_checkpoint_restore=i",
            "all=ep",
            "=ep",
            "=ep cap_sys_admin-ep",
        ] {
            assert_eq!(text.parse::<FileCapabilities>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn what_no_file_can_hold_is_refused() {
        let text = |text: &str| text.to_owned();
        let unknown = |name: &str, nearest: Option<&str>| CapabilityError::Unknown {
            name: name.to_owned(),
            nearest: nearest.map(str::to_owned),
        };
        for (input, expected) in [
            (" ", CapabilityError::Empty),
            (
                "cap_net_bind_servce=ep",
                unknown("cap_net_bind_servce", Some("cap_net_bind_service")),
            ),
            (
                "NET_BIND_SERVICE=ep",
                unknown("NET_BIND_SERVICE", Some("cap_net_bind_service")),
            ),
            ("cap_chown,=p", unknown("", None)),
            ("cap_make_tea=p", unknown("cap_make_tea", None)),
            (
                "cap_chown",
                CapabilityError::NoAction {
                    clause: text("cap_chown"),
                },
            ),
            (
                "cap_chown+",
                CapabilityError::NoAction {
                    clause: text("cap_chown+"),
                },
            ),
            (
                "cap_chown=epx",
                CapabilityError::Flag {
                    clause: text("cap_chown=epx"),
                    character: 'x',
                },
            ),
            (
                "cap_chown=",
                CapabilityError::Nothing {
                    text: text("cap_chown="),
                },
            ),
            (
                "cap_chown=ep cap_kill=p",
                CapabilityError::PartlyEffective {
                    text: text("cap_chown=ep cap_kill=p"),
                },
            ),
        ] {
            assert_eq!(input.parse::<FileCapabilities>(), Err(expected), "{input}");
        }
    }
}
