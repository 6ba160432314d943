//! From the shape of a recipe to its meaning.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::error::{Cause, Place, YamlError};
use super::find::NodePath;
use super::schema::{
    ChoiceSchema, DistributionSchema, IdentitySchema, LibrarySchema, LinkSchema, PatchSchema,
    PresetSchema, RecipeSchema, StepsSchema,
};
use super::source::Dates;
use super::yaml::{At, Number, read};
use super::{
    Check, Choice, Decision, Distribution, Identity, Library, Link, Patch, Preset, RECIPE_SCHEMA,
    Recipe, Steps,
};
use super::{hardening, lint};
use crate::digest::Digest;
use crate::evr::Evr;
use crate::name::{DistributionPackage, LibraryName, PackageName, Release, Version};
use crate::path::{FilePattern, SandboxPath};
use crate::text::Prose;
use crate::time::CalendarDate;

mod package;
mod service;
mod source;

use package::{changelog, packages};
use source::sources;

/// What `kiln new` writes where only people know the value.
pub const PLACEHOLDER: &str = "FILL-IN";

type Parsed<T> = Result<T, YamlError>;

impl At<Number> {
    /// Reads a number from `least` on. Readers of YAML disagree on every other way of writing one.
    pub(crate) fn number(&self, file: &str, least: u32) -> Parsed<u32> {
        let text = self.value.as_str();
        let is_plain = text.bytes().all(|b| b.is_ascii_digit())
            && (text == "0" || !text.starts_with('0'))
            && !self.is_quoted(file);
        let number = text.parse().ok().filter(|number| *number >= least);
        number.filter(|_| is_plain).ok_or_else(|| {
            self.error(Cause::Number {
                least,
                text: text.to_owned(),
            })
        })
    }

    pub(crate) fn check_schema(&self, file: &str, expected: u32) -> Parsed<()> {
        let actual = self.number(file, 0)?;
        if actual == expected {
            return Ok(());
        }
        Err(self.error(Cause::Schema { expected, actual }))
    }
}

impl<T> At<T> {
    /// Returns whether the value stands in quotes in its file.
    pub(crate) fn is_quoted(&self, file: &str) -> bool {
        self.text_from(file).starts_with(['"', '\''])
    }

    /// Returns what stands in the value's line from its start on.
    pub(crate) fn text_from<'a>(&self, file: &'a str) -> &'a str {
        let index = |number: u64| {
            usize::try_from(number)
                .unwrap_or(usize::MAX)
                .saturating_sub(1)
        };
        let line = file.lines().nth(index(self.place.line)).unwrap_or_default();
        let start = line.char_indices().nth(index(self.place.column));
        start.map_or("", |(start, _)| &line[start..])
    }

    pub(crate) fn error(&self, cause: impl Into<Cause>) -> YamlError {
        YamlError {
            cause: cause.into(),
            place: self.place,
        }
    }
}

impl At<String> {
    /// Parses the text, blaming its place on failure.
    pub(crate) fn parse<T: FromStr>(&self) -> Parsed<T>
    where
        Cause: From<T::Err>,
    {
        if self.value == PLACEHOLDER {
            return Err(self.error(Cause::Placeholder {
                text: self.value.clone(),
            }));
        }
        self.value
            .parse()
            .map_err(|error| self.error(Cause::from(error)))
    }

    pub(crate) fn file_reference(&self) -> Parsed<String> {
        let is_inside = !self.value.starts_with('/')
            && self
                .value
                .split('/')
                .all(|part| !matches!(part, "" | "." | ".."))
            && !self.value.chars().any(char::is_control);
        if is_inside {
            Ok(self.value.clone())
        } else {
            Err(self.error(Cause::FileReference {
                text: self.value.clone(),
            }))
        }
    }
}

fn parse_all<T: FromStr>(texts: &[At<String>]) -> Parsed<Vec<T>>
where
    Cause: From<T::Err>,
{
    texts.iter().map(At::parse).collect()
}

fn parse_some<T: FromStr>(text: Option<&At<String>>) -> Parsed<Option<T>>
where
    Cause: From<T::Err>,
{
    text.map(At::parse).transpose()
}

