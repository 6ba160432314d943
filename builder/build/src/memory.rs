//! What a run put into `out/`, remembered, so that a run with nothing to do derives nothing again.
//!
//! One record per `out/` folder, in the store. For each product and base image it holds a key over
//! everything that its files follow from, and every file with its digest. If the key is the same and
//! every file still has its digest, the product is done; otherwise everything is derived as if there
//! were no record, and only what has other bytes is written.
//!
//! What stands in the key, beside the name of the product:
//!
//! | field | why |
//! |---|---|
//! | `program` | another kiln may write other specs, SBOMs and provenance |
//! | `settings` | the organisation is in RPMs and SBOMs |
//! | `architecture` | |
//! | `nodes` | per recipe in the product: the recipe's, its installed files' and its lockfile's digest, its release, where it is installed, the record of its build without its times, and what it was built in |
//! | `bases` | the base images' lockfiles: versions and digests of packages |
//!
//! What is trusted: that a file in `out/` whose device, inode, size, modification time and change time
//! are those of a file that was read has the same bytes. No program can set a change time. A file that
//! was changed less than two seconds before the record was written is read again, because a later write
//! might not show in a coarse clock. What is not seen is a disk that forgets bits: `rpm -K` reads
//! everything. No blob of the store is used on this way, so none has to be verified; a lost or damaged
//! record is no record.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use kiln_model::{Digest, ReleasedLock};
use kiln_store::{FileIdentity, RecordKind, Store, observe_file};
use serde::{Deserialize, Serialize};

use crate::compile::Built;
use crate::error::BuildError;
use crate::graph::NodeId;
use crate::key::canonical_json;
use crate::plan::Plan;
use crate::rootfs::Rootfs;
use crate::stage::Product;
use crate::workshop::Workshop;

/// The format of the record.
const MEMORY_FORMAT: u32 = 2;

/// Everything that is remembered of one `out/` folder.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Remembered {
    format: u32,
    /// By name of the recipe, of the package of a base image, or of a part of the repository.
    outputs: BTreeMap<String, RememberedOutput>,
}

/// What one product or base image has in `out/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct RememberedOutput {
    key: Digest,
    /// How long packaging took when it was done.
    elapsed_ms: u64,
    /// The blob with the inputs of packaging: the key that its packages were made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inputs: Option<Digest>,
    files: Vec<RememberedFile>,
}

impl RememberedOutput {
    /// Everything that was made from `key`.
    pub(crate) fn new(key: Digest, files: Vec<RememberedFile>) -> Self {
        Self {
            key,
            elapsed_ms: 0,
            inputs: None,
            files,
        }
    }

    /// The same, of packages: how long packaging took, and the blob with its inputs.
    pub(crate) fn of_packages(self, elapsed_ms: u64, inputs: Digest) -> Self {
        Self {
            elapsed_ms,
            inputs: Some(inputs),
            ..self
        }
    }

    /// Returns whether none of its packages was released with another content.
    fn agrees_with(&self, released: &ReleasedLock) -> bool {
        let rpms = self.files.iter().filter_map(|file| file.rpm.as_ref());
        rpms.into_iter().all(|rpm| {
            let found = released.package(&rpm.nevra);
            found.is_none_or(|found| found.content == rpm.content)
        })
    }
}

/// The RPMs of a product that is as it was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RememberedRpms {
    /// Paths below `out/`, with their bytes.
    pub(crate) files: Vec<(PathBuf, u64)>,
    /// How long packaging took when it was done.
    pub(crate) elapsed_ms: u64,
    /// The blob with the inputs of packaging.
    pub(crate) inputs: Option<Digest>,
}

/// One file in `out/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct RememberedFile {
    /// Relative to `out/`.
    path: PathBuf,
    /// `None` for a run record: it tells of one run and only has to be there.
    sha256: Option<Digest>,
    /// What the file looked like when it had that digest.
    identity: Option<FileIdentity>,
    /// Of a package: what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rpm: Option<RpmIdentity>,
}

/// What a package is, whoever signed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct RpmIdentity {
    pub(crate) nevra: String,
    /// The digest of header and payload.
    pub(crate) content: Digest,
}

