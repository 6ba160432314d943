//! From the shape of a recipe's packages and changelog to their meaning.

use super::service::services;
use super::{Parsed, parse_all, parse_some};
use crate::dependency::{Dependency, DependencyKind};
use crate::evr::Evr;
use crate::recipe::error::Cause;
use crate::recipe::package::{
    Attributes, FileMode, FilePatterns, FileRule, Ghost, GhostKind, ModeError, PackageArchitecture,
    RuleEffect,
};
use crate::recipe::schema::{
    AttributesSchema, ChangelogSchema, GhostKindSchema, GhostSchema, PackageSchema, RecipeSchema,
    ScriptletSchema,
};
use crate::recipe::yaml::At;
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
    check_content(shape)?;
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
    let noarch = shape.noarch.as_ref().map(|noarch| truth(text, noarch));
    Ok(Package {
        name: shape.name.parse()?,
        summary: summary.parse()?,
        description: description.parse()?,
        architecture: match noarch.transpose()? {
            Some(true) => PackageArchitecture::Noarch,
            Some(false) | None => PackageArchitecture::Native,
        },
        files: patterns(&shape.files)?,
        config: patterns(&shape.config)?,
        config_replaced: patterns(&shape.config_replaced)?,
        docs: patterns(&shape.docs)?,
        directories: parse_all(&shape.directories)?,
        ghost: ghosts(text, &shape.ghost)?,
        attributes: shape
            .attributes
            .iter()
            .map(|item| attributes(text, item))
            .collect::<Parsed<_>>()?,
        requires: dependencies(&shape.requires, DependencyKind::Requires)?,
        provides: dependencies(&shape.provides, DependencyKind::Provides)?,
        conflicts: dependencies(&shape.conflicts, DependencyKind::Conflicts)?,
        obsoletes: dependencies(&shape.obsoletes, DependencyKind::Obsoletes)?,
        recommends: dependencies(&shape.recommends, DependencyKind::Recommends)?,
        suggests: dependencies(&shape.suggests, DependencyKind::Suggests)?,
        supplements: dependencies(&shape.supplements, DependencyKind::Supplements)?,
        enhances: dependencies(&shape.enhances, DependencyKind::Enhances)?,
        scripts: scripts.collect::<Parsed<_>>()?,
        services: services(text, shape)?,
    })
}

/// Readers of YAML disagree on whether `yes`, `on` and `y` are true.
pub(super) fn truth(text: &str, shape: &At<bool>) -> Parsed<bool> {
    if shape.text_from(text).starts_with(&shape.value.to_string()) {
        return Ok(shape.value);
    }
    Err(shape.error(Cause::Shape {
        expected: "`true` or `false`",
    }))
}

/// A package holds something, or needs something: one that does neither is a slip.
fn check_content(shape: &PackageSchema) -> Parsed<()> {
    let lists = [
        &shape.files,
        &shape.config,
        &shape.config_replaced,
        &shape.docs,
        &shape.directories,
        &shape.requires,
        &shape.recommends,
        &shape.suggests,
    ];
    if shape.ghost.is_empty() && lists.iter().all(|list| list.is_empty()) {
        return Err(shape.name.error(Cause::Empty {
            what: "files or requires",
        }));
    }
    Ok(())
}

fn dependencies(texts: &[At<String>], kind: DependencyKind) -> Parsed<Vec<Dependency>> {
    let parse = |text: &At<String>| {
        text.parse::<Line>()?;
        Dependency::parse(&text.value, kind).map_err(|error| text.error(error))
    };
    texts.iter().map(parse).collect()
}

/// Reads patterns; the first one has nothing to take away from.
fn patterns(texts: &[At<String>]) -> Parsed<FilePatterns> {
    let rules: Vec<FileRule> = parse_all(texts)?;
    if let (Some(rule), Some(text)) = (rules.first(), texts.first())
        && rule.effect() == RuleEffect::LeaveOut
    {
        return Err(text.error(Cause::NothingBefore {
            pattern: text.value.clone(),
        }));
    }
    Ok(FilePatterns::new(rules))
}

