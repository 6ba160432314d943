//! The draft's text: values in the layout of `kiln fmt`, guesses with a comment, marks where only
//! people know.

use std::fmt::Write as _;

use kiln_model::recipe::PLACEHOLDER;
use kiln_model::{BaseName, Digest, RecipeName, Version};

use super::scan::{BuildSystem, Found, is_address};

/// What a draft says.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) name: &'a RecipeName,
    pub(super) version: &'a Version,
    /// Upstream's writing of the version, where it is another one.
    pub(super) upstream_version: Option<String>,
    pub(super) bases: Vec<BaseName>,
    pub(super) address: Option<String>,
    pub(super) file_name: &'a str,
    pub(super) sha256: Digest,
    pub(super) found: &'a Found,
}

/// A draft and the keys that have a placeholder.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) yaml: String,
    pub(super) open: Vec<&'static str>,
}

impl Text {
    /// Adds `key: VALUE # COMMENT`, indented.
    fn line(&mut self, indent: &str, key: &str, value: &str, comment: &str) {
        let _ = write!(self.yaml, "{indent}{key}: {value}");
        if !comment.is_empty() {
            let _ = write!(self.yaml, " # {comment}");
        }
        self.yaml.push('\n');
    }

    /// Adds a key that people have to fill in.
    fn open(&mut self, indent: &str, key: &'static str, comment: &str) {
        self.line(indent, key, PLACEHOLDER, comment);
        self.open.push(key);
    }
}

/// Writes the draft.
pub(super) fn write(facts: &Facts<'_>) -> Text {
    let mut text = Text {
        yaml: format!(
            "# Drafted by `kiln new` from {}. Replace every {PLACEHOLDER}; what is called a guess is one.\n",
            facts
                .file_name
                .chars()
                .filter(|c| !c.is_control())
                .collect::<String>()
        ),
        open: Vec::new(),
    };
    text.line("", "schema", "1", "");
    text.line("", "name", &scalar(facts.name.as_str()), "");
    let upstream = facts
        .upstream_version
        .as_ref()
        .map_or_else(String::new, |text| {
            format!("upstream writes {}", plain(text))
        });
    text.line("", "version", &format!("\"{}\"", facts.version), &upstream);
    text.line("", "release", "1", "");
    text.open("", "summary", "one line on what it is");
    licenses(&mut text, facts.found);
    homepage(&mut text, facts);
    text.yaml.push_str("identity:\n");
    text.open("  ", "supplier", "who makes it");
    let _ = writeln!(
        text.yaml,
        "  # cpe: [\"cpe:2.3:a:VENDOR:PRODUCT\"]  what NVD calls it"
    );
    match facts.bases.as_slice() {
        [] => text.open("", "base", "a file of base-images/, without .yaml"),
        [only] => text.line("", "base", &scalar(only.as_str()), ""),
        [first, others @ ..] => {
            let others: Vec<&str> = others.iter().map(BaseName::as_str).collect();
            let comment = format!("a guess; others: {}", others.join(", "));
            text.line("", "base", &scalar(first.as_str()), &comment);
        }
    }
    let tools = tools(facts.found.build_system);
    if !tools.is_empty() {
        text.line("", "tools", tools, "a guess: Debian's names");
    }
    source(&mut text, facts);
    steps(&mut text, facts.found.build_system);
    let _ = write!(
        text.yaml,
        "packages:\n  - name: {}\n    files:\n      # Everything. After a first build, part it by what is installed: NAME, libNAME, NAME-devel.\n      \
         - /**\n",
        scalar(facts.name.as_str())
    );
    text
}

fn licenses(text: &mut Text, found: &Found) {
    let mut names: Vec<&str> = found
        .licenses
        .values()
        .flatten()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        text.open(
            "",
            "license",
            "an SPDX expression; no known licence text was found",
        );
    } else {
        let is_gnu = names.iter().any(|name| name.ends_with("-only"));
        let comment = if is_gnu {
            "a guess by the texts, which do not say whether -only or -or-later"
        } else {
            "a guess by the texts"
        };
        text.line("", "license", &names.join(" AND "), comment);
    }
    let files: Vec<String> = found.licenses.keys().map(|file| quoted(file)).collect();
    if files.is_empty() {
        text.yaml
            .push_str("# license-files: [FILE]  none was found in the top folder\n");
    } else {
        text.yaml.push_str("license-files:\n");
        for file in files {
            let _ = writeln!(text.yaml, "  - {file}");
        }
    }
}

