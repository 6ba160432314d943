//! What was released is never replaced: a product's packages before `lockfiles/released.lock`.
//!
//! The lock says of each released package what a signature covers (header and payload), and what the
//! inputs of its packaging were, each by a name that people know. So a refusal names what changed, on
//! any machine, without the store that the release came from.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use kiln_model::{Digest, ReleasedLock, compare_rpm_versions};
use kiln_rpm::Nevra;
use serde_json::Value;

use crate::error::BuildError;
use crate::key::canonical_json;
use crate::memory::RpmIdentity;
use crate::project::{Project, ProjectError};

/// Longest text that stands in the lock as it is; of anything else there is the digest.
const LITERAL: usize = 80;

/// The inputs of a packaging, by name: a digest, or a short text.
pub(crate) type Inputs = BTreeMap<String, String>;

/// A released package that a build would replace by other bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what}: `{nevra}` was released, and now has other content\n  expected  {expected}\n  actual    {actual}"
)]
pub struct ReleasedOtherwise {
    /// The recipe, or the package of a base image.
    pub what: String,
    /// The package.
    pub nevra: String,
    /// Digest of the released header and payload.
    pub expected: Digest,
    /// Digest of the new ones.
    pub actual: Digest,
    /// The inputs that are not what they were; empty when all of them are the same.
    pub changes: Vec<InputChange>,
}

/// An input that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputChange {
    /// `recipe summary`, `destdir of openssl for /usr/lib/curl`.
    pub input: String,
    /// What it was; `None` when it was not there.
    pub released: Option<String>,
    /// What it is; `None` when it is gone.
    pub now: Option<String>,
}

impl Project {
    /// Returns where it stands what was released, relative to the root.
    #[must_use]
    pub fn released_path() -> PathBuf {
        PathBuf::from("lockfiles/released.lock")
    }

    /// Reads what was released: nothing where there is no such file.
    ///
    /// # Errors
    /// `Lock` for a damaged or newer file, `Io`.
    pub fn released(&self) -> Result<ReleasedLock, ProjectError> {
        let file = Self::released_path();
        let text = match fs_err::read_to_string(self.root.join(&file)) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(ReleasedLock::default());
            }
            Err(error) => return Err(error.into()),
        };
        ReleasedLock::parse(&text).map_err(|error| ProjectError::Lock { file, error })
    }
}

/// Checks that no package was released with other content.
///
/// # Errors
/// `Released`, for the first one that was.
pub(crate) fn check_released(
    released: &ReleasedLock,
    what: &str,
    rpms: &[RpmIdentity],
    inputs: impl FnOnce() -> Result<Inputs, BuildError>,
) -> Result<(), BuildError> {
    for rpm in rpms {
        let Some(found) = released.package(&rpm.nevra) else {
            continue;
        };
        if found.content != rpm.content {
            let changes = changes(released.inputs(found), &inputs()?);
            return Err(BuildError::Released(Box::new(ReleasedOtherwise {
                what: what.to_owned(),
                nevra: rpm.nevra.clone(),
                expected: found.content,
                actual: rpm.content,
                changes,
            })));
        }
    }
    Ok(())
}

/// Reads the inputs of a packaging from their canonical JSON, as it is kept in the store.
pub(crate) fn named_inputs(encoded: &[u8]) -> Inputs {
    let mut inputs = Inputs::new();
    let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(encoded) else {
        return inputs;
    };
    for (name, value) in &fields {
        match (name.as_str(), value) {
            ("kind", _) | (_, Value::Null) => {}
            ("base", value) => add(&mut inputs, "base image", value),
            ("epoch", value) => add(&mut inputs, "source date", value),
            ("step-runner", value) => add(&mut inputs, "step runner", value),
            ("scripts", value) => add(&mut inputs, "packaging command", value),
            ("bundled", value) => add_each(&mut inputs, "destdir of ", value),
            ("maker", value) => add_each(&mut inputs, "", value),
            ("recipe", Value::Object(fields)) => {
                for (field, value) in fields {
                    add_field(&mut inputs, &format!("recipe {field}"), value);
                }
            }
            ("extra", Value::Object(extra)) => {
                for (name, value) in extra {
                    let name = match name.as_str() {
                        "spec" => SPEC,
                        "stage" | "files" => FILES,
                        name => name,
                    };
                    add(&mut inputs, name, value);
                }
            }
            (name, value) => add(&mut inputs, name, value),
        }
    }
    inputs.retain(|_, value| value != "[]" && value != "{}");
    inputs
}

