//! Finished builds and what they were built of, as artifacts of the store.

use kiln_model::Digest;
use kiln_store::{ArtifactKind, NewResult, Part, Store, StoreError, media_type};

use crate::compile::Built;
use crate::error::BuildError;
use crate::graph::NodeId;
use crate::key::{KeyInputs, canonical_json};
use crate::project::LoadedRecipe;
use crate::shell::node_label;

/// Records a finished build under its key; and what its recipe was built of, by the digests of that, so
/// that a collector keeps it with the recipe.
pub(crate) fn record_build(
    store: &Store,
    loaded: &LoadedRecipe,
    (node, built): (&NodeId, &Built),
    inputs: &KeyInputs,
) -> Result<(), BuildError> {
    let sources = Sources::of(store, loaded)?;
    let inputs = store.write_part(&inputs.encode())?;
    let parts = [
        part(store, built.destdir.0, media_type::LAYER, "destdir.tar")?,
        part(store, built.files, media_type::FILES, "files.json")?,
        part(
            store,
            built.sources.0,
            media_type::SOURCE_TREE,
            "sources.tar",
        )?,
        part(store, inputs, media_type::INPUTS, "inputs.json")?,
    ];
    let value = serde_json::to_vec(built).expect("a record holds texts and numbers");
    let label = node_label(node);
    let build = NewResult {
        key: &built.key.0,
        kind: ArtifactKind::Destdir,
        label: &label,
        value: &value,
        parts: &parts,
    };
    if store.result(&sources.key)?.is_some() {
        return Ok(store.record_result(&build)?);
    }
    let sources = NewResult {
        key: &sources.key,
        kind: ArtifactKind::Sources,
        label: loaded.recipe.name.as_str(),
        value: &sources.value,
        parts: &sources.parts,
    };
    Ok(store.record_results(&[sources, build])?)
}

/// What a recipe is built of.
struct Sources {
    key: Digest,
    value: Vec<u8>,
    parts: Vec<Part>,
}

impl Sources {
    fn of(store: &Store, loaded: &LoadedRecipe) -> Result<Self, BuildError> {
        let recipe = &loaded.recipe;
        let mut parts = Vec::new();
        for source in &recipe.planned().sources {
            let name = source.url.file_name();
            parts.push(part(store, source.sha256, media_type::BYTES, name)?);
        }
        for patch in &recipe.patches {
            store.write_part(&loaded.read_patch(patch)?)?;
            parts.push(part(store, patch.sha256, media_type::BYTES, &patch.file)?);
        }
        let digests: Vec<_> = parts.iter().map(|part| part.digest).collect();
        let value = canonical_json(&serde_json::json!({
            "recipe": recipe.name,
            "version": recipe.version,
            "sources": digests,
        }));
        Ok(Self {
            key: Digest::of(&value),
            value,
            parts,
        })
    }
}

/// Describes a blob of the store as a part of a result.
pub(crate) fn part(
    store: &Store,
    digest: Digest,
    media_type: &'static str,
    title: &str,
) -> Result<Part, StoreError> {
    Ok(Part {
        digest,
        size: store.blob_size(&digest)?,
        media_type,
        title: title.to_owned(),
    })
}
