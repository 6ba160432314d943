//! What a kiln process and its steps see of the world: the same questions with and without variation.

use std::collections::BTreeMap;

use kiln_build::{BuildError, SealedProbe, Workshop, run_probe};
use kiln_model::RecipeName;
use serde::{Deserialize, Serialize};

use crate::varied::any_recipe;

/// Most bytes of one answer of a step.
const LONGEST: usize = 4096;

/// Answers by name: `host-name`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Facts {
    /// What the kiln process sees.
    pub outside: BTreeMap<String, String>,
    /// What a step sees.
    pub inside: BTreeMap<String, String>,
}

/// The time that the script gives a file.
pub const SET_TIME: i64 = 1_000_000_000;

/// Asks from inside; prints `name=value`, one a line.
const SCRIPT: &str = r#"
exec 2>&1
say() { printf '%s=%s\n' "$1" "$2"; }
say clock "$(date +%s)"
: > kiln-probe
say file-clock "$(stat -c %Y kiln-probe)"
touch -d @1000000000 kiln-probe
say set-clock "$(stat -c %Y kiln-probe)"
say time-zone "TZ=$TZ $(date +%z)"
say locale "LC_ALL=$LC_ALL LANG=$LANG $(printf 'b\nA\na\nB\n' | sort | tr -d '\n')"
say umask "$(umask)"
say user "$(id -u):$(id -g)"
say host-name "$(uname -n)"
say kernel "$(uname -r)"
say processors "$(nproc)"
say jobs "$KILN_JOBS"
mkdir kiln-listing
i=0
while [ "$i" -lt 64 ]; do : > "kiln-listing/f$i"; i=$((i + 1)); done
say directory-order "$(ls -U kiln-listing | tr '\n' ' ')"
say directory-order-again "$(ls -U kiln-listing | tr '\n' ' ')"
rm -rf kiln-listing kiln-probe
stack() { sed -n 's/-.*\[stack\]$//p' /proc/self/maps; }
if [ "$(stack)" = "$(stack)" ]; then say addresses fixed; else say addresses random; fi
say environment "$(env | grep -v ^KILN_JOBS= | LC_ALL=C sort | cksum)"
say file-system "$(stat -f -c %T /build)"
say host-path "$(sed -n 's|^[0-9]* [0-9]* [0-9:]* \(.*\) /build .*|\1|p' /proc/self/mountinfo)"
say load "$(cut -d ' ' -f 1 /proc/loadavg)"
exit 0
"#;

/// Asks from inside a sandbox, as the steps of one of some recipes are sealed.
pub fn inside(
    shop: &Workshop<'_>,
    recipes: &[RecipeName],
) -> Result<BTreeMap<String, String>, BuildError> {
    let Some(recipe) = any_recipe(shop, recipes) else {
        return Ok(BTreeMap::new());
    };
    let probe = SealedProbe {
        recipe,
        script: SCRIPT,
        given: None,
        wanted: None,
    };
    Ok(answers(&run_probe(shop, probe)?.said))
}

/// Reads `name=value` lines; others are what a program complained about.
fn answers(said: &str) -> BTreeMap<String, String> {
    let mut answers = BTreeMap::new();
    for line in said.lines() {
        if let Some((name, value)) = line.split_once('=') {
            let value: String = value.trim().chars().take(LONGEST).collect();
            answers.insert(name.to_owned(), value.replace(char::is_control, "?"));
        }
    }
    answers
}

/// Asks this process.
pub fn outside(
    shop: &Workshop<'_>,
    environment: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut facts = kiln_sandbox::process_facts(shop.store.root(), &[]).facts;
    let of = |name: &str| {
        let value = environment.get(name).map_or("", String::as_str);
        format!("{name}={value}")
    };
    let mut say = |name: &str, value: String| drop(facts.insert(name.to_owned(), value));
    say("time-zone", of("TZ"));
    say("locale", format!("{} {}", of("LC_ALL"), of("LANG")));
    say("jobs", shop.jobs.to_string());
    say("clock", crate::host::seconds().to_string());
    let usual = ["TZ", "LC_ALL", "LANG", "LANGUAGE"];
    let names = environment
        .iter()
        .filter(|(name, _)| !usual.contains(&name.as_str()));
    let text: Vec<String> = names
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let digest = kiln_model::Digest::of(text.join("\n").as_bytes());
    say("environment", format!("{} variables, {digest}", text.len()));
    facts
}

/// Returns what a build without any change sees, on the root file system of one of `recipes`.
///
/// # Errors
/// As building fails.
pub fn control_facts(shop: &Workshop<'_>, recipes: &[RecipeName]) -> Result<Facts, BuildError> {
    let environment = super::environment::varied(
        &kiln_model::Variation::default(),
        &super::environment::own(),
    );
    Ok(Facts {
        outside: outside(shop, &environment),
        inside: inside(shop, recipes)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_lines_with_a_name() {
        let said = "a=1\nsh: no such thing\nb= x=y \nc=\u{1b}[0m\n";
        let found = answers(said);
        let found: Vec<_> = found
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        assert_eq!(found, [("a", "1"), ("b", "x=y"), ("c", "?[0m")]);
    }
}
