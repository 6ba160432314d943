//! The sections that build without kiln: `%prep`, `%build`, the beginning of `%install`, `%check`.
//!
//! With `kiln_destdir` defined, none of them is there. Without it they lay out one folder,
//! `%{kiln_build}`:
//!
//! ```text
//! kiln.sh                  how steps run (rebuild.sh)
//! src/<name>-<version>     source trees
//! destdir/<recipe>         what each recipe installs
//! bundle/<recipe>          what the libraries that a recipe bundles have installed
//! nodes/<recipe>           environment, compilers and steps of a recipe
//! ```
//!
//! Flags name the folders in which libraries will be installed, as they do in kiln, so that programs
//! and `.pc` files can not tell of other ones. Until they are there, compilers, linker and loader find
//! them through the environment (`C_INCLUDE_PATH`, `LIBRARY_PATH`, `LD_LIBRARY_PATH`, …).
//!
//! A step's script stands between the lines of a here-document, behind a `|` on each line and with
//! every `%` doubled: rpm would drop lines that begin with `#`, and take others for its own syntax.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kiln_model::recipe::SourceForm;

use super::source_package::{BuildRequirement, RebuildNode, SourcePackage};
use super::{SpecError, text};

/// The first line of what only other builders than kiln see.
pub(super) const WITHOUT_KILN: &str = "%if 0%{!?kiln_destdir:1}\n";

/// The shell functions that run steps.
const FUNCTIONS: &str = include_str!("rebuild.sh");

/// Writes sources, patches and build requirements.
pub(super) fn write_tags(spec: &mut String, package: &SourcePackage) -> Result<(), SpecError> {
    let field = |file: &str| format!("source `{file}`");
    for (number, source) in package.sources.iter().enumerate() {
        write_notes(spec, &field(&source.file), &source.notes)?;
        let _ = writeln!(spec, "# {}", source.sha256);
        let file = text::line(&field(&source.file), &source.file)?;
        let value = match &source.url {
            Some(url) if url.rsplit('/').next() == Some(&*source.file) => {
                text::line(&field(&source.file), url)?
            }
            // rpm takes what stands behind the last slash for the file's name.
            Some(url) => format!("{}#/{file}", text::line(&field(&source.file), url)?),
            None => file,
        };
        let _ = writeln!(spec, "Source{number}: {value}");
    }
    if let Some(made) = &package.made {
        spec.push_str(
            "# Files that kiln makes: licence texts, and what the packages were built from.\n",
        );
        let made = text::line(&field(made), made)?;
        let _ = writeln!(spec, "Source{}: {made}", package.sources.len());
    }
    for (number, patch) in package.patches.iter().enumerate() {
        write_notes(spec, &field(&patch.file), &patch.notes)?;
        let _ = writeln!(spec, "# {}", patch.sha256);
        let file = text::line(&field(&patch.file), &patch.file)?;
        let _ = writeln!(spec, "Patch{number}: {file}");
    }
    for requirement in &package.requirements {
        match requirement {
            BuildRequirement::Known(name) => {
                let _ = writeln!(spec, "BuildRequires: {name}");
            }
            BuildRequirement::Unknown { what } => {
                let what = text::line("build requirement", what)?;
                let _ = writeln!(
                    spec,
                    "# Also needed, under a name that the recipe does not say: {what}"
                );
            }
        }
    }
    Ok(())
}

fn write_notes(spec: &mut String, field: &str, notes: &[String]) -> Result<(), SpecError> {
    for note in notes {
        let _ = writeln!(spec, "# {}", text::line(field, note)?);
    }
    Ok(())
}

/// Writes `%prep` and `%build`.
pub(super) fn write_build(spec: &mut String, package: &SourcePackage) -> Result<(), SpecError> {
    spec.push_str(WITHOUT_KILN);
    spec.push_str("%prep\n%setup -q -T -c -n %{kiln_folder}\n");
    let Some(last) = package.nodes.len().checked_sub(1) else {
        spec.push_str("%endif\n\n");
        return Ok(());
    };
    write_prep(spec, package)?;
    spec.push_str("\n%build\n");
    begin(spec);
    for (number, node) in package.nodes.iter().enumerate() {
        write_bundle(spec, node);
        write_step(spec, node, "build", node.steps.build.as_deref())?;
        if number != last {
            write_step(spec, node, "install", node.steps.install.as_deref())?;
        }
    }
    spec.push_str("%endif\n\n");
    Ok(())
}

