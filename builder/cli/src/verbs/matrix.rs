//! `kiln matrix`: which recipe takes which library from where, and what keeps recipes from being built.

mod json;
mod markdown;
mod text;

use std::collections::BTreeSet;

use kiln_build::{LibraryOrigin, LibraryUse, Matrix, RecipeState, SourceState};
use kiln_model::recipe::{Distribution, Link};

use crate::arguments::{Common, Matrix as Wanted, MatrixFormat};
use crate::failure::Failure;
use crate::print::line;
use crate::session::load;

/// Prints it; needs neither lockfiles, nor a store, nor a network.
pub fn run(common: &Common, wanted: &Wanted) -> Result<u8, Failure> {
    let project = load(common)?;
    let names = match wanted.names.is_empty() {
        true => project.products(),
        false => wanted.names.clone(),
    };
    let matrix =
        Matrix::new(&project, &names).map_err(|error| Failure::build(&project, &error.into()))?;
    let text = match wanted.written_as {
        MatrixFormat::Text => text::text(&matrix),
        MatrixFormat::Markdown => markdown::markdown(&matrix),
        MatrixFormat::Json => json::json(&matrix),
    };
    line(text.trim_end());
    Ok(0)
}

/// Returns where a use of a library comes from: `bundle 7.88.1`, `system zlib1g-dev / zlib-devel`,
/// `vendored`.
fn origin(library: &str, used: &LibraryUse) -> String {
    match &used.origin {
        LibraryOrigin::Bundle { recipe, version } if recipe.as_str() == library => {
            format!("bundle {version}")
        }
        LibraryOrigin::Bundle { recipe, version } => format!("bundle {version} of {recipe}"),
        LibraryOrigin::System { package } => {
            let names: BTreeSet<(&Distribution, &str)> = package
                .iter()
                .map(|(distribution, name)| (distribution, name.as_str()))
                .collect();
            let mut names: Vec<&str> = names.into_iter().map(|(_, name)| name).collect();
            names.dedup();
            format!("system {}", names.join(" / "))
        }
        LibraryOrigin::Vendored { version, .. } => match version {
            Some(version) => format!("vendored {version}"),
            None => "vendored".to_owned(),
        },
    }
}

/// Returns the word that recipes use; nothing for the usual way.
const fn link_word(link: Link) -> Option<&'static str> {
    match link {
        Link::Shared => None,
        Link::Static => Some("static"),
        Link::HeaderOnly => Some("header-only"),
    }
}

/// Returns origin and way of linking: `bundle 0.2, static`.
fn described(library: &str, used: &LibraryUse) -> String {
    let origin = origin(library, used);
    match link_word(used.link) {
        None => origin,
        Some(word) => format!("{origin}, {word}"),
    }
}

fn joined<T: ToString>(names: &[T]) -> String {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.join(", ")
}

fn source(source: &SourceState) -> String {
    match &source.revision {
        None => source.address.clone(),
        Some(revision) => format!("{} at {revision}", source.address),
    }
}

/// Returns whether a recipe can be built, and what it lacks if not.
fn state(recipe: &RecipeState) -> String {
    let lacks = (!recipe.missing.is_empty()).then(|| format!("lacks {}", joined(&recipe.missing)));
    let bundles = (!recipe.unpinned.is_empty())
        .then(|| format!("bundles the unpinned {}", joined(&recipe.unpinned)));
    match (lacks, bundles) {
        (None, None) => "pinned".to_owned(),
        (Some(why), None) | (None, Some(why)) => format!("unpinned: {why}"),
        (Some(lacks), Some(bundles)) => format!("unpinned: {lacks}; {bundles}"),
    }
}
