//! The sections of a spec file: preamble, packages, scriptlets, file lists, changelog.

use std::fmt::Write as _;

use kiln_model::PackageName;
use kiln_model::recipe::PackageArchitecture;

use super::input::{
    ChangelogEntry, DebugInformation, Dependency, FileKind, FileLine, PackageInput, SpecInput,
};
use super::text::{self, Comments};
use super::{SpecError, install, manual, rebuild};

pub(super) fn write_preamble(spec: &mut String, input: &SpecInput) -> Result<(), SpecError> {
    let main = input
        .packages
        .iter()
        .find(|package| package.name == input.name);
    let summary = main.map_or(&input.summary, |package| &package.summary);
    let description = main.map_or(&input.description, |package| &package.description);
    let name = &input.name;
    let _ = writeln!(spec, "Name: {name}");
    if let Some(epoch) = input.epoch {
        let _ = writeln!(spec, "Epoch: {epoch}");
    }
    let _ = writeln!(
        spec,
        "Version: {}\nRelease: {}",
        input.version, input.release
    );
    write_tag(spec, "Summary", &format!("summary of {name}"), summary)?;
    write_tag(spec, "License", "license", &input.license)?;
    if let Some(url) = &input.url {
        write_tag(spec, "URL", "homepage", url)?;
    }
    write_tag(spec, "Vendor", "vendor", &input.vendor)?;
    if let Some(packager) = &input.packager {
        write_tag(spec, "Packager", "packager", packager)?;
    }
    rebuild::write_tags(spec, &input.source)?;
    if let Some(main) = main {
        write_relations(spec, main);
    }
    let description = text::block(
        &format!("description of {name}"),
        &text::wrap(description),
        Comments::Lost,
    )?;
    let _ = write!(spec, "\n%description\n{description}\n");
    Ok(())
}

fn write_tag(spec: &mut String, tag: &str, field: &str, value: &str) -> Result<(), SpecError> {
    let _ = writeln!(spec, "{tag}: {}", text::line(field, value)?);
    Ok(())
}

pub(super) fn write_package(spec: &mut String, package: &PackageInput) -> Result<(), SpecError> {
    let name = &package.name;
    let _ = writeln!(spec, "%package -n {name}");
    write_tag(
        spec,
        "Summary",
        &format!("summary of {name}"),
        &package.summary,
    )?;
    write_relations(spec, package);
    let field = format!("description of {name}");
    let description = text::block(&field, &text::wrap(&package.description), Comments::Lost)?;
    let _ = write!(spec, "\n%description -n {name}\n{description}\n");
    Ok(())
}

fn write_relations(spec: &mut String, package: &PackageInput) {
    if package.architecture == PackageArchitecture::Noarch {
        spec.push_str("BuildArch: noarch\n");
    }
    let relations: [(&str, &[Dependency]); 8] = [
        ("Requires", &package.requires),
        ("Provides", &package.provides),
        ("Conflicts", &package.conflicts),
        ("Obsoletes", &package.obsoletes),
        ("Recommends", &package.recommends),
        ("Suggests", &package.suggests),
        ("Supplements", &package.supplements),
        ("Enhances", &package.enhances),
    ];
    for (tag, dependencies) in relations {
        for dependency in dependencies {
            let _ = writeln!(spec, "{tag}: {dependency}");
        }
    }
    for hint in &package.ordering {
        let scriptlet = hint.when.section().trim_start_matches('%');
        let _ = writeln!(spec, "OrderWithRequires({scriptlet}): {}", hint.after);
    }
    for library in &package.bundled {
        let _ = match &library.version {
            Some(version) => writeln!(spec, "Provides: bundled({}) = {version}", library.name),
            None => writeln!(spec, "Provides: bundled({})", library.name),
        };
    }
}

/// Writes both debug packages by hand: the stock `%debug_package` differs between distributions.
pub(super) fn write_debug_packages(spec: &mut String, input: &SpecInput) {
    let name = &input.name;
    let _ = write!(
        spec,
        "%package -n {name}-debuginfo\n\
         Summary: Debug information of {name}\n\
         AutoReq: 0\n\
         AutoProv: 1\n\
         \n\
         %description -n {name}-debuginfo\n\
         What a debugger needs to show source lines and variables of the programs and\n\
         libraries built from {name}.\n\
         \n\
         %package -n {name}-debugsource\n\
         Summary: Source files of {name}, for debuggers\n\
         AutoReqProv: 0\n\
         \n\
         %description -n {name}-debugsource\n\
         The source files that the debug information of {name} refers to.\n\
         \n"
    );
}

/// Returns ` -n NAME`, or nothing for the main package.
fn selector(input: &SpecInput, name: &PackageName) -> String {
    if *name == input.name {
        String::new()
    } else {
        format!(" -n {name}")
    }
}

