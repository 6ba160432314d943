//! The shape of what turns a package into a service: files of the recipe's own, units, users, limits.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{At, Number};

/// One file of the recipe's folder that goes straight into a package.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct InstallSchema {
    /// The file, as a path in the recipe's folder, without `..`.
    pub file: At<String>,
    /// Where it is installed.
    pub to: At<String>,
    /// Its permissions, as four octal digits in quotes; default: `"0644"`.
    #[schemars(regex(pattern = r"^0[0-7]{3}$"))]
    pub mode: Option<At<String>>,
}

/// One systemd unit that the package ships in `/usr/lib/systemd/system`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct UnitSchema {
    /// The unit's name: `NAME.service`, `NAME.timer`, `NAME.socket`, a template `NAME@.service`, or
    /// one instance of a template, `NAME@INSTANCE.service`.
    pub unit: At<String>,
    /// Whether the unit starts at boot after the first installation, unless the host's own presets
    /// say otherwise; default: `disable`.
    pub preset: Option<PresetChoiceSchema>,
    /// What happens to the running unit when the package is upgraded; default: `restart`.
    pub on_upgrade: Option<UpgradeSchema>,
}

/// What a unit's preset says.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PresetChoiceSchema {
    /// Enabled when the package is installed first.
    Enable,
    /// Left for the administrator to enable.
    Disable,
}

/// What happens to a running unit on upgrade.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum UpgradeSchema {
    /// It is restarted if it runs.
    Restart,
    /// It runs on as it is, with the old program.
    Keep,
}

/// A system user, with a group, that the package needs on the host.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct UserSchema {
    /// The user's name: lower-case letters, digits, `_` and `-`, at most 31 characters.
    pub name: At<String>,
    /// What it is for, in one line without `:`.
    pub comment: Option<At<String>>,
    /// A fixed number, the same on every host: for files that hosts share. Without it each host
    /// chooses a free one.
    #[schemars(range(min = 1, max = 65533))]
    pub id: Option<At<Number>>,
    /// Its main group; default: a group of its own with the same name.
    pub group: Option<At<String>>,
    /// Further groups that it is in. One that a host lacks is created there.
    #[serde(default)]
    pub groups: Vec<At<String>>,
    /// Its home; default: `/`. The package owns the folder: below `/usr` it is root's, elsewhere the
    /// user's own with permissions 0750.
    pub home: Option<At<String>>,
    /// Its shell; default: `/usr/sbin/nologin`.
    pub shell: Option<At<String>>,
    /// A folder below `/var/log` that the package owns and the user may write into.
    pub log_directory: Option<At<String>>,
    /// The permissions of `log-directory`, as four octal digits in quotes; default: `"0750"`.
    #[schemars(regex(pattern = r"^0[0-7]{3}$"))]
    pub log_mode: Option<At<String>>,
}

/// One resource limit of a user's sessions, as `pam_limits` applies it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct LimitSchema {
    /// Whose: a user's name, or `@GROUP`.
    pub user: At<String>,
    /// Of what.
    pub item: LimitItemSchema,
    /// The limit that applies: a whole number or `unlimited`.
    pub soft: Option<At<String>>,
    /// The limit up to which a user may raise it: a whole number or `unlimited`.
    pub hard: Option<At<String>>,
}

/// What can be limited (limits.conf).
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LimitItemSchema {
    /// Size of a core file, in KiB.
    Core,
    /// Size of a process's data, in KiB.
    Data,
    /// Size of a file, in KiB.
    Fsize,
    /// Memory that is locked, in KiB.
    Memlock,
    /// Open files.
    Nofile,
    /// Size of the stack, in KiB.
    Stack,
    /// Processor time, in minutes.
    Cpu,
    /// Processes.
    Nproc,
    /// Address space, in KiB.
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

/// A choice between programs that do the same, kept by `update-alternatives`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct AlternativeSchema {
    /// The choice's name.
    pub name: At<String>,
    /// The link that every host has at the same place: `/usr/bin/NAME`.
    pub link: At<String>,
    /// What this package offers for it: a file of this package.
    pub path: At<String>,
    /// The highest one wins, unless the administrator chooses.
    pub priority: At<Number>,
}
