//! What differs between the inputs of two results, input by input, in words that people know.
//!
//! Inputs are compared as the canonical JSON that a key is the digest of (the table in `key.rs`), because
//! the older one may be of another kiln: what this kiln does not know is compared all the same.

use std::collections::{BTreeMap, BTreeSet};

use kiln_model::SourceDateEpoch;
use serde_json::Value;

use crate::key::canonical_json;

/// What kind of input changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// A field of the recipe, for packaging.
    Recipe,
    /// A source.
    Source,
    /// A patch, or the order of patches.
    Patch,
    /// The script of a step.
    Script,
    /// What a bundled library installs; for packaging, what is packed.
    Destdir,
    /// The base image.
    BaseImage,
    /// The packages that the recipe adds to the base image.
    Tools,
    /// A variable that the steps see.
    Environment,
    /// The instant that stands in for the clock.
    SourceDate,
    /// Which licence texts are kept.
    LicenseFiles,
    /// The contract of the sandbox.
    StepRunner,
    /// The version of kiln, for packaging.
    Kiln,
    /// The organisation, for packaging.
    Organization,
    /// The architecture.
    Architecture,
    /// The source files that debuggers show.
    SourceTree,
    /// The spec file, which follows from other inputs.
    Spec,
    /// The packaged files, which follow from other inputs.
    Files,
    /// Something that this kiln has no word for.
    Other,
}

/// One input that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// What kind of input.
    pub kind: ChangeKind,
    /// Which one: the file of a source or patch, the step of a script, the variable, the node of a library,
    /// the recipe's field. Empty where there is only one.
    pub name: String,
    /// What it was: a digest, a text; `None` when it was not there.
    pub before: Option<String>,
    /// What it is; `None` when it is gone.
    pub now: Option<String>,
}

impl ChangeKind {
    /// Returns the word that programs know it by.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Recipe => "recipe",
            Self::Source => "source",
            Self::Patch => "patch",
            Self::Script => "script",
            Self::Destdir => "destdir",
            Self::BaseImage => "base-image",
            Self::Tools => "tools",
            Self::Environment => "environment",
            Self::SourceDate => "source-date",
            Self::LicenseFiles => "license-files",
            Self::StepRunner => "step-runner",
            Self::Kiln => "kiln",
            Self::Organization => "organization",
            Self::Architecture => "architecture",
            Self::SourceTree => "source-tree",
            Self::Spec => "spec",
            Self::Files => "files",
            Self::Other => "other",
        }
    }

    /// Returns what it is called where several of them count as one: `sources`.
    pub(crate) fn short(self, name: &str) -> String {
        let word = match self {
            Self::Recipe => return name.to_owned(),
            Self::Destdir => return name.split(' ').next().unwrap_or(name).to_owned(),
            Self::Source => "sources",
            Self::Patch => "patches",
            Self::Script => "scripts",
            Self::BaseImage => "base image",
            Self::Tools => "tools",
            Self::Environment => "environment",
            Self::SourceDate => "source date",
            Self::LicenseFiles => "licence files",
            Self::StepRunner => "sandbox",
            Self::Kiln => "kiln",
            Self::Organization => "organisation",
            Self::Architecture => "architecture",
            Self::SourceTree => "source tree",
            Self::Spec => "spec file",
            Self::Files => "packaged files",
            Self::Other => "inputs",
        };
        word.to_owned()
    }
}

/// What the present inputs are called, and which of them can not be known yet.
#[derive(Debug, Default)]
pub(crate) struct Circumstance {
    /// The files of the recipe's patches, in order.
    pub(crate) patches: Vec<String>,
    /// Nodes whose destdir is not known yet.
    pub(crate) unknown: BTreeSet<String>,
    /// The only fields that are known, if not all are.
    pub(crate) known: Option<&'static [&'static str]>,
}

/// Returns what differs, what people wrote before what follows from it.
pub(crate) fn changes(before: &Value, now: &Value, circumstance: &Circumstance) -> Vec<Change> {
    let empty = serde_json::Map::new();
    let fields = |value: &Value| value.as_object().cloned().unwrap_or_else(|| empty.clone());
    let (before, now) = (fields(before), fields(now));
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let is_known = |name: &str| circumstance.known.is_none_or(|known| known.contains(&name));
    let mut changes = Vec::new();
    for name in names.into_iter().filter(|name| is_known(name)) {
        let pair = Pair {
            before: before.get(name).unwrap_or(&Value::Null),
            now: now.get(name).unwrap_or(&Value::Null),
        };
        if pair.before != pair.now {
            field_changes(name, pair, circumstance, &mut changes);
        }
    }
    leave_out_what_follows(&mut changes);
    changes.sort();
    changes
}

