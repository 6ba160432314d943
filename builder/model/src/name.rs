//! Names and versions: short texts with a grammar each, checked once.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Says why a text is not a name or version of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, got `{text}`")]
pub struct NameError {
    /// The grammar in words.
    pub expected: &'static str,
    /// The text as it was given.
    pub text: String,
}

/// Longest name, in bytes: file names built from names stay below 255.
const MAX_NAME_LENGTH: usize = 128;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $accept:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let accept: fn(&str) -> bool = $accept;
                if !text.is_empty() && text.len() <= MAX_NAME_LENGTH && accept(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(NameError { expected: $expected, text: text.to_owned() })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

fn is_name(text: &str, more: &[char]) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || more.contains(&c))
}

fn is_version(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ".+~^_".contains(c))
}

name!(
    /// The name of a recipe and of its folder: `curl`, `openssl-1.1`.
    RecipeName,
    "a recipe name of lower-case letters, digits, `-`, `.`, `+`",
    |text| is_name(text, &['.', '+'])
);
name!(
    /// The canonical name of a library, whichever recipe builds it: `openssl`.
    LibraryName,
    "a library name of lower-case letters, digits, `-`, `.`, `+`",
    |text| is_name(text, &['.', '+'])
);
name!(
    /// The name of a base image and of its file: `debian-12`.
    BaseName,
    "a base image name of lower-case letters, digits, `-`, `.`",
    |text| is_name(text, &['.'])
);
name!(
    /// The name of an RPM package: `libcurl-devel`.
    PackageName,
    "an RPM package name of letters, digits, `-`, `.`, `+`, `_`",
    |text| text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-.+_".contains(c))
);
name!(
    /// The name of a user or group on an installed system: `lantern`, `_chrony`.
    AccountName,
    "a user or group name of at most 31 lower-case letters, digits, `-`, `_`",
    |text| text.len() <= 31
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c))
);
name!(
    /// The name of a distribution's package: `zlib1g-dev` (Debian policy 5.6.1), `g++`.
    DistributionPackage,
    "a distribution package name of letters, digits, `-`, `.`, `+`, `_`",
    |text| text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-.+_".contains(c))
);
name!(
    /// An upstream version as rpm accepts it in `Version:` (no `-`): `7.88.1`, `1.0~rc1`.
    Version,
    "a version of letters, digits, `.`, `+`, `~`, `^`, `_`, without `-`",
    is_version
);
name!(
    /// An RPM release: `1`, `2.kiln`.
    Release,
    "a release of letters, digits, `.`, `+`, `~`, `^`, `_`, without `-`",
    is_version
);

name!(
    /// What the releases of packages that are built on one base end with: `.el9`.
    DistTag,
    "a dot, then letters, digits and dots: `.el9`",
    |text| text.starts_with('.')
        && !text.contains("..")
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.')
);

impl Release {
    /// Returns the release of a package that is built on a base with a dist tag: `1.el9`.
    #[must_use]
    pub fn with_dist(&self, dist: &DistTag) -> Self {
        Self(format!("{self}{dist}"))
    }
}

/// A machine architecture, as RPM names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Architecture {
    /// 64-bit x86.
    #[serde(rename = "x86_64")]
    X86_64,
}

impl Architecture {
    /// Returns RPM's and the kernel's name: `x86_64`.
    #[must_use]
    pub const fn rpm(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
        }
    }

    /// Returns what rpm puts behind the name of a package that is for one architecture: `x86-64`.
    #[must_use]
    pub const fn isa(self) -> &'static str {
        match self {
            Self::X86_64 => "x86-64",
        }
    }

    /// Returns Debian's name: `amd64`.
    #[must_use]
    pub const fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
        }
    }

    /// Returns the name that OCI images carry (GOARCH): `amd64`.
    #[must_use]
    pub const fn oci(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
        }
    }
}

impl FromStr for Architecture {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            "x86_64" => Ok(Self::X86_64),
            _ => Err(NameError {
                expected: "an architecture: `x86_64`",
                text: text.to_owned(),
            }),
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rpm())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_accept_their_grammar_and_nothing_else() {
        for good in ["curl", "openssl-1.1", "libstdc++", "7zip"] {
            assert_eq!(good.parse::<RecipeName>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "Curl",
            "-x",
            "../etc",
            "a/b",
            "a b",
            "a\n",
            "é",
            &"x".repeat(129),
        ] {
            assert_eq!(bad.parse::<RecipeName>().unwrap_err().text, bad);
        }
    }

    #[test]
    fn a_dist_tag_ends_a_release() {
        let dist: DistTag = ".el9".parse().unwrap();
        let release: Release = "1".parse().unwrap();
        assert_eq!(release.with_dist(&dist).as_str(), "1.el9");
        for bad in ["el9", ".", ".el9.", ".el-9", ".el 9", "..el9", ".%{x}"] {
            assert_eq!(bad.parse::<DistTag>().unwrap_err().text, bad);
        }
    }

    #[test]
    fn a_version_has_no_hyphen() {
        assert!("7.88.1".parse::<Version>().is_ok());
        assert!("1.0~rc1+git^2".parse::<Version>().is_ok());
        assert!("2.1.12-stable".parse::<Version>().is_err());
    }
}
