//! What is claimed of a factor, and what is not.

use std::collections::BTreeMap;

use kiln_sandbox::Places;

use super::*;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    owned.collect()
}

fn applied() -> Applied {
    Applied {
        places: Places {
            project: "/p".into(),
            store: "/s".into(),
        },
        done: BTreeMap::new(),
        refused: BTreeMap::new(),
        view: None,
        busy: Vec::new(),
    }
}

/// What a factor is found to be, from the same question's four answers.
fn check(
    (factor, level): (Factor, Level),
    (outside, inside): ([&str; 2], [&str; 2]),
    expected: Effect,
) {
    let (name, _) = question(factor);
    let facts = |index: usize| Facts {
        outside: map(&[(name, outside[index])]),
        inside: map(&[(name, inside[index])]),
    };
    let mut variation = Variation::default();
    variation.set(factor, level);
    let answer = Answer {
        facts: facts(1),
        ..Answer::default()
    };
    let found = observations(&variation, &facts(0), &answer, &applied());
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].effect, expected, "{factor} {level}: {found:?}");
}

#[test]
fn an_effect_is_what_was_seen() {
    let other = Level::Other;
    check(
        (Factor::HostName, other),
        (["a", "b"], ["kiln", "kiln"]),
        Effect::Neutralised,
    );
    check(
        (Factor::HostName, other),
        (["a", "b"], ["a", "b"]),
        Effect::Seen,
    );
    check(
        (Factor::HostName, other),
        (["a", "a"], ["kiln", "kiln"]),
        Effect::NotVaried,
    );
    // A step that could not be asked proves nothing.
    check(
        (Factor::HostName, other),
        (["a", "b"], ["kiln", ""]),
        Effect::Neutralised,
    );
    check(
        (Factor::HostName, other),
        (["a", "a"], ["kiln", ""]),
        Effect::NotVaried,
    );
    check(
        (Factor::Processors, Level::One),
        (["4", "1"], ["4", "1"]),
        Effect::Seen,
    );
    check(
        (Factor::Processors, Level::One),
        (["1", "1"], ["1", "1"]),
        Effect::NotVaried,
    );
    check(
        (Factor::Load, Level::Busy),
        (["", ""], ["0.1", "4"]),
        Effect::NotVaried,
    );
}

#[test]
fn the_order_of_directories_must_be_the_one_asked_for() {
    for (level, again, has_view, expected) in [
        (Level::Shuffled, "c b a", true, Effect::Seen),
        (Level::Shuffled, "b c a", true, Effect::NotVaried),
        (Level::Reversed, "b c a", true, Effect::Seen),
        (Level::Reversed, "c b a", true, Effect::NotVaried),
        // Another file system has an order of its own.
        (Level::Shuffled, "b c a", false, Effect::Seen),
    ] {
        let mut variation = Variation::default();
        variation.set(Factor::DirectoryOrder, level);
        let control = Facts {
            inside: map(&[("directory-order", "a b c")]),
            ..Facts::default()
        };
        let answer = Answer {
            facts: Facts {
                inside: map(&[
                    ("directory-order", "b c a"),
                    ("directory-order-again", again),
                ]),
                ..Facts::default()
            },
            ..Answer::default()
        };
        let applied = Applied {
            view: has_view.then(|| "/face".into()),
            ..applied()
        };
        let found = observations(&variation, &control, &answer, &applied);
        assert_eq!(found[0].effect, expected, "{level} {again}");
    }
}

#[test]
fn a_clock_counts_only_with_the_times_of_files() {
    let set = "1000000000";
    for (seen, file, set, expected) in [
        ("1800000000", "1800000001", set, Effect::Seen),
        ("1800000000", "1800000001", "1100000000", Effect::NotVaried),
        ("1800000000", "1700000001", set, Effect::NotVaried),
        ("1700000030", "1700000030", set, Effect::NotVaried),
        ("", "", "", Effect::NotVaried),
    ] {
        let mut variation = Variation::default();
        variation.set(Factor::Clock, Level::Future);
        let answer = Answer {
            facts: Facts {
                outside: map(&[("clock", "1700000000")]),
                inside: map(&[("clock", seen), ("file-clock", file), ("set-clock", set)]),
            },
            no_clock: (expected == Effect::NotVaried).then(|| "no library".to_owned()),
            not_covered: vec!["/usr/sbin/ldconfig".to_owned()],
            ..Answer::default()
        };
        let mut refusal = applied();
        refusal
            .refused
            .insert(Factor::Clock, "no library".to_owned());
        let found = observations(&variation, &Facts::default(), &answer, &refusal);
        assert_eq!(found[0].effect, expected, "{seen} {file}");
        let not_covered = "; not seen by static programs: /usr/sbin/ldconfig";
        match expected {
            Effect::Seen => assert!(found[0].how.ends_with(not_covered), "{found:?}"),
            _ => assert_eq!(found[0].how, "no library"),
        }
    }
    let many: Vec<String> = (0..14).map(|number| format!("/p{number}")).collect();
    assert!(not_covered(&many).ends_with("/p11 and 2 more"));
}