#[derive(Clone, Copy)]
struct Pair<'a> {
    before: &'a Value,
    now: &'a Value,
}

fn field_changes(field: &str, pair: Pair<'_>, known: &Circumstance, changes: &mut Vec<Change>) {
    match field {
        "sources" => changes.extend(source_changes(pair)),
        "patches" => changes.extend(patch_changes(pair, &known.patches)),
        "scripts" => changes.extend(each(pair, |_| ChangeKind::Script)),
        "environment" => changes.extend(each(pair, |_| ChangeKind::Environment)),
        "bundled" => {
            let all = each(pair, |_| ChangeKind::Destdir);
            changes.extend(all.filter(|change| !known.unknown.contains(&change.name)));
        }
        "recipe" => changes.extend(recipe_changes(pair)),
        "maker" => changes.extend(each(pair, |name| match name {
            "kiln" => ChangeKind::Kiln,
            "organization" => ChangeKind::Organization,
            _ => ChangeKind::Other,
        })),
        "extra" => changes.extend(each(pair, |name| match name {
            "spec" => ChangeKind::Spec,
            "stage" | "files" => ChangeKind::Files,
            "licences" => ChangeKind::LicenseFiles,
            name if name.starts_with("sources of ") => ChangeKind::SourceTree,
            _ => ChangeKind::Other,
        })),
        "epoch" => changes.push(Change {
            kind: ChangeKind::SourceDate,
            name: String::new(),
            before: instant(pair.before),
            now: instant(pair.now),
        }),
        field => {
            let (kind, name) = match field {
                "base" => (ChangeKind::BaseImage, ""),
                "tools" => (ChangeKind::Tools, ""),
                "step-runner" => (ChangeKind::StepRunner, ""),
                "architecture" => (ChangeKind::Architecture, ""),
                other => (ChangeKind::Other, other),
            };
            changes.push(change(kind, name, pair));
        }
    }
}

fn change(kind: ChangeKind, name: &str, pair: Pair<'_>) -> Change {
    let name = match kind {
        ChangeKind::Kiln
        | ChangeKind::Organization
        | ChangeKind::Spec
        | ChangeKind::Files
        | ChangeKind::LicenseFiles => "",
        ChangeKind::SourceTree => name.trim_start_matches("sources of "),
        _ => name,
    };
    Change {
        kind,
        name: name.to_owned(),
        before: text(pair.before),
        now: text(pair.now),
    }
}

/// Compares two maps key by key.
fn each<'a>(
    pair: Pair<'a>,
    kind: impl Fn(&str) -> ChangeKind + 'a,
) -> impl Iterator<Item = Change> + 'a {
    let keys = |value: &'a Value| value.as_object().into_iter().flat_map(|map| map.keys());
    let names: BTreeSet<&String> = keys(pair.before).chain(keys(pair.now)).collect();
    names.into_iter().filter_map(move |name| {
        let pair = Pair {
            before: &pair.before[name.as_str()],
            now: &pair.now[name.as_str()],
        };
        (pair.before != pair.now).then(|| change(kind(name), name, pair))
    })
}

/// Compares lists of `[file, digest]`: by file, and what is left by its place.
fn source_changes(pair: Pair<'_>) -> Vec<Change> {
    let list = |value: &Value| -> Vec<(String, String)> {
        let items = value.as_array().into_iter().flatten();
        items
            .filter_map(|item| Some((text(item.get(0)?)?, text(item.get(1)?)?)))
            .collect()
    };
    let (before, now) = (list(pair.before), list(pair.now));
    let names =
        |list: &[(String, String)]| -> BTreeMap<String, String> { list.iter().cloned().collect() };
    let (old, new) = (names(&before), names(&now));
    let mut changes = Vec::new();
    let mut gone = before.iter().filter(|(file, _)| !new.contains_key(file));
    for (file, digest) in &now {
        let before = match old.get(file) {
            Some(same) if same == digest => continue,
            Some(other) => Some(other.clone()),
            None => gone.next().map(|(file, digest)| format!("{file} {digest}")),
        };
        changes.push(Change {
            kind: ChangeKind::Source,
            name: file.clone(),
            before,
            now: Some(digest.clone()),
        });
    }
    changes.extend(gone.map(|(file, digest)| Change {
        kind: ChangeKind::Source,
        name: file.clone(),
        before: Some(digest.clone()),
        now: None,
    }));
    if changes.is_empty() {
        changes.push(order(ChangeKind::Source, pair));
    }
    changes
}

