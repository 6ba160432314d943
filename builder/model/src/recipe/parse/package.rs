//! From the shape of a recipe's packages and changelog to their meaning.

use super::service::services;
use super::{Parsed, parse_all};
use crate::recipe::error::Cause;
use crate::recipe::schema::{ChangelogSchema, PackageSchema, RecipeSchema, ScriptletSchema};
use crate::recipe::{ChangelogEntry, Package, Scriptlet};
use crate::text::{Line, Prose};

pub(super) fn packages(text: &str, shape: &RecipeSchema) -> Parsed<Vec<Package>> {
    let mut packages: Vec<Package> = Vec::new();
    for item in &shape.packages {
        let package = package(text, item, shape)?;
        if packages.iter().any(|earlier| earlier.name == package.name) {
            let cause = Cause::Twice {
                what: "package",
                name: package.name.to_string(),
            };
            return Err(item.name.error(cause));
        }
        packages.push(package);
    }
    Ok(packages)
}

fn package(text: &str, shape: &PackageSchema, recipe: &RecipeSchema) -> Parsed<Package> {
    if shape.files.value.is_empty() {
        return Err(shape.files.error(Cause::Empty { what: "files" }));
    }
    let summary = shape.summary.as_ref().unwrap_or(&recipe.summary);
    let description = shape
        .description
        .as_ref()
        .or(shape.summary.as_ref())
        .or(recipe.description.as_ref())
        .unwrap_or(&recipe.summary);
    let scripts = shape.scripts.iter().map(|(when, body)| {
        let when = match when {
            ScriptletSchema::Pre => Scriptlet::Pre,
            ScriptletSchema::Post => Scriptlet::Post,
            ScriptletSchema::Preun => Scriptlet::Preun,
            ScriptletSchema::Postun => Scriptlet::Postun,
            ScriptletSchema::Pretrans => Scriptlet::Pretrans,
            ScriptletSchema::Posttrans => Scriptlet::Posttrans,
        };
        Ok((when, body.parse::<Prose>()?.as_str().to_owned()))
    });
    Ok(Package {
        name: shape.name.parse()?,
        summary: summary.parse()?,
        description: description.parse()?,
        files: parse_all(&shape.files.value)?,
        requires: parse_all(&shape.requires)?,
        provides: parse_all(&shape.provides)?,
        conflicts: parse_all(&shape.conflicts)?,
        obsoletes: parse_all(&shape.obsoletes)?,
        recommends: parse_all(&shape.recommends)?,
        scripts: scripts.collect::<Parsed<_>>()?,
        services: services(text, shape)?,
    })
}

pub(super) fn changelog_entry(shape: &ChangelogSchema) -> Parsed<ChangelogEntry> {
    Ok(ChangelogEntry {
        date: shape.date.parse()?,
        author: shape.author.parse::<Line>()?,
        changes: parse_all(&shape.changes)?,
    })
}
