//! With which permissions, owner and capabilities a package's paths are installed.
//!
//! What an install step left counts, then each item of `attributes` whose pattern matches, the later one
//! over the earlier. Where a pattern matches anything but directories, its `mode` is not for directories:
//! `/etc/lantern/**` with "0640" is about the files.

use kiln_image::TreeEntryKind;
use kiln_model::recipe::{Attributes, FileMode, Package};
use kiln_model::{AccountName, FileCapabilities, Recipe};

use crate::claim::Rule;
use crate::finding::PackageFinding;
use crate::split::Owned;
use crate::stage::Stage;

/// What the recipe says about one path; `None` where it says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Given<'a> {
    pub(crate) mode: Option<FileMode>,
    pub(crate) owner: Option<&'a AccountName>,
    pub(crate) group: Option<&'a AccountName>,
    pub(crate) capabilities: Option<&'a FileCapabilities>,
    /// The items that say it.
    pub(crate) rules: Vec<Rule>,
}

/// What can have attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Link,
    Directory,
}

/// The attributes of one package.
#[derive(Debug)]
pub(crate) struct Attribution<'a> {
    package: &'a Package,
    /// Beside each item: whether its mode is for directories.
    items: Vec<(&'a Attributes, ModeFor)>,
}

/// What the mode of an item is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ModeFor {
    Files,
    Directories,
}

impl<'a> Attribution<'a> {
    pub(crate) fn new(package: &'a Package, stage: &Stage, owned: &Owned) -> Self {
        let items = package.attributes.iter().map(|item| {
            let mut matched = owned.files.iter().filter(|path| item.files.matches(path));
            let has_files = matched.any(|path| kind(stage, path) != Kind::Directory);
            let mode_for = if has_files {
                ModeFor::Files
            } else {
                ModeFor::Directories
            };
            (item, mode_for)
        });
        Self {
            package,
            items: items.collect(),
        }
    }

    /// Returns what the recipe says about a path.
    pub(crate) fn of(&self, stage: &Stage, path: &str) -> Given<'a> {
        let kind = kind(stage, path);
        let mut given = Given::default();
        for (item, mode_for) in &self.items {
            if !item.files.matches(path) {
                continue;
            }
            let has_mode = match kind {
                Kind::File => *mode_for == ModeFor::Files,
                Kind::Link => false,
                Kind::Directory => *mode_for == ModeFor::Directories,
            };
            given.mode = item.mode.filter(|_| has_mode).or(given.mode);
            given.owner = item.owner.as_ref().or(given.owner);
            given.group = item.group.as_ref().or(given.group);
            if kind == Kind::File {
                given.capabilities = item.capabilities.as_ref().or(given.capabilities);
            }
            let rule = Rule::new(&self.package.name, "attributes", item.files.as_str());
            given.rules.push(rule);
        }
        given
    }
}

fn kind(stage: &Stage, path: &str) -> Kind {
    match stage.files.get(path).map(|staged| &staged.kind) {
        Some(TreeEntryKind::File { .. } | TreeEntryKind::HardLink { .. }) => Kind::File,
        Some(TreeEntryKind::Symlink { .. }) => Kind::Link,
        Some(TreeEntryKind::Directory) | None => Kind::Directory,
    }
}

/// Reports items that are about nothing, and capabilities of what has none.
pub(crate) fn idle(
    recipe: &Recipe,
    package: &Package,
    stage: &Stage,
    owned: &Owned,
) -> Vec<PackageFinding> {
    let mut found = Vec::new();
    for item in &package.attributes {
        let paths = owned.files.iter().chain(&owned.directories);
        let kinds: Vec<Kind> = paths
            .filter(|path| item.files.matches(path))
            .map(|path| kind(stage, path))
            .collect();
        let pattern = &item.files;
        let what = if kinds.is_empty() {
            format!("`{pattern}` match nothing that `{}` owns", package.name)
        } else if item.capabilities.is_some() && !kinds.contains(&Kind::File) {
            format!("`{pattern}` give capabilities, but match no file: nothing else has any")
        } else if item.mode.is_some() && kinds.iter().all(|kind| *kind == Kind::Link) {
            format!("`{pattern}` give permissions, but match only links, which have none")
        } else {
            continue;
        };
        found.push(PackageFinding::IdleAttributes {
            recipe: recipe.name.clone(),
            rule: Rule::new(&package.name, "attributes", pattern.as_str()),
            what,
        });
    }
    found
}

/// Reports directories that two packages own and want to be different.
pub(crate) fn contradictions(recipe: &Recipe, stage: &Stage) -> Vec<PackageFinding> {
    let mut found = Vec::new();
    let mut seen: std::collections::BTreeMap<&String, (&Package, String, Vec<Rule>)> =
        std::collections::BTreeMap::new();
    for package in &recipe.packages {
        let owned = &stage.owned[&package.name];
        let attribution = Attribution::new(package, stage, owned);
        for directory in &owned.directories {
            let given = attribution.of(stage, directory);
            let mode = given.mode.map_or_else(
                || format!("{:04o}", stage.mode(directory) & 0o7777),
                |mode| mode.to_string(),
            );
            let account =
                |name: Option<&AccountName>| name.map_or("root", AccountName::as_str).to_owned();
            let text = format!("{mode} {}:{}", account(given.owner), account(given.group));
            match seen.get(directory) {
                None => drop(seen.insert(directory, (package, text, given.rules))),
                Some((_, earlier, _)) if *earlier == text => {}
                Some((first, earlier, rules)) => {
                    found.push(PackageFinding::DirectoryAttributes {
                        recipe: recipe.name.clone(),
                        directory: directory.clone(),
                        first: first.name.clone(),
                        first_attributes: earlier.clone(),
                        second: package.name.clone(),
                        second_attributes: text,
                        rules: rules.iter().chain(&given.rules).cloned().collect(),
                    });
                }
            }
        }
    }
    found
}
