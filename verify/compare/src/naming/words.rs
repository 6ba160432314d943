//! Words that differ, by what they are and by the words before them; and what is known of the builds.

use std::sync::LazyLock;

use regex::Regex;

use super::{Both, Candidate, Circumstances, Strength};
use crate::cause::Cause;

/// What is said of a text that may be a digest of something else that differs.
pub(super) const DIGEST_EVIDENCE: &str = "texts as long as digests have nothing in common";

/// A fact of a build that can stand in a text.
struct Fact {
    cause: Cause,
    what: &'static str,
    left: String,
    right: String,
}

/// Returns the facts in which two builds differ, longest first: a host's name may be part of a path.
fn facts((left, right): Both<'_>) -> Vec<Fact> {
    let uid = |build: &Circumstances| build.uid.map(|uid| uid.to_string());
    let processors = |build: &Circumstances| build.processors.map(|number| number.to_string());
    let jobs = |build: &Circumstances| build.jobs.map(|number| number.to_string());
    type Of<'a> = &'a dyn Fn(&Circumstances) -> Option<String>;
    let kinds: [(Cause, &'static str, Of<'_>); 8] = [
        (Cause::HostName, "names of the two hosts", &|build| {
            build.host_name.clone()
        }),
        (
            Cause::KernelVersion,
            "releases of the two kernels",
            &|build| build.kernel.clone(),
        ),
        (Cause::User, "names of the two users", &|build| {
            build.user_name.clone()
        }),
        (Cause::User, "numbers of the two users", &uid),
        (Cause::Locale, "time zones of the two builds", &|build| {
            build.time_zone.clone()
        }),
        (Cause::Locale, "locales of the two builds", &|build| {
            build.locale.clone()
        }),
        (
            Cause::Cpu,
            "numbers of processors of the two builds",
            &processors,
        ),
        (Cause::Cpu, "numbers of jobs of the two builds", &jobs),
    ];
    let fact = |cause, what, left: &str, right: &str| Fact {
        cause,
        what,
        left: left.to_owned(),
        right: right.to_owned(),
    };
    let paths = left.paths.iter().zip(&right.paths);
    let mut facts: Vec<Fact> = paths
        .map(|(left, right)| fact(Cause::BuildPath, "paths of the two builds", left, right))
        .collect();
    for (cause, what, of) in kinds {
        if let (Some(left), Some(right)) = (of(left), of(right)) {
            facts.push(fact(cause, what, &left, &right));
        }
    }
    for (name, value) in &left.environment {
        if let Some(other) = right.environment.get(name) {
            let what = "values of a variable of the two builds";
            facts.push(fact(Cause::Environment, what, value, other));
        }
    }
    facts.retain(|fact| fact.left != fact.right && !fact.left.is_empty() && !fact.right.is_empty());
    facts.sort_by_key(|fact| std::cmp::Reverse(fact.left.len().max(fact.right.len())));
    facts
}

/// Takes the facts out of both texts, where each has its own; returns what that speaks for.
pub(super) fn known(texts: &mut (String, String), both: Both<'_>) -> Vec<Candidate> {
    let mut found = Vec::new();
    for fact in facts(both) {
        let (left, right) = (places(&texts.0, &fact.left), places(&texts.1, &fact.right));
        if left == 0 || left != right {
            continue;
        }
        let without = (
            replaced(&texts.0, &fact.left),
            replaced(&texts.1, &fact.right),
        );
        // A short number is found in many texts: it counts where nothing else differs then.
        let is_short = fact.left.len() < 3 || fact.right.len() < 3;
        if is_short && without.0 != without.1 {
            continue;
        }
        let evidence = format!("`{}` and `{}` are the {}", fact.left, fact.right, fact.what);
        found.push(Candidate::new(fact.cause, Strength::Certain, evidence));
        *texts = without;
    }
    found
}

