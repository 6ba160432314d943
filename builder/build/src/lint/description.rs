//! Descriptions that no spec file can carry: rpm reads its own syntax into lines that begin with `%`,
//! and drops those that begin with `#`.

use kiln_model::recipe::{NodePath, Package};
use kiln_model::{PackageName, Prose, Recipe, RecipeName};

use crate::site::Site;

/// A line of a description that rpm would not show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{recipe}: a line of the description begins with `{character}`, which rpm would {effect}", effect = effect(*.character))]
pub struct LostLine {
    /// The recipe.
    pub recipe: RecipeName,
    /// The package, where it is not the recipe's own description.
    pub package: Option<PackageName>,
    /// The line, from 1.
    pub line: u64,
    /// `%` or `#`.
    pub character: char,
}

const fn effect(character: char) -> &'static str {
    match character {
        '%' => "take for its own syntax",
        _ => "leave out",
    }
}

/// Returns the lines of a recipe's descriptions that rpm would not show.
pub(super) fn lost_lines(recipe: &Recipe) -> Vec<LostLine> {
    if recipe.packages.is_empty() {
        return Vec::new();
    }
    let own = lines(&recipe.description).map(|(line, character)| LostLine {
        recipe: recipe.name.clone(),
        package: None,
        line,
        character,
    });
    let is_its_own = |package: &&Package| package.description != recipe.description;
    let packages = recipe.packages.iter().filter(is_its_own);
    let of_packages = packages.flat_map(|package| {
        lines(&package.description).map(|(line, character)| LostLine {
            recipe: recipe.name.clone(),
            package: Some(package.name.clone()),
            line,
            character,
        })
    });
    own.chain(of_packages).collect()
}

fn lines(text: &Prose) -> impl Iterator<Item = (u64, char)> {
    let numbered = (1..).zip(text.as_str().lines());
    numbered.filter_map(|(number, line)| {
        let first = line.trim_start().chars().next()?;
        matches!(first, '%' | '#').then_some((number, first))
    })
}

impl LostLine {
    /// Returns where the line stands.
    pub(super) fn site(&self) -> Site {
        let top = NodePath::top();
        let holder = match &self.package {
            Some(package) => top.key("packages").with("name", package.as_str()),
            None => top,
        };
        Site::recipe(&self.recipe, holder.key("description").line(self.line))
    }
}
