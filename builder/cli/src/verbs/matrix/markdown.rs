//! The matrix as Markdown: a table of the recipes, one of what they bundle, one of libraries by recipe.

use kiln_build::{LibraryUse, Matrix, RecipeState};

use super::{described, joined, source, state};

pub(super) fn markdown(matrix: &Matrix) -> String {
    let mut sections = vec![recipes(&matrix.recipes)];
    if !matrix.bundled.is_empty() {
        sections.push(bundled(&matrix.bundled));
    }
    if !matrix.libraries.is_empty() {
        sections.push(libraries(matrix));
    }
    sections.join("\n")
}

/// Returns a table; every row has as many cells as there are titles.
fn table(title: &str, titles: &[String], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = format!(
        "## {title}\n\n{}|{}\n",
        line(titles),
        "---|".repeat(titles.len())
    );
    for row in rows {
        // The only character that ends a cell.
        let row: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        text.push_str(&line(&row));
    }
    text
}

fn titles(titles: &[&str]) -> Vec<String> {
    titles.iter().map(ToString::to_string).collect()
}

fn recipes(recipes: &[RecipeState]) -> String {
    let row = |recipe: &RecipeState| {
        vec![
            recipe.name.to_string(),
            recipe.version.to_string(),
            recipe.base.to_string(),
            joined(&recipe.packages),
            sources(recipe),
            state(recipe),
        ]
    };
    let titles = titles(&["recipe", "version", "base", "packages", "sources", "state"]);
    table("Recipes", &titles, recipes.iter().map(row))
}

fn bundled(recipes: &[RecipeState]) -> String {
    let row = |recipe: &RecipeState| {
        vec![
            recipe.name.to_string(),
            recipe.library.to_string(),
            recipe.version.to_string(),
            sources(recipe),
            state(recipe),
        ]
    };
    let titles = titles(&["recipe", "library", "version", "sources", "state"]);
    table("What they bundle", &titles, recipes.iter().map(row))
}

fn sources(recipe: &RecipeState) -> String {
    let sources: Vec<String> = recipe.sources.iter().map(source).collect();
    sources.join(", ")
}

fn libraries(matrix: &Matrix) -> String {
    let columns = matrix.recipes.iter().map(|recipe| recipe.name.to_string());
    let titles: Vec<String> = std::iter::once("library".to_owned())
        .chain(columns)
        .collect();
    let rows = matrix.libraries.iter().map(|(library, by_recipe)| {
        let cells = matrix
            .recipes
            .iter()
            .map(|recipe| match by_recipe.get(&recipe.name) {
                None => "-".to_owned(),
                Some(uses) => {
                    let uses: Vec<String> = uses
                        .iter()
                        .map(|used| cell(library.as_str(), used))
                        .collect();
                    uses.join("; ")
                }
            });
        std::iter::once(library.to_string()).chain(cells).collect()
    });
    table("Libraries", &titles, rows)
}

fn cell(library: &str, used: &LibraryUse) -> String {
    let what = described(library, used);
    match used.through.is_empty() {
        true => what,
        false => format!("{what} (through {})", joined(&used.through)),
    }
}