/// Where a value stands as a word of its own: not within a longer word or number.
fn whole<'a>(text: &'a str, value: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(value)
        .map(|(at, _)| at)
        .filter(move |at| {
            let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
            let before = text[..*at].chars().next_back();
            let after = text[at + value.len()..].chars().next();
            // `-j4` and `uid1000` are letters before a number.
            let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
            let is_joined = match is_number {
                true => before.is_some_and(|c| c.is_ascii_digit() || c == '.'),
                false => is_word(before) && value.chars().next().is_some_and(char::is_alphanumeric),
            };
            let goes_on = after.is_some_and(|c| {
                if is_number {
                    c.is_ascii_digit()
                } else {
                    c.is_alphanumeric()
                }
            }) && !value.ends_with('/');
            !is_joined && !goes_on
        })
}

fn places(text: &str, value: &str) -> usize {
    whole(text, value).count()
}

fn replaced(text: &str, value: &str) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut at = 0;
    for place in whole(text, value) {
        replaced.push_str(&text[at..place]);
        replaced.push('\u{1}');
        at = place + value.len();
    }
    replaced.push_str(&text[at..]);
    replaced
}

/// What a text that one side has alone speaks for.
pub(super) fn one_sided(text: &str, own: &Circumstances, other: &Circumstances) -> Vec<Candidate> {
    let mut found = Vec::new();
    if let Some((name, value)) = text.split_once('=')
        && own
            .environment
            .get(name)
            .is_some_and(|known| known == value)
        && !other.environment.contains_key(name)
    {
        let evidence = format!("`{name}` is a variable of one build only");
        found.push(Candidate::new(
            Cause::Environment,
            Strength::Certain,
            evidence,
        ));
    }
    if text.starts_with("rpmlib(PayloadIs") {
        let evidence = "one payload needs an rpm that knows its compression";
        found.push(Candidate::new(
            Cause::Compression,
            Strength::Certain,
            evidence,
        ));
    }
    for fact in facts((own, other)) {
        if fact.left.len() >= 3 && places(text, &fact.left) > 0 {
            let evidence = format!("`{}` is one of the {}", fact.left, fact.what);
            found.push(Candidate::new(fact.cause, Strength::Likely, evidence));
        }
    }
    if CPU_FEATURE.is_match(text) {
        let evidence = "it names what some processors can do and others can not";
        found.push(Candidate::new(Cause::Cpu, Strength::Likely, evidence));
    }
    found
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("patterns are tested")
}

macro_rules! patterns {
    ($($name:ident = $text:expr;)*) => {
        $(static $name: LazyLock<Regex> = LazyLock::new(|| pattern($text));)*
    };
}

patterns! {
    CPU_FEATURE = r"\b(?:avx\d*\w*|sse[2-4]\w*|bmi[12]|amx_\w+|fma|neon|sve2?)\b";
    CPU_OPTION = r"^-m(?:arch|tune|cpu)";
    CPU_OPTION_BEFORE = r"-m(?:arch|tune|cpu)=$";
    CPU_NAME = r"(?i)\b(?:intel\b|amd\b|xeon|epyc|ryzen|core i\d|znver\d|skylake|haswell|icelake\S*|sapphirerapids|x86-64-v\d|cortex|neoverse|native)";
    CPU_BEFORE = r"(?:\bcpus?\b|processor|model name|\bcores?\b|nproc|ncpu|threads|\bjobs?\b|march|makeflags|parallel|-j)\W*$|cpu";
    KERNEL = r"^\d+\.\d+(?:\.\d+)?(?:[-+.~_]\S*)?$";
    KERNEL_BEFORE = r"linux|kernel|uname|osrelease|build_os";
    HOST_BEFORE = r"(?:host ?[_-]?name|\bhost|build ?[_-]?host|node ?[_-]?name)\W{0,3}[:=]\W*$|(?:built|build|compiled|generated|created|configured|made|packaged)\b.{0,40}\bon\W*$";
    USER_BEFORE = r"(?:\buser(?: ?[_-]?name)?|\blogin|logname|\bowner|packager|\bbuilder|maintainer|\buid|\bgid)\W{0,3}[:=]\W*$|(?:built|build|compiled|generated|created|configured|made|packaged)\b.{0,40}\bby\W*$";
    MADE_BEFORE = r"(?:built|build|compiled|generated|created|configured|made|packaged)\b.{0,40}$";
    LOCALE_NAME = r"^(?:[a-z]{2,3}_[A-Z]{2}(?:[.@]\S+)?|C|POSIX|C\.(?:UTF-8|utf8))$";
    LOCALE_BEFORE = r"(?:\blang(?:uage)?|\blc_[a-z]+|locale|charset|charmap|collat\w*)\W{0,3}[:=]\W*$";
    ZONE = r"^(?:UTC|GMT|Z|[A-Z]{3,4}T|[A-Z][a-z]+/[A-Za-z_/]+|[+-]\d{2}:?\d{2}|GMT[+-]\d{1,2})$";
    ZONE_BEFORE = r"(?:time ?[_-]?zone|\btz)\W{0,3}[:=]\W*$";
    RANDOM = r"random|\bseed|nonce|\bsalt|uuid|guid|\btoken|secret|private key|api_?key|\bkey\b|cookie_secret|build_?id\b";
    PROCESS_BEFORE = r"(?:\bpid|process(?: id)?)\W*$";
    TEMPORARY = r"(?:/tmp/|/var/tmp/|/tmp\.|\.tmp)";
    VARIABLE = r"\b([a-z_][a-z0-9_]{1,40})=\W*$";
    DURATION_BEFORE = r"(?:took|elapsed|duration|time taken|finished in|done in|built in|configured in)\W*$";
    DURATION_AFTER = r"^ ?(?:s|ms|us|ns|sec|secs|seconds|minutes|min)\b";
    DURATION = r"^\d+(?:\.\d+)?(?:s|ms|us|ns|m\d+(?:\.\d+)?s)?$";
    YEAR = r"^(?:(?:19[7-9]\d|20\d{2})[-/])?(?:19[7-9]\d|20\d{2})$";
    YEAR_BEFORE = r"copyright|\(c\)|©|year|built|date";
}