fn ghosts(text: &str, shapes: &[GhostSchema]) -> Parsed<Vec<Ghost>> {
    let mut ghosts: Vec<Ghost> = Vec::new();
    for shape in shapes {
        let (kind, mode) = match shape.kind {
            None | Some(GhostKindSchema::File) => (GhostKind::File, 0o644),
            Some(GhostKindSchema::Directory) => (GhostKind::Directory, 0o755),
        };
        let default = FileMode::new(mode).expect("permission bits");
        let ghost = Ghost {
            path: shape.path.parse()?,
            kind,
            mode: mode_of(text, shape.mode.as_ref())?.unwrap_or(default),
            owner: parse_some(shape.owner.as_ref())?,
            group: parse_some(shape.group.as_ref())?,
        };
        if ghosts.iter().any(|earlier| earlier.path == ghost.path) {
            let (what, name) = ("ghost", ghost.path.to_string());
            return Err(shape.path.error(Cause::Twice { what, name }));
        }
        ghosts.push(ghost);
    }
    Ok(ghosts)
}

fn attributes(text: &str, shape: &AttributesSchema) -> Parsed<Attributes> {
    let attributes = Attributes {
        files: shape.files.parse()?,
        mode: mode_of(text, shape.mode.as_ref())?,
        owner: parse_some(shape.owner.as_ref())?,
        group: parse_some(shape.group.as_ref())?,
        capabilities: parse_some(shape.capabilities.as_ref())?,
    };
    let is_something = attributes.mode.is_some()
        || attributes.owner.is_some()
        || attributes.group.is_some()
        || attributes.capabilities.is_some();
    if !is_something {
        return Err(shape.files.error(Cause::Empty {
            what: "mode, owner, group or capabilities",
        }));
    }
    Ok(attributes)
}

/// Readers of YAML disagree on whether an unquoted 0750 is octal.
fn mode_of(text: &str, shape: Option<&At<String>>) -> Parsed<Option<FileMode>> {
    let Some(shape) = shape else {
        return Ok(None);
    };
    if !shape.is_quoted(text) {
        let text = shape.value.clone();
        return Err(shape.error(ModeError { text }));
    }
    shape.parse().map(Some)
}

/// Reads the changelog of a recipe that is now at `current`.
pub(super) fn changelog(shapes: &[ChangelogSchema], current: &Evr) -> Parsed<Vec<ChangelogEntry>> {
    let mut entries: Vec<ChangelogEntry> = Vec::new();
    for shape in shapes {
        let entry = ChangelogEntry {
            date: shape.date.parse()?,
            version: entry_version(shape, entries.last(), current)?,
            author: shape.author.parse()?,
            changes: parse_all(&shape.changes)?,
        };
        if let Some(before) = entries.last().filter(|before| before.date < entry.date) {
            return Err(shape.date.error(Cause::ChangelogDate {
                before: before.date,
                date: entry.date,
            }));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Returns what an entry announces: now for the newest one, something older for every other.
fn entry_version(
    shape: &ChangelogSchema,
    before: Option<&ChangelogEntry>,
    current: &Evr,
) -> Parsed<Evr> {
    let Some(text) = &shape.version else {
        return match before {
            None => Ok(current.clone()),
            Some(_) => Err(shape.date.error(Cause::Needed {
                key: "version",
                beside: "a newer entry",
            })),
        };
    };
    let version: Evr = text.parse()?;
    match before {
        None if version != *current => Err(text.error(Cause::ChangelogNewest {
            expected: Box::new(current.clone()),
            actual: Box::new(version),
        })),
        Some(before) if !before.version.is_newer_than(&version) => {
            Err(text.error(Cause::ChangelogOrder {
                before: Box::new(before.version.clone()),
                version: Box::new(version),
            }))
        }
        _ => Ok(version),
    }
}