/// A package in `out/` that is as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RepositoryRpm {
    /// The recipe, or the package of a base image; [`EARLIER`] for one of an earlier release.
    pub(crate) owner: String,
    /// Relative to `out/`.
    pub(crate) path: PathBuf,
    pub(crate) sha256: Digest,
    pub(crate) size: u64,
    pub(crate) identity: RpmIdentity,
    /// The blob with the inputs of packaging.
    pub(crate) inputs: Option<Digest>,
}

/// Owns the metadata of the repository. No recipe's name has a slash.
pub(crate) const REPODATA: &str = "rpms/repodata";
/// Owns the packages of earlier releases. No recipe's name has a slash.
pub(crate) const EARLIER: &str = "rpms/earlier";

impl RememberedFile {
    /// Returns where it is, relative to `out/`.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether every content of it is right.
    pub(crate) const fn is_of_one_run(&self) -> bool {
        self.sha256.is_none()
    }

    /// Returns what it is, if it is a package.
    pub(crate) const fn rpm(&self) -> Option<&RpmIdentity> {
        self.rpm.as_ref()
    }

    /// A file that was just written, or found right.
    pub(crate) fn new(path: &Path, bytes: &[u8]) -> Self {
        Self::with_digest(path, Digest::of(bytes))
    }

    /// The same, of a file whose digest is known.
    pub(crate) fn with_digest(path: &Path, sha256: Digest) -> Self {
        Self {
            path: path.to_owned(),
            sha256: Some(sha256),
            identity: None,
            rpm: None,
        }
    }

    /// The same, of a package.
    pub(crate) fn of_package(path: &Path, sha256: Digest, rpm: RpmIdentity) -> Self {
        let rpm = Some(rpm);
        Self {
            rpm,
            ..Self::with_digest(path, sha256)
        }
    }

    /// A file of which every content is right.
    pub(crate) fn of_one_run(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            sha256: None,
            identity: None,
            rpm: None,
        }
    }
}

/// The memory of one `out/` folder.
#[derive(Debug)]
pub(crate) struct Memory {
    store: Store,
    output: PathBuf,
    outputs: BTreeMap<String, RememberedOutput>,
    is_changed: bool,
}

impl Memory {
    /// Reads what earlier runs of this program left for the folder `output`; nothing without a known
    /// program, since another one may derive other documents from the same.
    pub(crate) fn load(
        store: &Store,
        output: &Path,
        program: Option<FileIdentity>,
    ) -> Result<Self, BuildError> {
        let bytes = store.read_record(RecordKind::Output, &place(output))?;
        let remembered = bytes
            .filter(|_| program.is_some())
            .and_then(|bytes| serde_json::from_slice::<Remembered>(&bytes).ok())
            .filter(|remembered| remembered.format == MEMORY_FORMAT);
        Ok(Self {
            store: store.clone(),
            output: output.to_owned(),
            outputs: remembered.map_or_else(BTreeMap::new, |found| found.outputs),
            is_changed: false,
        })
    }

    /// Returns the RPMs of `name`, with their bytes, if everything that it has in `out/` was made from
    /// `key` and is still as it was, and nothing else was released under the same names.
    pub(crate) fn unchanged(
        &mut self,
        name: &str,
        key: Digest,
        released: &ReleasedLock,
    ) -> Option<RememberedRpms> {
        let mut output = self.outputs.get(name)?.clone();
        if output.key != key || !output.agrees_with(released) {
            return None;
        }
        let mut rpms = Vec::new();
        for file in &mut output.files {
            let found = self.check(file)?;
            if file.rpm.is_some() && file.path.starts_with("rpms") {
                rpms.push((file.path.clone(), found.size()));
            }
        }
        let (elapsed_ms, inputs) = (output.elapsed_ms, output.inputs);
        if self.outputs.get(name) != Some(&output) {
            self.is_changed = true;
            self.outputs.insert(name.to_owned(), output);
        }
        Some(RememberedRpms {
            files: rpms,
            elapsed_ms,
            inputs,
        })
    }

    /// Returns what a file looks like if it is as it was, and remembers that.
    fn check(&self, file: &mut RememberedFile) -> Option<FileIdentity> {
        let path = self.output.join(&file.path);
        let found = FileIdentity::at(&path)?;
        let Some(expected) = file.sha256 else {
            return Some(found);
        };
        if file.identity != Some(found) {
            let observed = observe_file(&path).ok()?;
            if observed.digest != expected {
                return None;
            }
            file.identity = observed.identity;
        }
        Some(found)
    }

