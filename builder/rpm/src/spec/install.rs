//! The `%install` script: destdir to buildroot, debug information split off, times set.
//!
//! The script is POSIX shell, run with `-e`. Everything that a stock rpm does behind `%install`
//! (`brp-*`, debug packages) is switched off in the macros and stands here in the open.

use std::fmt::Write as _;

use super::input::{DebugInformation, FileKind, SpecInput};
use super::macros::GENERATORS;
use super::{SpecError, manual, rebuild, text};

/// Where debugedit looks for sources, and where find-debuginfo leaves its lists.
const SOURCES: &str = "%{kiln_sources}";

/// The lists that find-debuginfo writes, in `SOURCES`.
pub(super) const DEBUG_FILES: &str = "%{kiln_sources}/debugfiles.list";
pub(super) const DEBUG_SOURCES: &str = "%{kiln_sources}/debugsourcefiles.list";

/// Programs without which find-debuginfo makes empty packages and still succeeds.
const DEBUG_TOOLS: &str = "find-debuginfo debugedit eu-strip file cpio strip";

pub(super) fn write(spec: &mut String, input: &SpecInput) -> Result<(), SpecError> {
    // rpmbuild switches tracing on; a log of shell conditions hides what tools say.
    spec.push_str("%install\n{ set +x; } 2>/dev/null\n");
    spec.push_str("%if 0%{?kiln_destdir:1}\n");
    write_copy(spec, input);
    spec.push_str("%else\n");
    rebuild::write_install(spec, &input.source)?;
    spec.push_str("%endif\n");
    write_ghosts(spec, input);
    spec.push_str("mkdir -p \"%{_fileattrsdir}\"\n");
    for name in GENERATORS {
        let _ = writeln!(spec, ": > \"%{{_fileattrsdir}}/{name}.attr\"");
    }
    spec.push_str(CHECK_PKGCONFIG);
    spec.push_str(CHECK_PERL);
    spec.push_str(EXECUTABLE_LIBRARIES);
    spec.push_str(manual::COMPRESS);
    write_hidden(spec, input);
    match &input.debug_information {
        DebugInformation::Split => write_split(spec, input),
        DebugInformation::Off { .. } => spec.push_str(STRIP_PROGRAMS),
    }
    write_shown(spec, input);
    spec.push_str(STRIP_ARCHIVES);
    rebuild::write_last_look(spec, &input.source);
    let _ = write!(
        spec,
        "\n# Every time, those of new files included.\n\
         find \"%{{buildroot}}\" -exec touch --no-dereference --date=@{} {{}} +\n\n",
        input.source_date.seconds()
    );
    Ok(())
}

fn write_copy(spec: &mut String, input: &SpecInput) {
    let seconds = input.source_date.seconds();
    let _ = write!(
        spec,
        "# rpmbuild lowers times to SOURCE_DATE_EPOCH but never raises them.\n\
         if [ \"$(date +%%s)\" -lt {seconds} ]; then\n\
         \x20 echo \"kiln: this host's clock is behind SOURCE_DATE_EPOCH ({seconds}); set it\" >&2\n\
         \x20 exit 1\n\
         fi\n\
         cp -a --no-preserve=ownership -- \"%{{kiln_destdir}}/.\" \"%{{buildroot}}/\"\n\
         find \"%{{buildroot}}\" -type d ! -perm -0700 -exec chmod u+rwx {{}} +\n"
    );
}

fn write_ghosts(spec: &mut String, input: &SpecInput) {
    for file in input.packages.iter().flat_map(|package| &package.files) {
        let path = format!("\"%{{buildroot}}\"{}", text::shell(file.path.as_str()));
        let _ = match file.kind {
            FileKind::Ghost => writeln!(
                spec,
                "test -e {path} || test -L {path} || {{ mkdir -p \"$(dirname {path})\"; : > {path}; }}"
            ),
            FileKind::GhostDirectory => writeln!(spec, "mkdir -p {path}"),
            _ => continue,
        };
    }
}

/// The stock generator ends silently when the program is missing.
const CHECK_PKGCONFIG: &str = r#"
if [ -n "$(find "%{buildroot}" -path '*/pkgconfig/*.pc' -print -quit)" ] && ! [ -x /usr/bin/pkg-config ]; then
  echo 'kiln: the base image has no /usr/bin/pkg-config, so pkgconfig() provides would be lost' >&2
  exit 1
