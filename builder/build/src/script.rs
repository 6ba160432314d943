//! What a step runs: shell scripts from presets and recipes, and the fixed environment around them.
//!
//! Paths are fixed (DESIGN 5): sources in `/build/src/NAME-VERSION`, results below `/build/destdir`,
//! home in `/build/home`. Debug information keeps the true path, which packaging rewrites; only
//! `__FILE__` is mapped, since it would end up in programs' data.

use std::collections::BTreeMap;
use std::fmt;

use kiln_model::recipe::{Check, Preset, Steps};
use kiln_model::{Recipe, SourceDateEpoch};

use crate::flags::{Flags, flags};
use crate::graph::{NodeId, Prefix};

/// Where everything that a build writes lies in the sandbox.
pub const BUILD_ROOT: &str = "/build";
/// Where source trees lie in the sandbox.
pub const SOURCE_ROOT: &str = "/build/src";
/// Where a build installs to in the sandbox.
pub const DESTDIR: &str = "/build/destdir";

/// The steps of a build, in order, and what comes after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepName {
    /// After unpacking: patches, and what the recipe adds.
    Prep,
    /// Configures and compiles.
    Build,
    /// Installs into the destdir.
    Install,
    /// Runs upstream's tests.
    Check,
    /// Makes RPMs of what was installed: rpmbuild, not a script of the recipe.
    Package,
    /// Makes the metadata of the repository: createrepo_c, not a script of a recipe.
    Repodata,
}

impl StepName {
    /// The steps that recipes and presets script, in the order in which they run.
    pub const ALL: [Self; 4] = [Self::Prep, Self::Build, Self::Install, Self::Check];
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Prep => "prep",
            Self::Build => "build",
            Self::Install => "install",
            Self::Check => "check",
            Self::Package => "package",
            Self::Repodata => "repodata",
        })
    }
}

/// Stops at the first failing command and shows each one in the log.
const PREAMBLE: &str = "set -eux\n";

/// Returns the shell script of one step, or `None` when the step does nothing.
#[must_use]
pub fn step_script(recipe: &Recipe, step: StepName) -> Option<String> {
    let steps = &recipe.steps;
    let body = match step {
        StepName::Prep => prep(recipe),
        StepName::Build => steps.build.clone().or_else(|| preset_build(steps)),
        StepName::Install => steps
            .install
            .clone()
            .or_else(|| preset_install(steps.preset)),
        StepName::Check => match &steps.check {
            Check::Script(script) => Some(script.clone()),
            Check::Preset => preset_check(steps.preset),
            Check::Skipped(_) => None,
        },
        StepName::Package | StepName::Repodata => None,
    };
    body.map(|body| format!("{PREAMBLE}{body}\n"))
}

/// Returns the shell script of one step for a source package, which applies patches by itself.
pub(crate) fn rebuild_script(recipe: &Recipe, step: StepName) -> Option<String> {
    match step {
        StepName::Prep => {
            let body = recipe.steps.prep.as_ref();
            body.map(|body| format!("{PREAMBLE}{body}\n"))
        }
        _ => step_script(recipe, step),
    }
}

fn prep(recipe: &Recipe) -> Option<String> {
    let mut lines: Vec<String> = (recipe.patches.iter().enumerate())
        .map(|(number, _)| format!("patch -p1 --forward -i /build/patches/{number}.patch"))
        .collect();
    lines.extend(recipe.steps.prep.clone());
    if lines.is_empty() {
        None
    } else {
        Some(lines.join("\n"))
    }
}

/// Quotes a configure argument: variables expand, nothing else does.
fn quoted_arguments(steps: &Steps) -> String {
    let quote = |argument: &str| {
        let escaped = argument
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('`', "\\`");
        format!(" \\\n  \"{escaped}\"")
    };
    steps
        .configure
        .iter()
        .map(|argument| quote(argument.as_str()))
        .collect()
}

/// libtool would write the library folder into every file as a run path, since `/usr/lib64` is not
/// among Debian's default folders. Where bundled libraries are is in `LDFLAGS`.
const QUIET_LIBTOOL: &str = "find . -name libtool -type f -exec sed -i \\\n  \
    -e 's|^hardcode_libdir_flag_spec=.*|hardcode_libdir_flag_spec=\"\"|' \\\n  \
    -e 's|^runpath_var=LD_RUN_PATH|runpath_var=KILN_NO_RUN_PATH|' {} +";

/// The library folder below the prefix: many projects join both, whatever CMake would allow. Without its
/// type CMake takes a path to be relative to where it was called.
const RELATIVE_LIBDIR: &str = "${KILN_LIBDIR#\"$KILN_PREFIX\"/}";

fn preset_build(steps: &Steps) -> Option<String> {
    let arguments = quoted_arguments(steps);
    Some(match steps.preset {
        Preset::Autotools => format!(
            "./configure --prefix=\"$KILN_PREFIX\" --libdir=\"$KILN_LIBDIR\" \
             --sysconfdir=\"$KILN_SYSCONFDIR\" --localstatedir=/var --mandir=\"$KILN_MANDIR\" \
             --disable-dependency-tracking{arguments}\n{QUIET_LIBTOOL}\nmake -j\"$KILN_JOBS\""
        ),
        Preset::Cmake => format!(
            "cmake -S . -B kiln-build -DCMAKE_INSTALL_PREFIX=\"$KILN_PREFIX\" \
             -DCMAKE_INSTALL_LIBDIR:PATH=\"{RELATIVE_LIBDIR}\" -DCMAKE_BUILD_TYPE=None \
             -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON -DCMAKE_PREFIX_PATH=\"$KILN_BUNDLE_PREFIX\"\
             {arguments}\ncmake --build kiln-build -j \"$KILN_JOBS\""
        ),
        Preset::Meson => format!(
            "meson setup kiln-build --prefix=\"$KILN_PREFIX\" --libdir=\"$KILN_LIBDIR\" \
             --buildtype=plain --wrap-mode=nodownload{arguments}\n\
             meson compile -C kiln-build -j \"$KILN_JOBS\""
        ),
        Preset::Make => format!("make -j\"$KILN_JOBS\" PREFIX=\"$KILN_PREFIX\"{arguments}"),
        Preset::None => return None,
    })
}

