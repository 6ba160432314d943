//! What a verification build changes, one factor at a time: the clock, the user, the order of
//! directories (DESIGN 8).
//!
//! The first level of every factor is what the host has: a build without any change is made of
//! these. A factor is varied on the whole kiln process of that build (its environment, user, umask,
//! folder) or inside its sandboxes (clock, directory order), wherever it could reach an output.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Something about a build that must not change its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Factor {
    /// The wall clock that steps see, file times included.
    Clock,
    /// `TZ` of the caller.
    TimeZone,
    /// `LC_ALL` and `LANG` of the caller.
    Locale,
    /// The caller's umask.
    Umask,
    /// Who the caller is: uid and gid.
    User,
    /// The host's name.
    HostName,
    /// What `uname` says of the kernel.
    Kernel,
    /// Where the store and the project lie on the host.
    HostPath,
    /// How many processors may be used.
    Processors,
    /// How many compilers a step may start.
    Jobs,
    /// In which order directories are listed.
    DirectoryOrder,
    /// Whether addresses are chosen at random.
    Aslr,
    /// The caller's other environment variables.
    Environment,
    /// The file system that the store and `/build` are on.
    FileSystem,
    /// What else the machine is doing.
    Load,
}

/// One way that a factor can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// What the host has.
    AsHost,
    /// [`Factor::Clock`]: years ago, before any source was released.
    Past,
    /// [`Factor::Clock`]: more than a year ahead.
    Future,
    /// [`Factor::Clock`]: after 19 January 2038, when 32 bits of seconds are used up.
    After2038,
    /// Another one than the host's, of which there is only one kind.
    Other,
    /// [`Factor::Processors`], [`Factor::Jobs`]: one.
    One,
    /// [`Factor::Jobs`]: more than there are processors.
    Many,
    /// [`Factor::DirectoryOrder`]: backwards.
    Reversed,
    /// [`Factor::DirectoryOrder`]: at random, anew at each listing.
    Shuffled,
    /// [`Factor::Aslr`]: addresses are the same at each start.
    Off,
    /// [`Factor::FileSystem`]: in memory.
    Tmpfs,
    /// [`Factor::FileSystem`]: one made for this in a file.
    Loop,
    /// [`Factor::Load`]: every processor has something else to do.
    Busy,
}

impl Factor {
    /// All factors, in the order in which reports show them.
    pub const ALL: [Self; 15] = [
        Self::Clock,
        Self::TimeZone,
        Self::Locale,
        Self::Umask,
        Self::User,
        Self::HostName,
        Self::Kernel,
        Self::HostPath,
        Self::Processors,
        Self::Jobs,
        Self::DirectoryOrder,
        Self::Aslr,
        Self::Environment,
        Self::FileSystem,
        Self::Load,
    ];

    /// Returns what it can be, the host's own first.
    #[must_use]
    pub const fn levels(self) -> &'static [Level] {
        match self {
            Self::Clock => &[Level::AsHost, Level::Past, Level::Future, Level::After2038],
            Self::TimeZone
            | Self::Locale
            | Self::Umask
            | Self::User
            | Self::HostName
            | Self::Kernel
            | Self::HostPath
            | Self::Environment => &[Level::AsHost, Level::Other],
            Self::Processors => &[Level::AsHost, Level::One],
            Self::Jobs => &[Level::AsHost, Level::One, Level::Many],
            Self::DirectoryOrder => &[Level::AsHost, Level::Reversed, Level::Shuffled],
            Self::Aslr => &[Level::AsHost, Level::Off],
            Self::FileSystem => &[Level::AsHost, Level::Tmpfs, Level::Loop],
            Self::Load => &[Level::AsHost, Level::Busy],
        }
    }

    /// Returns its name for people: `time zone`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::TimeZone => "time zone",
            Self::Locale => "locale",
            Self::Umask => "umask",
            Self::User => "user",
            Self::HostName => "host name",
            Self::Kernel => "kernel version",
            Self::HostPath => "host path",
            Self::Processors => "processors",
            Self::Jobs => "parallel jobs",
            Self::DirectoryOrder => "directory order",
            Self::Aslr => "address randomisation",
            Self::Environment => "environment",
            Self::FileSystem => "file system",
            Self::Load => "load",
        }
    }
}

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Level {
    /// Returns its name for people: `as the host`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AsHost => "as the host",
            Self::Past => "past",
            Self::Future => "future",
            Self::After2038 => "after 2038",
            Self::Other => "another",
            Self::One => "one",
            Self::Many => "many",
            Self::Reversed => "reversed",
            Self::Shuffled => "shuffled",
            Self::Off => "off",
            Self::Tmpfs => "tmpfs",
            Self::Loop => "loop device",
            Self::Busy => "busy",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What one verification build changes; factors that are not named are as the host has them.
///
/// ```
/// use kiln_model::{Factor, Level, Variation};
/// let mut variation = Variation::default();
/// variation.set(Factor::Clock, Level::Past);
/// assert_eq!(variation.level(Factor::Clock), Level::Past);
/// assert_eq!(variation.level(Factor::User), Level::AsHost);
/// assert_eq!(variation.to_string(), "clock past");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Variation(BTreeMap<Factor, Level>);

impl Variation {
    /// Sets a factor.
    ///
    /// # Panics
    /// When the factor has no such level: a mistake in kiln's own tables.
    pub fn set(&mut self, factor: Factor, level: Level) {
        assert!(
            factor.levels().contains(&level),
            "the factor {factor} can not be {level}"
        );
        match level {
            Level::AsHost => drop(self.0.remove(&factor)),
            level => drop(self.0.insert(factor, level)),
        }
    }

    /// Returns how a factor is.
    #[must_use]
    pub fn level(&self, factor: Factor) -> Level {
        self.0.get(&factor).copied().unwrap_or(Level::AsHost)
    }

    /// Returns what is not as the host has it.
    pub fn changed(&self) -> impl Iterator<Item = (Factor, Level)> {
        self.0.iter().map(|(factor, level)| (*factor, *level))
    }
}

impl fmt::Display for Variation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self
            .changed()
            .map(|(factor, level)| format!("{factor} {level}"))
            .collect();
        match parts.is_empty() {
            true => f.write_str("nothing varied"),
            false => f.write_str(&parts.join(", ")),
        }
    }
}

/// Whether a varied factor could reach a step, as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Steps saw it varied.
    Seen,
    /// The caller saw it varied, and steps saw what they always see: the sandbox takes it away.
    Neutralised,
    /// This host could not vary it; the reason is in the observation.
    NotVaried,
}

impl Effect {
    /// Returns its name for people: `seen by steps`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seen => "seen by steps",
            Self::Neutralised => "kept from steps",
            Self::NotVaried => "not varied",
        }
    }
}

/// How one factor was found to be in one verification build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Observation {
    /// Which.
    pub factor: Factor,
    /// How it was to be.
    pub level: Level,
    /// Whether it was.
    pub effect: Effect,
    /// What the kiln process of that build saw: `uid 65534`.
    pub outside: String,
    /// What a step saw: `uid 1000`.
    pub inside: String,
    /// What it was found out by, or why it could not be varied: `stat of a new file; date +%s`.
    pub how: String,
}
