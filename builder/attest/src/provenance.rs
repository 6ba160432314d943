//! Provenance: what was built from what, as far as a rebuild can repeat it byte for byte.
//!
//! An in-toto Statement v1 whose predicate is SLSA provenance v1. Only the compared half: times, host
//! and measured isolation are in the run record, so that two builders who agree write the same bytes.
//!
//! Names of kiln's own are URNs, `urn:kiln:…`: they identify and lead nowhere, and belong to no host
//! that could change hands. `urn:kiln:build-type:rpm:v1` means: kiln builds the named recipe for the
//! named architecture in the named base, from exactly the `resolvedDependencies`; the subjects are
//! all RPMs that result. A new meaning gets a new number.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use kiln_model::{
    Architecture, BaseName, DiffId, Digest, Line, Location, ManifestDigest, RecipeName, Sha512,
    SourceDateEpoch,
};
use serde::Serialize;

use crate::json;
use crate::purl::Purl;
use crate::uri::{encode_address, encode_path};

/// The build type of an RPM build: the template that the external parameters fill in.
pub const BUILD_TYPE: &str = "urn:kiln:build-type:rpm:v1";

/// Says why a text can not identify a builder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a builder id as a URI such as `https://ci.example.org/kiln` or `{}`, got `{text}`",
    BuilderId::LOCAL
)]
pub struct BuilderIdError {
    /// The text as it was given.
    pub text: String,
}

/// Who answers for a build, as a URI (SLSA `builder.id`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuilderId(String);

impl BuilderId {
    /// A machine that nobody vouches for, a laptop: SLSA build level 1 at most.
    pub const LOCAL: &'static str = "urn:kiln:builder:local";

    /// Returns the id of a machine that nobody vouches for.
    #[must_use]
    pub fn local() -> Self {
        Self(Self::LOCAL.to_owned())
    }
}

impl FromStr for BuilderId {
    type Err = BuilderIdError;

    fn from_str(text: &str) -> Result<Self, BuilderIdError> {
        let is_uri = text.split_once(':').is_some_and(|(scheme, rest)| {
            scheme.starts_with(|c: char| c.is_ascii_lowercase())
                && scheme
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+.-".contains(c))
                && !rest.is_empty()
                && rest
                    .chars()
                    .all(|c| c.is_ascii_graphic() && !"\"'<>\\^`{|}[]#".contains(c))
        });
        if is_uri && encode_address(text) == text {
            Ok(Self(text.to_owned()))
        } else {
            Err(BuilderIdError {
                text: text.to_owned(),
            })
        }
    }
}

impl fmt::Display for BuilderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file that was built.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// Its file name: `curl-7.88.1-1.x86_64.rpm`.
    pub name: String,
    /// sha256 of its bytes.
    pub sha256: Digest,
    /// sha512 of its bytes.
    pub sha512: Sha512,
}

/// A reproducible file beside the RPMs, such as their SBOM.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Byproduct {
    /// Its file name: `curl.cdx.json`.
    pub name: String,
    /// sha256 of its bytes.
    pub sha256: Digest,
}

/// Something that a build used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// `recipe.yaml` of the product or of a recipe that it bundles.
    Recipe {
        /// The recipe.
        recipe: RecipeName,
        /// sha256 of the file.
        sha256: Digest,
    },
    /// A source archive.
    Source {
        /// Where upstream offers it, wherever it was fetched from.
        url: Location,
        /// sha256 of its bytes.
        sha256: Digest,
        /// sha512 of its bytes.
        sha512: Sha512,
    },
    /// A patch of a recipe.
    Patch {
        /// The recipe.
        recipe: RecipeName,
        /// The path below the recipe's folder.
        file: String,
        /// sha256 of its bytes.
        sha256: Digest,
    },
    /// A file of a recipe's folder that its packages install.
    InstalledFile {
        /// The recipe.
        recipe: RecipeName,
        /// The path below the recipe's folder.
        file: String,
        /// sha256 of its bytes.
        sha256: Digest,
    },
    /// The image that the steps ran in.
    BaseImage {
        /// Its name.
        base: BaseName,
        /// Its manifest.
        manifest: ManifestDigest,
    },
    /// A lockfile: every package over the base image, by digest.
    Lockfile {
        /// Its file, in the folder of lockfiles: `curl-x86_64.lock`.
        name: String,
        /// sha256 of the file.
        sha256: Digest,
    },
    /// What a bundled library's recipe had installed.
    Destdir {
        /// The library's recipe.
        recipe: RecipeName,
        /// The digest of the tree as a canonical tar.
        tree: DiffId,
    },
}

/// Everything that the provenance of one product states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// The RPMs.
    pub subjects: Vec<Subject>,
    /// The recipe that was asked for.
    pub recipe: RecipeName,
    /// The base image that was asked for.
    pub base: BaseName,
    /// The architecture that was asked for.
    pub architecture: Architecture,
    /// Version of the step runner's contract (`kiln_model::STEP_RUNNER_VERSION`).
    pub step_runner: u32,
    /// What stood in for the clock.
    pub source_date: SourceDateEpoch,
    /// What was used.
    pub inputs: Vec<Input>,
    /// Who built it.
    pub builder: BuilderId,
    /// Version of kiln.
    pub kiln_version: Line,
    /// The reproducible files that were made along.
    pub byproducts: Vec<Byproduct>,
}

impl Provenance {
    /// Writes the one encoding: an in-toto Statement v1 as JSON, unsigned.
    #[must_use]
    pub fn render(&self) -> Vec<u8> {
        json::encode(&self.statement())
    }

