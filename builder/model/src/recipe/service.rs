//! What turns a package into a service: files of the recipe's own, systemd units, users, limits.
//!
//! All of it is checked by itself here. Whether a unit is shipped, a program is there, or two users
//! have one number is a question to the whole recipe or project, asked by `build`.

mod account;
mod unit;

pub use account::{AccountName, LimitItem, LimitValue, SystemUser, is_system_account};
pub use unit::{TmpfilesLine, UNIT_FOLDER, UnitKind, UnitName};

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::path::SandboxPath;

/// Everything of a package that is about running it on a host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Services {
    /// Files of the recipe's folder that go straight into the package.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub install: Vec<InstalledFile>,
    /// Its systemd units, each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub systemd: Vec<SystemdUnit>,
    /// Users that it needs, each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<SystemUser>,
    /// Lines of its tmpfiles.d file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tmpfiles: Vec<TmpfilesLine>,
    /// Resource limits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Limit>,
    /// Links that `update-alternatives` keeps, each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<Alternative>,
}

/// One file of the recipe's folder that goes straight into a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct InstalledFile {
    /// The file, relative to the recipe's folder, without `..`.
    pub file: String,
    /// Where it is installed.
    pub to: SandboxPath,
    /// Its permissions.
    pub mode: Permissions,
}

/// One systemd unit that a package ships.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SystemdUnit {
    /// Its name.
    pub unit: UnitName,
    /// Whether it starts at boot after the first installation.
    pub preset: UnitPreset,
    /// What happens to it on upgrade.
    pub on_upgrade: OnUpgrade,
}

/// What a unit's preset says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnitPreset {
    /// Enabled when the package is installed first.
    Enable,
    /// Left for the administrator to enable.
    Disable,
}

/// What happens to a running unit on upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnUpgrade {
    /// Restarted if it runs.
    Restart,
    /// Runs on with the old program.
    Keep,
}

/// One resource limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Limit {
    /// A user's name, or `@GROUP`.
    pub user: String,
    /// Of what.
    pub item: LimitItem,
    /// The limit that applies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soft: Option<LimitValue>,
    /// The limit up to which a user may raise it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hard: Option<LimitValue>,
}

/// A choice between programs that do the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Alternative {
    /// The choice's name: letters, digits, `.`, `_`, `+`, `-`.
    pub name: String,
    /// The link that every host has at the same place.
    pub link: SandboxPath,
    /// What this package offers for it.
    pub path: SandboxPath,
    /// The highest one wins.
    pub priority: u32,
}

/// Permissions without set-id and sticky bits, written as four octal digits.
///
/// ```
/// use kiln_model::recipe::Permissions;
/// let mode: Permissions = "0755".parse().unwrap();
/// assert_eq!((mode.bits(), mode.to_string().as_str()), (0o755, "0755"));
/// assert!("755".parse::<Permissions>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permissions(u16);

impl Permissions {
    /// For files that programs only read.
    pub const FILE: Self = Self(0o644);
    /// For folders that concern their owner and its group.
    pub const PRIVATE_FOLDER: Self = Self(0o750);

    /// Returns the bits, at most `0o777`.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }
}

impl FromStr for Permissions {
    type Err = ServiceError;

    fn from_str(text: &str) -> Result<Self, ServiceError> {
        let is_octal = text.len() == 4 && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        match u16::from_str_radix(text, 8) {
            Ok(bits) if is_octal && bits <= 0o777 => Ok(Self(bits)),
            _ => Err(ServiceError::Permissions {
                text: text.to_owned(),
            }),
        }
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl Serialize for Permissions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Says why a value is not one that a service can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// Not four octal digits below 0777, in quotes.
    #[error("expected permissions from \"0000\" to \"0777\" in quotes, got `{text}`")]
    Permissions {
        /// The text as it was given.
        text: String,
    },
    /// Not the name of a user or group.
    #[error(
        "expected a user or group name of lower-case letters, digits, `_` and `-`, at most 31 of \
         them, got `{text}`"
    )]
    Account {
        /// The text as it was given.
        text: String,
    },
    /// Every system has this user or group already.
    #[error("every system has `{name}`: a package can not declare it")]
    ReservedAccount {
        /// The name.
        name: String,
    },
    /// A user's comment holds what the user database can not.
    #[error("expected a comment without `:`, `\"`, `\\` and `%`, got `{text}`")]
    Comment {
        /// The text as it was given.
        text: String,
    },
    /// A number that is no user's.
    #[error("expected a user id from 1 to 65533, got {id}")]
    UserId {
        /// The number as it was given.
        id: u32,
    },
    /// A log directory is elsewhere.
    #[error("expected a folder below `/var/log`, got `{path}`")]
    LogDirectory {
        /// The path.
        path: SandboxPath,
    },
    /// Not a unit's name.
    #[error(
        "expected a unit name like `NAME.service`, `NAME@.service` or `NAME.timer`, got `{text}`"
    )]
    Unit {
        /// The text as it was given.
        text: String,
        /// The ending that was probably meant.
        nearest: Option<String>,
    },
    /// Not a line of a tmpfiles.d file.
    #[error("`{line}` is no line of a tmpfiles.d file: {reason}")]
    Tmpfiles {
        /// The line.
        line: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Not a limit's value.
    #[error("expected a whole number or `unlimited`, got `{text}`")]
    LimitValue {
        /// The text as it was given.
        text: String,
    },
    /// What applies is more than what may be applied.
    #[error("the soft limit {soft} is above the hard limit {hard}")]
    SoftAboveHard {
        /// The soft limit.
        soft: LimitValue,
        /// The hard limit.
        hard: LimitValue,
    },
    /// Not the name of a choice.
    #[error("expected a name of letters, digits, `.`, `_`, `+` and `-`, got `{text}`")]
    AlternativeName {
        /// The text as it was given.
        text: String,
    },
    /// A link to itself.
    #[error("`{path}` is both the link and what it leads to")]
    AlternativeOfItself {
        /// The path.
        path: SandboxPath,
    },
}

impl ServiceError {
    /// Returns what the writer of the recipe can do about it, where there is something to say.
    pub(super) fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Permissions { .. } => {
                "write four octal digits in quotes, such as \"0755\"; unquoted, YAML readers take \
                 them for different numbers"
                    .to_owned()
            }
            Self::Account { text } => {
                let lower = text.to_lowercase();
                if lower == *text {
                    return None;
                }
                format!("write `{lower}`")
            }
            Self::ReservedAccount { .. } => {
                "remove it here; units and files can name it all the same".to_owned()
            }
            Self::UserId { .. } => "leave `id` out: each host chooses a free number".to_owned(),
            Self::LogDirectory { .. } => {
                "make other folders with `tmpfiles`, or own them with `files`".to_owned()
            }
            Self::Unit {
                nearest: Some(name),
                ..
            } => format!("did you mean `{name}`?"),
            Self::Tmpfiles { .. } => {
                "a line is `TYPE PATH MODE USER GROUP AGE ARGUMENT`, such as `d /run/x 0755 x x -`"
                    .to_owned()
            }
            Self::SoftAboveHard { .. } => "raise `hard`, or lower `soft`".to_owned(),
            _ => return None,
        })
    }
}
