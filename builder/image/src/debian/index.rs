//! A suite's index of binary packages (`Packages`), read whole into values.
//!
//! | field | use |
//! |---|---|
//! | `Package`, `Version`, `Architecture` | identity; other architectures than the asked one and `all` are passed over |
//! | `Source` | `name` or `name (version)`; absent means the package's own name and version |
//! | `Filename`, `Size`, `SHA256` | what the lockfile pins |
//! | `Depends`, `Pre-Depends` | must hold |
//! | `Conflicts`, `Breaks` | must not hold |
//! | `Provides`, `Multi-Arch` | what else the package counts as |
//! | `Essential`, `Priority` | what is always there; which provider is preferred |
//!
//! Everything else is ignored, `Recommends` on purpose: what a build gets is what was asked for.

use std::collections::BTreeMap;
use std::ops::Range;

use kiln_model::{Architecture, Digest, LockedPackage};

use super::deb822::{Stanza, StanzaError, Stanzas};
use super::relation::{
    Clause, Constraint, Operator, Relation, RelationError, is_package_name, parse_clauses,
    parse_relations,
};
use super::version::DebianVersion;

/// Says why an index can not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// The text is not made of stanzas.
    #[error("the package index is damaged")]
    Stanza(#[from] StanzaError),
    /// A stanza lacks a field.
    #[error("the package index is damaged at line {line}: package `{package}` has no `{field}`")]
    Missing {
        /// The stanza's first line.
        line: usize,
        /// The package's name, empty if that is what is missing.
        package: String,
        /// The field's name.
        field: &'static str,
    },
    /// A field's value is not what it must be.
    #[error(
        "the package index is damaged at line {line}: \
         `{field}` of package `{package}`: expected {expected}, got `{actual}`"
    )]
    Value {
        /// The field's line.
        line: usize,
        /// The package's name.
        package: String,
        /// The field's name.
        field: &'static str,
        /// What the value must be.
        expected: &'static str,
        /// What it is.
        actual: String,
    },
    /// A relation can not be read.
    #[error("the package index is damaged at line {line}: `{field}` of package `{package}`")]
    Relation {
        /// The field's line.
        line: usize,
        /// The package's name.
        package: String,
        /// The field's name.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: RelationError,
    },
    /// One name, version and architecture stands for two different files.
    #[error("the package index lists `{package}` {version} twice, with different files")]
    Ambiguous {
        /// The package's name.
        package: String,
        /// Its version.
        version: String,
    },
}

/// What a package provides beside itself.
#[derive(Debug, Clone)]
pub(super) struct Provided {
    pub name: Box<str>,
    /// Only a provision with a version meets a demand on the version.
    pub version: Option<DebianVersion>,
}

/// `Priority:`, the most important first. Its only use is to order providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Priority {
    Required,
    Important,
    Standard,
    Optional,
    Extra,
}

/// Whether a package belongs to every system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Essential,
    OnDemand,
}

/// Whether dependants may ask for the package with `:any`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MultiArch {
    Allowed,
    Other,
}

/// One version of one package.
#[derive(Debug, Clone)]
pub(super) struct IndexPackage {
    pub locked: LockedPackage,
    pub version: DebianVersion,
    pub presence: Presence,
    pub priority: Priority,
    pub multi_arch: MultiArch,
    /// `Pre-Depends` and `Depends`.
    pub depends: Vec<Clause>,
    /// `Conflicts` and `Breaks`.
    pub conflicts: Vec<Relation>,
    pub provides: Vec<Provided>,
}

impl IndexPackage {
    pub fn name(&self) -> &str {
        self.locked.name.as_str()
    }
}

/// The packages of one suite for one architecture.
#[derive(Debug, Clone)]
pub struct PackageIndex {
    /// Sorted by name, then from the highest version down, then the own architecture before `all`:
    /// an order that the text's order does not change.
    packages: Vec<IndexPackage>,
    by_name: BTreeMap<Box<str>, Range<usize>>,
    /// Virtual name -> places in `packages`, in their order.
    providers: BTreeMap<Box<str>, Vec<usize>>,
}