    /// Takes note of everything that `name` has in `out/` now; returns the packages that it had and has
    /// no more.
    pub(crate) fn remember(&mut self, name: &str, output: RememberedOutput) -> Vec<RememberedFile> {
        self.is_changed = true;
        let replaced = self.outputs.insert(name.to_owned(), output);
        let current = &self.outputs[name].files;
        let replaced = replaced.map_or_else(Vec::new, |output| output.files);
        let is_gone = |file: &RememberedFile| {
            file.rpm.is_some() && current.iter().all(|now| now.path != file.path)
        };
        replaced.into_iter().filter(is_gone).collect()
    }

    /// Returns every package that is in `out/` as it was, sorted by path.
    pub(crate) fn packages(&mut self) -> Vec<RepositoryRpm> {
        self.packages_or_changed().0
    }

    /// Returns the same, and the packages that are missing or have other bytes.
    pub(crate) fn packages_or_changed(&mut self) -> (Vec<RepositoryRpm>, Vec<PathBuf>) {
        let (mut packages, mut changed) = (Vec::new(), Vec::new());
        for name in self.outputs.keys().cloned().collect::<Vec<_>>() {
            let mut output = self.outputs[&name].clone();
            for file in &mut output.files {
                let (Some(identity), Some(sha256)) = (file.rpm.clone(), file.sha256) else {
                    continue;
                };
                let Some(found) = self.check(file) else {
                    changed.push(file.path.clone());
                    continue;
                };
                packages.push(RepositoryRpm {
                    owner: name.clone(),
                    path: file.path.clone(),
                    sha256,
                    size: found.size(),
                    identity,
                    inputs: output.inputs,
                });
            }
            if self.outputs[&name] != output {
                self.is_changed = true;
                self.outputs.insert(name, output);
            }
        }
        packages.sort_by(|a, b| a.path.cmp(&b.path));
        (packages, changed)
    }

    /// Takes note that a package has other bytes now: those of its signed form.
    pub(crate) fn replace(&mut self, package: &RepositoryRpm, sha256: Digest) {
        let Some(output) = self.outputs.get_mut(&package.owner) else {
            return;
        };
        self.is_changed = true;
        for file in output
            .files
            .iter_mut()
            .filter(|file| file.path == package.path)
        {
            *file = RememberedFile::of_package(&package.path, sha256, package.identity.clone());
        }
    }

    /// Keeps packages of an earlier release.
    pub(crate) fn keep(&mut self, files: Vec<RememberedFile>) {
        if files.is_empty() {
            return;
        }
        self.is_changed = true;
        let earlier = self.outputs.entry(EARLIER.to_owned());
        let earlier = earlier.or_insert_with(|| RememberedOutput::new(Digest::of(b""), Vec::new()));
        earlier
            .files
            .retain(|old| files.iter().all(|new| new.path != old.path));
        earlier.files.extend(files);
        earlier.files.sort_by(|a, b| a.path.cmp(&b.path));
    }

    /// Forgets packages of earlier releases that are gone, or that are a recipe's own again.
    pub(crate) fn drop_stale_earlier(&mut self) {
        let Some(mut earlier) = self.outputs.remove(EARLIER) else {
            return;
        };
        let before = earlier.clone();
        let own = self.paths();
        earlier
            .files
            .retain_mut(|file| !own.contains(file.path.as_path()) && self.check(file).is_some());
        self.is_changed |= earlier != before;
        if !earlier.files.is_empty() {
            self.outputs.insert(EARLIER.to_owned(), earlier);
        }
    }

    /// Lets the repository's metadata be published again.
    pub(crate) fn forget_metadata(&mut self) {
        self.is_changed |= self.outputs.remove(REPODATA).is_some();
    }

    /// Returns every file that is remembered.
    pub(crate) fn files(&self) -> impl Iterator<Item = &RememberedFile> {
        self.outputs.values().flat_map(|output| &output.files)
    }

    /// Returns the paths of all files that are remembered.
    pub(crate) fn paths(&self) -> BTreeSet<&Path> {
        self.files().map(RememberedFile::path).collect()
    }