    fn statement(&self) -> Statement {
        Statement {
            kind: "https://in-toto.io/Statement/v1",
            subject: sorted(self.subjects.iter().map(subject)),
            predicate_type: "https://slsa.dev/provenance/v1",
            predicate: Predicate {
                build_definition: BuildDefinition {
                    build_type: BUILD_TYPE,
                    external_parameters: ExternalParameters {
                        recipe: self.recipe.to_string(),
                        base: self.base.to_string(),
                        architecture: self.architecture.to_string(),
                    },
                    internal_parameters: InternalParameters {
                        step_runner: self.step_runner,
                        source_date_epoch: self.source_date.seconds(),
                    },
                    resolved_dependencies: sorted(self.inputs.iter().map(dependency)),
                },
                run_details: RunDetails {
                    builder: Builder {
                        id: self.builder.to_string(),
                        version: BTreeMap::from([("kiln", self.kiln_version.to_string())]),
                    },
                    byproducts: sorted(self.byproducts.iter().map(|byproduct| Resource {
                        uri: None,
                        digest: DigestSet {
                            git_commit: None,
                            sha256: byproduct.sha256.to_hex(),
                            sha512: None,
                        },
                        name: byproduct.name.clone(),
                        annotations: None,
                    })),
                },
            },
        }
    }
}

fn sorted(resources: impl Iterator<Item = Resource>) -> Vec<Resource> {
    let mut sorted: Vec<Resource> = resources.collect();
    sorted.sort();
    sorted.dedup();
    sorted
}

fn subject(subject: &Subject) -> Resource {
    Resource {
        name: subject.name.clone(),
        uri: None,
        digest: DigestSet {
            git_commit: None,
            sha256: subject.sha256.to_hex(),
            sha512: Some(subject.sha512.to_hex()),
        },
        annotations: None,
    }
}

/// A file of the project, by its path from the project's root.
fn project_file(path: &str) -> String {
    format!("urn:kiln:file:{}", encode_path(path))
}

fn dependency(input: &Input) -> Resource {
    let resource = |role, name: String, uri: String, sha256: &Digest| Resource {
        name,
        uri: Some(uri),
        digest: DigestSet {
            git_commit: None,
            sha256: sha256.to_hex(),
            sha512: None,
        },
        annotations: Some(Annotations { role }),
    };
    match input {
        Input::Recipe { recipe, sha256 } => {
            let path = format!("recipes/{recipe}/recipe.yaml");
            resource("recipe", path.clone(), project_file(&path), sha256)
        }
        Input::Source {
            url,
            sha256,
            sha512,
        } => {
            let uri = encode_address(&url.to_string());
            let mut source = resource("source", url.file_name().to_owned(), uri, sha256);
            source.digest.sha512 = Some(sha512.to_hex());
            source.digest.git_commit = url.git().map(|git| git.commit().to_string());
            source
        }
        Input::Patch {
            recipe,
            file,
            sha256,
        } => {
            let path = format!("recipes/{recipe}/{file}");
            resource("patch", path.clone(), project_file(&path), sha256)
        }
        Input::InstalledFile {
            recipe,
            file,
            sha256,
        } => {
            let path = format!("recipes/{recipe}/{file}");
            resource("installed-file", path.clone(), project_file(&path), sha256)
        }
        Input::BaseImage { base, manifest } => {
            let uri = Purl::oci(base, manifest).to_string();
            resource("base-image", base.to_string(), uri, &manifest.0)
        }
        Input::Lockfile { name, sha256 } => {
            let path = format!("lockfiles/{name}");
            resource("lockfile", path.clone(), project_file(&path), sha256)
        }
        Input::Destdir { recipe, tree } => {
            let uri = format!("urn:kiln:destdir:{}", encode_path(recipe.as_str()));
            resource("destdir", recipe.to_string(), uri, &tree.0)
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    kind: &'static str,
    subject: Vec<Resource>,
    predicate_type: &'static str,
    predicate: Predicate,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Predicate {
    build_definition: BuildDefinition,
    run_details: RunDetails,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BuildDefinition {
    build_type: &'static str,
    external_parameters: ExternalParameters,
    internal_parameters: InternalParameters,
    resolved_dependencies: Vec<Resource>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExternalParameters {
    recipe: String,
    base: String,
    architecture: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InternalParameters {
    step_runner: u32,
    source_date_epoch: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RunDetails {
    builder: Builder,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    byproducts: Vec<Resource>,
}

#[derive(Serialize)]
struct Builder {
    id: String,
    version: BTreeMap<&'static str, String>,
}

/// in-toto's ResourceDescriptor; sorted by name, then address and digests.
#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct Resource {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    digest: DigestSet,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<Annotations>,
}

#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct DigestSet {
    /// The commit, of a git source.
    #[serde(rename = "gitCommit", skip_serializing_if = "Option::is_none")]
    git_commit: Option<String>,
    sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha512: Option<String>,
}

#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct Annotations {
    role: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_builder_id_is_a_uri() {
        for good in ["https://ci.example.org/kiln?a=%20b", BuilderId::LOCAL] {
            assert_eq!(good.parse::<BuilderId>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "laptop",
            "urn:",
            ":x",
            "https://a b",
            "https://a/%zz",
            "https://a#b",
            "é:x",
        ] {
            let error = BuilderIdError {
                text: bad.to_owned(),
            };
            assert_eq!(bad.parse::<BuilderId>(), Err(error));
        }
    }
}
