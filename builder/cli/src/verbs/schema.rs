//! `kiln schema`: the JSON Schemas in `docs/schema/`, and the pages in `docs/reference/`.

use kiln_model::{BaseImage, Config, Recipe};

use crate::arguments::{Schema, SchemaFile, SchemaFormat};
use crate::failure::Failure;
use crate::print::line;
use crate::reference::markdown;

/// Prints one schema, or its page.
pub fn run(schema: &Schema) -> Result<u8, Failure> {
    if matches!(schema.format, SchemaFormat::Markdown) {
        line(markdown(schema.file).trim_end());
        return Ok(0);
    }
    let schema = match schema.file {
        SchemaFile::Recipe => Recipe::json_schema(),
        SchemaFile::BaseImage => BaseImage::json_schema(),
        SchemaFile::Config => Config::json_schema(),
    };
    line(&serde_json::to_string_pretty(&schema).expect("a schema is JSON"));
    Ok(0)
}
