//! The spec writer: a recipe's packaging step as the text of an RPM spec file.
//!
//! One input has one text. Nothing in it depends on the base image's defaults: the text sets every
//! macro that could reach an output (module `macros`), and lists every file by its own path.

mod generators;
mod input;
mod install;
mod macros;
mod manual;
mod packaging;
mod rebuild;
mod sections;
mod source_package;
mod text;

pub use input::{
    BundledLibrary, ChangelogEntry, DebugFiles, DebugInformation, Dependency, FileKind, FileLine,
    FileOwner, OrderingHint, PackageInput, PackagedPath, PrivateFiles, Scriptlet, ScriptletTime,
    SpecInput, SpecTextError,
};
pub use packaging::{PACKAGING_DESTDIR, PACKAGING_SOURCES, PackagingStep, packaging_step};
pub use source_package::{
    BuildRequirement, PatchFile, RebuildNode, RebuildSteps, SourceFile, SourcePackage,
    UnpackedSource, made_archive,
};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use kiln_model::PackageName;
use kiln_model::recipe::PackageArchitecture;

/// Says why no spec can be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A text that a package must have is empty.
    #[error("{field} is empty; rpm needs one line of text there")]
    Empty {
        /// Which text: `summary of curl`.
        field: String,
    },
    /// A text holds a control character, or a line break where one line is wanted.
    #[error("{field} holds {character:?}, which a spec file can not carry there")]
    Character {
        /// Which text.
        field: String,
        /// The first character that does not fit.
        character: char,
    },
    /// rpm would take the line for its own syntax, and has no escape for it.
    #[error(
        "{field} has a line that begins with `%` or `#`: rpm would take it for its own syntax; \
         put a word before it: `{line}`"
    )]
    LineStart {
        /// Which text.
        field: String,
        /// The line.
        line: String,
    },
    /// There is nothing to package.
    #[error("no package is declared")]
    NoPackages,
    /// Two packages have one name, or one has the name of a debug package.
    #[error("the package name `{package}` is taken already")]
    DuplicatePackage {
        /// The name.
        package: PackageName,
    },
    /// A package lists one path twice.
    #[error("package `{package}` lists `{path}` twice")]
    DuplicateFile {
        /// The package.
        package: PackageName,
        /// The path.
        path: PackagedPath,
    },
    /// The main package is noarch and another is not: rpm would make all of them noarch.
    #[error(
        "package `{main}` is noarch but `{native}` is not: rpm applies the main package's \
         architecture to all; give the noarch package another name than the recipe's"
    )]
    MainNoarch {
        /// The main package.
        main: PackageName,
        /// A package with machine code.
        native: PackageName,
    },
    /// Debug packages are wanted, but no package is for one architecture.
    #[error("debug packages are wanted, but every package is noarch")]
    DebugNoarch,
    /// A soname or the private folder can not be spelled as an expression.
    #[error("{field}: `{text}` holds a character that rpm's dependency filter can not carry")]
    Filter {
        /// Which text.
        field: &'static str,
        /// The text.
        text: String,
    },
    /// The changelog is not ordered from new to old.
    #[error("the changelog entry of {newer} comes after the one of {older}: newest first")]
    ChangelogOrder {
        /// Date of the entry that comes first.
        older: String,
        /// Date of the entry that follows it.
        newer: String,
    },
}

/// Writes the spec file.
///
/// # Errors
/// Every variant of [`SpecError`]: a text, a set of packages or a changelog that rpm would refuse or
/// read as something else.
pub fn write_spec(input: &SpecInput) -> Result<String, SpecError> {
    check_packages(input)?;
    let mut spec = String::new();
    write_macros(&mut spec, input)?;
    sections::write_preamble(&mut spec, input)?;
    for package in &input.packages {
        if package.name != input.name {
            sections::write_package(&mut spec, package)?;
        }
    }
    if input.debug_information == DebugInformation::Split {
        sections::write_debug_packages(&mut spec, input);
    }
    rebuild::write_build(&mut spec, &input.source)?;
    install::write(&mut spec, input)?;
    rebuild::write_check(&mut spec, &input.source)?;
    for package in &input.packages {
        sections::write_scriptlets(&mut spec, input, package)?;
        sections::write_files(&mut spec, input, package)?;
    }
    sections::write_changelog(&mut spec, &input.changelog)?;
    Ok(spec)
}

