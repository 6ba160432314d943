//! What the steps of a recipe call, and whether its root file system has it: looked for before the first
//! step runs, so that a base image without a compiler or rpmbuild is told from a source that does not build.
//!
//! Only what kiln's own scripts call is looked for: what a recipe's scripts call, its author knows.

use std::collections::VecDeque;
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use kiln_model::Recipe;
use kiln_model::recipe::Preset;

use crate::compile::BuildInputs;
use crate::error::BuildError;
use crate::project::Project;
use crate::rootfs::Rootfs;
use crate::workshop::Workshop;

/// A program that some step calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// Names by which it may be there: one of them is enough.
    programs: &'static [&'static str],
    /// What calls it.
    caller: &'static str,
    /// The Debian package that has it.
    pub debian: &'static str,
    /// The package of Fedora's descendants that has it.
    pub rhel: &'static str,
}

impl fmt::Display for Need {
    /// Writes `` `cc` or `gcc` (the autotools steps call it) ``.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self
            .programs
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        write!(f, "{} ({})", names.join(" or "), self.caller)
    }
}

const fn need(
    programs: &'static [&'static str],
    caller: &'static str,
    (debian, rhel): (&'static str, &'static str),
) -> Need {
    Need {
        programs,
        caller,
        debian,
        rhel,
    }
}

const SHELL: Need = need(&["sh"], "every step", ("dash", "bash"));
const PATCH: Need = need(&["patch"], "the recipe's patches", ("patch", "patch"));
const COMPILER: &[&str] = &["cc", "gcc"];
const AUTOTOOLS: &[Need] = &[
    need(COMPILER, "the steps of autotools", ("gcc", "gcc")),
    need(&["make"], "the steps of autotools", ("make", "make")),
    need(
        &["find"],
        "the steps of autotools",
        ("findutils", "findutils"),
    ),
];
const CMAKE: &[Need] = &[
    need(&["cmake"], "the steps of cmake", ("cmake", "cmake")),
    need(COMPILER, "the steps of cmake", ("gcc", "gcc")),
    need(&["make"], "the steps of cmake", ("make", "make")),
];
const MESON: &[Need] = &[
    need(&["meson"], "the steps of meson", ("meson", "meson")),
    need(
        &["ninja"],
        "the steps of meson",
        ("ninja-build", "ninja-build"),
    ),
    need(COMPILER, "the steps of meson", ("gcc", "gcc")),
];
const MAKE: &[Need] = &[need(&["make"], "the steps of make", ("make", "make"))];
/// What every package is made with; debug information asks for more, which the spec looks for.
const PACKAGING: &[Need] = &[
    need(&["rpmbuild"], "packaging", ("rpm", "rpm-build")),
    need(&["find"], "packaging", ("findutils", "findutils")),
];

/// Where a sandbox looks for programs, in its order.
const FOLDERS: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// Links on the way to one file: as many as the kernel follows.
const MOST_LINKS: usize = 40;

/// Returns what the steps of a recipe call.
fn needs_of(recipe: &Recipe) -> Vec<Need> {
    let mut needs = vec![SHELL];
    if !recipe.patches.is_empty() {
        needs.push(PATCH);
    }
    // A script of the recipe's in place of the preset's may do without.
    if recipe.steps.build.is_none() {
        needs.extend(match recipe.steps.preset {
            Preset::Autotools => AUTOTOOLS,
            Preset::Cmake => CMAKE,
            Preset::Meson => MESON,
            Preset::Make => MAKE,
            Preset::None => &[],
        });
    }
    needs
}

/// Looks for everything that a node's steps call in its trees, and for what packages it in the base's.
///
/// # Errors
/// `Lacking`, with all that is missing.
pub(crate) fn check_needs(
    shop: &Workshop<'_>,
    inputs: &BuildInputs<'_>,
    lower: &[PathBuf],
) -> Result<(), BuildError> {
    let recipe = &inputs.loaded.recipe;
    let mut lacking = lacking(&needs_of(recipe), lower);
    if !recipe.packages.is_empty() {
        let base = inputs.rootfs.base_only(shop)?;
        let more = self::lacking(PACKAGING, &base).into_iter();
        lacking.extend(more);
    }
    check(shop.project, recipe.name.as_str(), inputs.rootfs, lacking)
}

/// Looks for what packages `what` in the base image.
///
/// # Errors
/// As [`check_needs`].
pub(crate) fn check_packaging(
    shop: &Workshop<'_>,
    what: &str,
    rootfs: &Rootfs,
) -> Result<(), BuildError> {
    let lacking = lacking(PACKAGING, &rootfs.base_only(shop)?);
    check(shop.project, what, rootfs, lacking)
}

fn check(
    project: &Project,
    what: &str,
    rootfs: &Rootfs,
    lacking: Vec<Need>,
) -> Result<(), BuildError> {
    if lacking.is_empty() {
        return Ok(());
    }
    Err(BuildError::Lacking {
        what: what.to_owned(),
        file: project.base_file(rootfs.base_name()),
        base: rootfs.base_name().clone(),
        is_assembled: rootfs.is_assembled(),
        lacking,
    })
}