impl PackageIndex {
    /// Reads a decompressed `Packages` file.
    ///
    /// # Errors
    /// `Stanza`, `Missing`, `Value` or `Relation` when the text is damaged, with line and package;
    /// `Ambiguous` when it says two things about one package.
    pub fn parse(packages_text: &str, architecture: Architecture) -> Result<Self, IndexError> {
        let mut packages = Vec::new();
        for stanza in Stanzas::new(packages_text) {
            packages.extend(parse_package(&stanza?, architecture)?);
        }
        packages.sort_by(|left, right| {
            left.locked
                .name
                .cmp(&right.locked.name)
                .then_with(|| right.version.cmp(&left.version))
                .then_with(|| right.locked.version.cmp(&left.locked.version))
                .then_with(|| left.locked.architecture.cmp(&right.locked.architecture))
        });
        packages.dedup_by(|next, kept| next.locked == kept.locked);
        for pair in packages.windows(2) {
            let identity = |package: &IndexPackage| {
                let LockedPackage {
                    name,
                    version,
                    architecture,
                    ..
                } = &package.locked;
                (name.clone(), version.clone(), architecture.clone())
            };
            if pair[0].name() == pair[1].name() && identity(&pair[0]) == identity(&pair[1]) {
                return Err(IndexError::Ambiguous {
                    package: pair[0].name().to_owned(),
                    version: pair[0].locked.version.clone(),
                });
            }
        }
        Ok(Self::with_tables(packages))
    }

    fn with_tables(packages: Vec<IndexPackage>) -> Self {
        let mut by_name: BTreeMap<Box<str>, Range<usize>> = BTreeMap::new();
        let mut providers: BTreeMap<Box<str>, Vec<usize>> = BTreeMap::new();
        for (place, package) in packages.iter().enumerate() {
            match by_name.get_mut(package.name()) {
                Some(range) => range.end = place + 1,
                None => {
                    by_name.insert(package.name().into(), place..place + 1);
                }
            }
            for provided in &package.provides {
                let places = providers.entry(provided.name.clone()).or_default();
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
        }
        Self {
            packages,
            by_name,
            providers,
        }
    }

    /// Returns the number of package versions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.packages.len()
    }

    /// Tells whether there is no package.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty()
    }

    /// Returns every version of a package, the highest first; none if the name is unknown or only
    /// provided by others.
    pub fn versions(&self, name: &str) -> impl Iterator<Item = &LockedPackage> {
        self.packages[self.places(name)]
            .iter()
            .map(|package| &package.locked)
    }

    pub(super) fn packages(&self) -> &[IndexPackage] {
        &self.packages
    }

    /// Returns where the versions of a package stand, the highest first.
    pub(super) fn places(&self, name: &str) -> Range<usize> {
        self.by_name.get(name).cloned().unwrap_or(0..0)
    }

    /// Returns where the packages that provide a name stand, in the index's order.
    pub(super) fn providers(&self, name: &str) -> &[usize] {
        self.providers.get(name).map_or(&[], Vec::as_slice)
    }

    /// Returns the names of all packages, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(AsRef::as_ref)
    }
}

/// Reads the fields of one stanza and says where they are wrong.
struct PackageFields<'a> {
    stanza: &'a Stanza<'a>,
    package: &'a str,
    architecture: Architecture,
}

