//! The matrix as one JSON document. Keys are only ever added to it.

use std::collections::BTreeMap;

use kiln_build::{LibraryOrigin, LibraryUse, Matrix, RecipeState};
use serde_json::{Value, json};

use super::link_word;

/// The format that this kiln writes.
const FORMAT: u32 = 1;

pub(super) fn json(matrix: &Matrix) -> String {
    let libraries: BTreeMap<String, Value> = matrix
        .libraries
        .iter()
        .map(|(library, recipes)| {
            let recipes: BTreeMap<String, Vec<Value>> = recipes
                .iter()
                .map(|(recipe, uses)| (recipe.to_string(), uses.iter().map(library_use).collect()))
                .collect();
            (library.to_string(), json!(recipes))
        })
        .collect();
    let states = |recipes: &[RecipeState]| recipes.iter().map(recipe).collect::<Vec<Value>>();
    let document = json!({
        "format": FORMAT,
        "recipes": states(&matrix.recipes),
        "bundled": states(&matrix.bundled),
        "libraries": libraries,
    });
    serde_json::to_string_pretty(&document).expect("values are JSON")
}

fn recipe(recipe: &RecipeState) -> Value {
    let sources = recipe
        .sources
        .iter()
        .map(|source| json!({"address": source.address, "revision": source.revision}));
    json!({
        "name": recipe.name.as_str(),
        "version": recipe.version.as_str(),
        "library": recipe.library.as_str(),
        "base": recipe.base.as_str(),
        "packages": strings(&recipe.packages),
        "sources": sources.collect::<Vec<Value>>(),
        "pinned": recipe.is_pinned(),
        "missing": strings(&recipe.missing),
        "unpinned": strings(&recipe.unpinned),
    })
}

fn library_use(used: &LibraryUse) -> Value {
    let decision = &used.decision;
    let mut value = match &used.origin {
        LibraryOrigin::Bundle { recipe, version } => json!({
            "choice": "bundle",
            "recipe": recipe.as_str(),
            "version": version.as_str(),
        }),
        LibraryOrigin::System { package } => json!({"choice": "system", "package": package}),
        LibraryOrigin::Vendored { path, version } => json!({
            "choice": "vendored",
            "path": path,
            "version": version.as_ref().map(ToString::to_string),
        }),
    };
    let more = json!({
        "link": link_word(used.link).unwrap_or("shared"),
        "through": strings(&used.through),
        "reason": decision.reason.as_ref().map(ToString::to_string),
        "decided-by": decision.decided_by.as_ref().map(ToString::to_string),
        "decided-on": decision.decided_on.map(|date| date.to_string()),
        "review-by": decision.review_by.map(|date| date.to_string()),
    });
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}

fn strings<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}
