//! Arguments of the verbs that show recipes and libraries together.

use clap::{Args, ValueEnum};
use clap_complete::ArgValueCandidates;
use kiln_model::RecipeName;

use crate::completion::recipe_candidates;

/// What to draw, and how.
#[derive(Debug, Args)]
pub struct Graph {
    /// Recipes, drawn with everything that they bundle; default: all
    #[arg(value_name = "RECIPE", add = ArgValueCandidates::new(recipe_candidates))]
    pub names: Vec<RecipeName>,
    /// How the picture is written
    #[arg(long = "as", value_name = "FORMAT", value_enum, default_value_t = GraphFormat::Dot)]
    pub drawn_as: GraphFormat,
}

/// A format of pictures.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum GraphFormat {
    /// For Graphviz: `kiln graph | dot -Tpdf > recipes.pdf`
    Dot,
    /// For Markdown pages on code hosts
    Mermaid,
    /// A picture, for browsers
    Svg,
}

/// What to show side by side, and how.
#[derive(Debug, Args)]
pub struct Matrix {
    /// Recipes; default: all that no other recipe bundles, and all that yield packages
    #[arg(value_name = "RECIPE", add = ArgValueCandidates::new(recipe_candidates))]
    pub names: Vec<RecipeName>,
    /// How it is written
    #[arg(long = "as", value_name = "FORMAT", value_enum, default_value_t = MatrixFormat::Text)]
    pub written_as: MatrixFormat,
}

/// A format of the matrix.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum MatrixFormat {
    /// Lists, for people
    Text,
    /// Tables, for pages
    Markdown,
    /// One JSON document, for programs
    Json,
}