impl<'a> PackageFields<'a> {
    fn required(&self, field: &'static str) -> Result<&'a str, IndexError> {
        match self.stanza.field(field) {
            Some(found) => Ok(found.value),
            None => Err(IndexError::Missing {
                line: self.stanza.line,
                package: self.package.to_owned(),
                field,
            }),
        }
    }

    fn wrong(&self, field: &'static str, expected: &'static str) -> IndexError {
        let found = self.stanza.field(field);
        IndexError::Value {
            line: found.map_or(self.stanza.line, |found| found.line),
            package: self.package.to_owned(),
            field,
            expected,
            actual: found.map_or("", |found| found.value).to_owned(),
        }
    }

    fn relations<T>(
        &self,
        field: &'static str,
        parse: fn(&str, Architecture) -> Result<Vec<T>, RelationError>,
    ) -> Result<Vec<T>, IndexError> {
        let Some(found) = self.stanza.field(field) else {
            return Ok(Vec::new());
        };
        parse(found.value, self.architecture).map_err(|source| IndexError::Relation {
            line: found.line,
            package: self.package.to_owned(),
            field,
            source,
        })
    }

    fn version(&self) -> Result<DebianVersion, IndexError> {
        self.required("Version")?
            .parse()
            .map_err(|_| self.wrong("Version", "a Debian version"))
    }

    /// Returns the source package's name and version.
    fn source(&self, version: &DebianVersion) -> Result<(String, String), IndexError> {
        let Some(found) = self.stanza.field("Source") else {
            return Ok((self.package.to_owned(), version.to_string()));
        };
        let wrong = || self.wrong("Source", "`name` or `name (version)`");
        let (name, source_version) = match found.value.split_once('(') {
            None => (found.value, version.as_str()),
            Some((name, rest)) => {
                let inner = rest.strip_suffix(')').ok_or_else(wrong)?.trim_ascii();
                inner.parse::<DebianVersion>().map_err(|_| wrong())?;
                (name.trim_ascii(), inner)
            }
        };
        if is_package_name(name) {
            Ok((name.to_owned(), source_version.to_owned()))
        } else {
            Err(wrong())
        }
    }

    fn provides(&self) -> Result<Vec<Provided>, IndexError> {
        let relations = self.relations("Provides", parse_relations)?;
        let provided = |relation: Relation| match relation.constraint {
            None => Ok(Provided {
                name: relation.name,
                version: None,
            }),
            Some(Constraint {
                operator: Operator::Equal,
                version,
            }) => Ok(Provided {
                name: relation.name,
                version: Some(version),
            }),
            Some(_) => Err(self.wrong("Provides", "only names and `name (= version)`")),
        };
        relations.into_iter().map(provided).collect()
    }

    fn priority(&self) -> Priority {
        // An unknown word is no reason to refuse an index: the field only orders providers.
        match self.stanza.field("Priority").map(|found| found.value) {
            Some("required") => Priority::Required,
            Some("important") => Priority::Important,
            Some("standard") => Priority::Standard,
            Some("extra") => Priority::Extra,
            _ => Priority::Optional,
        }
    }

    fn says(&self, field: &str, value: &str) -> bool {
        self.stanza
            .field(field)
            .is_some_and(|found| found.value == value)
    }
}

/// Reads a stanza; `None` if the package is of another architecture.
fn parse_package(
    stanza: &Stanza<'_>,
    architecture: Architecture,
) -> Result<Option<IndexPackage>, IndexError> {
    let package = stanza.field("Package").map_or("", |found| found.value);
    let fields = PackageFields {
        stanza,
        package,
        architecture,
    };
    let name = fields
        .required("Package")?
        .parse()
        .map_err(|_| fields.wrong("Package", "a package name"))?;
    let package_architecture = fields.required("Architecture")?;
    if package_architecture != "all" && package_architecture != architecture.debian() {
        return Ok(None);
    }
    let version = fields.version()?;
    let (source, source_version) = fields.source(&version)?;
    let path = fields.required("Filename")?;
    if !is_archive_path(path) {
        return Err(fields.wrong("Filename", "a plain path below the archive's root"));
    }
    let size = fields.required("Size")?;
    let digest = fields.required("SHA256")?;
    let mut depends = fields.relations("Pre-Depends", parse_clauses)?;
    depends.extend(fields.relations("Depends", parse_clauses)?);
    let mut conflicts = fields.relations("Conflicts", parse_relations)?;
    conflicts.extend(fields.relations("Breaks", parse_relations)?);
    Ok(Some(IndexPackage {
        locked: LockedPackage {
            name,
            version: version.to_string(),
            architecture: package_architecture.to_owned(),
            source,
            source_version,
            path: path.to_owned(),
            size: size
                .parse()
                .map_err(|_| fields.wrong("Size", "a number of bytes"))?,
            sha256: Digest::from_hex(digest)
                .map_err(|_| fields.wrong("SHA256", "64 lower-case hexadecimal digits"))?,
        },
        version,
        presence: if fields.says("Essential", "yes") {
            Presence::Essential
        } else {
            Presence::OnDemand
        },
        priority: fields.priority(),
        multi_arch: if fields.says("Multi-Arch", "allowed") {
            MultiArch::Allowed
        } else {
            MultiArch::Other
        },
        depends,
        conflicts,
        provides: fields.provides()?,
    }))
}

/// Tells whether a text is a relative path of plain names, so that it can neither leave the archive's
/// root nor mean anything to a URL or a shell.
pub(super) fn is_archive_path(text: &str) -> bool {
    text.split('/').all(|part| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".+-~_".contains(&byte))
    })
}

#[cfg(test)]
mod tests;