fn homepage(text: &mut Text, facts: &Facts<'_>) {
    let from_address = facts.address.as_deref().and_then(page_of);
    match facts.found.homepage.clone().or(from_address) {
        Some(page) if is_address(&page) => text.line("", "homepage", &page, "a guess"),
        _ => text.open("", "homepage", "upstream's page"),
    }
}

/// Returns the repository's page for a forge, the host's for anything else.
fn page_of(address: &str) -> Option<String> {
    let (scheme, rest) = address.split_once("://")?;
    let parts: Vec<&str> = rest.split('/').collect();
    match parts.as_slice() {
        [
            host @ ("github.com" | "gitlab.com" | "codeberg.org"),
            owner,
            repository,
            ..,
        ] => Some(format!("{scheme}://{host}/{owner}/{repository}")),
        [host, ..] => Some(format!("{scheme}://{host}/")),
        [] => None,
    }
}

fn source(text: &mut Text, facts: &Facts<'_>) {
    text.yaml.push_str("sources:\n");
    match &facts.address {
        Some(address) => text.line("  - ", "url", &quoted(address), ""),
        None => text.open(
            "  - ",
            "url",
            "where upstream publishes exactly these bytes",
        ),
    }
    let digest = format!("\"{}\"", facts.sha256.to_hex());
    text.line("    ", "sha256", &digest, "compare it with upstream's");
    match facts.found.newest {
        Some(day) => {
            let comment = "a guess: the newest file in it";
            text.line("    ", "released", &day.to_string(), comment);
        }
        None => text.open("    ", "released", "the day of upstream's release"),
    }
}

const fn tools(system: BuildSystem) -> &'static str {
    match system {
        BuildSystem::Autoconf => "[autoconf, automake, libtool]",
        BuildSystem::PerlConfigure => "[perl]",
        BuildSystem::Meson => "[meson, ninja-build]",
        BuildSystem::Cmake => "[cmake]",
        BuildSystem::Autotools
        | BuildSystem::OwnConfigure
        | BuildSystem::Make
        | BuildSystem::Unknown => "",
    }
}

fn steps(text: &mut Text, system: BuildSystem) {
    text.yaml.push_str("steps:\n");
    match system {
        BuildSystem::Autotools => text.yaml.push_str("  use: autotools\n"),
        BuildSystem::Autoconf => {
            text.yaml.push_str("  use: autotools\n  prep: autoreconf -fi\n");
        }
        BuildSystem::Meson => text.yaml.push_str("  use: meson\n"),
        BuildSystem::Cmake => text.yaml.push_str("  use: cmake\n"),
        BuildSystem::Make => text.yaml.push_str("  use: make\n"),
        BuildSystem::OwnConfigure => text.yaml.push_str(
            "  use: none\n  # A guess: `configure` is not autoconf's; ./configure --help says what it takes.\n  build: |\n    \
             ./configure --prefix=\"$KILN_PREFIX\" --libdir=\"$KILN_LIBDIR\"\n    \
             make -j\"$KILN_JOBS\"\n  install: make install DESTDIR=\"$DESTDIR\"\n  check: make check\n",
        ),
        BuildSystem::PerlConfigure => text.yaml.push_str(
            "  use: none\n  # A guess: as OpenSSL is built.\n  build: |\n    \
             ./Configure --prefix=\"$KILN_PREFIX\" --libdir=\"$KILN_LIBDIR\"\n    \
             make -j\"$KILN_JOBS\"\n  install: make install DESTDIR=\"$DESTDIR\"\n  check: make test\n",
        ),
        BuildSystem::Unknown => {
            text.yaml.push_str("  use: none\n");
            text.open("  ", "build", "a shell script; no build system was found");
            text.open("  ", "install", "a shell script that installs below \"$DESTDIR\"");
            text.open("  ", "skip-check", "why nothing is checked, or `check` with a script");
        }
    }
}

/// Writes a text that other YAML readers would take for something else in quotes.
fn scalar(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !matches!(
            text,
            "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n"
        );
    if is_plain {
        text.to_owned()
    } else {
        format!("\"{text}\"")
    }
}

/// Writes any text: in quotes unless it is plain, so that no file name can say more than its name.
fn quoted(text: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._/".contains(c);
    let is_address = is_address(text) || text.starts_with("debian:");
    if text.chars().all(fits) && text.starts_with(|c: char| c.is_ascii_alphabetic()) || is_address {
        return text.to_owned();
    }
    let mut shown = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => shown.extend(['\\', character]),
            c if c.is_control() => {}
            c => shown.push(c),
        }
    }
    shown.push('"');
    shown
}

/// Keeps what can stand in a comment.
fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic()).collect()
}
