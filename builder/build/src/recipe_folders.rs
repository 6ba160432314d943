//! Where recipes lie: `recipes/NAME/`, or one folder deeper, in a group: `recipes/GROUP/NAME/`.
//!
//! A folder with a `recipe.yaml` is a recipe's, and nothing in it is looked at for others. Names of
//! recipes are unique across groups; a group is nothing but a place.

use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::project::sorted_entries;

/// The name of every recipe's file.
pub(crate) const RECIPE_FILE: &str = "recipe.yaml";

/// Returns whether a folder is a recipe's.
pub(crate) fn is_recipe_folder(folder: &Path) -> bool {
    folder.join(RECIPE_FILE).symlink_metadata().is_ok()
}

/// Returns every entry of `recipes` and of groups in it that is or may become a recipe's folder, sorted.
pub(crate) fn recipe_folders(root: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for entry in sorted_entries(&root.join("recipes")) {
        let is_group =
            !is_recipe_folder(&entry) && entry.symlink_metadata().is_ok_and(|found| found.is_dir());
        if is_group {
            let members = sorted_entries(&entry);
            folders.push(entry);
            folders.extend(members);
        } else {
            folders.push(entry);
        }
    }
    folders
}

/// Returns the recipes' files that lie in groups of groups, where nothing looks for recipes. No link is followed.
/// `others`: what [`recipe_folders`] found that is no recipe's folder.
pub(crate) fn too_deep(root: &Path, others: &[PathBuf]) -> Vec<PathBuf> {
    let recipes = root.join("recipes");
    // A group itself is listed beside what is in it.
    let in_groups = others
        .iter()
        .filter(|entry| entry.parent() != Some(&*recipes));
    let mut deep = Vec::new();
    for entry in in_groups {
        let mut walk = WalkDir::new(entry)
            .min_depth(1)
            .sort_by_file_name()
            .into_iter();
        while let Some(entry) = walk.next() {
            let Ok(entry) = entry else { continue };
            if entry.file_type().is_dir() && is_recipe_folder(entry.path()) {
                // What is in it is the recipe's.
                walk.skip_current_dir();
                deep.push(entry.path().join(RECIPE_FILE));
            }
        }
    }
    deep
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_are_found_one_group_deep_and_not_within_recipes() {
        let root = tempfile::tempdir().unwrap();
        for file in [
            "recipes/a/recipe.yaml",
            "recipes/a/files/recipe.yaml",
            "recipes/group/b/recipe.yaml",
            "recipes/group/notes.md",
            "recipes/group/deeper/c/recipe.yaml",
            "recipes/group/deeper/and/deeper/d/recipe.yaml",
            "recipes/group/b/examples/more/recipe.yaml",
            "recipes/README",
        ] {
            let path = root.path().join(file);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, "x").unwrap();
        }
        let folders = recipe_folders(root.path()).into_iter();
        let (found, others): (Vec<_>, Vec<_>) =
            folders.partition(|folder| is_recipe_folder(folder));
        let expected = ["a", "group/b"].map(|name| root.path().join("recipes").join(name));
        assert_eq!(found, expected);
        let deep = ["and/deeper/d", "c"].map(|name| {
            let folder = root.path().join("recipes/group/deeper").join(name);
            folder.join(RECIPE_FILE)
        });
        assert_eq!(too_deep(root.path(), &others), deep);
    }
}
