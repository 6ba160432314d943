//! What the RPM family calls Debian's packages: names that source packages ask for.
//!
//! Only names that are certain stand here; `tools-rhel` in a recipe says the others.
//! `docs/source-rpms.md` shows the tables.

use kiln_model::recipe::{Choice, Distribution};
use kiln_model::{DistributionPackage, LibraryName, Recipe};

/// What every base image has, and every recipe may use.
pub(crate) const TOOLCHAIN: &[&str] = &[
    "binutils",
    "bzip2",
    "coreutils",
    "cpio",
    "debugedit",
    "diffutils",
    "elfutils",
    "file",
    "findutils",
    "gawk",
    "gcc",
    "gcc-c++",
    "glibc-devel",
    "grep",
    "gzip",
    "make",
    "patch",
    "perl",
    "pkgconf-pkg-config",
    "sed",
    "tar",
    "which",
    "xz",
    "zstd",
];

/// Tools by Debian's name, and the RPM family's.
const TOOLS: &[(&str, &str)] = &[
    ("autoconf", "autoconf"),
    ("autoconf-archive", "autoconf-archive"),
    ("automake", "automake"),
    ("autopoint", "gettext-devel"),
    ("bc", "bc"),
    ("bison", "bison"),
    ("byacc", "byacc"),
    ("cmake", "cmake"),
    ("doxygen", "doxygen"),
    ("ed", "ed"),
    ("flex", "flex"),
    ("gettext", "gettext"),
    ("googletest", "gtest-devel"),
    ("gperf", "gperf"),
    ("groff", "groff"),
    ("help2man", "help2man"),
    ("intltool", "intltool"),
    ("libtool", "libtool"),
    ("libtool-bin", "libtool"),
    ("m4", "m4"),
    ("meson", "meson"),
    ("nasm", "nasm"),
    ("ninja-build", "ninja-build"),
    ("perl", "perl"),
    ("pkg-config", "pkgconf-pkg-config"),
    ("pkgconf", "pkgconf-pkg-config"),
    ("protobuf-compiler", "protobuf-compiler"),
    ("python3", "python3"),
    ("python3-dev", "python3-devel"),
    ("rsync", "rsync"),
    ("swig", "swig"),
    ("tcl", "tcl"),
    ("texinfo", "texinfo"),
    ("xmlto", "xmlto"),
    ("xsltproc", "libxslt"),
    ("yasm", "yasm"),
];

/// Returns the RPM family's name of a recipe's tool, where it is known.
pub(crate) fn tool_name<'a>(recipe: &'a Recipe, tool: &DistributionPackage) -> Option<&'a str> {
    let stated = recipe.tools_rhel.get(tool).map(|name| name.as_str());
    let known = TOOLS.iter().find(|(debian, _)| *debian == tool.as_str());
    stated.or(known.map(|(_, rhel)| *rhel))
}

/// Returns the libraries that a recipe takes from the system, each with Debian's name of its package
/// and the RPM family's.
pub(crate) fn system_libraries(
    recipe: &Recipe,
) -> impl Iterator<Item = (&LibraryName, Option<&str>, Option<&str>)> {
    recipe.libraries.iter().filter_map(|(library, choice)| {
        let Choice::System { package } = &choice.choice else {
            return None;
        };
        let name = |distribution| {
            let name: Option<&DistributionPackage> = package.get(&distribution);
            name.map(|name| name.as_str())
        };
        Some((
            library,
            name(Distribution::Debian),
            name(Distribution::Rhel),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The guide's tables are these: a row for a row.
    #[test]
    fn the_guide_shows_every_name() {
        let guide = include_str!("../../../docs/source-rpms.md");
        let rows: Vec<&str> = guide
            .lines()
            .filter(|line| line.starts_with("| `"))
            .collect();
        let expected: Vec<String> = TOOLS
            .iter()
            .map(|(debian, rhel)| format!("| `{debian}` | `{rhel}` |"))
            .collect();
        assert_eq!(rows, expected);
        for name in TOOLCHAIN {
            assert!(guide.contains(&format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn tables_are_sorted_and_rpm_can_carry_every_name() {
        assert!(TOOLS.is_sorted());
        assert!(TOOLCHAIN.is_sorted());
        let names = TOOLS.iter().map(|(_, rhel)| rhel).chain(TOOLCHAIN);
        for name in names {
            assert!(name.parse::<kiln_rpm::Dependency>().is_ok(), "{name}");
        }
    }
}
