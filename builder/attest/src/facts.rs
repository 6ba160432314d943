//! Facts that no SBOM format has a key for: named values, the same names in every format.
//!
//! CycloneDX carries them as properties, SPDX 2.3 as annotations `NAME=VALUE`.
//!
//! | name | value |
//! |---|---|
//! | `kiln:recipe`, `kiln:release` | what built the component |
//! | `kiln:source:FILE:size`, `:released`, `:mirror` | bytes, day and other places of a source |
//! | `kiln:source:FILE:repacked-by`, `-from`, `-note` | who changed upstream's archive, and how |
//! | `kiln:source:FILE:tag`, `:committed`, `:submodule` | of a git source: `:submodule` is its path and `git+URL@COMMIT` |
//! | `kiln:choice` | `bundle`, `system` or `vendored` |
//! | `kiln:use:CONSUMER:link` | `shared`, `static` or `header-only` |
//! | `kiln:use:CONSUMER:reason`, `:decided-by`, `:decided-on`, `:review-by` | the decision record |
//! | `kiln:is-external` | `true`: not in the RPMs, the operating system brings it |
//! | `kiln:vendored-in`, `kiln:path` | of a copy: the recipe with the source tree, and the folder in it |
//! | `kiln:package`, `kiln:source-package`, `kiln:source-package-version` | the distribution's names |
//! | `kiln:rpm:size`, `:sha256header`, `:payloaddigest` | of an RPM; the last two outlive signing |
//! | `kiln:license:declared` | CycloneDX only: beside a concluded expression |
//! | `kiln:hashes-of` | CycloneDX only: `files` of the component, or its `sources` if it has none |
//! | `kiln:file` | SPDX only: `DIGEST RPM PATH` of a bundled library's file |

use std::collections::BTreeSet;

use serde::Serialize;

use kiln_model::RecipeName;

use crate::bill::{Copied, OutputRpm, Software, System, Use};

/// A named value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Fact {
    pub(crate) name: String,
    pub(crate) value: String,
}

pub(crate) fn fact(name: &str, value: impl ToString) -> Fact {
    Fact {
        name: name.to_owned(),
        value: value.to_string(),
    }
}

/// What is known of an RPM's header and payload: their digests outlive a signature.
pub(crate) fn rpm_facts(rpm: &OutputRpm) -> Vec<Fact> {
    let mut facts = vec![fact("kiln:rpm:size", rpm.size)];
    let digest = |name, digest: &kiln_model::Digest| fact(name, digest.to_hex());
    facts.extend(
        rpm.header_digest
            .iter()
            .map(|d| digest("kiln:rpm:sha256header", d)),
    );
    facts.extend(
        rpm.payload_digest
            .iter()
            .map(|d| digest("kiln:rpm:payloaddigest", d)),
    );
    facts
}

/// What is known of a recipe and its sources.
pub(crate) fn software_facts(software: &Software) -> Vec<Fact> {
    let mut facts = vec![
        fact("kiln:recipe", &software.recipe),
        fact("kiln:release", &software.release),
    ];
    for source in &software.sources {
        let name = |what: &str| format!("kiln:source:{}:{what}", source.file_name());
        facts.push(fact(&name("size"), source.size));
        facts.extend(source.released.map(|day| fact(&name("released"), day)));
        if let Some(git) = &source.git {
            facts.extend(git.tag.iter().map(|tag| fact(&name("tag"), tag)));
            facts.push(fact(&name("committed"), git.committed.to_rfc3339()));
            facts.extend(git.pins.iter().map(|pin| {
                let value = format!("{} git+{}@{}", pin.path, pin.url, pin.commit);
                fact(&name("submodule"), value)
            }));
        }
        if let Some(repacked) = &source.repacked {
            facts.push(fact(&name("repacked-by"), &repacked.by));
            facts.push(fact(&name("repacked-from"), &repacked.upstream));
            facts.push(fact(&name("repacked-note"), &repacked.note));
        }
        facts.extend(
            source
                .mirrors
                .iter()
                .map(|mirror| fact(&name("mirror"), mirror)),
        );
    }
    for (file, digest) in &software.installed {
        facts.push(fact(
            &format!("kiln:installed:{file}:sha256"),
            digest.to_hex(),
        ));
    }
    facts
}

/// What is known of an operating system's library.
pub(crate) fn system_facts(system: &System) -> Vec<Fact> {
    let package = &system.library.package;
    let mut facts = vec![
        fact("kiln:choice", "system"),
        fact("kiln:is-external", "true"),
        fact("kiln:package", &package.name),
        fact("kiln:source-package", &package.source),
        fact("kiln:source-package-version", &package.source_version),
    ];
    facts.extend(use_facts(&system.uses));
    facts
}

/// What is known of a copy of a library in a source tree.
pub(crate) fn copy_facts(recipe: &RecipeName, copied: &Copied) -> Vec<Fact> {
    let mut facts = vec![
        fact("kiln:choice", "vendored"),
        fact("kiln:vendored-in", recipe),
        fact("kiln:path", &copied.library.path),
    ];
    facts.extend(use_facts(&copied.uses));
    facts
}

/// Who uses a library, how, why, and until when.
pub(crate) fn use_facts(uses: &BTreeSet<Use>) -> Vec<Fact> {
    let mut facts = Vec::new();
    for usage in uses {
        let name = |what: &str| format!("kiln:use:{}:{what}", usage.consumer);
        let decision = &usage.decision;
        facts.push(fact(&name("link"), usage.link.linkage.as_str()));
        facts.extend(
            decision
                .reason
                .iter()
                .map(|text| fact(&name("reason"), text)),
        );
        facts.extend(
            decision
                .decided_by
                .iter()
                .map(|text| fact(&name("decided-by"), text)),
        );
        facts.extend(
            decision
                .decided_on
                .map(|day| fact(&name("decided-on"), day)),
        );
        facts.extend(decision.review_by.map(|day| fact(&name("review-by"), day)));
    }
    facts
}
