//! Whether everything is as it was when a run had nothing to do, told by the looks of files alone.
//!
//! A run with nothing to do reads every recipe, lockfile and record to find that out; with thousands of
//! recipes that takes seconds. So a run that ends with nothing done leaves a record of what it looked at,
//! and the next one asks only whether all of that looks the same: device, inode, size, modification and
//! change time, as make does it, but with the time that no program can set. If anything looks otherwise,
//! or there is any doubt, the run goes the long way.
//!
//! | looked at | why |
//! |---|---|
//! | `kiln.toml`, `recipes/`, each `recipe.yaml`, its patches and installed files, folders without one | what is asked for |
//! | `base-images/`, each file, its keys; lockfiles; `released.lock`, there or not | what it is made of |
//! | `actions/` of the store, by looks; blobs of results, by being there | as the long way does |
//! | every file that is remembered in `out/`, and the folders of `out/rpms` | as the long way does |
//! | the running kiln | another one may do otherwise |
//!
//! What changed less than two seconds before a run began is not trusted: a later write might not show in a
//! coarse clock, and the run may have read what was there before. Neither is what lies on another file
//! system than the store, which may have another clock, nor a link.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use kiln_model::{BaseName, BaseOrigin, Digest};
use kiln_store::{FileIdentity, RecordKind, Store};
use rustix::fs::{FileType, lstat};
use serde::{Deserialize, Serialize};

use crate::compile::is_product;
use crate::error::BuildError;
use crate::key::canonical_json;
use crate::memory::Memory;
use crate::outputs::{Selection, Summary};
use crate::plan::Plan;
use crate::project::{Project, SOURCES_OF, sorted_entries};
use crate::recipe_folders::{RECIPE_FILE, is_recipe_folder, recipe_folders};
use crate::unpinned::Unpinned;
use crate::work::RpmTotals;
use crate::workshop::Workshop;

/// The format of the record.
const REST_FORMAT: u32 = 2;
/// Seconds that a file must have been left alone: file systems count time in steps of up to two.
const SETTLED: i64 = 2;

/// What a run is asked for, before anything is read.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The project's folder, without links.
    pub root: &'a Path,
    /// Where results are kept.
    pub store: &'a Store,
    /// Where results are put: `out/`.
    pub output: &'a Path,
    /// What the file of the running kiln looks like.
    pub program: Option<FileIdentity>,
    /// Which recipes.
    pub selection: Selection<'a>,
    /// The base image that was chosen for all recipes.
    pub base: Option<&'a BaseName>,
}

/// What there is when there is nothing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AtRest {
    /// Pieces of work whose result is up to date.
    pub results: usize,
    /// RPMs in `out/`.
    rpms: usize,
    /// Their bytes.
    rpm_bytes: u64,
    /// Recipes that are left out because they are unpinned, each with what it lacks.
    pub unpinned: Vec<String>,
}

impl AtRest {
    /// Returns the RPMs in `out/`.
    #[must_use]
    pub const fn rpms(&self) -> RpmTotals {
        RpmTotals {
            files: self.rpms,
            bytes: self.rpm_bytes,
        }
    }
}

/// The record of a run that had nothing to do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Record {
    format: u32,
    rest: AtRest,
    places: Places,
    /// The digest over the looks of all places.
    looks: Digest,
}

/// What is looked at.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Places {
    /// Relative to the project's root.
    project: BTreeSet<PathBuf>,
    /// Keys of records.
    actions: BTreeSet<Digest>,
    /// Blobs that only have to be there.
    blobs: BTreeSet<Digest>,
    /// Relative to `out/`.
    output: BTreeSet<PathBuf>,
    /// Files in `out/` that only have to be there.
    run_records: BTreeSet<PathBuf>,
}

