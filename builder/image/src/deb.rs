//! Reads a binary package (deb(5)): an `ar` archive of `debian-binary`, `control.tar.*` and
//! `data.tar.*`, in this order. Nothing in it is ever run.

use std::io::Read;

use kiln_model::LockedPackage;

use crate::compression::{Compression, decompress};
use crate::limits::UnpackLimits;
use crate::printable::printable;
use crate::tar_header::Entry;
use crate::tar_read::{TarError, TarReader};

/// Says why a binary package can not be read.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// It is not an `ar` archive, or a damaged one.
    #[error("`{package}` is no readable binary package")]
    Archive {
        /// The package's file name.
        package: String,
        /// What the reader says.
        source: std::io::Error,
    },
    /// A member is missing, in the wrong place or not known.
    #[error("`{package}` is no binary package: expected the member `{expected}`, got `{actual}`")]
    Member {
        /// The package's file name.
        package: String,
        /// The member's name, or how it starts.
        expected: &'static str,
        /// The member that is there, escaped; `its end` if there is none.
        actual: String,
    },
    /// The format version is not 2.
    #[error("`{package}` has the package format `{actual}`, expected `2.0`")]
    Format {
        /// The package's file name.
        package: String,
        /// The version that it states, escaped.
        actual: String,
    },
    /// A member's name and its bytes disagree on the compression.
    #[error("`{package}`: the member `{member}` is compressed with {actual}")]
    Compression {
        /// The package's file name.
        package: String,
        /// The member's name, escaped.
        member: String,
        /// What its first bytes say.
        actual: &'static str,
    },
    /// The control archive has no usable control file.
    #[error("`{package}`: the control file {problem}")]
    Control {
        /// The package's file name.
        package: String,
        /// What is wrong with it.
        problem: String,
    },
    /// It is another package than the lock says.
    #[error("`{package}`: its `{field}` is `{actual}`, the lock says `{expected}`")]
    OtherPackage {
        /// The package's file name.
        package: String,
        /// The control field.
        field: &'static str,
        /// From the lock.
        expected: String,
        /// From the package, escaped.
        actual: String,
    },
    /// An archive in it is damaged.
    #[error(transparent)]
    Tar(#[from] TarError),
}

/// Greatest size of the control file, in bytes.
const CONTROL_LIMIT: u64 = 1 << 20;

/// The reader of a package's data archive.
pub(crate) type DataReader<'a> = TarReader<Box<dyn Read + 'a>>;

/// Hands every entry of the data archive to `take`, after checking that it is the `locked` package.
pub(crate) fn read_deb<E: From<DebError>>(
    deb: impl Read,
    locked: &LockedPackage,
    take: &mut dyn FnMut(&Entry, &mut DataReader<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let package = locked.path.rsplit('/').next().unwrap_or_default();
    let mut reader = DebReader {
        archive: ar::Archive::new(deb),
        package,
    };
    reader.check_format()?;
    reader.check_control(locked)?;
    reader.read_data(take)?;
    reader.check_end()?;
    Ok(())
}

struct DebReader<'a, R: Read> {
    archive: ar::Archive<R>,
    package: &'a str,
}

