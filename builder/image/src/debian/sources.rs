//! apt's source configuration as addresses: where this host would look for a suite.
//!
//! ```text
//! name.sources                               name.list, sources.list
//!   Types: deb deb-src                         deb [arch=amd64] <uri> <suite> <component>...
//!   URIs: <uri> ...                            # deb <uri> ...        (a comment)
//!   Suites: <suite> ...
//!   Components: main ...
//!   Enabled: no
//! ```
//!
//! The addresses are only places to try: whatever comes from them is verified by signature or digest.
//! So a source is rather listed than left out, the likeliest first, and what apt would complain about
//! is passed over.

use super::deb822::{Stanza, Stanzas};

/// A place that a configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    address: String,
    suite: String,
}

/// The component that kiln reads.
const COMPONENT: &str = "main";

/// Returns the archives to try for a Debian suite, without `/` at the end: first those that are
/// configured for the suite and look like Debian's own (a folder `debian` in the address), then the
/// others that are configured for it, then archives that look like Debian's own and are configured
/// for another suite, as an archive carries several.
///
/// `files` are names and texts of apt's `*.sources` and `*.list` files, in apt's order; files with
/// other names are ignored, as apt does. Only `http` and `https` addresses of binary packages in
/// `main` count.
#[must_use]
pub fn archive_addresses(files: &[(&str, &str)], suite: &str) -> Vec<String> {
    let mut sources = Vec::new();
    for &(name, text) in files {
        if name.ends_with(".sources") {
            read_stanzas(text, &mut sources);
        } else if name.ends_with(".list") {
            sources.extend(text.lines().filter_map(read_line));
        }
    }
    let rank = |source: &Source| match (source.suite == suite, looks_like_debian(&source.address)) {
        (true, true) => Some(0),
        (true, false) => Some(1),
        (false, true) => Some(2),
        (false, false) => None,
    };
    let mut ranked: Vec<(u8, Source)> = sources
        .into_iter()
        .filter_map(|source| Some((rank(&source)?, source)))
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    let mut addresses = Vec::new();
    for (_, source) in ranked {
        if !addresses.contains(&source.address) {
            addresses.push(source.address);
        }
    }
    addresses
}

fn looks_like_debian(address: &str) -> bool {
    address.split('/').skip(3).any(|folder| folder == "debian")
}

/// Returns an address without `/` at its end if it is one of a web server.
fn web_address(uri: &str) -> Option<String> {
    let rest = uri
        .strip_prefix("http://")
        .or_else(|| uri.strip_prefix("https://"))?;
    let is_address = !rest.is_empty() && !rest.starts_with('/') && !uri.contains(['?', '#']);
    is_address.then(|| uri.trim_end_matches('/').to_owned())
}

fn read_stanzas(text: &str, sources: &mut Vec<Source>) {
    // A comment may stand between the lines of one field, so it goes before the lines are read.
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    for stanza in Stanzas::new(&text).map_while(Result::ok) {
        if !is_usable(&stanza) {
            continue;
        }
        for address in words(&stanza, "URIs").filter_map(web_address) {
            for suite in words(&stanza, "Suites") {
                let (address, suite) = (address.clone(), suite.to_owned());
                sources.push(Source { address, suite });
            }
        }
    }
}

/// Tells whether a stanza is switched on and has binary packages of the component.
fn is_usable(stanza: &Stanza<'_>) -> bool {
    // The words that apt takes for "no".
    let no = ["no", "false", "without", "off", "disable"];
    words(stanza, "Types").any(|word| word == "deb")
        && words(stanza, "Components").any(|word| word == COMPONENT)
        && !words(stanza, "Enabled").any(|word| no.contains(&word.to_ascii_lowercase().as_str()))
}

fn words<'a>(stanza: &Stanza<'a>, field: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    let value = stanza.field(field).map_or("", |field| field.value);
    value.split_ascii_whitespace()
}

