//! What a tarball's file name and address say of its software: name and version.

/// A name and a version as upstream writes them, made from a file name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Guess {
    /// The name in lower case, as recipes have it; empty when the file name has none.
    pub(super) name: String,
    /// The version as rpm accepts it; empty when the file name has none.
    pub(super) version: String,
    /// Upstream's writing, where it is another one.
    pub(super) upstream: Option<String>,
}

/// Endings of archives, longest first.
const ENDINGS: &[&str] = &[
    ".orig.tar.bz2",
    ".orig.tar.zst",
    ".orig.tar.gz",
    ".orig.tar.xz",
    ".orig.tar",
    ".tar.bz2",
    ".tar.zst",
    ".tar.gz",
    ".tar.xz",
    ".tbz2",
    ".tar",
    ".tgz",
    ".txz",
    ".tzst",
];

/// Reads `curl-7.88.1.tar.gz`, `zlib_1.2.13.dfsg.orig.tar.bz2`, `boost_1_74_0.tar.bz2`.
pub(super) fn guess(file_name: &str, address: Option<&str>) -> Guess {
    let stem = ENDINGS
        .iter()
        .find_map(|ending| file_name.strip_suffix(ending))
        .unwrap_or(file_name);
    let (mut name, text) = split(stem);
    // `…/OWNER/REPOSITORY/archive/refs/tags/v1.2.3.tar.gz`: the repository is the name.
    if name.is_empty()
        && let Some((before, _)) = address.and_then(|address| address.split_once("/archive/"))
    {
        name = before.rsplit('/').next().unwrap_or_default();
    }
    let version = rpm_version(text);
    Guess {
        name: recipe_name(name),
        upstream: (version != text).then(|| text.to_owned()),
        version,
    }
}

/// Parts a stem before the first digit that stands after a separator; a stem that is only a version
/// has no name.
fn split(stem: &str) -> (&str, &str) {
    let bytes = stem.as_bytes();
    let starts_version = |start: usize| {
        let digits = start + usize::from(matches!(bytes.get(start), Some(b'v' | b'V')));
        let is_digit = bytes.get(digits).is_some_and(u8::is_ascii_digit);
        is_digit.then_some(digits)
    };
    let is_named = |name: &str| name[1..].contains(|c: char| c.is_ascii_alphabetic());
    for start in 1..bytes.len() {
        if matches!(bytes[start - 1], b'-' | b'_')
            && let Some(digits) = starts_version(start)
        {
            let name = &stem[..start - 1];
            if starts_version(0).is_none() || is_named(name) {
                return (name, &stem[digits..]);
            }
        }
    }
    match starts_version(0) {
        Some(digits) => ("", &stem[digits..]),
        None => (stem, ""),
    }
}

/// Returns the name in lower case, other characters as `-`.
fn recipe_name(name: &str) -> String {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.+".contains(c);
    let lower = name.to_lowercase();
    let name: String = lower
        .chars()
        .map(|c| if fits(c) { c } else { '-' })
        .collect();
    name.trim_matches(['-', '.', '+']).to_owned()
}

/// rpm has no `-` in versions, and puts `~` before what is older than the release.
fn rpm_version(text: &str) -> String {
    let is_numeric = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    if text.contains('_') && is_numeric(text) {
        return text.replace('_', ".");
    }
    // What Debian adds to the version of a repacked tarball.
    let cut = [".dfsg", "+dfsg", "~dfsg", "+ds", ".ds", "+repack"];
    let end = cut.iter().filter_map(|mark| text.find(mark)).min();
    let text = &text[..end.unwrap_or(text.len())];
    let Some((release, rest)) = text.split_once('-') else {
        return text.to_owned();
    };
    let lower = rest.to_lowercase();
    let is_older = ["rc", "beta", "alpha", "pre", "dev"]
        .iter()
        .any(|word| lower.starts_with(word));
    match rest {
        "stable" | "release" | "final" | "src" | "source" => release.to_owned(),
        _ if is_older => format!("{release}~{}", rest.replace('-', ".")),
        _ => format!("{release}.{}", rest.replace('-', ".")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_say_name_and_version() {
        for (file, name, version, upstream) in [
            ("curl-7.88.1.tar.gz", "curl", "7.88.1", ""),
            ("curl_7.88.1.orig.tar.gz", "curl", "7.88.1", ""),
            ("c-ares-1.18.1.tar.gz", "c-ares", "1.18.1", ""),
            (
                "zlib_1.2.13.dfsg.orig.tar.bz2",
                "zlib",
                "1.2.13",
                "1.2.13.dfsg",
            ),
            (
                "libevent-2.1.12-stable.tar.gz",
                "libevent",
                "2.1.12",
                "2.1.12-stable",
            ),
            ("boost_1_74_0.tar.bz2", "boost", "1.74.0", "1_74_0"),
            ("freeDiameter-1.5.0.tar.gz", "freediameter", "1.5.0", ""),
            ("pcre2-10.42.tar.bz2", "pcre2", "10.42", ""),
            (
                "openssl-3.0.0-alpha1.tar.gz",
                "openssl",
                "3.0.0~alpha1",
                "3.0.0-alpha1",
            ),
            ("x-1.0-2-3.tgz", "x", "1.0.2.3", "1.0-2-3"),
            ("bzip2-v1.0.8.tar.xz", "bzip2", "1.0.8", ""),
            ("lua.tar", "lua", "", ""),
            ("7zip-1.tar", "7zip", "1", ""),
            ("1.2-3.tar", "", "1.2.3", "1.2-3"),
            ("é-1.tar", "", "1", ""),
            ("Über_Lib-1.tar", "ber-lib", "1", ""),
            (".tar.gz", "", "", ""),
            ("", "", "", ""),
        ] {
            let guess = guess(file, None);
            assert_eq!(
                (
                    guess.name.as_str(),
                    guess.version.as_str(),
                    guess.upstream.unwrap_or_default().as_str()
                ),
                (name, version, upstream),
                "{file}"
            );
        }
    }

    #[test]
    fn a_repository_names_what_a_tag_does_not() {
        let address = "https://github.com/Tencent/RapidJSON/archive/refs/tags/v1.1.0.tar.gz";
        let guess = guess("v1.1.0.tar.gz", Some(address));
        assert_eq!(
            (guess.name.as_str(), guess.version.as_str()),
            ("rapidjson", "1.1.0")
        );
    }
}