pub(super) fn recipe(bytes: &[u8], folder: &str) -> Parsed<Recipe> {
    let shape: RecipeSchema = read(bytes)?;
    let text = &String::from_utf8_lossy(bytes);
    shape.schema.check_schema(text, RECIPE_SCHEMA)?;
    let name = shape.name.parse()?;
    if shape.name.value != folder {
        let cause = Cause::OtherName {
            expected: folder.to_owned(),
            actual: shape.name.value.clone(),
        };
        return Err(shape.name.error(cause));
    }
    refuse_unquoted(text, &shape.version)?;
    let main = format!("{}-{}", shape.name.value, shape.version.value);
    let declared = sources(text, &shape.sources, &main)?;
    let (version, release) = (
        shape.version.parse::<Version>()?,
        release(text, &shape.release)?,
    );
    let epoch = shape.epoch.as_ref().map(|epoch| epoch.number(text, 0));
    let epoch = epoch.transpose()?;
    let evr = Evr::new(epoch, version.clone(), release.clone());
    let changelog = changelog(&shape.changelog, &evr)?;
    let dates = Dates {
        explicit: parse_some::<CalendarDate>(shape.source_date.as_ref())?,
        newest_change: changelog.iter().map(|entry| entry.date).max(),
    };
    let default_prefix = At {
        value: format!("/usr/lib/{name}"),
        place: shape.name.place,
    };
    Ok(Recipe {
        version,
        release,
        epoch,
        summary: shape.summary.parse()?,
        description: shape
            .description
            .as_ref()
            .unwrap_or(&shape.summary)
            .parse()?,
        license: shape.license.parse()?,
        license_files: shape
            .license_files
            .iter()
            .map(At::file_reference)
            .collect::<Parsed<_>>()?,
        homepage: shape.homepage.parse()?,
        identity: identity(&shape.identity, &shape.name)?,
        base: shape.base.parse()?,
        tools: parse_all(&shape.tools)?,
        tools_rhel: tools_rhel(&shape)?,
        declared,
        pins: None,
        missing: Vec::new(),
        dates,
        patches: shape
            .patches
            .iter()
            .map(|item| patch(text, item))
            .collect::<Parsed<_>>()?,
        libraries: libraries(text, &shape.libraries)?,
        steps: steps(&shape.steps)?,
        hardening: hardening::exceptions(&shape.hardening)?,
        lint_allow: lint::exceptions(&shape.lint_allow)?,
        packages: packages(text, &shape)?,
        bundle_prefix: bundle_prefix(shape.bundle_prefix.as_ref().unwrap_or(&default_prefix))?,
        changelog,
        name,
    }
    .pinned_by(None))
}

fn tools_rhel(shape: &RecipeSchema) -> Parsed<BTreeMap<DistributionPackage, PackageName>> {
    let tools = || shape.tools.iter().map(|tool| tool.value.as_str());
    let parse = |(tool, name): (&String, &At<String>)| {
        if !tools().any(|known| known == tool) {
            return Err(name.error(Cause::unknown_key(tool, tools())));
        }
        let tool = At {
            value: tool.clone(),
            place: name.place,
        };
        Ok((tool.parse()?, name.parse()?))
    };
    shape.tools_rhel.iter().map(parse).collect()
}

/// YAML reads an unquoted 1.10 as a number; kiln keeps the text, but other tools would not.
fn refuse_unquoted(text: &str, version: &At<String>) -> Parsed<()> {
    if version.is_quoted(text) {
        return Ok(());
    }
    Err(version.error(Cause::UnquotedVersion {
        text: version.value.trim().to_owned(),
    }))
}

/// Reads a sha256; one that other YAML readers would take for a number has to be quoted.
fn digest(text: &str, shape: &At<String>) -> Parsed<Digest> {
    let mut parts = shape.value.split(['e', 'E']);
    let is_number = parts.all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
        && shape.value.matches(['e', 'E']).count() <= 1;
    if is_number && !shape.is_quoted(text) {
        return Err(shape.error(Cause::UnquotedDigest {
            text: shape.value.clone(),
        }));
    }
    Digest::from_hex(&shape.value).map_err(|error| shape.error(error))
}

/// A bundle prefix hides nothing of the system's, and stands unquoted in compilers' arguments.
fn bundle_prefix(text: &At<String>) -> Parsed<SandboxPath> {
    let path: SandboxPath = text.parse()?;
    let is_below = |folder: &&str| {
        path.as_str()
            .strip_prefix(*folder)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    let is_plain = path
        .as_str()
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "/._+-".contains(c));
    if is_plain
        && ["/usr/lib", "/usr/libexec", "/usr/share", "/opt"]
            .iter()
            .any(is_below)
    {
        return Ok(path);
    }
    Err(text.error(Cause::BundlePrefix {
        text: text.value.clone(),
    }))
}

