//! The matrix as lists: a terminal is not as wide as a table of many recipes.
//!
//! ```text
//! curl 7.88.1, in debian-12
//!   packages  curl, libcurl, libcurl-devel
//!   source    https://curl.se/download/curl-7.88.1.tar.gz
//!   state     pinned
//!
//! zlib
//!   system zlib1g-dev / zlib-devel  curl
//!   bundle 1.2.13                   nginx
//! ```

use std::collections::BTreeMap;

use kiln_build::{Matrix, RecipeState};

use super::{described, joined, source, state};
use crate::text::{pad, width};

pub(super) fn text(matrix: &Matrix) -> String {
    let mut paragraphs: Vec<String> = matrix.recipes.iter().map(recipe).collect();
    for (library, recipes) in &matrix.libraries {
        let mut by_use: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (recipe, uses) in recipes {
            for used in uses {
                let whose = match used.through.is_empty() {
                    true => recipe.to_string(),
                    false => format!("{recipe} (through {})", joined(&used.through)),
                };
                let same = by_use.entry(described(library.as_str(), used));
                same.or_default().push(whose);
            }
        }
        paragraphs.push(format!("{library}\n{}", uses(&by_use)));
    }
    paragraphs.join("\n")
}

fn recipe(recipe: &RecipeState) -> String {
    let mut lines = vec![format!(
        "{} {}, in {}",
        recipe.name, recipe.version, recipe.base
    )];
    if !recipe.packages.is_empty() {
        lines.push(format!("  packages  {}", joined(&recipe.packages)));
    }
    let sources = recipe.sources.iter().map(source);
    lines.extend(sources.map(|source| format!("  source    {source}")));
    lines.push(format!("  state     {}\n", state(recipe)));
    lines.join("\n")
}

fn uses(by_use: &BTreeMap<String, Vec<String>>) -> String {
    let columns = by_use.keys().map(|what| width(what)).max().unwrap_or(0);
    let row = |(what, recipes): (&String, &Vec<String>)| {
        format!("  {}  {}\n", pad(what, columns), recipes.join(", "))
    };
    by_use.iter().map(row).collect()
}
