//! `kiln schema`: the JSON Schemas in `docs/schema/`, and the pages in `docs/reference/`.

use kiln_model::{BaseImage, Config, Recipe};

use crate::arguments::{Schema, SchemaFile, SchemaFormat};
use crate::failure::Failure;
use crate::print::line;
use crate::reference::markdown;
use crate::report::event_schema;

/// Prints one schema, or its page.
pub fn run(schema: &Schema) -> Result<u8, Failure> {
    if matches!(schema.written_as, SchemaFormat::Markdown) {
        let page = markdown(schema.file).ok_or_else(|| {
            Failure::host("there is no page of events; docs/events.md describes them".into())
        })?;
        line(page.trim_end());
        return Ok(0);
    }
    let schema = match schema.file {
        SchemaFile::Recipe => Recipe::json_schema(),
        SchemaFile::BaseImage => BaseImage::json_schema(),
        SchemaFile::Config => Config::json_schema(),
        SchemaFile::Events => event_schema(),
    };
    line(&serde_json::to_string_pretty(&schema).expect("a schema is JSON"));
    Ok(0)
}