fn check_packages(input: &SpecInput) -> Result<(), SpecError> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    if input.debug_information == DebugInformation::Split {
        names.extend(["debuginfo", "debugsource"].map(|kind| format!("{}-{kind}", input.name)));
    }
    for package in &input.packages {
        if !names.insert(package.name.to_string()) {
            return Err(SpecError::DuplicatePackage {
                package: package.name.clone(),
            });
        }
        let mut paths = BTreeSet::new();
        if let Some(file) = package.files.iter().find(|file| !paths.insert(&file.path)) {
            return Err(SpecError::DuplicateFile {
                package: package.name.clone(),
                path: file.path.clone(),
            });
        }
    }
    check_architectures(input)
}

fn check_architectures(input: &SpecInput) -> Result<(), SpecError> {
    if input.packages.is_empty() {
        return Err(SpecError::NoPackages);
    }
    let by_name: BTreeMap<&PackageName, PackageArchitecture> = input
        .packages
        .iter()
        .map(|package| (&package.name, package.architecture))
        .collect();
    let native = input
        .packages
        .iter()
        .find(|package| package.architecture == PackageArchitecture::Native);
    match (by_name.get(&input.name), native) {
        (Some(PackageArchitecture::Noarch), Some(native)) => Err(SpecError::MainNoarch {
            main: input.name.clone(),
            native: native.name.clone(),
        }),
        (_, None) if input.debug_information == DebugInformation::Split => {
            Err(SpecError::DebugNoarch)
        }
        _ => Ok(()),
    }
}

fn write_macros(spec: &mut String, input: &SpecInput) -> Result<(), SpecError> {
    spec.push_str("# @generated by kiln; every macro that could reach a package is set here.\n");
    for name in macros::UNDEFINED {
        let _ = writeln!(spec, "%undefine {name}");
    }
    let debug = match &input.debug_information {
        DebugInformation::Split => macros::DEBUG_SPLIT,
        DebugInformation::Off { reason } => {
            let reason = text::line("reason for no debug packages", reason)?;
            let _ = writeln!(spec, "# No debug packages: {reason}");
            macros::DEBUG_OFF
        }
    };
    for (name, value) in macros::FIXED.iter().chain(debug) {
        let _ = writeln!(spec, "%define {name} {value}");
    }
    if !input.without_build_id.is_empty() {
        spec.push_str("%define _missing_build_ids_terminate_build 0\n");
    }
    if let Some(private) = &input.private {
        write_filters(spec, private)?;
    }
    generators::write(spec);
    packaging::write_places(spec, input);
    spec.push('\n');
    Ok(())
}

fn write_filters(spec: &mut String, private: &PrivateFiles) -> Result<(), SpecError> {
    let spell = |field: &'static str, literal: &str| {
        text::regex(literal).ok_or_else(|| SpecError::Filter {
            field,
            text: literal.to_owned(),
        })
    };
    let prefix = spell("bundle prefix", private.prefix.as_str())?;
    let _ = writeln!(spec, "%define __provides_exclude_from ^{prefix}/");
    let mut sonames = BTreeSet::new();
    for soname in &private.sonames {
        sonames.insert(spell("soname", soname)?);
    }
    if !sonames.is_empty() {
        let any = sonames.into_iter().collect::<Vec<_>>().join("|");
        let _ = writeln!(spec, "%define __requires_exclude ^({any})([(].*)?$");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