fi
"#;

/// The scripts of rpm's that read Perl are in a package of their own on some distributions, and need an
/// interpreter.
const CHECK_PERL: &str = r#"
if [ -n "$(find "%{buildroot}" -type f -perm -0100 -exec sh -c 'head -n 1 "$1" | grep -q "^#!.*perl"' sh {} \; -print -quit; find "%{buildroot}" -path '*/perl5/*.pm' -print -quit)" ]; then
  for tool in /usr/bin/perl "%{_rpmconfigdir}/perl.req" "%{_rpmconfigdir}/perl.prov"; do
    [ -x "$tool" ] || { echo "kiln: the base image has no $tool, so perl() dependencies would be lost" >&2; exit 1; }
  done
fi
"#;

/// find-debuginfo and the build-id links look at executable files only; CMake installs shared
/// objects without the bit on Debian.
const EXECUTABLE_LIBRARIES: &str = r#"
# Shared objects are executable files, or debug information is not found in them.
find "%{buildroot}" -type f -name '*.so*' ! -perm -0111 -exec sh -c '
  for file do
    if [ "$(head -c 4 "$file")" = "$(printf "\177ELF")" ]; then chmod a+x "$file"; fi
  done' sh {} +
"#;

/// What splits and strips looks at executable files only.
fn write_hidden(spec: &mut String, input: &SpecInput) {
    for (number, path) in input.without_build_id.iter().enumerate() {
        let path = format!("\"%{{buildroot}}\"{}", text::shell(path.as_str()));
        let _ = writeln!(
            spec,
            "\n# Carried as it is, without a build-id.\n\
             kiln_mode_{number}=$(stat -c %%a {path})\nchmod a-x {path}"
        );
    }
}

fn write_shown(spec: &mut String, input: &SpecInput) {
    for (number, path) in input.without_build_id.iter().enumerate() {
        let path = text::shell(path.as_str());
        let _ = writeln!(
            spec,
            "chmod \"$kiln_mode_{number}\" \"%{{buildroot}}\"{path}"
        );
    }
}

fn write_split(spec: &mut String, input: &SpecInput) {
    let (name, version, release) = (&input.name, &input.version, &input.release);
    let unique = format!("{name}-{version}-{release}");
    let _ = write!(
        spec,
        r#"
# Debug information into files of its own, sources beside it.
for tool in {DEBUG_TOOLS}; do
  command -v "$tool" >/dev/null || {{ echo "kiln: the base image lacks $tool, which splitting debug information needs" >&2; exit 1; }}
done
/usr/bin/find-debuginfo --strict-build-id \
  --build-id-seed "{unique}" \
  --unique-debug-suffix "-{version}-{release}.%{{_arch}}" \
  --unique-debug-src-base "{unique}.%{{_arch}}" \
  -S debugsourcefiles.list "{SOURCES}"
# Of files with one build-id, rpm gives the first name to the first one listed.
for list in "{DEBUG_FILES}" "{DEBUG_SOURCES}"; do
  [ ! -e "$list" ] || LC_ALL=C sort -o "$list" "$list"
done
if ! [ -s "{DEBUG_FILES}" ] || [ -z "$(find "%{{buildroot}}/usr/lib/debug" -name '*.debug' -type f -print -quit)" ]; then
  echo 'kiln: no ELF file carries debug information: compile with -g, or switch debug packages off in the recipe' >&2
  exit 1
fi
if [ -z "$(find "%{{buildroot}}/usr/src/debug" -type f -print -quit)" ]; then
  echo 'kiln: no source file was found for the debug information: it must name files below {SOURCES}' >&2
  exit 1
fi
"#
    );
}

/// Without debug packages: what is not needed to run goes.
const STRIP_PROGRAMS: &str = r#"
# No debug packages: debug information is dropped.
find "%{buildroot}" -type f -perm -0100 -exec sh -c '
  for file do
    if [ "$(head -c 4 "$file")" = "$(printf "\177ELF")" ]; then strip --strip-unneeded "$file"; fi
  done' sh {} +
"#;

/// Debug information in static libraries names paths that nobody has.
const STRIP_ARCHIVES: &str = r#"
find "%{buildroot}" -type f -name '*.a' -exec sh -c '
  for file do
    if [ "$(head -c 7 "$file")" = "!<arch>" ]; then strip --strip-debug --enable-deterministic-archives "$file"; fi
  done' sh {} +
"#;
