//! The environment of a varied kiln: what a caller may have set, good or bad.

use std::collections::BTreeMap;

use kiln_model::{Factor, Level, Variation};

/// An hour and three quarters from everybody else, with no file of a time zone.
const OTHER_ZONE: &str = "XST-13:45";
/// Dotless i, another order of letters, and not installed on most hosts.
const OTHER_LOCALE: &str = "tr_TR.UTF-8";

/// What breaks builds that let it through; nothing here configures kiln.
const NASTY: &[(&str, &str)] = &[
    ("AR", "/bin/false"),
    ("ARFLAGS", "rvU"),
    ("BASH_ENV", "/nonexistent/bash-env"),
    ("CC", "/bin/false"),
    ("CDPATH", "/"),
    ("CFLAGS", "-O0 -g3 -DKILN_VERIFY=1"),
    ("CONFIG_SITE", "/nonexistent/config.site"),
    ("CPPFLAGS", "-I/nonexistent/include"),
    ("CXX", "/bin/false"),
    ("CXXFLAGS", "-O0 -g3 -DKILN_VERIFY=1"),
    ("DEB_BUILD_OPTIONS", "noopt nostrip parallel=7"),
    ("DESTDIR", "/nonexistent/destdir"),
    ("ENV", "/nonexistent/env"),
    ("GREP_COLORS", "mt=01;31"),
    ("GREP_OPTIONS", "--color=always"),
    ("GZIP", "-1"),
    ("HOME", "/nonexistent/home of another"),
    ("KILN_PREFIX", "/opt/other"),
    ("LDFLAGS", "-Wl,--as-needed -L/nonexistent/lib"),
    ("LD_LIBRARY_PATH", "/nonexistent/lib"),
    ("LOGNAME", "another"),
    ("LS_COLORS", "di=01;34"),
    ("MAIL", "/nonexistent/mail"),
    ("MAKEFLAGS", "--no-print-directory -k"),
    ("MALLOC_PERTURB_", "165"),
    ("PERL5LIB", "/nonexistent/perl"),
    ("PERL_HASH_SEED", "77"),
    ("PKG_CONFIG_PATH", "/nonexistent/pkgconfig"),
    ("POSIXLY_CORRECT", "1"),
    ("PYTHONHASHSEED", "77"),
    ("PYTHONPATH", "/nonexistent/python"),
    ("RPM_BUILD_ROOT", "/nonexistent/root"),
    ("SOURCE_DATE_EPOCH", "1"),
    ("TAR_OPTIONS", "--sort=none"),
    ("USER", "another"),
    ("XZ_OPT", "-0"),
    ("ZSTD_CLEVEL", "1"),
];

/// Returns the environment of this process, as far as it is text.
#[expect(clippy::disallowed_methods, reason = "only cli reads the environment")]
pub fn own() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Returns what a child gets of its caller's environment, changed as the variation says. Where the
/// child's project, store and results are is told otherwise.
pub fn varied(variation: &Variation, own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut environment = own.clone();
    for name in [
        "KILN_STORE",
        "KILN_OUT",
        "KILN_SIGNING_KEY",
        "KILN_PASSPHRASE",
    ] {
        environment.remove(name);
    }
    let mut set = |name: &str, value: &str| {
        environment.insert(name.to_owned(), value.to_owned());
    };
    if variation.level(Factor::Environment) == Level::Other {
        NASTY.iter().for_each(|(name, value)| set(name, value));
        let path = own.get("PATH").map(String::as_str).unwrap_or_default();
        let reversed: Vec<&str> = path.split(':').rev().collect();
        set("PATH", &reversed.join(":"));
    }
    if variation.level(Factor::TimeZone) == Level::Other {
        set("TZ", OTHER_ZONE);
    }
    if variation.level(Factor::Locale) == Level::Other {
        set("LC_ALL", OTHER_LOCALE);
        set("LANG", OTHER_LOCALE);
        set("LANGUAGE", "tr:de");
    }
    environment
}

/// Returns what a variation sets that the caller has not, or has otherwise.
pub fn changed(variation: &Variation, own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let varied = varied(variation, own).into_iter();
    varied
        .filter(|(name, value)| own.get(name) != Some(value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> BTreeMap<String, String> {
        [
            ("PATH", "/usr/bin:/bin"),
            ("KILN_STORE", "/s"),
            ("KILN_PASSPHRASE", "secret"),
            ("KILN_DEBIAN_ARCHIVE", "http://localhost/debian"),
            ("SSL_CERT_FILE", "/certificates"),
            ("LANG", "C"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    #[test]
    fn only_what_is_varied_changes() {
        for (factor, name, expected) in [
            (None, "LANG", Some("C")),
            (None, "KILN_STORE", None),
            (None, "KILN_PASSPHRASE", None),
            (Some(Factor::TimeZone), "TZ", Some(OTHER_ZONE)),
            (Some(Factor::TimeZone), "LANG", Some("C")),
            (Some(Factor::Locale), "LANG", Some(OTHER_LOCALE)),
            (Some(Factor::Environment), "CC", Some("/bin/false")),
            (Some(Factor::Environment), "PATH", Some("/bin:/usr/bin")),
            // What configures kiln stays.
            (
                Some(Factor::Environment),
                "SSL_CERT_FILE",
                Some("/certificates"),
            ),
            (
                Some(Factor::Environment),
                "KILN_DEBIAN_ARCHIVE",
                Some("http://localhost/debian"),
            ),
        ] {
            let mut variation = Variation::default();
            if let Some(factor) = factor {
                variation.set(factor, Level::Other);
            }
            let found = varied(&variation, &own());
            assert_eq!(
                found.get(name).map(String::as_str),
                expected,
                "{factor:?} {name}"
            );
        }
    }
}
