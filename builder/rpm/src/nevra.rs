//! The full name of a package: name, epoch, version, release, architecture.

use std::fmt;
use std::str::FromStr;

/// Says why a text is not a NEVRA.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected NAME-[EPOCH:]VERSION-RELEASE.ARCHITECTURE, got `{text}`")]
pub struct NevraError {
    /// The text as it was given.
    pub text: String,
}

/// Name, epoch, version, release and architecture of a package.
///
/// Without an epoch is not the same text as epoch 0, though rpm orders them alike.
///
/// ```
/// use kiln_rpm::Nevra;
/// let nevra: Nevra = "libcurl-devel-1:7.88.1-2.x86_64".parse().unwrap();
/// assert_eq!(nevra.name(), "libcurl-devel");
/// assert_eq!(nevra.epoch(), Some(1));
/// assert_eq!(nevra.evr(), "1:7.88.1-2");
/// assert_eq!(nevra.file_name(), "libcurl-devel-7.88.1-2.x86_64.rpm");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nevra {
    name: String,
    epoch: Option<u32>,
    version: String,
    release: String,
    architecture: String,
}

fn is_part(text: &str, more: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
}

impl Nevra {
    /// Joins the parts; `None` when one holds characters that it can not have.
    #[must_use]
    pub fn new(
        name: &str,
        epoch: Option<u32>,
        version: &str,
        release: &str,
        architecture: &str,
    ) -> Option<Self> {
        let fits = is_part(name, "-._+")
            && is_part(version, "._+~^")
            && is_part(release, "._+~^")
            && is_part(architecture, "_");
        fits.then(|| Self {
            name: name.to_owned(),
            epoch,
            version: version.to_owned(),
            release: release.to_owned(),
            architecture: architecture.to_owned(),
        })
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the epoch, where the package has one.
    #[must_use]
    pub const fn epoch(&self) -> Option<u32> {
        self.epoch
    }

    /// Returns the version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns the release.
    #[must_use]
    pub fn release(&self) -> &str {
        &self.release
    }

    /// Returns the architecture: `x86_64`, `noarch`, `src`.
    #[must_use]
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// Returns `[EPOCH:]VERSION-RELEASE`.
    #[must_use]
    pub fn evr(&self) -> String {
        match self.epoch {
            Some(epoch) => format!("{epoch}:{}-{}", self.version, self.release),
            None => format!("{}-{}", self.version, self.release),
        }
    }

    /// Returns the name of the package's file, which never shows the epoch.
    #[must_use]
    pub fn file_name(&self) -> String {
        let Self {
            name,
            version,
            release,
            architecture,
            ..
        } = self;
        format!("{name}-{version}-{release}.{architecture}.rpm")
    }
}

impl fmt::Display for Nevra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}.{}", self.name, self.evr(), self.architecture)
    }
}

fn parse(text: &str) -> Option<Nevra> {
    let (rest, architecture) = text.rsplit_once('.')?;
    let (rest, release) = rest.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    let (epoch, version) = match version.split_once(':') {
        Some((epoch, version)) => {
            // `+1` parses as a number, but is none here.
            let is_number = epoch.chars().all(|c| c.is_ascii_digit());
            (Some(epoch.parse().ok().filter(|_| is_number)?), version)
        }
        None => (None, version),
    };
    Nevra::new(name, epoch, version, release, architecture)
}

impl FromStr for Nevra {
    type Err = NevraError;

    fn from_str(text: &str) -> Result<Self, NevraError> {
        parse(text).ok_or_else(|| NevraError {
            text: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_a_nevra_is_refused() {
        for text in [
            "",
            "a",
            "a-1",
            "a-1-2",
            "a-1.x86_64",
            "-1-2.x86_64",
            "a--2.x86_64",
            "a-1-.x86_64",
            "a-1-2.",
            "a-x:1-2.x86_64",
            "a-+1:1-2.x86_64",
            "a-4294967296:1-2.x86_64",
            "a b-1-2.x86_64",
            "a/b-1-2.x86_64",
            "a-1-2.x86_64.rpm-",
        ] {
            assert_eq!(
                text.parse::<Nevra>(),
                Err(NevraError {
                    text: text.to_owned()
                })
            );
        }
    }

    #[test]
    fn the_last_two_hyphens_and_the_last_dot_divide() {
        let nevra: Nevra = "python3-a.b-2-1.2~rc1-3.el9.noarch".parse().unwrap();
        assert_eq!(nevra.name(), "python3-a.b-2");
        assert_eq!((nevra.version(), nevra.release()), ("1.2~rc1", "3.el9"));
        assert_eq!((nevra.epoch(), nevra.architecture()), (None, "noarch"));
    }

    proptest! {
        #[test]
        fn a_nevra_reads_as_it_prints(
            name in "[a-z0-9][a-zA-Z0-9.+_-]{0,12}",
            epoch in proptest::option::of(any::<u32>()),
            version in "[0-9][a-z0-9.+~^_]{0,8}",
            release in "[0-9][a-z0-9.+~^_]{0,8}",
        ) {
            let nevra = Nevra::new(&name, epoch, &version, &release, "x86_64").unwrap();
            prop_assert_eq!(nevra.to_string().parse(), Ok(nevra));
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in "\\PC{0,40}") {
            if let Ok(nevra) = text.parse::<Nevra>() {
                prop_assert_eq!(nevra.to_string().parse(), Ok(nevra));
            }
        }
    }
}