/// Whether a text speaks of keys and chance.
pub(super) fn speaks_of_random(text: &str) -> bool {
    RANDOM.is_match(&text.to_lowercase())
}

/// What two words speak for; `before` and `after` are in lower case.
pub(super) fn pair(left: &str, right: &str, before: &str, after: &str) -> Vec<Candidate> {
    if let (Some(left), Some(right)) = (left.split_once('@'), right.split_once('@')) {
        return addresses(left, right, before);
    }
    let mut found: Vec<Candidate> = Vec::new();
    found.extend(variable(before).map(|(cause, name)| {
        likely(
            cause,
            left,
            right,
            &format!("are values of the variable {name}"),
        )
    }));
    let rules = machine_rules(left, right, before)
        .into_iter()
        .chain(people_rules(left, right, before))
        .chain(chance_rules(left, right, before, after));
    let rules = rules.filter(|(holds, ..)| *holds);
    found.extend(rules.map(|(_, cause, evidence)| likely(cause, left, right, evidence)));
    found.extend(paths(left, right));
    if found.is_empty() && are_numbers(left, right) && left.len() >= 6 && right.len() >= 6 {
        let evidence = format!(
            "{} and {} are numbers without a pattern",
            shown(left),
            shown(right)
        );
        found.push(Candidate::new(Cause::Random, Strength::Possible, evidence));
    }
    found
}

fn likely(cause: Cause, left: &str, right: &str, evidence: &str) -> Candidate {
    let evidence = format!("`{}` and `{}` {evidence}", shown(left), shown(right));
    Candidate::new(cause, Strength::Likely, evidence)
}

/// `anna@alpha`: a user and a host, where it says so or the host has no domain; otherwise it is mail's.
fn addresses(left: (&str, &str), right: (&str, &str), before: &str) -> Vec<Candidate> {
    let is_mail = left.1.contains('.') || right.1.contains('.');
    let is_said = MADE_BEFORE.is_match(before)
        || HOST_BEFORE.is_match(before)
        || USER_BEFORE.is_match(before);
    if is_mail && !is_said {
        return Vec::new();
    }
    let user = likely(Cause::User, left.0, right.0, "name users");
    let host = likely(Cause::HostName, left.1, right.1, "name hosts");
    let user = (left.0 != right.0).then_some(user);
    let host = (left.1 != right.1).then_some(host);
    user.into_iter().chain(host).collect()
}