/// What follows from other inputs: told only when nothing else changed.
const SPEC: &str = "spec file";
const FILES: &str = "packaged files";

fn add(inputs: &mut Inputs, name: &str, value: &Value) {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        _ => String::from_utf8(canonical_json(value)).unwrap_or_default(),
    };
    let is_short = text.len() <= LITERAL && !text.chars().any(char::is_control);
    let text = match is_short {
        true => text,
        false => Digest::of(text.as_bytes()).to_string(),
    };
    inputs.insert(name.to_owned(), text);
}

fn add_each(inputs: &mut Inputs, before: &str, value: &Value) {
    for (name, value) in value.as_object().into_iter().flatten() {
        add(inputs, &format!("{before}{name}"), value);
    }
}

/// Adds a field of a recipe: of maps and of lists of named things, each one by itself.
fn add_field(inputs: &mut Inputs, name: &str, value: &Value) {
    let named = |item: &Value| {
        let names = ["name", "file", "url"].into_iter();
        let mut names = names.filter_map(|key| item.get(key)?.as_str());
        names
            .next()
            .map(|name| name.rsplit('/').next().unwrap_or(name).to_owned())
    };
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (key, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
                add(inputs, &format!("{name}: {key}"), value);
            }
        }
        Value::Array(items)
            if !items.is_empty() && items.iter().all(|item| named(item).is_some()) =>
        {
            for item in items {
                let item_name = named(item).unwrap_or_default();
                add(inputs, &format!("{name}: {item_name}"), item);
            }
        }
        value => add(inputs, name, value),
    }
}

/// Returns what differs, what people wrote before what follows from it.
fn changes(released: &Inputs, now: &Inputs) -> Vec<InputChange> {
    let names: BTreeSet<&String> = released.keys().chain(now.keys()).collect();
    let differing = names
        .into_iter()
        .filter(|name| released.get(*name) != now.get(*name));
    let mut changes: Vec<InputChange> = differing
        .map(|name| InputChange {
            input: name.clone(),
            released: released.get(name).cloned(),
            now: now.get(name).cloned(),
        })
        .collect();
    let rank = |input: &str| {
        let firsts = ["recipe ", "base image", "source", "destdir of "];
        let first = firsts.iter().position(|first| input.starts_with(first));
        first.unwrap_or(firsts.len())
    };
    let follows = |change: &InputChange| change.input == SPEC || change.input == FILES;
    if changes.iter().any(|change| !follows(change)) {
        changes.retain(|change| !follows(change));
    }
    changes.sort_by(|a, b| {
        let by_rank = rank(&a.input).cmp(&rank(&b.input));
        by_rank.then_with(|| a.input.cmp(&b.input))
    });
    changes
}

/// Returns the newest released package that a new one orders below, if there is one: nobody who has it
/// would get the new one.
pub(crate) fn newer_release(released: &ReleasedLock, nevra: &Nevra) -> Option<Nevra> {
    if released.package(&nevra.to_string()).is_some() {
        return None;
    }
    let all = released
        .packages()
        .filter_map(|(text, _)| text.parse::<Nevra>().ok());
    let same = all.filter(|other| {
        other.name() == nevra.name() && other.architecture() == nevra.architecture()
    });
    let newest = same.max_by(compare)?;
    (compare(&newest, nevra) == Ordering::Greater).then_some(newest)
}

/// Orders packages of one name as rpm does: epoch, version, release.
fn compare(left: &Nevra, right: &Nevra) -> Ordering {
    let epoch = |nevra: &Nevra| nevra.epoch().unwrap_or(0);
    let by_epoch = epoch(left).cmp(&epoch(right));
    by_epoch
        .then_with(|| compare_rpm_versions(left.version(), right.version()))
        .then_with(|| compare_rpm_versions(left.release(), right.release()))
}

#[cfg(test)]
mod tests;
