//! `package`: from finished builds to RPMs, beside plain `rpmbuild -bb` of the same tree.
//!
//! Ours is a whole `kiln build` of a recipe whose builds are all in the store and whose summary changed, so
//! that it is packaged again: reading what was installed, looking at every file, the sealed rpmbuild, the
//! source RPM, reading the packages back, SBOMs, provenance, repository and `out/`. Theirs is the same
//! spec, the same tree and source files, the same macros and arguments, in a `chroot` of a plain copy of the
//! same root file system, without the source RPM and with nothing before or after it. Both must yield the
//! same bytes, or there is no figure.

use std::path::{Path, PathBuf};

use kiln_build::Graph;
use kiln_model::{DiffId, Digest, RecipeName};
use kiln_rpm::{PackagingStep, packaging_step};
use kiln_store::Store;
use serde_json::Value;

use crate::command::{chrooted, command, need, run};
use crate::error::BenchError;
use crate::figure::{Figure, in_turn};
use crate::seed::{copy_files, link_tree, remove};
use crate::setting::{ARCHITECTURE, Setting, ratio};

/// How many words of rpmbuild's shell come before the program.
const SHELL_WORDS: usize = 4;

/// Measures it.
pub fn measure(setting: &Setting) -> Result<Vec<Figure>, BenchError> {
    need("unshare", "util-linux")?;
    need("rpm2cpio", "rpm")?;
    need("cpio", "cpio")?;
    let recipe = &setting.cold_recipe;
    let folder = setting.folder("package")?;
    let ours = Ours::prepare(setting, &folder)?;
    ours.build(0)?;
    let theirs = Theirs::prepare(setting, &ours, &folder)?;
    let mut number = 0;
    let pair = in_turn(
        setting.runs,
        || {
            number += 1;
            ours.build(number)
        },
        || theirs.package(),
    )?;
    theirs.compare(&ours)?;
    let what = format!("finished builds of {recipe} to RPMs, documents and repository");
    let peer = "`rpmbuild -bb` of the same tree in a chroot";
    Ok(vec![ratio("package", &what, peer, pair, setting.runs, 1.1)])
}

/// Kiln, a store that has all builds, and a copy of the project.
struct Ours<'a> {
    setting: &'a Setting,
    project: PathBuf,
    store: PathBuf,
    out: PathBuf,
    recipe: PathBuf,
    text: String,
}

impl<'a> Ours<'a> {
    fn prepare(setting: &'a Setting, folder: &Path) -> Result<Self, BenchError> {
        let project = folder.join("project");
        fs_err::create_dir_all(&project)?;
        let root = &setting.project.root;
        for name in ["recipes", "base-images", "lockfiles"] {
            copy_files(&root.join(name), &project.join(name))?;
        }
        fs_err::copy(root.join("kiln.toml"), project.join("kiln.toml"))?;
        let store = folder.join("store");
        link_tree(&setting.store, &store)?;
        let name = setting.cold_recipe.as_str();
        let recipe = project.join("recipes").join(name).join("recipe.yaml");
        let text = fs_err::read_to_string(&recipe)?;
        Ok(Self {
            setting,
            out: folder.join("out"),
            project,
            store,
            recipe,
            text,
        })
    }

    /// Packages once more. The first time is the recipe as it is.
    fn build(&self, number: usize) -> Result<std::time::Duration, BenchError> {
        if number > 0 {
            let changed = self
                .text
                .replacen("\nsummary: ", &format!("\nsummary: {number} "), 1);
            fs_err::write(&self.recipe, changed)?;
        }
        remove(&self.out)?;
        let mut kiln = self.setting.kiln(&self.project, &self.store, &self.out);
        Ok(run(kiln.args(["build", self.setting.cold_recipe.as_str()]))?.elapsed)
    }

    fn rpms(&self) -> PathBuf {
        self.out.join("rpms").join(ARCHITECTURE.rpm())
    }
}

/// The same tree and spec without kiln.
struct Theirs {
    root: PathBuf,
    build: PathBuf,
    step: PackagingStep,
    /// What the first packaging by kiln yielded, by file name.
    expected: PathBuf,
}

impl Theirs {
    fn prepare(setting: &Setting, ours: &Ours<'_>, folder: &Path) -> Result<Self, BenchError> {
        let store = Store::open(&ours.store).map_err(|error| BenchError::kiln("store")(&error))?;
        let root = folder.join("root");
        let tree = |digest: &Digest| {
            setting
                .store
                .join("trees")
                .join(digest.to_hex())
                .join("root")
        };
        fs_err::create_dir_all(&root)?;
        copy_files(&tree(&setting.base_lock()?.layer.0), &root)?;
        for mount in ["build", "proc", "dev", "tmp"] {
            fs_err::create_dir_all(root.join(mount))?;
        }
        let build = folder.join("build");
        let recipe = &setting.project.recipes[&setting.cold_recipe].recipe;
        let name =
            recipe.name.as_str().parse().map_err(|_| {
                BenchError::skipped(format!("`{}` is no package name", recipe.name))
            })?;
        let step = packaging_step(&name, ARCHITECTURE, recipe.planned().source_date);
        for below in ["destdir", "src", "rpmbuild/SPECS", "rpmbuild/tmp", "made"] {
            fs_err::create_dir_all(build.join(below))?;
        }
        let spec = format!("{name}.spec");
        fs_err::copy(
            ours.out.join("specs").join(&spec),
            build.join("rpmbuild/SPECS").join(&spec),
        )?;
        let expected = folder.join("expected");
        fs_err::create_dir_all(&expected)?;
        copy_files(&ours.rpms(), &expected)?;
        let theirs = Self {
            root,
            build,
            step,
            expected,
        };
        theirs.fill(setting, ours, &store, &tree)?;
        Ok(theirs)
    }