impl Asked<'_> {
    /// Returns what there is, if there is certainly nothing to do. Changes nothing.
    #[must_use]
    pub fn at_rest(&self) -> Option<AtRest> {
        self.program?;
        let bytes = self.store.read_record(RecordKind::Latest, &self.key());
        let record: Record = serde_json::from_slice(&bytes.ok()??).ok()?;
        let looks = record.places.looks(self, None)?;
        (record.format == REST_FORMAT && record.looks == looks).then_some(record.rest)
    }

    /// Names the record.
    fn key(&self) -> String {
        let output = std::path::absolute(self.output);
        let output = output.unwrap_or_else(|_| self.output.to_owned());
        let key = serde_json::json!({
            "root": self.root.as_os_str().as_encoded_bytes(),
            "output": output.as_os_str().as_encoded_bytes(),
            "names": match self.selection {
                Selection::Default => serde_json::json!([]),
                Selection::All => serde_json::json!("all"),
                Selection::Named(names) => serde_json::json!(names),
            },
            "base": self.base,
        });
        format!("rest-{}", Digest::of(&canonical_json(&key)).to_hex())
    }
}

/// Keeps what a run that had nothing to do, and began at `began`, looked at, if all of it can be trusted.
pub(crate) fn remember(
    shop: &Workshop<'_>,
    selection: Selection<'_>,
    (plan, summary): (&Plan, &Summary),
    began: i64,
) -> Result<(), BuildError> {
    let asked = Asked {
        root: &shop.project.root,
        store: shop.store,
        output: shop.output,
        program: shop.program,
        selection,
        base: shop.project.chosen_base.as_ref(),
    };
    let mut places = Places::default();
    places.add_project(shop.project);
    places.add_locks(shop, plan);
    for built in plan.built.values() {
        places.actions.insert(built.key.0);
        let blobs = [built.destdir.0, built.files, built.sources.0];
        places.blobs.extend(blobs);
    }
    if plan.graph.order.iter().any(is_product) {
        let memory = Memory::load(shop.store, shop.output, shop.program)?;
        places.add_output(shop.output, &memory);
    }
    let Some(looks) = places.looks(&asked, Some(began)) else {
        return Ok(());
    };
    let rpms = summary.rpms.values().flatten();
    let record = Record {
        format: REST_FORMAT,
        rest: AtRest {
            results: summary.rows.len(),
            rpms: rpms.clone().count(),
            rpm_bytes: rpms.map(|(_, bytes)| bytes).sum(),
            unpinned: summary.unpinned.iter().map(Unpinned::in_short).collect(),
        },
        places,
        looks,
    };
    let Ok(bytes) = serde_json::to_vec(&record) else {
        // A path that is no text.
        return Ok(());
    };
    Ok(shop
        .store
        .write_record(RecordKind::Latest, &asked.key(), &bytes)?)
}

impl Places {
    /// Adds everything that [`Project::load`] and the check of patches read.
    fn add_project(&mut self, project: &Project) {
        let root = &project.root;
        let mut add = |path: &Path| {
            let path = path.strip_prefix(root).unwrap_or(path);
            self.project.insert(path.to_owned());
        };
        for name in ["kiln.toml", "recipes", "base-images"] {
            add(&root.join(name));
        }
        add(&root.join(Project::released_path()));
        for entry in recipe_folders(root) {
            if is_recipe_folder(&entry) {
                add(&entry.join(RECIPE_FILE));
            } else {
                add(&entry);
            }
        }
        for loaded in project.recipes.values() {
            let patches = loaded
                .recipe
                .patches
                .iter()
                .map(|patch| patch.file.as_str());
            let files = patches.chain(loaded.installed.keys().map(String::as_str));
            files.for_each(|file| add(&loaded.folder.join(file)));
        }
        for entry in sorted_entries(&root.join("base-images")) {
            if entry
                .extension()
                .is_some_and(|extension| extension == "yaml")
            {
                add(&entry);
            }
        }
        for base in project.bases.values() {
            if let BaseOrigin::Archive(archive) = &base.origin {
                let keys = archive.keys.iter();
                keys.for_each(|key| add(&root.join("base-images").join(key)));
            }
        }
    }

