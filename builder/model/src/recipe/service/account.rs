//! Users and groups of a host, and what is limited of their sessions.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::{Permissions, ServiceError};
use crate::path::SandboxPath;
use crate::text::Line;

/// The name of a user or group, as `useradd` takes it everywhere: `memcached`, `_chrony`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct AccountName(String);

/// Longest name: with its end it fills the 32 bytes of a login record.
const MAX_LENGTH: usize = 31;

impl AccountName {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountName {
    type Err = ServiceError;

    fn from_str(text: &str) -> Result<Self, ServiceError> {
        let is_name = text.len() <= MAX_LENGTH
            && text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && text
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-');
        if is_name {
            return Ok(Self(text.to_owned()));
        }
        Err(ServiceError::Account {
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Users and groups that a minimal Debian 12 and a minimal EL 8 or 9 have alike, or that systemd
/// brings along on both.
const SYSTEM_ACCOUNTS: &[&str] = &[
    "adm",
    "audio",
    "bin",
    "cdrom",
    "daemon",
    "dialout",
    "disk",
    "floppy",
    "games",
    "input",
    "kmem",
    "kvm",
    "lp",
    "mail",
    "man",
    "messagebus",
    "nobody",
    "render",
    "root",
    "sync",
    "sys",
    "systemd-journal",
    "systemd-network",
    "systemd-resolve",
    "tape",
    "tty",
    "users",
    "utmp",
    "video",
];

/// Returns whether every supported system has a user or group of this name.
#[must_use]
pub fn is_system_account(name: &str) -> bool {
    SYSTEM_ACCOUNTS.binary_search(&name).is_ok()
}

/// A system user with a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SystemUser {
    /// Its name; never one that every system has.
    pub name: AccountName,
    /// What it is for, without what the user database gives a meaning to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<Line>,
    /// The same number on every host: 1 to 65533.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
    /// Its main group; its own when it has the user's name.
    pub group: AccountName,
    /// Further groups that it is in.
    pub groups: Vec<AccountName>,
    /// Its home; `None` for `/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub home: Option<SandboxPath>,
    /// Its shell.
    pub shell: SandboxPath,
    /// A folder below `/var/log` that it may write into, and its permissions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_directory: Option<(SandboxPath, Permissions)>,
}

/// What can be limited (limits.conf).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitItem {
    /// Size of a core file.
    Core,
    /// Size of a process's data.
    Data,
    /// Size of a file.
    Fsize,
    /// Memory that is locked.
    Memlock,
    /// Open files.
    Nofile,
    /// Size of the stack.
    Stack,
    /// Processor time.
    Cpu,
    /// Processes.
    Nproc,
    /// Address space.
    As,
    /// File locks.
    Locks,
    /// Pending signals.
    Sigpending,
    /// Bytes in POSIX message queues.
    Msgqueue,
    /// Highest real-time priority.
    Rtprio,
}

impl LimitItem {
    /// Returns the word in limits.conf: `nofile`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Data => "data",
            Self::Fsize => "fsize",
            Self::Memlock => "memlock",
            Self::Nofile => "nofile",
            Self::Stack => "stack",
            Self::Cpu => "cpu",
            Self::Nproc => "nproc",
            Self::As => "as",
            Self::Locks => "locks",
            Self::Sigpending => "sigpending",
            Self::Msgqueue => "msgqueue",
            Self::Rtprio => "rtprio",
        }
    }
}

/// A limit's value; the order is that of how much it allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LimitValue {
    /// At most so much, in the item's unit.
    AtMost(u64),
    /// No limit.
    Unlimited,
}

impl FromStr for LimitValue {
    type Err = ServiceError;

    fn from_str(text: &str) -> Result<Self, ServiceError> {
        if text == "unlimited" {
            return Ok(Self::Unlimited);
        }
        let is_plain =
            text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        match text.parse() {
            Ok(number) if is_plain => Ok(Self::AtMost(number)),
            _ => Err(ServiceError::LimitValue {
                text: text.to_owned(),
            }),
        }
    }
}

impl fmt::Display for LimitValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(number) => write!(f, "{number}"),
            Self::Unlimited => f.write_str("unlimited"),
        }
    }
}

impl Serialize for LimitValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_accounts_are_found() {
        assert!(SYSTEM_ACCOUNTS.is_sorted());
        for (name, expected) in [("root", true), ("adm", true), ("video", true), ("x", false)] {
            assert_eq!(is_system_account(name), expected, "{name}");
        }
    }

    #[test]
    fn more_is_greater() {
        let value = |text: &str| text.parse::<LimitValue>().unwrap();
        assert!(value("9") < value("10") && value("18446744073709551615") < value("unlimited"));
    }
}
