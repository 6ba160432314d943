//! Why two builds of one recipe differ: the closed list of causes that a report can name.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why bytes differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A time of day or date of the build.
    Timestamp,
    /// The folder that it was built in.
    BuildPath,
    /// The name of the host.
    HostName,
    /// The name or number of the user.
    User,
    /// Words or order of a language, or of a time zone.
    Locale,
    /// The order in which a directory was listed.
    DirectoryOrder,
    /// What ran side by side was done in another order.
    ParallelRace,
    /// Random numbers, UUIDs, keys made at build time.
    Random,
    /// The processor, or how many there are.
    Cpu,
    /// Addresses of memory, or memory that nobody wrote.
    Memory,
    /// What an archive says about its members: times, owners, modes, their order.
    ArchiveMetadata,
    /// The same content, compressed to other bytes.
    Compression,
    /// The version of the running kernel.
    KernelVersion,
    /// Variables of the caller's environment.
    Environment,
    /// Who signed it.
    Signature,
    /// None of these was found.
    Unknown,
}

impl Cause {
    /// Returns its name for people: `directory order`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timestamp => "timestamps",
            Self::BuildPath => "build path",
            Self::HostName => "host name",
            Self::User => "user",
            Self::Locale => "locale or sort order",
            Self::DirectoryOrder => "directory order",
            Self::ParallelRace => "parallel race",
            Self::Random => "random or uuid",
            Self::Cpu => "CPU detection",
            Self::Memory => "ASLR or uninitialised memory",
            Self::ArchiveMetadata => "archive metadata",
            Self::Compression => "compression",
            Self::KernelVersion => "kernel version",
            Self::Environment => "environment",
            Self::Signature => "signature",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A cause, and what speaks for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NamedCause {
    /// Which.
    pub cause: Cause,
    /// One sentence: `the bytes are two times, 398 days apart, as the clocks of the builds were`.
    pub evidence: String,
}
