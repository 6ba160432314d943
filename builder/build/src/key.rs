//! Build keys: one digest over every input that can change a result.
//!
//! A key is the sha256 of the canonical JSON (RFC 8785) of a [`KeyInputs`]; the JSON itself is kept
//! in the store, so that a changed key can be explained. What stands in it:
//!
//! | field | why |
//! |---|---|
//! | `kind` | a build and a packaging of the same inputs are different results |
//! | `step-runner` | the sandbox's contract: paths, users, environment |
//! | `architecture` | |
//! | `base` | manifest digest of the base image |
//! | `tools` | diff id of what the recipe adds over the base |
//! | `sources` | digest and file name of each source |
//! | `patches` | digest of each patch, in order |
//! | `bundled` | destdir digest of each bundled library: same bytes, same key |
//! | `scripts` | the text of each step that runs |
//! | `environment` | the variables that the steps see |
//! | `epoch` | `SOURCE_DATE_EPOCH` |
//! | `recipe` | the whole recipe, for packaging only: summaries do not recompile |
//! | `maker` | packaging: who packages, and which kiln; both stand in the packages |
//! | `extra` | packaging: the spec's text and the destdir that it packs |
//!
//! The number of jobs is not an input: it must not change a result, and `kiln verify` proves it.

use std::collections::BTreeMap;
use std::fmt;

use kiln_model::{
    Architecture, DiffId, Digest, ManifestDigest, STEP_RUNNER_VERSION, SourceDateEpoch,
};
use serde::{Deserialize, Serialize};

/// The digest over every input of a result.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BuildKey(pub Digest);

impl fmt::Display for BuildKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for BuildKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BuildKey({})", self.0)
    }
}

/// What a key is computed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyKind {
    /// Prep, build, install, check: yields a destdir.
    Build,
    /// Yields RPMs from a destdir.
    Package,
}

/// Every input of a result; the table above says why each is here.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct KeyInputs {
    /// What the key is for.
    pub kind: KeyKind,
    /// The machine architecture.
    pub architecture: Architecture,
    /// The base image.
    pub base: ManifestDigest,
    /// The recipe's own layer over it.
    pub tools: Option<DiffId>,
    /// Sources: file name and digest, in order.
    pub sources: Vec<(String, Digest)>,
    /// Patches in order.
    pub patches: Vec<Digest>,
    /// Destdirs of bundled libraries by library and recipe name.
    pub bundled: BTreeMap<String, DiffId>,
    /// Scripts by step.
    pub scripts: BTreeMap<String, String>,
    /// The steps' environment.
    pub environment: BTreeMap<String, String>,
    /// The instant that stands in for the clock.
    pub epoch: SourceDateEpoch,
    /// The whole recipe, for packaging.
    pub recipe: Option<serde_json::Value>,
    /// Who packages and with which kiln, for packaging.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maker: Option<serde_json::Value>,
    /// What else goes in: name and digest.
    pub extra: BTreeMap<String, Digest>,
}

impl KeyInputs {
    /// Returns the canonical JSON: the one encoding that the key is computed over.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut value = serde_json::to_value(self).expect("keys are texts");
        value["step-runner"] = STEP_RUNNER_VERSION.into();
        canonical_json(&value)
    }

    /// Returns the key.
    #[must_use]
    pub fn key(&self) -> BuildKey {
        BuildKey(Digest::of(&self.encode()))
    }
}

/// Returns the one encoding of a JSON value (RFC 8785).
#[must_use]
pub fn canonical_json(value: &serde_json::Value) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(value).expect("a JSON value without infinite numbers")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs() -> KeyInputs {
        KeyInputs {
            kind: KeyKind::Build,
            architecture: Architecture::X86_64,
            base: ManifestDigest(Digest::of(b"base")),
            tools: None,
            sources: vec![("x.tar.gz".to_owned(), Digest::of(b"source"))],
            patches: vec![Digest::of(b"patch")],
            bundled: [("openssl".to_owned(), DiffId(Digest::of(b"destdir")))].into(),
            scripts: [("build".to_owned(), "make".to_owned())].into(),
            environment: [("CFLAGS".to_owned(), "-O2".to_owned())].into(),
            epoch: SourceDateEpoch::from_seconds(1),
            recipe: None,
            maker: None,
            extra: BTreeMap::new(),
        }
    }

    #[test]
    fn every_input_changes_the_key() {
        let key = inputs().key();
        assert_eq!(inputs().key(), key, "the same inputs give the same key");
        let changes: [fn(&mut KeyInputs); 12] = [
            |i| i.kind = KeyKind::Package,
            |i| i.base = ManifestDigest(Digest::of(b"other")),
            |i| i.tools = Some(DiffId(Digest::of(b"tools"))),
            |i| i.sources[0].1 = Digest::of(b"other"),
            |i| i.patches.clear(),
            |i| i.bundled.clear(),
            |i| drop(i.scripts.insert("build".into(), "make all".into())),
            |i| drop(i.environment.insert("CFLAGS".into(), "-O3".into())),
            |i| i.epoch = SourceDateEpoch::from_seconds(2),
            |i| i.recipe = Some(serde_json::json!({"summary": "x"})),
            |i| i.maker = Some(serde_json::json!({"kiln": "2.0.0"})),
            |i| i.extra = [("spec".to_owned(), Digest::of(b"spec"))].into(),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut changed = inputs();
            change(&mut changed);
            assert_ne!(changed.key(), key, "change {number}");
        }
    }

    /// The encoding is a format: a change here makes every cached result stale, so it is deliberate.
    #[test]
    fn the_encoding_is_stable() {
        let text = String::from_utf8(inputs().encode()).unwrap();
        assert!(
            text.starts_with(r#"{"architecture":"x86_64","base":"sha256:"#),
            "{text}"
        );
        assert!(text.contains(r#""step-runner":1"#), "{text}");
    }
}
