//! Finished builds and what they were built of, as artifacts of the store.

use kiln_model::Digest;
use kiln_store::{ArtifactKind, NewResult, Part, Store, StoreError, media_type};

use crate::compile::Built;
use crate::error::BuildError;
use crate::graph::NodeId;
use crate::key::{KeyInputs, canonical_json};
use crate::project::LoadedRecipe;
use crate::shell::node_label;

/// Records a finished build under its key.
pub(crate) fn record_build(
    store: &Store,
    node: &NodeId,
    built: &Built,
    inputs: &KeyInputs,
) -> Result<(), BuildError> {
    store.write_blob(&inputs.encode())?;
    let parts = [
        part(store, built.destdir.0, media_type::LAYER, "destdir.tar")?,
        part(store, built.files, media_type::FILES, "files.json")?,
        part(
            store,
            built.sources.0,
            media_type::SOURCE_TREE,
            "sources.tar",
        )?,
        part(store, built.key.0, media_type::INPUTS, "inputs.json")?,
    ];
    let value = serde_json::to_vec(built).expect("a record holds texts and numbers");
    Ok(store.record_result(&NewResult {
        key: &built.key.0,
        kind: ArtifactKind::Destdir,
        label: &node_label(node),
        value: &value,
        parts: &parts,
    })?)
}

/// Records what a recipe was built of, by its digests: so that a collector keeps it with the recipe.
pub(crate) fn record_sources(store: &Store, loaded: &LoadedRecipe) -> Result<(), BuildError> {
    let recipe = &loaded.recipe;
    let mut parts = Vec::new();
    for source in &recipe.planned().sources {
        let name = source.url.file_name();
        parts.push(part(store, source.sha256, media_type::BYTES, name)?);
    }
    for patch in &recipe.patches {
        store.write_blob(&loaded.read_patch(patch)?)?;
        parts.push(part(store, patch.sha256, media_type::BYTES, &patch.file)?);
    }
    let digests: Vec<_> = parts.iter().map(|part| part.digest).collect();
    let value = canonical_json(&serde_json::json!({
        "recipe": recipe.name,
        "version": recipe.version,
        "sources": digests,
    }));
    let key = Digest::of(&value);
    if store.result(&key)?.is_some() {
        return Ok(());
    }
    Ok(store.record_result(&NewResult {
        key: &key,
        kind: ArtifactKind::Sources,
        label: recipe.name.as_str(),
        value: &value,
        parts: &parts,
    })?)
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
