//! `kiln schema`: the JSON Schemas that `docs/schema/` holds.

use kiln_model::{BaseImage, Config, Recipe};

use crate::arguments::{Schema, SchemaFile};
use crate::failure::Failure;
use crate::print::line;
use crate::report::event_schema;

/// Prints one schema.
pub fn run(schema: &Schema) -> Result<u8, Failure> {
    let schema = match schema.file {
        SchemaFile::Recipe => Recipe::json_schema(),
        SchemaFile::BaseImage => BaseImage::json_schema(),
        SchemaFile::Config => Config::json_schema(),
        SchemaFile::Events => event_schema(),
    };
    line(&serde_json::to_string_pretty(&schema).expect("a schema is JSON"));
    Ok(0)
}
