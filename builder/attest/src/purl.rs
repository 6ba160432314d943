//! Package URLs: what a component is called in every ecosystem (`pkg:generic/curl@7.88.1`).
//!
//! Spelling is that of the crate `packageurl`; libraries differ in what they escape, so that a purl
//! must never be compared as text with one that another tool wrote.

use std::fmt;
use std::str::FromStr;

use kiln_model::{
    BaseName, LibraryName, Location, LockedPackage, ManifestDigest, PackageName, PurlName, Version,
};
use packageurl::PackageUrl;

use crate::bill::{DistributionRelease, RpmArchitecture, Source};

/// Says why a text is not a package URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a package URL: {reason}")]
pub struct PurlError {
    /// The text as it was given.
    pub text: String,
    /// What the parser says.
    pub reason: String,
}

/// A package URL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Purl(String);

/// What names one RPM in a purl: its NEVRA, and whose it is.
#[derive(Debug, Clone, Copy)]
pub struct RpmIdentity<'a> {
    /// Who makes the packages, as one word: `clearwater`. purl calls it the namespace.
    pub vendor: &'a PackageName,
    /// The package's name.
    pub name: &'a PackageName,
    /// Its epoch, when it has one.
    pub epoch: Option<u32>,
    /// Its version and release: `7.88.1-1`.
    pub version_release: &'a str,
    /// Its architecture.
    pub architecture: RpmArchitecture,
}

impl Purl {
    /// Names one version of upstream software: `pkg:generic/curl@7.88.1?checksum=…&download_url=…`.
    ///
    /// `source` is the one archive that it is built from; only the type `generic` can tell it.
    ///
    /// # Errors
    /// When `name` breaks a rule of its purl type.
    pub fn upstream(
        name: &PurlName,
        version: &Version,
        source: Option<&Source>,
    ) -> Result<Self, PurlError> {
        let error = |reason: packageurl::Error| PurlError {
            text: name.as_str().to_owned(),
            reason: reason.to_string(),
        };
        let mut purl = PackageUrl::from_str(name.as_str()).map_err(error)?;
        purl.with_version(version.as_str().to_owned())
            .map_err(error)?;
        if let (Some(source), "generic") = (source, purl.ty()) {
            let mut qualifiers = Vec::new();
            match &source.url {
                // What is downloaded has no digest of bytes; the commit is one.
                Location::Git(location) => qualifiers.push(("vcs_url", location.to_string())),
                Location::Web(address) => {
                    qualifiers.push(("checksum", source.sha256.to_string()));
                    qualifiers.push(("download_url", address.clone()));
                }
                Location::DebianPool { .. } => {
                    qualifiers.push(("checksum", source.sha256.to_string()));
                }
            }
            for (key, value) in qualifiers {
                purl.add_qualifier(key, value).map_err(error)?;
            }
        }
        purl.validate().map_err(error)?;
        Ok(Self(purl.to_string()))
    }

    /// Names a built RPM: `pkg:rpm/clearwater/curl@7.88.1-1?arch=x86_64`.
    #[must_use]
    pub fn rpm(rpm: &RpmIdentity<'_>) -> Self {
        let mut qualifiers = vec![("arch", rpm.architecture.to_string())];
        if let Some(epoch) = rpm.epoch {
            qualifiers.push(("epoch", epoch.to_string()));
        }
        let namespace = Some(rpm.vendor.as_str());
        Self::build(
            "rpm",
            namespace,
            rpm.name.as_str(),
            Some(rpm.version_release),
            qualifiers,
        )
    }

    /// Names a distribution's package: `pkg:deb/debian/zlib1g-dev@…?arch=amd64&distro=debian-12`.
    #[must_use]
    pub fn deb(distribution: &DistributionRelease, package: &LockedPackage) -> Self {
        let mut qualifiers = vec![
            ("arch", package.architecture.clone()),
            (
                "distro",
                format!("{}-{}", distribution.id, distribution.release),
            ),
        ];
        if package.source != package.name.as_str() {
            qualifiers.push(("upstream", package.source.clone()));
        }
        let namespace = Some(distribution.id.as_str());
        Self::build(
            "deb",
            namespace,
            package.name.as_str(),
            Some(&package.version),
            qualifiers,
        )
    }

    /// Names an OCI image by its manifest: `pkg:oci/debian-12@sha256:…`.
    #[must_use]
    pub fn oci(name: &BaseName, manifest: &ManifestDigest) -> Self {
        Self::build(
            "oci",
            None,
            name.as_str(),
            Some(&manifest.to_string()),
            Vec::new(),
        )
    }

    /// Returns what a copy of a library in a source tree is called: `pkg:generic/murmurhash3`.
    #[must_use]
    pub fn copy(library: &LibraryName, version: Option<&Version>) -> Self {
        let version = version.map(Version::as_str);
        Self::build("generic", None, library.as_str(), version, Vec::new())
    }

    fn build(
        kind: &str,
        namespace: Option<&str>,
        name: &str,
        version: Option<&str>,
        qualifiers: Vec<(&str, String)>,
    ) -> Self {
        const FITS: &str = "the type is known and takes any name";
        let mut purl = PackageUrl::new(kind, name).expect(FITS);
        if let Some(version) = version {
            purl.with_version(version).expect(FITS);
        }
        if let Some(namespace) = namespace {
            purl.with_namespace(namespace).expect(FITS);
        }
        for (key, value) in qualifiers {
            purl.add_qualifier(key, value).expect("the key is a word");
        }
        Self(purl.to_string())
    }
}

impl FromStr for Purl {
    type Err = PurlError;

    fn from_str(text: &str) -> Result<Self, PurlError> {
        PackageUrl::from_str(text)
            .map(|purl| Self(purl.to_string()))
            .map_err(|error| PurlError {
                text: text.to_owned(),
                reason: error.to_string(),
            })
    }
}

impl fmt::Display for Purl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