impl<R: Read> DebReader<'_, R> {
    /// Goes to the next member, which must be called like `expected`.
    fn next_member(
        &mut self,
        expected: &'static str,
    ) -> Result<(String, ar::Entry<'_, R>), DebError> {
        let package = self.package;
        let member_error = |actual: String| DebError::Member {
            package: package.to_owned(),
            expected,
            actual,
        };
        match self.archive.next_entry() {
            None => Err(member_error("its end".to_owned())),
            Some(Err(source)) => Err(DebError::Archive {
                package: package.to_owned(),
                source,
            }),
            Some(Ok(entry)) => {
                let name = printable(entry.header().identifier());
                if name.starts_with(expected) {
                    Ok((name, entry))
                } else {
                    Err(member_error(name))
                }
            }
        }
    }

    fn check_format(&mut self) -> Result<(), DebError> {
        let package = self.package;
        let (_, entry) = self.next_member("debian-binary")?;
        let mut version = Vec::new();
        entry
            .take(64)
            .read_to_end(&mut version)
            .map_err(|source| DebError::Archive {
                package: package.to_owned(),
                source,
            })?;
        if version.starts_with(b"2.") && version.ends_with(b"\n") {
            return Ok(());
        }
        Err(DebError::Format {
            package: package.to_owned(),
            actual: printable(&version),
        })
    }

    fn check_control(&mut self, locked: &LockedPackage) -> Result<(), DebError> {
        let package = self.package;
        let problem = |problem: &str| DebError::Control {
            package: package.to_owned(),
            problem: problem.to_owned(),
        };
        let (member, mut entry) = self.next_member("control.tar")?;
        let mut reader = open_member(package, &member, &mut entry)?;
        let mut control = None;
        while let Some(file) = reader.next_entry()? {
            if file.path != b"./control" && file.path != b"control" {
                continue;
            }
            if file.size > CONTROL_LIMIT {
                return Err(problem("is bigger than 1 MiB"));
            }
            let mut text = vec![0; usize::try_from(file.size).expect("at most 1 MiB")];
            let mut filled = 0;
            while filled < text.len() {
                filled += reader.read_content(&mut text[filled..])?;
            }
            control = Some(text);
        }
        let control = control.ok_or_else(|| problem("is missing"))?;
        let control = String::from_utf8(control).map_err(|_| problem("is not UTF-8"))?;
        for (field, expected) in [
            ("Package", locked.name.as_str()),
            ("Version", &locked.version),
            ("Architecture", &locked.architecture),
        ] {
            let actual = field_value(&control, field)
                .ok_or_else(|| problem(&format!("has no `{field}`")))?;
            if actual != expected {
                return Err(DebError::OtherPackage {
                    package: package.to_owned(),
                    field,
                    expected: expected.to_owned(),
                    actual: printable(actual.as_bytes()),
                });
            }
        }
        Ok(())
    }

    fn read_data<E: From<DebError>>(
        &mut self,
        take: &mut dyn FnMut(&Entry, &mut DataReader<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let package = self.package;
        let (member, mut entry) = self.next_member("data.tar")?;
        let mut reader = open_member(package, &member, &mut entry)?;
        while let Some(file) = reader.next_entry().map_err(DebError::from)? {
            take(&file, &mut reader)?;
        }
        Ok(())
    }

    /// Checks that nothing follows but members that deb(5) says to ignore: signatures, `_` first.
    fn check_end(&mut self) -> Result<(), DebError> {
        while let Some(entry) = self.archive.next_entry() {
            let entry = entry.map_err(|source| DebError::Archive {
                package: self.package.to_owned(),
                source,
            })?;
            let name = entry.header().identifier();
            if !name.starts_with(b"_") {
                return Err(DebError::Member {
                    package: self.package.to_owned(),
                    expected: "its end",
                    actual: printable(name),
                });
            }
        }
        Ok(())
    }
}

/// Opens a member that is a tar, compressed as its name says.
fn open_member<'a>(
    package: &str,
    member: &str,
    entry: &'a mut dyn Read,
) -> Result<DataReader<'a>, DebError> {
    let (compression, stream) =
        decompress(entry, UnpackLimits::LAYER).map_err(|source| DebError::Archive {
            package: package.to_owned(),
            source,
        })?;
    let extension = match compression {
        Compression::None => ".tar",
        Compression::Gzip => ".tar.gz",
        Compression::Bzip2 => ".tar.bz2",
        Compression::Xz => ".tar.xz",
        Compression::Zstd => ".tar.zst",
    };
    if !member.ends_with(extension) {
        return Err(DebError::Compression {
            package: package.to_owned(),
            member: member.to_owned(),
            actual: compression.name(),
        });
    }
    let name = format!("{package}/{member}");
    Ok(TarReader::new(stream, &name, UnpackLimits::LAYER))
}

/// Returns the value of a one-line field of the control file.
fn field_value<'a>(control: &'a str, field: &str) -> Option<&'a str> {
    control.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case(field).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests;
