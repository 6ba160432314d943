//! The reference of the files that people write, as Markdown made from their JSON Schemas.
//!
//! The schemas are made from the types, doc comments included, so a page can not say other than the
//! parser. What a page shows as an example of a key stands in an example file beside this module,
//! which the tests put through the real parsers.
//!
//! Conventions of the doc comments: the first sentence says what the key means; a default that the
//! schema can not state comes last, after `; default:` or as a sentence `Default: ...`.

mod page;
mod value;

use serde_json::Value;

use kiln_model::{BaseImage, Config, Recipe};

use crate::arguments::SchemaFile;

/// A format of files, and how its examples are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Yaml,
    Toml,
}

impl Language {
    const fn name(self) -> &'static str {
        match self {
            Self::Yaml => "yaml",
            Self::Toml => "toml",
        }
    }

    /// Reads an example file of kiln's own.
    fn read(self, text: &str) -> Value {
        match self {
            Self::Yaml => serde_yaml::from_str(text).expect("an example is YAML"),
            Self::Toml => toml::from_str(text).expect("an example is TOML"),
        }
    }
}

/// What a page is made of.
struct Subject {
    title: &'static str,
    /// Where the file stands in a project.
    place: &'static str,
    introduction: &'static str,
    schema: Value,
    /// The committed schema, relative to the page.
    schema_file: &'static str,
    language: Language,
    examples: &'static [&'static str],
}

const RECIPE: &str = include_str!("reference/lantern.yaml");
const ASSEMBLED_BASE: &str = include_str!("reference/debian-12.yaml");
const LAYOUT_BASE: &str = include_str!("reference/fedora.yaml");
const REGISTRY_BASE: &str = include_str!("reference/centos-7.yaml");
const CONFIG: &str = include_str!("reference/kiln.toml");

/// Events are described by hand, in docs/events.md.
fn subject(file: SchemaFile) -> Option<Subject> {
    Some(match file {
        SchemaFile::Events => return None,
        SchemaFile::Recipe => Subject {
            title: "Recipe reference",
            place: "recipes/NAME/recipe.yaml",
            introduction: "[Writing a recipe](../recipe.md) explains how the keys work together. \
                           Unknown and duplicate keys are errors, and so are anchors, aliases and \
                           tags; a file has at most 1 MiB and 32 levels.",
            schema: Recipe::json_schema(),
            schema_file: "../schema/recipe.json",
            language: Language::Yaml,
            examples: &[RECIPE],
        },
        SchemaFile::BaseImage => Subject {
            title: "Base image reference",
            place: "base-images/NAME.yaml",
            introduction: "[Base images](../base-images.md) explains how they are chosen. Exactly \
                           one of `image`, `layout` and `archive` says where the image comes from. \
                           An assembled image is pinned by `kiln lock`, in \
                           `lockfiles/NAME-x86_64.lock`.",
            schema: BaseImage::json_schema(),
            schema_file: "../schema/base-image.json",
            language: Language::Yaml,
            examples: &[ASSEMBLED_BASE, LAYOUT_BASE, REGISTRY_BASE],
        },
        SchemaFile::Config => Subject {
            title: "Settings reference",
            place: "kiln.toml",
            introduction: "The file and every key in it may be left out. Options of the command \
                           and environment variables come before it; see `kiln --help`.",
            schema: Config::json_schema(),
            schema_file: "../schema/config.json",
            language: Language::Toml,
            examples: &[CONFIG],
        },
    })
}

/// Returns the reference page of a file that people write.
pub fn markdown(file: SchemaFile) -> Option<String> {
    subject(file).map(|subject| page::write(&subject))
}

#[cfg(test)]
mod tests;