fn preset_install(preset: Preset) -> Option<String> {
    // libtool's .la files name build folders and help nobody who links with pkg-config.
    let remove_archives = "find \"$DESTDIR\" -name '*.la' -delete";
    Some(match preset {
        Preset::Autotools => format!("make install DESTDIR=\"$DESTDIR\"\n{remove_archives}"),
        Preset::Cmake => "cmake --install kiln-build".to_owned(),
        Preset::Meson => "meson install -C kiln-build --no-rebuild".to_owned(),
        Preset::Make => "make install DESTDIR=\"$DESTDIR\" PREFIX=\"$KILN_PREFIX\"".to_owned(),
        Preset::None => return None,
    })
}

fn preset_check(preset: Preset) -> Option<String> {
    Some(match preset {
        Preset::Autotools | Preset::Make => "make -j\"$KILN_JOBS\" check".to_owned(),
        // Programs in the build folder look for libraries where they will be installed.
        Preset::Cmake => {
            "LD_LIBRARY_PATH=\"$DESTDIR$KILN_LIBDIR${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}\" \\\n  \
             ctest --test-dir kiln-build --output-on-failure -j \"$KILN_JOBS\""
                .to_owned()
        }
        Preset::Meson => "meson test -C kiln-build".to_owned(),
        Preset::None => return None,
    })
}

/// Returns the part of a build's environment that can change its result.
#[must_use]
pub fn environment(recipe: &Recipe, node: &NodeId) -> BTreeMap<String, String> {
    let own_prefix = node.prefix.path().to_owned();
    let (bundle_prefix, sysconfdir) = match &node.prefix {
        Prefix::System => (recipe.bundle_prefix.to_string(), "/etc".to_owned()),
        Prefix::Bundle(path) => (path.to_string(), format!("{path}/etc")),
    };
    let needs_bundle =
        matches!(node.prefix, Prefix::Bundle(_)) || recipe.bundled().next().is_some();
    let source = format!("{SOURCE_ROOT}/{}", recipe.source_folder());
    let Flags { c, cxx, mut link } = flags(recipe, &source);
    let mut preprocess = String::new();
    let mut package_config = "/usr/lib64/pkgconfig".to_owned();
    if needs_bundle {
        link.push_str(&format!(
            " -L{bundle_prefix}/lib -Wl,-rpath,{bundle_prefix}/lib"
        ));
        preprocess = format!("-I{bundle_prefix}/include");
        package_config = format!("{bundle_prefix}/lib/pkgconfig:{package_config}");
    }
    let variables = [
        ("CFLAGS", c),
        ("CXXFLAGS", cxx),
        ("CPPFLAGS", preprocess),
        ("LDFLAGS", link),
        ("PKG_CONFIG_PATH", package_config),
        ("DESTDIR", DESTDIR.to_owned()),
        ("KILN_PREFIX", own_prefix.clone()),
        ("KILN_LIBDIR", node.prefix.libdir()),
        ("KILN_SYSCONFDIR", sysconfdir),
        ("KILN_MANDIR", format!("{own_prefix}/share/man")),
        ("KILN_BUNDLE_PREFIX", bundle_prefix),
        // Where what is installed below it is found while building: elsewhere only without kiln.
        ("KILN_BUNDLE_ROOT", String::new()),
        ("KILN_NAME", recipe.name.to_string()),
        ("KILN_VERSION", recipe.version.to_string()),
    ];
    let mut environment = fixed_environment(recipe.planned().source_date, "/build/home");
    environment.extend(variables.map(|(name, value)| (name.to_owned(), value)));
    environment
}

/// Returns what every sealed step has in its environment, packaging included.
#[must_use]
pub fn fixed_environment(epoch: SourceDateEpoch, home: &str) -> BTreeMap<String, String> {
    let variables = [
        (
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ),
        ("HOME", home),
        ("LC_ALL", "C.UTF-8"),
        ("LANG", "C.UTF-8"),
        ("TZ", "UTC"),
        ("TMPDIR", "/tmp"),
        ("TERM", "dumb"),
        ("SHELL", "/bin/sh"),
        ("PYTHONHASHSEED", "0"),
        ("PERL_HASH_SEED", "0"),
    ];
    let mut environment: BTreeMap<String, String> = variables
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    environment.insert("SOURCE_DATE_EPOCH".to_owned(), epoch.seconds().to_string());
    environment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configure_arguments_expand_variables_and_nothing_else() {
        let text = format!(
            "schema: 1\nname: x\nversion: \"1\"\nrelease: 1\nsummary: x\nlicense: MIT\n\
             homepage: https://example.org\nidentity: {{supplier: x}}\nbase: b\nsources:\n  \
             - {{url: \"https://example.org/x.tar\", sha256: \"{}\", released: 2020-01-01}}\n\
             steps:\n  use: autotools\n  configure: ['--with=$KILN_PREFIX', '--a=\"`id`\"']\n",
            "0".repeat(64)
        );
        let recipe = Recipe::parse(text.as_bytes(), "x").unwrap();
        let script = step_script(&recipe, StepName::Build).unwrap();
        assert!(script.contains("\"--with=$KILN_PREFIX\""), "{script}");
        assert!(script.contains("\"--a=\\\"\\`id\\`\\\"\""), "{script}");
    }
}