/// Compares lists of digests, of which only the present ones have names.
fn patch_changes(pair: Pair<'_>, files: &[String]) -> Vec<Change> {
    let list = |value: &Value| -> Vec<String> {
        value
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(text)
            .collect()
    };
    let (before, now) = (list(pair.before), list(pair.now));
    let mut gone = before.iter().filter(|digest| !now.contains(digest));
    let added = now
        .iter()
        .enumerate()
        .filter(|(_, digest)| !before.contains(digest));
    let mut changes: Vec<Change> = added
        .map(|(place, digest)| Change {
            kind: ChangeKind::Patch,
            name: files.get(place).cloned().unwrap_or_default(),
            before: gone.next().cloned(),
            now: Some(digest.clone()),
        })
        .collect();
    changes.extend(gone.map(|digest| Change {
        kind: ChangeKind::Patch,
        name: String::new(),
        before: Some(digest.clone()),
        now: None,
    }));
    if changes.is_empty() {
        changes.push(order(ChangeKind::Patch, pair));
    }
    changes
}

/// The same things in another order.
fn order(kind: ChangeKind, pair: Pair<'_>) -> Change {
    change(kind, "order", pair)
}

/// Compares two recipes field by field, down to what is no map and no list of named things.
fn recipe_changes(pair: Pair<'_>) -> Vec<Change> {
    let mut changes = Vec::new();
    add_fields("", pair, &mut changes);
    // What is not written has the value of something else: a package's summary that of the recipe.
    changes.sort_by_key(|change| (change.name.len(), change.name.clone()));
    let mut told: Vec<Change> = Vec::new();
    for change in changes {
        let is_told = |other: &Change| (&other.before, &other.now) == (&change.before, &change.now);
        if !told.iter().any(is_told) {
            told.push(change);
        }
    }
    told
}

fn add_fields(name: &str, pair: Pair<'_>, changes: &mut Vec<Change>) {
    let items = (items_by_name(pair.before), items_by_name(pair.now));
    let (Some(before), Some(now)) = items else {
        changes.push(change(ChangeKind::Recipe, name, pair));
        return;
    };
    let had = changes.len();
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    for key in names {
        let inner = Pair {
            before: before.get(key).copied().unwrap_or(&Value::Null),
            now: now.get(key).copied().unwrap_or(&Value::Null),
        };
        if inner.before == inner.now {
            continue;
        }
        let inner_name = match name {
            "" => key.clone(),
            name => format!("{name}: {key}"),
        };
        match inner.before.is_null() || inner.now.is_null() {
            true => changes.push(change(ChangeKind::Recipe, &inner_name, inner)),
            false => add_fields(&inner_name, inner, changes),
        }
    }
    if changes.len() == had {
        // Only the order changed.
        changes.push(change(ChangeKind::Recipe, name, pair));
    }
}

/// Returns the items of a map or of a list of named things; `None` for anything else.
fn items_by_name(value: &Value) -> Option<BTreeMap<String, &Value>> {
    match value {
        Value::Object(map) => Some(
            map.iter()
                .map(|(key, value)| (key.clone(), value))
                .collect(),
        ),
        Value::Array(items) => items
            .iter()
            .map(|item| {
                let mut names = ["name", "file", "url"].into_iter();
                let name = names.find_map(|key| item.get(key)?.as_str())?;
                Some((name.rsplit('/').next().unwrap_or(name).to_owned(), item))
            })
            .collect(),
        _ => None,
    }
}

/// Leaves out what only says again what another change says.
fn leave_out_what_follows(changes: &mut Vec<Change>) {
    let is_derived = |change: &Change| matches!(change.kind, ChangeKind::Spec | ChangeKind::Files);
    if changes.iter().any(|change| !is_derived(change)) {
        changes.retain(|change| !is_derived(change));
    }
    let has_date = changes
        .iter()
        .any(|change| change.kind == ChangeKind::SourceDate);
    let is_date = |change: &Change| {
        change.kind == ChangeKind::Environment && change.name == "SOURCE_DATE_EPOCH"
    };
    if has_date {
        changes.retain(|change| !is_date(change));
    }
}

/// Returns a value as people read it; `None` for none.
fn text(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        _ => String::from_utf8(canonical_json(value)).unwrap_or_default(),
    })
}

fn instant(value: &Value) -> Option<String> {
    let seconds = value
        .as_u64()
        .and_then(|seconds| u32::try_from(seconds).ok());
    match seconds {
        Some(seconds) => Some(SourceDateEpoch::from_seconds(seconds).to_rfc3339()),
        None => text(value),
    }
}

#[cfg(test)]
mod tests;
