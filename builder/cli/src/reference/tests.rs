//! The examples are real, complete, and shown as YAML and TOML read them.

use serde_json::json;

use super::page::{joined, properties, sections, split_default};
use super::value::inline;
use super::*;

#[test]
fn examples_pass_the_real_parsers() {
    Recipe::parse(RECIPE.as_bytes(), "lantern").unwrap();
    BaseImage::parse(ASSEMBLED_BASE.as_bytes(), "debian-12").unwrap();
    BaseImage::parse(LAYOUT_BASE.as_bytes(), "fedora").unwrap();
    BaseImage::parse(REGISTRY_BASE.as_bytes(), "centos-7").unwrap();
    Config::parse(CONFIG.as_bytes()).unwrap();
}

/// Keys that exclude others of the example.
const NOT_SHOWN: &[&str] = &["steps.build", "steps.check"];

#[test]
fn every_key_of_recipes_and_base_images_has_an_example() {
    for file in [SchemaFile::Recipe, SchemaFile::BaseImage] {
        let subject = subject(file).unwrap();
        for section in sections(&subject) {
            for (key, _) in properties(section.schema) {
                let path = joined(&section.path, key);
                let is_shown = section
                    .examples
                    .iter()
                    .any(|value| value.get(key).is_some());
                let is_excluded = NOT_SHOWN.contains(&path.as_str());
                assert_eq!(is_shown, !is_excluded, "{file:?}: {path}");
            }
        }
    }
}

#[test]
fn every_object_and_key_of_the_schema_is_on_the_page() {
    for file in [
        SchemaFile::Recipe,
        SchemaFile::BaseImage,
        SchemaFile::Config,
    ] {
        let schema = subject(file).unwrap().schema;
        let page = markdown(file).unwrap();
        let objects = schema["$defs"].as_object().unwrap().values();
        let objects = objects.filter(|object| object.get("properties").is_some());
        let keys = objects.chain([&schema]).flat_map(properties);
        let keys: Vec<&String> = keys.map(|(key, _)| key).collect();
        let rows = page.lines().filter(|line| line.starts_with("| `"));
        assert_eq!(rows.count(), keys.len(), "{file:?}");
        for key in keys {
            assert!(page.contains(&format!("| `{key}` |")), "{file:?}: {key}");
        }
        let is_anchor = |line: &&str| line.starts_with("## `");
        let anchors = page.lines().filter(is_anchor).map(|line| {
            let path = line.trim_start_matches("## ").trim_matches('`');
            format!("]{}", &super::value::link(path)[path.len() + 4..])
        });
        for anchor in anchors {
            assert!(
                page.contains(&anchor),
                "{file:?}: nothing leads to {anchor}"
            );
        }
    }
}

#[test]
fn a_stated_default_gets_its_own_column() {
    for (text, meaning, default) in [
        ("The name; default: the key.", "The name.", Some("the key")),
        (
            "A date. Default: the `later` one.",
            "A date.",
            Some("the `later` one"),
        ),
        ("A name.", "A name.", None),
    ] {
        let expected = (meaning.to_owned(), default.map(str::to_owned));
        assert_eq!(split_default(text), expected, "{text}");
    }
}

#[test]
fn an_inline_yaml_example_reads_as_what_it_is() {
    for value in [
        json!("plain words"),
        json!("1.10"),
        json!("yes: no"),
        json!("=lib"),
        json!("cpe:2.3:a:x:y"),
        json!("*.so"),
        json!("a, b"),
        json!(true),
        json!(12),
        json!(["/usr/lib64/libx.so.*", "--with-x", "2026-02-28"]),
        json!({"debian": "zlib1g-dev"}),
    ] {
        let text = inline(&value, Language::Yaml);
        let read = Language::Yaml.read(text.trim_matches('`'));
        assert_eq!(read, value, "{text}");
    }
    assert_eq!(inline(&json!(["a b"]), Language::Toml), "`[\"a b\"]`");
    assert_eq!(inline(&json!("a\nb"), Language::Yaml), "see below");
}