/// Quiet, stopped by the first failure, and with the functions at hand.
fn begin(spec: &mut String) {
    spec.push_str("{ set +x; } 2>/dev/null\nset -e\n. \"%{kiln_build}/kiln.sh\"\n");
}

fn write_prep(spec: &mut String, package: &SourcePackage) -> Result<(), SpecError> {
    spec.push_str(
        "{ set +x; } 2>/dev/null\n\
         set -e\n\
         mkdir home src destdir\n\
         sed 's/^|//' > kiln.sh <<'KILN'\n\
         |kiln=\"%{kiln_build}\"\n",
    );
    spec.push_str(&quoted("functions", FUNCTIONS)?);
    spec.push_str("KILN\n. \"%{kiln_build}/kiln.sh\"\n");
    for node in &package.nodes {
        let id = &node.recipe;
        let folder = sources(&node.folder);
        let _ = write!(
            spec,
            "\n# {}\nmkdir -p \"$kiln/nodes/{id}\" \"$kiln/destdir/{id}\"\n\
             kiln_compilers {id} \"{folder}\"\n",
            text::line("title", &node.title)?
        );
        for unpacked in &node.unpacked {
            let command = match unpacked.form {
                SourceForm::Unpacked => "kiln_unpack",
                SourceForm::Kept => "cp -p",
            };
            let _ = writeln!(
                spec,
                "{command} \"%{{SOURCE{}}}\" \"{}\"",
                unpacked.source,
                sources(&unpacked.folder)
            );
        }
        write_environment(spec, node)?;
        for patch in &node.patches {
            let _ = writeln!(
                spec,
                "(cd \"{folder}\" && patch -p1 --forward -i \"%{{PATCH{patch}}}\")"
            );
        }
        write_step(spec, node, "prep", node.steps.prep.as_deref())?;
    }
    Ok(())
}

fn sources(folder: &str) -> String {
    format!("%{{kiln_sources}}/{}", text::escape(folder))
}

/// Writes the environment of a node's steps: kiln's, but for places.
fn write_environment(spec: &mut String, node: &RebuildNode) -> Result<(), SpecError> {
    let id = &node.recipe;
    let _ = writeln!(spec, "kiln_text \"$kiln/nodes/{id}/environment\" <<'KILN'");
    let places = places(node);
    for (name, value) in &node.environment {
        if !places.contains_key(name.as_str()) {
            let value = shell_line(&format!("environment of {id}"), value)?;
            let _ = writeln!(spec, "|export {name}={value}");
        }
    }
    for (name, value) in &places {
        let _ = writeln!(spec, "|export {name}=\"{value}\"");
    }
    let _ = writeln!(spec, "|cd \"{}\"\nKILN", sources(&node.folder));
    Ok(())
}

/// The variables that name places of this build, as they stand in the spec.
fn places(node: &RebuildNode) -> BTreeMap<&'static str, String> {
    let id = &node.recipe;
    let path = node
        .environment
        .get("PATH")
        .map_or("/usr/bin:/bin", String::as_str);
    let path = text::escape(path);
    let mut places = BTreeMap::from([
        ("DESTDIR", format!("%{{kiln_build}}/destdir/{id}")),
        ("HOME", "%{kiln_build}/home".to_owned()),
        ("KILN_BUNDLE_ROOT", format!("%{{kiln_build}}/bundle/{id}")),
        ("PATH", format!("%{{kiln_build}}/nodes/{id}/bin:{path}")),
    ]);
    if node.libraries.is_empty() {
        return places;
    }
    let below = format!(
        "%{{kiln_build}}/bundle/{id}{}",
        text::escape(node.bundle_prefix.as_str())
    );
    let package_config = match node.environment.get("PKG_CONFIG_PATH") {
        Some(path) => format!("{below}/lib/pkgconfig:{}", text::escape(path)),
        None => format!("{below}/lib/pkgconfig"),
    };
    places.extend([
        ("CMAKE_PREFIX_PATH", below.clone()),
        ("C_INCLUDE_PATH", format!("{below}/include")),
        ("CPLUS_INCLUDE_PATH", format!("{below}/include")),
        ("LD_LIBRARY_PATH", format!("{below}/lib")),
        ("LIBRARY_PATH", format!("{below}/lib")),
        ("PKG_CONFIG_PATH", package_config),
    ]);
    places
}

