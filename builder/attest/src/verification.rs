//! The statement of a verification: what was built again, how, and with which result.
//!
//! An in-toto Statement v1 whose subjects are the files that were verified, by their digests, and whose
//! predicate is kiln's own, `urn:kiln:verification:v1`. It names no time and no host: statements of several
//! builders about one package are compared by what they say. `verdict` is `reproducible`,
//! `unreproducible`, `failed-to-build` or `not-tested`; `agreement` is `bit-identical`,
//! `but-for-signature`, `payload-identical` or `different`. The rebuilds are listed with what was varied
//! in each, and with what was really seen varied.

use std::collections::BTreeMap;

use kiln_model::{Digest, Effect, Factor, Level, Line, Observation, RecipeName, Variation};
use serde::Serialize;

use crate::json;
use crate::provenance::BuilderId;

/// The type of the predicate.
pub const VERIFICATION_TYPE: &str = "urn:kiln:verification:v1";

/// What was found of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedFile {
    /// Its path below `out/`, or its file name.
    pub name: String,
    /// sha256 of the bytes that were verified.
    pub sha256: Digest,
    /// The verdict's word.
    pub verdict: String,
    /// How far all rebuilds agree, where there were any.
    pub agreement: Option<String>,
    /// Why it differs: the words of the causes.
    pub causes: Vec<String>,
    /// Rebuilds that gave other bytes, by number from 1, with the sha256 of these.
    pub others: Vec<(usize, Digest)>,
}

/// One rebuild.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerificationBuild {
    /// What was varied.
    pub variation: Variation,
    /// What was seen of it.
    pub observations: Vec<Observation>,
    /// Whether upstream's tests ran.
    pub has_run_checks: bool,
}

/// Everything that the statement about one recipe says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerificationStatement {
    /// The recipe.
    pub recipe: RecipeName,
    /// Who verified.
    pub verifier: BuilderId,
    /// Version of kiln.
    pub kiln_version: Line,
    /// Version of the step runner's contract.
    pub step_runner: u32,
    /// sha256 of the provenance of what was verified, where there is one.
    pub provenance: Option<Digest>,
    /// The verdict on all files together.
    pub verdict: String,
    /// The files; those without a digest are not here.
    pub files: Vec<VerifiedFile>,
    /// The rebuilds, in order.
    pub builds: Vec<VerificationBuild>,
}

impl VerificationStatement {
    /// Writes the one encoding: an in-toto Statement v1 as JSON, unsigned.
    #[must_use]
    pub fn render(&self) -> Vec<u8> {
        let mut files: Vec<&VerifiedFile> = self.files.iter().collect();
        files.sort_by(|one, other| one.name.cmp(&other.name));
        json::encode(&Statement {
            kind: "https://in-toto.io/Statement/v1",
            subject: files
                .iter()
                .map(|file| Subject {
                    name: &file.name,
                    digest: sha256(&file.sha256),
                })
                .collect(),
            predicate_type: VERIFICATION_TYPE,
            predicate: Predicate {
                recipe: self.recipe.as_str(),
                verifier: Verifier {
                    id: self.verifier.to_string(),
                    version: BTreeMap::from([("kiln", self.kiln_version.to_string())]),
                },
                step_runner: self.step_runner,
                provenance: self.provenance.as_ref().map(sha256),
                verdict: &self.verdict,
                results: files.iter().map(|file| result(file)).collect(),
                rebuilds: self.builds.iter().map(rebuild).collect(),
            },
        })
    }
}

fn sha256(digest: &Digest) -> BTreeMap<&'static str, String> {
    BTreeMap::from([("sha256", digest.to_hex())])
}

fn result(file: &VerifiedFile) -> FileResult<'_> {
    FileResult {
        name: &file.name,
        verdict: &file.verdict,
        agreement: file.agreement.as_deref(),
        causes: &file.causes,
        others: file
            .others
            .iter()
            .map(|(rebuild, digest)| Other {
                rebuild: *rebuild,
                digest: sha256(digest),
            })
            .collect(),
    }
}

fn rebuild(build: &VerificationBuild) -> Rebuild<'_> {
    Rebuild {
        varied: &build.variation,
        upstream_tests: if build.has_run_checks {
            "run"
        } else {
            "skipped"
        },
        observed: build
            .observations
            .iter()
            .map(|seen| Observed {
                factor: seen.factor,
                level: seen.level,
                effect: seen.effect,
            })
            .collect(),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Statement<'a> {
    #[serde(rename = "_type")]
    kind: &'static str,
    subject: Vec<Subject<'a>>,
    predicate_type: &'static str,
    predicate: Predicate<'a>,
}

#[derive(Serialize)]
struct Subject<'a> {
    name: &'a str,
    digest: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Predicate<'a> {
    recipe: &'a str,
    verifier: Verifier,
    step_runner: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    provenance: Option<BTreeMap<&'static str, String>>,
    verdict: &'a str,
    results: Vec<FileResult<'a>>,
    rebuilds: Vec<Rebuild<'a>>,
}

#[derive(Serialize)]
struct Verifier {
    id: String,
    version: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct FileResult<'a> {
    name: &'a str,
    verdict: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    agreement: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    causes: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    others: Vec<Other>,
}

#[derive(Serialize)]
struct Other {
    rebuild: usize,
    digest: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rebuild<'a> {
    varied: &'a Variation,
    upstream_tests: &'static str,
    observed: Vec<Observed>,
}

/// What a factor was found to be. What exactly was seen there, and by what, is in the report: it tells of
/// one host and one hour.
#[derive(Serialize)]
struct Observed {
    factor: Factor,
    level: Level,
    effect: Effect,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_sorted_and_names_what_was_verified_and_how() {
        let mut variation = Variation::default();
        variation.set(Factor::Clock, Level::Past);
        let file = |name: &str, verdict: &str| VerifiedFile {
            name: name.into(),
            sha256: Digest::of(name.as_bytes()),
            verdict: verdict.into(),
            agreement: Some("different".into()),
            causes: vec!["timestamps".into()],
            others: vec![(1, Digest::of(b"other"))],
        };
        let statement = VerificationStatement {
            recipe: "demo".parse().unwrap(),
            verifier: BuilderId::local(),
            kiln_version: "0.1.0".parse().unwrap(),
            step_runner: 1,
            provenance: None,
            verdict: "unreproducible".into(),
            files: vec![
                file("b.rpm", "unreproducible"),
                file("a.rpm", "reproducible"),
            ],
            builds: vec![VerificationBuild {
                variation,
                observations: vec![Observation {
                    factor: Factor::Clock,
                    level: Level::Past,
                    effect: Effect::Seen,
                    outside: "2026".into(),
                    inside: "2001".into(),
                    how: "date".into(),
                }],
                has_run_checks: false,
            }],
        };
        let text = String::from_utf8(statement.render()).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["_type"], "https://in-toto.io/Statement/v1");
        assert_eq!(value["predicateType"], VERIFICATION_TYPE);
        assert_eq!(value["subject"][0]["name"], "a.rpm");
        assert_eq!(
            value["subject"][1]["digest"]["sha256"],
            Digest::of(b"b.rpm").to_hex()
        );
        let predicate = &value["predicate"];
        assert_eq!(predicate["results"][1]["others"][0]["rebuild"], 1);
        assert_eq!(predicate["rebuilds"][0]["varied"]["clock"], "past");
        assert_eq!(predicate["rebuilds"][0]["upstreamTests"], "skipped");
        let seen = serde_json::json!({"factor": "clock", "level": "past", "effect": "seen"});
        assert_eq!(predicate["rebuilds"][0]["observed"][0], seen);
    }
}