pub(super) fn write_scriptlets(
    spec: &mut String,
    input: &SpecInput,
    package: &PackageInput,
) -> Result<(), SpecError> {
    for scriptlet in &package.scriptlets {
        let section = scriptlet.when.section();
        let field = format!("{section} scriptlet of {}", package.name);
        let body = text::block(&field, &scriptlet.body, Comments::Harmless)?;
        let selector = selector(input, &package.name);
        let _ = match lone_program(&scriptlet.body) {
            Some(program) => writeln!(spec, "{section}{selector} -p {program}\n"),
            None => writeln!(spec, "{section}{selector}\n{body}"),
        };
    }
    Ok(())
}

/// Returns the program if a scriptlet only calls one, without arguments: rpm then needs no shell.
fn lone_program(body: &str) -> Option<&str> {
    let program = body.trim();
    let is_plain = program.len() > 1
        && program.starts_with('/')
        && program
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/_.-".contains(c));
    is_plain.then_some(program)
}

pub(super) fn write_files(
    spec: &mut String,
    input: &SpecInput,
    package: &PackageInput,
) -> Result<(), SpecError> {
    let _ = writeln!(spec, "%files{}", selector(input, &package.name));
    spec.push_str("%defattr(-,root,root,-)\n");
    for file in &package.files {
        write_file(spec, file)?;
    }
    spec.push('\n');
    if input
        .packages
        .last()
        .is_some_and(|last| last.name == package.name)
        && input.debug_information == DebugInformation::Split
    {
        write_debug_files(spec, input)?;
    }
    Ok(())
}

/// Modes are given: those of the source tree are upstream's, or the unpacker's.
fn write_debug_files(spec: &mut String, input: &SpecInput) -> Result<(), SpecError> {
    let added = &input.debug_files;
    let packages = [
        ("debuginfo", install::DEBUG_FILES, "-", &added.debuginfo),
        (
            "debugsource",
            install::DEBUG_SOURCES,
            "0644",
            &added.debugsource,
        ),
    ];
    for (kind, list, mode, lines) in packages {
        let _ = write!(
            spec,
            "%files -n {}-{kind} -f {list}\n%defattr({mode},root,root,0755)\n",
            input.name
        );
        for line in lines {
            write_file(spec, line)?;
        }
        spec.push('\n');
    }
    Ok(())
}

fn write_file(spec: &mut String, file: &FileLine) -> Result<(), SpecError> {
    let field = || format!("attributes of {}", file.path);
    if let Some(capabilities) = &file.capabilities {
        let _ = write!(spec, "%caps({}) ", text::line(&field(), capabilities)?);
    }
    if file.mode.is_some() || file.owner.is_some() {
        let mode = file
            .mode
            .map_or("-".to_owned(), |mode| format!("{:04o}", mode.bits()));
        let (user, group) = match &file.owner {
            Some(owner) => (
                text::line(&field(), &owner.user)?,
                text::line(&field(), &owner.group)?,
            ),
            None => ("root".to_owned(), "root".to_owned()),
        };
        let _ = write!(spec, "%attr({mode},{user},{group}) ");
    }
    let kind = match file.kind {
        FileKind::File => "",
        FileKind::Directory => "%dir ",
        FileKind::Config => "%config(noreplace) ",
        FileKind::ConfigReplaced => "%config ",
        FileKind::Documentation => "%doc ",
        FileKind::License => "%license ",
        FileKind::Ghost => "%ghost ",
        FileKind::GhostDirectory => "%ghost %dir ",
    };
    let _ = writeln!(
        spec,
        "{kind}\"{}\"",
        text::escape(&manual::packaged_path(file))
    );
    Ok(())
}

pub(super) fn write_changelog(
    spec: &mut String,
    entries: &[ChangelogEntry],
) -> Result<(), SpecError> {
    if entries.is_empty() {
        return Ok(());
    }
    if let Some([first, second]) = entries.windows(2).find(|pair| pair[0].date < pair[1].date) {
        return Err(SpecError::ChangelogOrder {
            older: first.date.to_string(),
            newer: second.date.to_string(),
        });
    }
    spec.push_str("%changelog\n");
    for entry in entries {
        let field = format!("changelog entry of {}", entry.date);
        let author = text::line(&field, &entry.author)?;
        let version = text::line(&field, &entry.version_release)?;
        let _ = writeln!(spec, "* {} {author} - {version}", entry.date.to_changelog());
        for line in &entry.lines {
            let _ = writeln!(spec, "- {}", text::line(&field, line)?);
        }
        spec.push('\n');
    }
    Ok(())
}