fn write_bundle(spec: &mut String, node: &RebuildNode) {
    let _ = write!(spec, "\nkiln_bundle {}", node.recipe);
    for library in &node.libraries {
        let _ = write!(spec, " {library}");
    }
    spec.push('\n');
}

fn write_step(
    spec: &mut String,
    node: &RebuildNode,
    step: &str,
    script: Option<&str>,
) -> Result<(), SpecError> {
    let Some(script) = script else { return Ok(()) };
    let id = &node.recipe;
    let _ = writeln!(spec, "kiln_run {id} {step} <<'KILN'");
    spec.push_str(&quoted(&format!("{step} step of {id}"), script)?);
    spec.push_str("KILN\n");
    Ok(())
}

/// Writes the part of `%install` that fills the buildroot without kiln.
pub(super) fn write_install(spec: &mut String, package: &SourcePackage) -> Result<(), SpecError> {
    if let Some(product) = package.nodes.last() {
        begin(spec);
        write_step(spec, product, "install", product.steps.install.as_deref())?;
        let id = &product.recipe;
        let _ = writeln!(
            spec,
            "mkdir -p \"%{{buildroot}}\"\ncp -a \"$kiln/destdir/{id}/.\" \"%{{buildroot}}/\""
        );
        if !package.carried.is_empty() {
            let _ = write!(
                spec,
                "# Files of bundled libraries.\n\
                 sed 's/^|//' <<'KILN' | (cd \"$kiln/bundle/{id}\" && \
                 while IFS= read -r file; do cp -a --parents -- \".$file\" \"%{{buildroot}}/\"; done)\n"
            );
            for path in &package.carried {
                let _ = writeln!(spec, "|{}", text::escape(path.as_str()));
            }
            spec.push_str("KILN\n");
        }
    }
    if package.made.is_some() {
        let _ = write!(
            spec,
            "mkdir -p \"%{{buildroot}}\"\n\
             tar -xf \"%{{SOURCE{}}}\" -C \"%{{buildroot}}\" --no-same-owner\n",
            package.sources.len()
        );
    }
    spec.push_str("find \"%{buildroot}\" -type d ! -perm -0700 -exec chmod u+rwx {} +\n");
    Ok(())
}

/// Writes the last look at what was installed.
pub(super) fn write_last_look(spec: &mut String, package: &SourcePackage) {
    if !package.nodes.is_empty() {
        spec.push_str(WITHOUT_KILN);
        spec.push_str("kiln_check_places \"%{buildroot}\"\n%endif\n");
    }
}

/// Writes `%check`: the tests of everything that was built.
pub(super) fn write_check(spec: &mut String, package: &SourcePackage) -> Result<(), SpecError> {
    if !package.nodes.iter().any(|node| node.steps.check.is_some()) {
        return Ok(());
    }
    spec.push_str(WITHOUT_KILN);
    spec.push_str("%if %{with check}\n%check\n");
    begin(spec);
    for node in &package.nodes {
        write_step(spec, node, "check", node.steps.check.as_deref())?;
    }
    spec.push_str("%endif\n%endif\n\n");
    Ok(())
}

/// Quotes a value for a shell: one line of it.
fn shell_line(field: &str, value: &str) -> Result<String, SpecError> {
    match value.chars().find(|c| text::is_refused(*c)) {
        Some(character) => Err(SpecError::Character {
            field: field.to_owned(),
            character,
        }),
        None => Ok(text::shell(value)),
    }
}

/// Puts a mark before each line and doubles every `%`, so that rpm passes the text on as it is.
fn quoted(field: &str, script: &str) -> Result<String, SpecError> {
    let mut quoted = String::new();
    for line in script.trim_end_matches('\n').split('\n') {
        if let Some(character) = line.chars().find(|c| text::is_refused(*c) && *c != '\t') {
            return Err(SpecError::Character {
                field: field.to_owned(),
                character,
            });
        }
        let _ = writeln!(quoted, "|{}", text::escape(line));
    }
    Ok(quoted)
}