    fn add_locks(&mut self, shop: &Workshop<'_>, plan: &Plan) {
        let (project, architecture) = (shop.project, shop.architecture);
        // A lockfile that appears may pin what was left out.
        for loaded in project.recipes.values() {
            if loaded.recipe.needs_lock_for_sources() {
                let path = project.recipe_lock_path(&loaded.recipe.name, SOURCES_OF);
                let path = path.strip_prefix(&project.root).unwrap_or(&path);
                self.project.insert(path.to_owned());
            }
        }
        for node in &plan.graph.order {
            let base = &project.recipes[&node.recipe].recipe.base;
            for path in [
                project.recipe_lock_path(&node.recipe, architecture),
                project.base_lock_path(base, architecture),
            ] {
                let path = path.strip_prefix(&project.root).unwrap_or(&path);
                self.project.insert(path.to_owned());
            }
        }
    }

    fn add_output(&mut self, output: &Path, memory: &Memory) {
        for file in memory.files() {
            let places = match file.is_of_one_run() {
                true => &mut self.run_records,
                false => &mut self.output,
            };
            places.insert(file.path().to_owned());
        }
        // Packages that people put there may be taken into the repository.
        let rpms = output.join("rpms");
        let folders = sorted_entries(&rpms)
            .into_iter()
            .filter(|path| path.is_dir());
        for folder in folders.chain([rpms.clone()]) {
            let path = folder.strip_prefix(output).unwrap_or(&folder);
            self.output.insert(path.to_owned());
        }
    }

    /// Returns the digest over the looks of everything; `None` where something can not be trusted.
    /// Looks that are to be remembered must have settled before `began`.
    fn looks(&self, asked: &Asked<'_>, began: Option<i64>) -> Option<Digest> {
        let store = asked.store.root();
        let device = lstat(store).ok()?.st_dev;
        let trust = Trust { device, began };
        let mut text = format!("{:?}\n", asked.program);
        for path in &self.project {
            trust.look(&mut text, &asked.root.join(path))?;
        }
        for key in &self.actions {
            trust.look(&mut text, &store.join("actions").join(key.to_hex()))?;
        }
        for path in &self.output {
            trust.look(&mut text, &asked.output.join(path))?;
        }
        let is_file = |path: &Path| {
            let kind = lstat(path).map(|found| FileType::from_raw_mode(found.st_mode));
            kind.is_ok_and(|kind| kind.is_file())
        };
        // Nothing is taken from the store, so nothing has to be leased.
        let blob = |blob: &Digest| is_file(&asked.store.blob_path(blob));
        let blobs = self.blobs.iter().all(blob);
        let mut records = self.run_records.iter();
        let all = blobs && records.all(|path| is_file(&asked.output.join(path)));
        all.then(|| Digest::of(text.as_bytes()))
    }
}

/// Which looks are trusted.
struct Trust {
    device: u64,
    began: Option<i64>,
}

impl Trust {
    /// Adds what a file or folder looks like; `None` where that says too little.
    fn look(&self, text: &mut String, path: &Path) -> Option<()> {
        let found = match lstat(path) {
            Ok(found) => found,
            Err(rustix::io::Errno::NOENT) => {
                text.push_str("absent\n");
                return Some(());
            }
            Err(_) => return None,
        };
        let kind = FileType::from_raw_mode(found.st_mode);
        let is_settled = |began: i64| found.st_ctime.saturating_add(SETTLED) < began;
        let is_trusted = (kind.is_file() || kind.is_dir())
            && found.st_dev == self.device
            && self.began.is_none_or(is_settled);
        let written = writeln!(
            text,
            "{} {} {} {} {} {} {}",
            found.st_mode,
            found.st_ino,
            found.st_size,
            found.st_mtime,
            found.st_mtime_nsec,
            found.st_ctime,
            found.st_ctime_nsec
        );
        (is_trusted && written.is_ok()).then_some(())
    }
}

#[cfg(test)]
mod tests;