fn release(text: &str, shape: &At<Number>) -> Parsed<Release> {
    let number = At {
        value: shape.number(text, 1)?.to_string(),
        place: shape.place,
    };
    number.parse()
}

fn identity(shape: &IdentitySchema, name: &At<String>) -> Parsed<Identity> {
    let default_purl = At {
        value: format!("pkg:generic/{}", name.value),
        place: name.place,
    };
    Ok(Identity {
        cpe: parse_all(&shape.cpe)?,
        purl: shape.purl.as_ref().unwrap_or(&default_purl).parse()?,
        library: shape.library.as_ref().unwrap_or(name).parse()?,
        supplier: shape.supplier.parse()?,
        os_package: distribution_packages(&shape.os_package)?,
    })
}

fn distribution_packages(
    shape: &BTreeMap<DistributionSchema, At<String>>,
) -> Parsed<BTreeMap<Distribution, DistributionPackage>> {
    let parse = |(distribution, package): (&DistributionSchema, &At<String>)| {
        let distribution = match distribution {
            DistributionSchema::Debian => Distribution::Debian,
            DistributionSchema::Rhel => Distribution::Rhel,
        };
        Ok((distribution, package.parse()?))
    };
    shape.iter().map(parse).collect()
}

fn patch(text: &str, shape: &PatchSchema) -> Parsed<Patch> {
    Ok(Patch {
        file: shape.file.file_reference()?,
        sha256: digest(text, &shape.sha256)?,
        resolves: parse_all(&shape.resolves)?,
    })
}

fn libraries(
    text: &str,
    shape: &BTreeMap<String, At<LibrarySchema>>,
) -> Parsed<BTreeMap<LibraryName, Library>> {
    let parse = |(key, library): (&String, &At<LibrarySchema>)| {
        let key = At {
            value: key.clone(),
            place: library.place,
        };
        let name = key.parse().map_err(|error: YamlError| {
            let path = NodePath::top().key("libraries").key(key.value.as_str());
            let place = path.find(text).unwrap_or(error.place);
            YamlError { place, ..error }
        });
        Ok((name?, self::library(&key, library)?))
    };
    shape.iter().map(parse).collect()
}

fn library(key: &At<String>, shape: &At<LibrarySchema>) -> Parsed<Library> {
    let LibrarySchema {
        choice,
        link,
        path,
        license,
        version,
        ..
    } = &shape.value;
    let is_vendored = matches!(choice, ChoiceSchema::Vendored);
    let usual = if is_vendored {
        LinkSchema::Static
    } else {
        LinkSchema::Shared
    };
    let link = match link.unwrap_or(usual) {
        LinkSchema::Shared => Link::Shared,
        LinkSchema::Static => Link::Static,
        LinkSchema::HeaderOnly => Link::HeaderOnly,
    };
    let beside = match choice {
        ChoiceSchema::Bundle => "choice: bundle",
        ChoiceSchema::System => "choice: system",
        ChoiceSchema::Vendored => "choice: vendored",
    };
    let only_vendored = [("path", path), ("license", license), ("version", version)];
    for (key, text) in only_vendored {
        if let (Some(text), false) = (text, is_vendored) {
            return Err(text.error(Cause::Meaningless { key, beside }));
        }
    }
    let choice = match choice {
        ChoiceSchema::Vendored => vendored(shape, link, beside)?,
        ChoiceSchema::Bundle => bundle(key, shape, link, beside)?,
        ChoiceSchema::System => system(shape, beside)?,
    };
    Ok(Library {
        choice,
        link,
        decision: Decision {
            reason: parse_some(shape.value.reason.as_ref())?,
            decided_by: parse_some(shape.value.decided_by.as_ref())?,
            decided_on: parse_some(shape.value.decided_on.as_ref())?,
            review_by: parse_some(shape.value.review_by.as_ref())?,
        },
    })
}

fn bundle(
    key: &At<String>,
    shape: &At<LibrarySchema>,
    link: Link,
    beside: &'static str,
) -> Parsed<Choice> {
    let library = &shape.value;
    if let Some(package) = library.package.values().next() {
        let key = "package";
        return Err(package.error(Cause::Meaningless { key, beside }));
    }
    let carry = carry_patterns(library.carry.as_deref(), link, key.place)?;
    Ok(Choice::Bundle {
        recipe: library.recipe.as_ref().unwrap_or(key).parse()?,
        carry,
    })
}