    /// Puts the tree together as kiln does: own files, what is carried, what kiln makes itself.
    fn fill(
        &self,
        setting: &Setting,
        ours: &Ours<'_>,
        store: &Store,
        tree: &dyn Fn(&Digest) -> PathBuf,
    ) -> Result<(), BenchError> {
        let recipe = setting.cold_recipe.as_str();
        let destdir = self.build.join("destdir");
        let unpack = format!(
            "set -e; cd \"$1/made\"; rpm2cpio \"$2\"/{recipe}-[0-9]*.src.rpm | cpio --quiet -idm; \
             tar -xf ./*-made.tar -C \"$1/destdir\""
        );
        let mut shell = command("sh");
        shell.args(["-c", &unpack, "sh"]).arg(&self.build);
        run(shell.arg(ours.out.join("srpms")))?;
        let info = destdir.join(format!(
            "usr/share/kiln/buildinfo/{recipe}-{ARCHITECTURE}.json"
        ));
        let info: Value = serde_json::from_slice(&fs_err::read(info)?)
            .map_err(|error| BenchError::kiln("build information")(&error))?;
        let graph = Graph::new(&setting.project, std::slice::from_ref(&setting.cold_recipe))
            .map_err(|error| BenchError::kiln("graph")(&error))?;
        for node in &graph.order {
            let digests = Digests::of(&info, &node.recipe, store)?;
            copy_files(&tree(&digests.sources.0), &self.build.join("src"))?;
            if node.recipe == setting.cold_recipe {
                copy_files(&tree(&digests.destdir.0), &destdir)?;
                continue;
            }
            for path in carried(setting, &graph, node, &tree(&digests.destdir.0)) {
                let (from, to) = (tree(&digests.destdir.0).join(&path), destdir.join(&path));
                fs_err::create_dir_all(to.parent().unwrap_or(&destdir))?;
                copy_one(&from, &to)?;
            }
        }
        Ok(())
    }

    fn package(&self) -> Result<std::time::Duration, BenchError> {
        let mut rpmbuild = chrooted(&self.root, &self.build, "/build", &self.step.environment);
        rpmbuild.args(&self.step.command[SHELL_WORDS..]);
        Ok(run(rpmbuild.args(["-bb", self.step.spec.as_str()]))?.elapsed)
    }

    /// Both packaged the same, or the figure is about nothing.
    fn compare(&self, ours: &Ours<'_>) -> Result<(), BenchError> {
        let folder = self.build.join("rpmbuild/RPMS").join(ARCHITECTURE.rpm());
        let recipe = format!("{}-", ours.setting.cold_recipe);
        for entry in walkdir::WalkDir::new(&self.expected)
            .min_depth(1)
            .sort_by_file_name()
        {
            let entry = entry.map_err(std::io::Error::from)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let made = fs_err::read(folder.join(&name)).unwrap_or_default();
            if name.starts_with(&recipe) && made != fs_err::read(entry.path())? {
                return Err(BenchError::skipped(format!(
                    "`{name}` differs: no fair peer"
                )));
            }
        }
        Ok(())
    }
}

fn copy_one(from: &Path, to: &Path) -> Result<(), BenchError> {
    if from.is_symlink() {
        fs_err::os::unix::fs::symlink(fs_err::read_link(from)?, to)?;
    } else {
        fs_err::copy(from, to)?;
    }
    Ok(())
}

/// Returns the files of a library that its consumers carry, below its tree.
fn carried(
    setting: &Setting,
    graph: &Graph,
    node: &kiln_build::NodeId,
    tree: &Path,
) -> Vec<String> {
    let prefix = node.prefix.path();
    let mut found = Vec::new();
    for (consumer, edges) in &graph.edges {
        for edge in edges.iter().filter(|edge| edge.node == *node) {
            let library =
                &setting.project.recipes[&consumer.recipe].recipe.libraries[&edge.library];
            let kiln_model::recipe::Choice::Bundle { carry, .. } = &library.choice else {
                continue;
            };
            for entry in walkdir::WalkDir::new(tree)
                .sort_by_file_name()
                .into_iter()
                .flatten()
            {
                let Ok(below) = entry.path().strip_prefix(tree) else {
                    continue;
                };
                let path = format!("/{}", below.display());
                let is_carried = path
                    .strip_prefix(prefix)
                    .is_some_and(|rest| carry.iter().any(|pattern| pattern.matches(rest)));
                if is_carried && !entry.file_type().is_dir() {
                    found.push(path[1..].to_owned());
                }
            }
        }
    }
    found
}

/// The trees of a finished build.
struct Digests {
    destdir: DiffId,
    sources: DiffId,
}

impl Digests {
    fn of(info: &Value, recipe: &RecipeName, store: &Store) -> Result<Self, BenchError> {
        let lost = || BenchError::skipped(format!("the store lacks the build of {recipe}"));
        let digest = |value: &Value| value.as_str()?.parse::<Digest>().ok();
        let own = &info["recipes"][recipe.as_str()];
        let key = digest(&own["build-key"]).ok_or_else(lost)?;
        let record = store
            .result(&key)
            .map_err(|error| BenchError::kiln("store")(&error))?;
        let record: Value = serde_json::from_slice(&record.ok_or_else(lost)?)
            .map_err(|error| BenchError::kiln("record of a build")(&error))?;
        Ok(Self {
            destdir: DiffId(digest(&own["destdir"]).ok_or_else(lost)?),
            sources: DiffId(digest(&record["sources"]).ok_or_else(lost)?),
        })
    }
}