    /// Returns whether a file has the bytes that are remembered of it.
    pub(crate) fn is_as_it_was(&self, file: &RememberedFile) -> bool {
        self.check(&mut file.clone()).is_some()
    }

    /// Keeps it for the next run.
    ///
    /// # Errors
    /// `Store`, as the system refuses.
    pub(crate) fn save(mut self) -> Result<(), BuildError> {
        if !self.is_changed {
            return Ok(());
        }
        self.forget_unsettled();
        let remembered = Remembered {
            format: MEMORY_FORMAT,
            outputs: self.outputs,
        };
        let bytes = serde_json::to_vec(&remembered).expect("texts and numbers");
        let place = place(&self.output);
        Ok(self
            .store
            .write_record(RecordKind::Output, &place, &bytes)?)
    }

    /// Forgets the looks of files so young that a later write may not show in them. The clock is that
    /// of the file system: a new file beside them, which has no name to be left behind.
    fn forget_unsettled(&mut self) {
        let now = tempfile::tempfile_in(&self.output)
            .ok()
            .and_then(|file| FileIdentity::of(&file).ok());
        for file in self.outputs.values_mut().flat_map(|o| &mut o.files) {
            let is_settled = |found: &FileIdentity| now.is_some_and(|now| found.is_settled(&now));
            file.identity = file.identity.filter(is_settled);
        }
    }
}

/// Names the record of an `out/` folder: file names have a limit, paths have none.
pub(crate) fn place(output: &Path) -> String {
    let path = std::path::absolute(output).unwrap_or_else(|_| output.to_owned());
    Digest::of(path.as_os_str().as_encoded_bytes()).to_hex()
}

/// Returns the key of everything that a product has in `out/`.
pub(crate) fn product_key(
    shop: &Workshop<'_>,
    product: &Product<'_>,
    plan: &Plan,
) -> Result<Digest, BuildError> {
    let mut nodes = BTreeMap::new();
    let mut bases = BTreeSet::new();
    for node in product.nodes() {
        bases.insert(shop.project.recipes[&node.recipe].recipe.base.clone());
        let facts = node_facts(shop, &node, &product.built[&node], &plan.rootfs[&node])?;
        nodes.insert(node.to_string(), facts);
    }
    let bases: BTreeMap<String, Option<Digest>> = bases
        .into_iter()
        .map(|base| (base.to_string(), plan.base_digests[&base]))
        .collect();
    Ok(key(
        shop,
        serde_json::json!({
            "product": product.node.to_string(),
            "nodes": nodes,
            "bases": bases,
        }),
    ))
}

/// Returns the key of the package of a base image.
pub(crate) fn base_key(
    shop: &Workshop<'_>,
    base: &kiln_model::BaseName,
    rootfs: &Rootfs,
) -> Result<Digest, BuildError> {
    let lock = base_lock_digest(shop, base)?;
    Ok(key(
        shop,
        serde_json::json!({ "base": base, "manifest": rootfs.manifest, "bases": lock }),
    ))
}

fn key(shop: &Workshop<'_>, mut value: serde_json::Value) -> Digest {
    // As text: canonical JSON has no whole numbers as large as an inode may be.
    value["program"] = format!("{:?}", shop.program).into();
    value["settings"] = serde_json::json!(shop.project.config);
    value["architecture"] = serde_json::json!(shop.architecture);
    Digest::of(&canonical_json(&value))
}

fn node_facts(
    shop: &Workshop<'_>,
    node: &NodeId,
    built: &Built,
    rootfs: &Rootfs,
) -> Result<serde_json::Value, BuildError> {
    let loaded = &shop.project.recipes[&node.recipe];
    Ok(serde_json::json!({
        "recipe": loaded.digest,
        "installed": loaded.installed_digests(),
        "lock": file_digest(&shop.project.recipe_lock_path(&node.recipe, shop.architecture))?,
        "release": loaded.recipe.release,
        "prefix": node.prefix.path(),
        "built": [built.key.0, built.destdir.0, built.files, built.sources.0],
        "rootfs": [Some(rootfs.manifest.0), rootfs.tools.map(|tools| tools.0)],
    }))
}

/// Returns the digest of a base image's lockfile; `None` for one that has none.
pub(crate) fn base_lock_digest(
    shop: &Workshop<'_>,
    base: &kiln_model::BaseName,
) -> Result<Option<Digest>, BuildError> {
    file_digest(&shop.project.base_lock_path(base, shop.architecture))
}