fn are(pattern: &Regex, left: &str, right: &str) -> bool {
    pattern.is_match(left) && pattern.is_match(right)
}

fn are_numbers(left: &str, right: &str) -> bool {
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    is_number(left) && is_number(right)
}

/// Whether it holds, and what that speaks for.
type Rule = (bool, Cause, &'static str);

fn machine_rules(left: &str, right: &str, before: &str) -> [Rule; 5] {
    let are_numbers = are_numbers(left, right);
    let name_processors =
        (are(&CPU_NAME, left, right) || CPU_OPTION_BEFORE.is_match(before)) && !are_numbers;
    [
        (
            are(&CPU_OPTION, left, right) || name_processors,
            Cause::Cpu,
            "name processors",
        ),
        (
            CPU_BEFORE.is_match(before) && are_numbers,
            Cause::Cpu,
            "are said of processors or jobs",
        ),
        (
            is_jobs(left) && is_jobs(right),
            Cause::Cpu,
            "are numbers of jobs",
        ),
        (
            are(&KERNEL, left, right) && KERNEL_BEFORE.is_match(before),
            Cause::KernelVersion,
            "are releases of kernels",
        ),
        (
            HOST_BEFORE.is_match(before) && are_names(left, right),
            Cause::HostName,
            "stand where a host is named",
        ),
    ]
}

fn people_rules(left: &str, right: &str, before: &str) -> [Rule; 4] {
    let are_words = !are_numbers(left, right);
    [
        (
            USER_BEFORE.is_match(before),
            Cause::User,
            "stand where a user is named",
        ),
        (
            are(&LOCALE_NAME, left, right) || (LOCALE_BEFORE.is_match(before) && are_words),
            Cause::Locale,
            "name locales",
        ),
        (
            are(&ZONE, left, right) || (ZONE_BEFORE.is_match(before) && are_words),
            Cause::Locale,
            "name time zones",
        ),
        (
            is_same_number(left, right),
            Cause::Locale,
            "are one number as two locales write it",
        ),
    ]
}

fn chance_rules(left: &str, right: &str, before: &str, after: &str) -> [Rule; 4] {
    // A timeout of 30 s is none that was measured.
    let has_fraction = left.contains('.') && right.contains('.');
    let is_said_of_time =
        DURATION_BEFORE.is_match(before) || (has_fraction && DURATION_AFTER.is_match(after));
    [
        (
            PROCESS_BEFORE.is_match(before) && are_numbers(left, right),
            Cause::Random,
            "are numbers of processes",
        ),
        (
            are(&DURATION, left, right) && is_said_of_time,
            Cause::Timestamp,
            "are measured times",
        ),
        (
            are(&YEAR, left, right) && YEAR_BEFORE.is_match(before),
            Cause::Timestamp,
            "are years",
        ),
        (
            RANDOM.is_match(before) && is_drawn(left) && is_drawn(right),
            Cause::Random,
            "stand where a key or a random number is named",
        ),
    ]
}

fn shown(word: &str) -> String {
    crate::printable::cut(&word.replace('\u{1}', "…"), 60)
}

/// What a variable's name says: `home=` is the environment's.
fn variable(before: &str) -> Option<(Cause, String)> {
    let name = VARIABLE.captures(before)?.get(1)?.as_str().to_uppercase();
    let cause = match name.as_str() {
        "PWD" | "OLDPWD" | "BUILDDIR" | "SRCDIR" => Cause::BuildPath,
        "HOSTNAME" | "HOST" => Cause::HostName,
        "USER" | "LOGNAME" | "USERNAME" => Cause::User,
        "LANG" | "LANGUAGE" | "TZ" => Cause::Locale,
        name if name.starts_with("LC_") => Cause::Locale,
        "HOME" | "PATH" | "SHELL" | "TERM" | "EDITOR" | "TMPDIR" | "DISPLAY" | "SHLVL" | "MAIL" => {
            Cause::Environment
        }
        _ => return None,
    };
    Some((cause, name))
}

fn is_jobs(word: &str) -> bool {
    let number = word
        .strip_prefix("-j")
        .or_else(|| word.strip_prefix("--jobs"));
    number.is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn are_names(left: &str, right: &str) -> bool {
    let is_name = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphanumeric())
            && word
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c))
    };
    is_name(left) && is_name(right)
}

