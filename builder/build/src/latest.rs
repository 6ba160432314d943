//! What each piece of work came to when it was last done for an `out/` folder: its key, and how long it
//! took. So `kiln why` and `kiln plan` know what to compare with and what to expect.
//!
//! One record per `out/` folder, in the store, beside that of [`crate::memory`]; two projects that share
//! a store do not mix, and what `kiln verify` builds elsewhere is not taken for a result. It is written at
//! the end of a run, whatever came of it, over what another kiln wrote meanwhile: entry by entry the last
//! one counts. A run that is killed leaves it as it was: what it finished is found by its key, and the next
//! run takes note of it. A record that is lost or damaged is none: then nothing is known of the past.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use kiln_store::{RecordKind, Store};
use serde::{Deserialize, Serialize};

use crate::compile::Built;
use crate::error::BuildError;
use crate::key::BuildKey;
use crate::memory::place;
use crate::work::Work;

/// The format of the record.
const LATEST_FORMAT: u32 = 1;

/// What one piece of work came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Last {
    /// The digest of its inputs, which are a blob of the store.
    pub(crate) key: BuildKey,
    /// Milliseconds that its steps took when they ran.
    elapsed_ms: u64,
}

impl Last {
    pub(crate) fn new(key: BuildKey, elapsed_ms: u64) -> Self {
        Self { key, elapsed_ms }
    }

    /// Returns what is to be known of a finished build.
    pub(crate) fn of_build(built: &Built) -> Self {
        let elapsed_ms = built.steps.iter().map(|step| step.elapsed_ms).sum();
        Self::new(built.key, elapsed_ms)
    }

    /// Returns how long its steps took when they ran.
    pub(crate) const fn elapsed(&self) -> Duration {
        Duration::from_millis(self.elapsed_ms)
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Record {
    format: u32,
    work: BTreeMap<String, Last>,
}

/// The past of one `out/` folder.
#[derive(Debug)]
pub(crate) struct Latest {
    store: Store,
    place: String,
    work: BTreeMap<String, Last>,
    changed: BTreeMap<String, Last>,
}

impl Latest {
    /// Reads what earlier runs left for the folder `output`.
    pub(crate) fn load(store: &Store, output: &Path) -> Result<Self, BuildError> {
        let place = place(output);
        Ok(Self {
            work: read(store, &place)?,
            store: store.clone(),
            place,
            changed: BTreeMap::new(),
        })
    }

    /// Returns what a piece of work last came to.
    pub(crate) fn of(&self, work: &Work) -> Option<Last> {
        let name = work.to_string();
        let changed = self.changed.get(&name);
        changed.or_else(|| self.work.get(&name)).copied()
    }

    /// Takes note of what a piece of work came to.
    pub(crate) fn note(&mut self, work: &Work, last: Last) {
        if self.of(work) != Some(last) {
            self.changed.insert(work.to_string(), last);
        }
    }

    /// Keeps it for the next run.
    ///
    /// # Errors
    /// `Store`, as the system refuses.
    pub(crate) fn save(self) -> Result<(), BuildError> {
        if self.changed.is_empty() {
            return Ok(());
        }
        let mut work = read(&self.store, &self.place)?;
        work.extend(self.changed);
        let record = Record {
            format: LATEST_FORMAT,
            work,
        };
        let bytes = serde_json::to_vec(&record).expect("texts and numbers");
        let kind = RecordKind::Latest;
        Ok(self.store.write_record(kind, &self.place, &bytes)?)
    }
}

fn read(store: &Store, place: &str) -> Result<BTreeMap<String, Last>, BuildError> {
    let bytes = store.read_record(RecordKind::Latest, place)?;
    let record = bytes.and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
    let record = record.filter(|record| record.format == LATEST_FORMAT);
    Ok(record.map_or_else(BTreeMap::new, |record| record.work))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{NodeId, Prefix};
    use kiln_model::Digest;

    fn work(name: &str) -> Work {
        Work::Build(NodeId {
            recipe: name.parse().unwrap(),
            prefix: Prefix::System,
        })
    }

    fn last(text: &str, elapsed_ms: u64) -> Last {
        Last::new(BuildKey(Digest::of(text.as_bytes())), elapsed_ms)
    }

    #[test]
    fn the_last_one_counts_whoever_wrote_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let out = folder.path().join("out");
        let load = || Latest::load(&store, &out).unwrap();
        let (mut one, mut other) = (load(), load());
        one.note(&work("a"), last("first", 5));
        one.note(&work("b"), last("b", 7));
        other.note(&work("a"), last("second", 6));
        assert_eq!(other.of(&work("a")), Some(last("second", 6)));
        one.save().unwrap();
        other.save().unwrap();
        let found = load();
        assert_eq!(found.of(&work("a")), Some(last("second", 6)));
        assert_eq!(found.of(&work("b")), Some(last("b", 7)));
        assert_eq!(
            found.of(&Work::Package(work("a").node().unwrap().clone())),
            None,
            "packaging is work of its own"
        );
        let elsewhere = Latest::load(&store, &folder.path().join("other")).unwrap();
        assert_eq!(elsewhere.of(&work("a")), None);
    }

    #[test]
    fn a_damaged_record_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let out = folder.path().join("out");
        let mut latest = Latest::load(&store, &out).unwrap();
        latest.note(&work("a"), last("a", 1));
        latest.save().unwrap();
        for damaged in ["{", "{}", r#"{"format":9,"work":{}}"#] {
            let kind = RecordKind::Latest;
            store
                .write_record(kind, &place(&out), damaged.as_bytes())
                .unwrap();
            let latest = Latest::load(&store, &out).unwrap();
            assert_eq!(latest.of(&work("a")), None, "{damaged}");
        }
    }
}