fn file_digest(path: &Path) -> Result<Option<Digest>, BuildError> {
    match fs_err::read(path) {
        Ok(bytes) => Ok(Some(Digest::of(&bytes))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An `out/` with one RPM, one document and one run record of the product `x`, remembered.
    struct Scene {
        folder: tempfile::TempDir,
        store: Store,
    }

    const RPM: &str = "rpms/x86_64/x-1-1.x86_64.rpm";
    const SBOM: &str = "sbom/x.cdx.json";
    const RUN: &str = "provenance/x.run.json";

    fn key() -> Digest {
        Digest::of(b"key")
    }

    fn identity() -> RpmIdentity {
        RpmIdentity {
            nevra: "x-1-1.x86_64".to_owned(),
            content: Digest::of(b"content"),
        }
    }

    #[test]
    fn what_was_released_with_another_content_is_derived_again() {
        let scene = Scene::new();
        let mut memory = scene.memory(&scene.out());
        let mut released = ReleasedLock::default();
        let inputs = std::collections::BTreeMap::new();
        released.record("x-1-2.x86_64", Digest::of(b"other"), "x-1-2", &inputs);
        assert!(memory.unchanged("x", key(), &released).is_some());
        let mut same = released.clone();
        same.record("x-1-1.x86_64", identity().content, "x-1-1", &inputs);
        assert!(memory.unchanged("x", key(), &same).is_some());
        released.record("x-1-1.x86_64", Digest::of(b"other"), "x-1-1", &inputs);
        assert_eq!(memory.unchanged("x", key(), &released), None);
    }

    #[test]
    fn packages_that_are_not_made_any_more_are_told_and_may_be_kept() {
        let scene = Scene::new();
        let out = scene.out();
        let mut memory = scene.memory(&out);
        let paths = |memory: &mut Memory| {
            let packages = memory.packages().into_iter();
            packages
                .map(|package| (package.owner, package.path))
                .collect::<Vec<_>>()
        };
        assert_eq!(paths(&mut memory), [("x".to_owned(), PathBuf::from(RPM))]);
        let gone = memory.remember("x", RememberedOutput::new(key(), Vec::new()));
        assert_eq!(
            gone.iter().map(RememberedFile::path).collect::<Vec<_>>(),
            [Path::new(RPM)]
        );
        assert_eq!(paths(&mut memory), []);
        memory.keep(gone.clone());
        memory.keep(gone);
        assert_eq!(
            paths(&mut memory),
            [(EARLIER.to_owned(), PathBuf::from(RPM))]
        );
        memory.drop_stale_earlier();
        assert!(memory.paths().contains(Path::new(RPM)));
        fs_err::write(out.join(RPM), "tampered").unwrap();
        let (packages, changed) = memory.packages_or_changed();
        assert_eq!((packages, changed), (Vec::new(), vec![PathBuf::from(RPM)]));
        memory.drop_stale_earlier();
        assert!(!memory.paths().contains(Path::new(RPM)));
    }

    impl Scene {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(&folder.path().join("store")).unwrap();
            let scene = Self { folder, store };
            for (path, text) in [(RPM, "package"), (SBOM, "bill"), (RUN, "today")] {
                crate::publish::publish(&scene.out().join(path), text.as_bytes()).unwrap();
            }
            let files = vec![
                RememberedFile::of_package(Path::new(RPM), Digest::of(b"package"), identity()),
                RememberedFile::new(Path::new(SBOM), b"bill"),
                RememberedFile::of_one_run(Path::new(RUN)),
            ];
            let out = scene.out();
            let mut memory = scene.memory(&out);
            let output = RememberedOutput::new(key(), files);
            memory.remember("x", output.of_packages(500, Digest::of(b"inputs")));
            memory.save().unwrap();
            scene
        }

        fn out(&self) -> PathBuf {
            self.folder.path().join("out")
        }

        fn program(&self) -> Option<FileIdentity> {
            FileIdentity::at(&self.store.root().join("kiln-store.json"))
        }

        fn memory(&self, out: &Path) -> Memory {
            Memory::load(&self.store, out, self.program()).unwrap()
        }

        fn unchanged(&self) -> Option<RememberedRpms> {
            let out = self.out();
            let mut memory = self.memory(&out);
            let rpms = memory.unchanged("x", key(), &ReleasedLock::default());
            memory.save().unwrap();
            rpms
        }
    }

    #[test]
    fn what_is_as_it_was_is_done() {
        let scene = Scene::new();
        let expected = Some(RememberedRpms {
            files: vec![(PathBuf::from(RPM), 7)],
            elapsed_ms: 500,
            inputs: Some(Digest::of(b"inputs")),
        });
        assert_eq!(scene.unchanged(), expected);
        assert_eq!(scene.unchanged(), expected, "and stays so");
        // A run record tells of one run: every content is right.
        fs_err::write(scene.out().join(RUN), "yesterday").unwrap();
        assert_eq!(scene.unchanged(), expected);
        // The same bytes in a new file.
        fs_err::copy(scene.out().join(SBOM), scene.out().join("copy")).unwrap();
        fs_err::rename(scene.out().join("copy"), scene.out().join(SBOM)).unwrap();
        assert_eq!(scene.unchanged(), expected);
    }

    type Change = fn(&Path);

    #[test]
    fn every_change_in_out_is_noticed() {
        let changes: [(&str, Change); 7] = [
            ("other bytes", |out| {
                fs_err::write(out.join(RPM), "packagE").unwrap()
            }),
            ("fewer bytes", |out| {
                fs_err::write(out.join(SBOM), "b").unwrap()
            }),
            ("a missing file", |out| {
                fs_err::remove_file(out.join(RPM)).unwrap()
            }),
            ("a missing run record", |out| {
                fs_err::remove_file(out.join(RUN)).unwrap()
            }),
            ("nothing left", |out| fs_err::remove_dir_all(out).unwrap()),
            ("a link to the same bytes", |out| {
                fs_err::rename(out.join(SBOM), out.join("moved")).unwrap();
                fs_err::os::unix::fs::symlink("../moved", out.join(SBOM)).unwrap();
            }),
            ("a time set back", |out| {
                let path = out.join(RPM);
                let modified = fs_err::metadata(&path).unwrap().modified().unwrap();
                fs_err::write(&path, "paCkage").unwrap();
                let file = fs_err::OpenOptions::new().write(true).open(&path).unwrap();
                file.file().set_modified(modified).unwrap();
            }),
        ];
        for (what, change) in changes {
            let scene = Scene::new();
            assert!(scene.unchanged().is_some(), "before: {what}");
            change(&scene.out());
            assert_eq!(scene.unchanged(), None, "{what}");
        }
    }

    #[test]
    fn looks_are_remembered_only_of_files_that_were_left_alone() {
        let scene = Scene::new();
        let out = scene.out();
        scene.unchanged();
        let identity = |scene: &Scene| scene.memory(&out).outputs["x"].files[0].identity;
        assert_eq!(identity(&scene), None, "the file is too young");
        // Files in an archive have old times, but their change time is that of unpacking: it counts.
        let rpm = fs_err::OpenOptions::new()
            .write(true)
            .open(out.join(RPM))
            .unwrap();
        rpm.file().set_modified(std::time::UNIX_EPOCH).unwrap();
        scene.unchanged();
        assert_eq!(identity(&scene), None, "a modification time can be set");
    }

    #[test]
    fn what_can_not_be_relied_on_is_forgotten() {
        let scene = Scene::new();
        let out = scene.out();
        let mut memory = scene.memory(&out);
        let none = ReleasedLock::default();
        assert_eq!(memory.unchanged("x", Digest::of(b"other key"), &none), None);
        assert_eq!(memory.unchanged("y", key(), &none), None);
        let mut memory = Memory::load(&scene.store, &out, None).unwrap();
        assert_eq!(
            memory.unchanged("x", key(), &none),
            None,
            "an unknown program"
        );
        let elsewhere = scene.folder.path().join("elsewhere");
        assert_eq!(scene.memory(&elsewhere).unchanged("x", key(), &none), None);

        let place = place(&out);
        for damaged in [&b"{"[..], br#"{"format":3,"outputs":{}}"#, b"{}"] {
            let kind = RecordKind::Output;
            scene.store.write_record(kind, &place, damaged).unwrap();
            assert_eq!(scene.unchanged(), None);
        }
    }
}