/// `1,5` and `1.5`, `1.000` and `1,000`.
fn is_same_number(left: &str, right: &str) -> bool {
    let digits = |word: &str| word.replace([',', '.', '\u{a0}', '\u{202f}'], "");
    let (one, two) = (digits(left), digits(right));
    left != right && one == two && one.len() >= 2 && one.bytes().all(|byte| byte.is_ascii_digit())
}

/// `‘x’` and `'x'`: what GNU tools print in other locales.
pub(super) fn quotes(left: &str, right: &str) -> Option<Candidate> {
    let plain = |word: &str| {
        word.replace(
            ['\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}', '`', '"'],
            "'",
        )
    };
    let is_same = left != right && plain(left) == plain(right);
    is_same.then(|| {
        let evidence = "quotation marks differ as locales write them";
        Candidate::new(Cause::Locale, Strength::Likely, evidence)
    })
}

/// Whether a word looks drawn by lot: a number, or letters and digits.
fn is_drawn(word: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| word.as_bytes().iter().any(kind);
    let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
    word.len() >= 4 && has(u8::is_ascii_digit) && (is_number || word.len() >= 6)
}

/// Whether two paths differ in one part, whose letters look drawn by lot: `tmp.kQ3xY7aB1c`.
fn are_random_names(left: &str, right: &str) -> bool {
    const SHORTEST: usize = 5;
    let parts = left.split('/').zip(right.split('/'));
    let mut differing = parts.filter(|(left, right)| left != right);
    let Some((left, right)) = differing.next() else {
        return false;
    };
    let same = left
        .bytes()
        .zip(right.bytes())
        .take_while(|(l, r)| l == r)
        .count();
    let is_random = |part: &str| {
        let drawn = part.as_bytes().get(same..).unwrap_or_default();
        let has = |kind: fn(&u8) -> bool| drawn.iter().any(kind);
        drawn.len() >= SHORTEST
            && (has(u8::is_ascii_digit) || has(u8::is_ascii_uppercase))
            && has(u8::is_ascii_alphabetic)
            && drawn
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    };
    left.len() == right.len()
        && left.matches('/').count() == right.matches('/').count()
        && differing.next().is_none()
        && is_random(left)
        && is_random(right)
}

/// Two paths that end alike were built in two folders.
fn paths(left: &str, right: &str) -> Vec<Candidate> {
    let path = |word: &'_ str| word.find('/').map(|at| word[at..].to_owned());
    let (Some(one), Some(two)) = (path(left), path(right)) else {
        return Vec::new();
    };
    // `//example.org/` is what follows `https:`.
    if one == two || one.starts_with("//") || two.starts_with("//") {
        return Vec::new();
    }
    let evidence = format!("`{}` and `{}` are paths", shown(&one), shown(&two));
    if TEMPORARY.is_match(&one) && TEMPORARY.is_match(&two) && are_random_names(&one, &two) {
        let evidence = format!("{evidence} of temporary files with random names");
        return vec![
            Candidate::new(Cause::Random, Strength::Likely, evidence.clone()),
            Candidate::new(Cause::BuildPath, Strength::Possible, evidence),
        ];
    }
    let ends: Vec<(&str, &str)> = one
        .rsplit('/')
        .zip(two.rsplit('/'))
        .take_while(|(l, r)| l == r)
        .collect();
    let starts = one
        .split('/')
        .zip(two.split('/'))
        .take_while(|(l, r)| l == r)
        .count();
    if ends.is_empty() && starts <= 1 {
        return vec![Candidate::new(
            Cause::BuildPath,
            Strength::Possible,
            evidence,
        )];
    }
    let is_home = one.starts_with("/home/") && two.starts_with("/home/");
    let mut found = vec![Candidate::new(
        Cause::BuildPath,
        Strength::Likely,
        evidence.clone(),
    )];
    if is_home {
        found.push(Candidate::new(Cause::User, Strength::Possible, evidence));
    }
    found
}
