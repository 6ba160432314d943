//! A package that says how it was made: read, verified, and ready to be built again.

use kiln_model::{BUILDINFO_FOLDER, BuildInfo, BuildInfoError, MAX_BUILDINFO};
use kiln_rpm::{Nevra, RpmError, RpmFile};

use super::extract::{PackagedFileError, packaged_file};

/// A package and what it says of how it was made.
#[derive(Debug, Clone, PartialEq)]
pub struct DescribedPackage {
    /// Its full name.
    pub nevra: Nevra,
    /// Where a build puts it below `out/`: `rpms/x86_64/zlib-1.2.13-1.x86_64.rpm`.
    pub place: String,
    /// What it says.
    pub info: BuildInfo,
}

/// Says why a file can not be built again from itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DescribedPackageError {
    /// It is no whole package.
    #[error(transparent)]
    Rpm(#[from] RpmError),
    /// Its payload can not be read.
    #[error(transparent)]
    Payload(#[from] PackagedFileError),
    /// Somebody else made it.
    #[error("`{nevra}` does not say how it was built: nothing in it is below {BUILDINFO_FOLDER}")]
    Foreign {
        /// Its name.
        nevra: String,
    },
    /// What it says can not be used.
    #[error(transparent)]
    Info(#[from] BuildInfoError),
    /// It says something about another package.
    #[error("the package is `{expected}`, and its build information is of `{actual}`")]
    Other {
        /// The package's name.
        expected: String,
        /// The name in its build information.
        actual: String,
    },
}

impl DescribedPackage {
    /// Reads the bytes of a package file.
    ///
    /// # Errors
    /// [`DescribedPackageError`].
    pub fn read(bytes: &[u8]) -> Result<Self, DescribedPackageError> {
        let rpm = RpmFile::parse(bytes)?;
        let nevra = rpm.nevra().clone();
        let is_source = rpm.source_rpm().is_none();
        let info = packaged_file(&rpm, bytes, BUILDINFO_FOLDER, MAX_BUILDINFO)?;
        let info = info.ok_or_else(|| DescribedPackageError::Foreign {
            nevra: nevra.to_string(),
        })?;
        let info = BuildInfo::parse(&info)?;
        // A source package carries what all packages made of it say.
        if !is_source && info.package.as_str() != nevra.name() {
            return Err(DescribedPackageError::Other {
                expected: nevra.name().to_owned(),
                actual: info.package.to_string(),
            });
        }
        let place = match is_source {
            true => format!("srpms/{}", nevra.file_name()),
            false => format!("rpms/{}/{}", nevra.architecture(), nevra.file_name()),
        };
        Ok(Self { nevra, place, info })
    }
}

#[cfg(test)]
mod tests {
    use rpm::{BuildConfig, CompressionType, FileOptions, PackageBuilder};

    use super::*;

    const INFO: &str = r#"{"architecture":"x86_64","base":{"document":{},"layer":null,
        "manifest":"sha256:0000000000000000000000000000000000000000000000000000000000000000",
        "name":"b","packages":[]},"format":2,"kiln":"1","organization":{"email":"a@example.org",
        "name":"A","url":"https://example.org/"},"package":"demo","recipe":null,"recipes":{},
        "step-runner":1}"#;

    fn package(name: &str, info: Option<&str>) -> Vec<u8> {
        let config = BuildConfig::v4()
            .compression(CompressionType::None)
            .source_date(0);
        let mut builder = PackageBuilder::new(name, "1", "MIT", "x86_64", "a demo");
        builder.using_config(config);
        if let Some(info) = info {
            let path = format!("{BUILDINFO_FOLDER}demo-x86_64.json");
            builder
                .with_file_contents(info.as_bytes(), FileOptions::new(path))
                .unwrap();
        }
        let mut bytes = Vec::new();
        builder.build().unwrap().write(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_a_package_says_is_read() {
        let read = DescribedPackage::read(&package("demo", Some(INFO))).unwrap();
        assert_eq!(read.place, "rpms/x86_64/demo-1-1.x86_64.rpm");
        assert_eq!(read.info, BuildInfo::parse(INFO.as_bytes()).unwrap());
    }

    #[test]
    fn packages_of_others_of_newer_kilns_and_about_others_are_named() {
        let error = |name: &str, info: Option<&str>| {
            DescribedPackage::read(&package(name, info)).unwrap_err()
        };
        assert_eq!(
            error("demo", None),
            DescribedPackageError::Foreign {
                nevra: "demo-1-1.x86_64".into()
            }
        );
        let newer = INFO.replace("\"format\":2", "\"format\":3");
        assert_eq!(
            error("demo", Some(&newer)),
            DescribedPackageError::Info(BuildInfoError::Newer {
                expected: 2,
                actual: 3
            })
        );
        assert_eq!(
            error("other", Some(INFO)),
            DescribedPackageError::Other {
                expected: "other".into(),
                actual: "demo".into()
            }
        );
    }

    /// Every byte that a digest covers is missed when it changes, and nothing panics on any.
    #[test]
    fn every_flipped_byte_and_every_cut_is_noticed() {
        let whole = package("demo", Some(INFO));
        let read = DescribedPackage::read(&whole).unwrap();
        let covered = RpmFile::parse(&whole).unwrap().header_range().start;
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x41;
            match DescribedPackage::read(&bytes) {
                // Lead and signature header say nothing of the content.
                Ok(found) => assert!(at < covered && found == read, "byte {at}"),
                Err(error) => drop(error.to_string()),
            }
            let cut = DescribedPackage::read(&whole[..at]);
            assert!(cut.is_err(), "cut at {at}");
        }
    }
}