/// Reads a line of a `.list` file; `None` if it names no usable source.
fn read_line(line: &str) -> Option<Source> {
    let line = line.split('#').next().unwrap_or_default().trim_ascii();
    let rest = line.strip_prefix("deb")?;
    if !rest.starts_with([' ', '\t', '[']) {
        return None;
    }
    let rest = rest.trim_ascii_start();
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => rest,
    };
    let mut words = rest.split_ascii_whitespace();
    let address = web_address(words.next()?)?;
    let suite = words.next()?.to_owned();
    words
        .any(|word| word == COMPONENT)
        .then_some(Source { address, suite })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[(&str, &str)], expected: &[&str]) {
        assert_eq!(archive_addresses(files, "bookworm"), expected, "{files:?}");
    }

    #[test]
    fn stanzas_are_read() {
        let text = "\
# a comment
Types: deb deb-src
URIs: http://one.example/debian/ https://two.example/debian
# between
Suites: bookworm
# inside a field
 bookworm-updates
Components: main contrib

Types: deb
URIs: http://three.example/debian-security
Suites: bookworm-security
Components: main
";
        check(
            &[("debian.sources", text)],
            &["http://one.example/debian", "https://two.example/debian"],
        );
    }

    #[test]
    fn what_is_not_meant_is_passed_over() {
        let stanza = |field: &str, value: &str| {
            let fields = [
                ("Types", "deb"),
                ("URIs", "http://one.example/debian"),
                ("Suites", "bookworm"),
                ("Components", "main"),
                ("Enabled", "yes"),
            ];
            let lines = fields.map(|(name, usual)| {
                format!("{name}: {}\n", if name == field { value } else { usual })
            });
            lines.concat()
        };
        check(
            &[("a.sources", &stanza("Types", "deb"))],
            &["http://one.example/debian"],
        );
        for (field, value) in [
            ("Types", "deb-src"),
            (
                "URIs",
                "file:/srv/debian cdrom:[x]/ mirror+http://x.example/debian.txt copy:/x",
            ),
            ("URIs", "http:/debian http:///debian ftp://x.example/debian"),
            ("Components", "contrib"),
            ("Enabled", "no"),
            ("Enabled", "False"),
        ] {
            check(&[("a.sources", &stanza(field, value))], &[]);
        }
        check(&[("a.sources.disabled", &stanza("Types", "deb"))], &[]);
        check(&[("a.sources", "nonsense\n")], &[]);
        check(&[], &[]);
    }

    #[test]
    fn lines_are_read() {
        let text = "\
# deb http://zero.example/debian bookworm main
deb http://one.example/debian bookworm main contrib # note
deb [ arch=amd64 signed-by=/x.gpg ] http://two.example/debian/ bookworm main
deb\t[trusted=yes] http://three.example/debian\tbookworm\tmain
deb-src http://four.example/debian bookworm main
deb http://five.example/debian bookworm
deb cdrom:[Debian 12]/ bookworm main
deb file:/srv/debian bookworm main
deb [broken http://six.example/debian bookworm main
debhttp://seven.example/debian bookworm main
deb
";
        let expected = ["one", "two", "three"].map(|name| format!("http://{name}.example/debian"));
        let expected: Vec<_> = expected.iter().map(String::as_str).collect();
        check(&[("sources.list", text)], &expected);
    }

    #[test]
    fn the_likeliest_comes_first_and_none_twice() {
        let text = "\
deb http://new.example/debian trixie main
deb http://php.example/php bookworm main
deb http://php.example/php trixie main
deb http://mirror.example/debian bookworm main
deb http://mirror.example/debian/ bookworm-updates main
deb http://snapshot.example/archive/debian/20250520T000000Z bookworm main
deb http://x.example/debian-security trixie-security main
";
        check(
            &[("b.list", text), ("a.list", text)],
            &[
                "http://mirror.example/debian",
                "http://snapshot.example/archive/debian/20250520T000000Z",
                "http://php.example/php",
                "http://new.example/debian",
            ],
        );
    }
}