fn system(shape: &At<LibrarySchema>, beside: &'static str) -> Parsed<Choice> {
    let library = &shape.value;
    if let Some(recipe) = &library.recipe {
        let key = "recipe";
        return Err(recipe.error(Cause::Meaningless { key, beside }));
    }
    if library.carry.is_some() {
        let key = "carry";
        return Err(shape.error(Cause::Meaningless { key, beside }));
    }
    if library.package.is_empty() {
        let key = "package";
        return Err(shape.error(Cause::Needed { key, beside }));
    }
    Ok(Choice::System {
        package: distribution_packages(&library.package)?,
    })
}

fn vendored(shape: &At<LibrarySchema>, link: Link, beside: &'static str) -> Parsed<Choice> {
    let library = &shape.value;
    let other = library.recipe.as_ref().map(|recipe| ("recipe", recipe));
    let package = library.package.values().next();
    if let Some((key, text)) = other.or(package.map(|package| ("package", package))) {
        return Err(text.error(Cause::Meaningless { key, beside }));
    }
    let needed = |key| shape.error(Cause::Needed { key, beside });
    let path = library.path.as_ref().ok_or_else(|| needed("path"))?;
    Ok(Choice::Vendored {
        path: path.file_reference()?,
        license: parse_some(library.license.as_ref())?,
        version: parse_some(library.version.as_ref())?,
        carry: vendored_files(library.carry.as_deref(), link, shape)?,
    })
}

/// Returns the patterns of installed files that are a vendored library.
fn vendored_files(
    carry: Option<&[At<String>]>,
    link: Link,
    library: &At<LibrarySchema>,
) -> Parsed<Vec<FilePattern>> {
    match (carry, link) {
        (None | Some([]), Link::Shared) => Err(library.error(Cause::Needed {
            key: "carry",
            beside: "link: shared",
        })),
        (Some(texts), Link::Shared) => texts.iter().map(At::parse::<FilePattern>).collect(),
        (Some(_), Link::Static) => Err(library.error(Cause::Meaningless {
            key: "carry",
            beside: "link: static",
        })),
        (Some(_), Link::HeaderOnly) => Err(library.error(Cause::Meaningless {
            key: "carry",
            beside: "link: header-only",
        })),
        (None, Link::Static | Link::HeaderOnly) => Ok(Vec::new()),
    }
}

fn carry_patterns(
    shape: Option<&[At<String>]>,
    link: Link,
    place: Place,
) -> Parsed<Vec<FilePattern>> {
    let below_prefix = |text: &At<String>| {
        At {
            value: format!("/{}", text.value),
            place: text.place,
        }
        .parse::<FilePattern>()
    };
    match (shape, link) {
        (Some(texts), _) => texts.iter().map(below_prefix).collect(),
        (None, Link::Shared) => Ok(vec![below_prefix(&At {
            value: "lib/*.so.*".to_owned(),
            place,
        })?]),
        (None, Link::Static | Link::HeaderOnly) => Ok(Vec::new()),
    }
}

fn steps(shape: &StepsSchema) -> Parsed<Steps> {
    let preset = match shape.preset {
        PresetSchema::Autotools => Preset::Autotools,
        PresetSchema::Cmake => Preset::Cmake,
        PresetSchema::Meson => Preset::Meson,
        PresetSchema::Make => Preset::Make,
        PresetSchema::None => Preset::None,
    };
    if let (Preset::None, Some(argument)) = (preset, shape.configure.first()) {
        return Err(argument.error(Cause::Meaningless {
            key: "configure",
            beside: "use: none",
        }));
    }
    if let (Some(build), false) = (&shape.build, shape.configure.is_empty()) {
        return Err(build.error(Cause::Meaningless {
            key: "configure",
            beside: "build",
        }));
    }
    let script = |text: &Option<At<String>>| -> Parsed<Option<String>> {
        let prose = parse_some::<Prose>(text.as_ref())?;
        Ok(prose.map(|prose| prose.as_str().to_owned()))
    };
    let check = match (script(&shape.check)?, &shape.skip_check) {
        (Some(_), Some(reason)) => {
            return Err(reason.error(Cause::Meaningless {
                key: "skip-check",
                beside: "check",
            }));
        }
        (Some(script), None) => Check::Script(script),
        (None, Some(reason)) => Check::Skipped(reason.parse()?),
        (None, None) => Check::Preset,
    };
    Ok(Steps {
        preset,
        configure: parse_all(&shape.configure)?,
        prep: script(&shape.prep)?,
        build: script(&shape.build)?,
        install: script(&shape.install)?,
        check,
    })
}