fn lacking(needs: &[Need], trees: &[PathBuf]) -> Vec<Need> {
    let is_there = |need: &Need| {
        need.programs
            .iter()
            .any(|program| has_program(trees, program))
    };
    needs
        .iter()
        .filter(|need| !is_there(need))
        .copied()
        .collect()
}

fn has_program(trees: &[PathBuf], program: &str) -> bool {
    FOLDERS
        .iter()
        .any(|folder| is_program(trees, &format!("{folder}/{program}")))
}

/// Returns whether a path leads to a program in trees that lie one over the other, topmost first. Links
/// lead from the root of all of them, never out.
fn is_program(trees: &[PathBuf], path: &str) -> bool {
    let mut open: VecDeque<String> = components(path);
    let mut place = PathBuf::new();
    let mut links = 0;
    while let Some(component) = open.pop_front() {
        if component == ".." {
            place.pop();
            continue;
        }
        place.push(&component);
        let Some((real, found)) = trees.iter().find_map(|tree| look(tree, &place)) else {
            return false;
        };
        if found.is_symlink() {
            links += 1;
            let Some(target) = fs_err::read_link(real).ok().filter(|_| links <= MOST_LINKS) else {
                return false;
            };
            let target = target.to_string_lossy().into_owned();
            match target.starts_with('/') {
                true => place = PathBuf::new(),
                false => drop(place.pop()),
            }
            for component in components(&target).into_iter().rev() {
                open.push_front(component);
            }
        } else if open.is_empty() {
            return found.is_file() && found.mode() & 0o111 != 0;
        }
    }
    false
}

fn look(tree: &Path, place: &Path) -> Option<(PathBuf, std::fs::Metadata)> {
    let real = tree.join(place);
    let found = real.symlink_metadata().ok()?;
    Some((real, found))
}

fn components(path: &str) -> VecDeque<String> {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    parts.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    /// Makes a tree of programs (`usr/bin/x`), plain files (`usr/bin/x-`) and links (`a -> b`).
    fn tree(entries: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for entry in entries {
            let (place, target) = entry.split_once(" -> ").unwrap_or((entry, ""));
            let path = folder.path().join(place.trim_end_matches('-'));
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            if !target.is_empty() {
                symlink(target, &path).unwrap();
                continue;
            }
            fs_err::write(&path, "").unwrap();
            let mode = if place.ends_with('-') { 0o644 } else { 0o755 };
            fs_err::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        folder
    }

    #[test]
    fn programs_are_found_through_links_within_the_trees() {
        let base = tree(&[
            "usr/bin/gcc-12",
            "usr/bin/gcc -> gcc-12",
            "usr/bin/cc -> /etc/alternatives/cc",
            "etc/alternatives/cc -> ../../usr/bin/gcc",
            "usr/bin/plain-",
            "usr/bin/away -> nowhere",
            "usr/bin/round -> round",
            "usr/bin/out -> ../../../../../../../../bin/sh",
            "usr/sbin/folder/x",
            "usr/bin/tool -> /opt/tool",
            "bin -> usr/bin",
        ]);
        let tools = tree(&["opt/tool", "usr/bin/gcc-12-"]);
        let base = [base.path().to_owned()];
        let both = [tools.path().to_owned(), base[0].clone()];
        for (program, alone, together) in [
            ("gcc-12", true, false),
            ("gcc", true, false),
            ("cc", true, false),
            ("plain", false, false),
            ("away", false, false),
            ("round", false, false),
            ("out", false, false),
            ("folder", false, false),
            ("tool", false, true),
            ("missing", false, false),
        ] {
            assert_eq!(has_program(&base, program), alone, "{program}");
            assert_eq!(has_program(&both, program), together, "{program}");
        }
        assert!(is_program(&base, "/bin/gcc"));
    }

    #[test]
    fn what_is_missing_is_named_with_who_calls_it() {
        let tree = tree(&["usr/bin/make", "usr/bin/gcc", "usr/bin/sh"]);
        let trees = [tree.path().to_owned()];
        let shown = |needs: &[Need]| -> Vec<String> {
            lacking(needs, &trees).iter().map(Need::to_string).collect()
        };
        assert_eq!(shown(AUTOTOOLS), ["`find` (the steps of autotools)"]);
        assert_eq!(shown(MAKE), [""; 0]);
        assert_eq!(
            shown(MESON),
            [
                "`meson` (the steps of meson)",
                "`ninja` (the steps of meson)"
            ]
        );
        let bare = self::tree(&[]);
        let lacking = lacking(&[COMPILERS], &[bare.path().to_owned()]);
        assert_eq!(
            lacking[0].to_string(),
            "`cc` or `gcc` (the steps of autotools)"
        );
    }

    const COMPILERS: Need = AUTOTOOLS[0];
}
