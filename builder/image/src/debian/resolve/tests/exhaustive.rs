//! Compares the solver with trying every set of packages, on small indexes made by chance.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Names of packages that exist; `v` and `w` are only ever provided.
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const TARGETS: [&str; 7] = ["a", "b", "c", "d", "e", "v", "w"];

#[derive(Debug, Clone)]
struct Target {
    name: &'static str,
    /// An operator and a version, both as written.
    demand: Option<(&'static str, u32)>,
}

#[derive(Debug, Clone)]
struct Package {
    depends: Vec<Vec<Target>>,
    conflicts: Vec<Target>,
    provides: Vec<(&'static str, Option<u32>)>,
}

/// Every version of every package.
type Packages = BTreeMap<(&'static str, u32), Package>;
/// One version of some packages.
type Choice = BTreeMap<&'static str, u32>;

fn target() -> impl Strategy<Value = Target> {
    let operators = prop::sample::select(vec!["<<", "<=", "=", ">=", ">>"]);
    let demand = prop::option::weighted(0.4, (operators, 1..=2u32));
    (prop::sample::select(TARGETS.to_vec()), demand)
        .prop_map(|(name, demand)| Target { name, demand })
}

fn package() -> impl Strategy<Value = Package> {
    let depends = prop::collection::vec(prop::collection::vec(target(), 1..=3), 0..=2);
    let conflicts = prop::collection::vec(target(), 0..=1);
    let provided = (
        prop::sample::select(TARGETS.to_vec()),
        prop::option::of(1..=2u32),
    );
    let provides = prop::collection::vec(provided, 0..=1);
    (depends, conflicts, provides).prop_map(|(depends, conflicts, provides)| Package {
        depends,
        conflicts,
        provides,
    })
}

fn packages() -> impl Strategy<Value = Packages> {
    let versions = prop::collection::btree_map(1..=2u32, package(), 1..=2);
    prop::collection::vec(versions, NAMES.len()).prop_map(|all| {
        let named = NAMES.into_iter().zip(all);
        let flat = named.flat_map(|(name, versions)| {
            versions
                .into_iter()
                .map(move |(version, package)| ((name, version), package))
        });
        flat.collect()
    })
}

fn write(target: &Target) -> String {
    match target.demand {
        None => target.name.to_owned(),
        Some((operator, version)) => format!("{} ({operator} {version})", target.name),
    }
}

fn write_index(packages: &Packages) -> PackageIndex {
    let join = |targets: &[Target], separator: &str| {
        targets
            .iter()
            .map(write)
            .collect::<Vec<_>>()
            .join(separator)
    };
    let stanzas: Vec<String> = packages
        .iter()
        .map(|((name, version), package)| {
            let depends: Vec<_> = package
                .depends
                .iter()
                .map(|clause| join(clause, " | "))
                .collect();
            let provides: Vec<_> = package
                .provides
                .iter()
                .map(|(name, version)| match version {
                    None => (*name).to_owned(),
                    Some(version) => format!("{name} (= {version})"),
                })
                .collect();
            format!(
                "{name} {version}; Depends: {}; Conflicts: {}; Provides: {}",
                depends.join(", "),
                join(&package.conflicts, ", "),
                provides.join(", ")
            )
        })
        .collect();
    index(&stanzas.iter().map(String::as_str).collect::<Vec<_>>())
}

fn demand_holds(demand: Option<(&str, u32)>, version: Option<u32>) -> bool {
    let Some((operator, wanted)) = demand else {
        return true;
    };
    version.is_some_and(|version| match operator {
        "<<" => version < wanted,
        "<=" => version <= wanted,
        "=" => version == wanted,
        ">=" => version >= wanted,
        _ => version > wanted,
    })
}

/// Tells whether one chosen package is what a relation speaks of.
fn meets(packages: &Packages, (name, version): (&'static str, u32), target: &Target) -> bool {
    let itself = name == target.name && demand_holds(target.demand, Some(version));
    let provides = &packages[&(name, version)].provides;
    itself
        || (name != target.name
            && provides.iter().any(|&(provided, version)| {
                provided == target.name && demand_holds(target.demand, version)
            }))
}

fn is_valid(packages: &Packages, choice: &Choice, wanted: &[&'static str]) -> bool {
    let chosen: Vec<_> = choice
        .iter()
        .map(|(&name, &version)| (name, version))
        .collect();
    let sound = |&own: &(&'static str, u32)| {
        let package = &packages[&own];
        let depends = package.depends.iter().all(|clause| {
            clause
                .iter()
                .any(|target| chosen.iter().any(|&other| meets(packages, other, target)))
        });
        let conflicts = package.conflicts.iter().any(|target| {
            chosen
                .iter()
                .any(|&other| other != own && meets(packages, other, target))
        });
        depends && !conflicts
    };
    wanted.iter().all(|name| choice.contains_key(name)) && chosen.iter().all(sound)
}

/// Returns every set of packages with one version each.
fn choices(packages: &Packages) -> Vec<Choice> {
    let mut all = vec![Choice::new()];
    for name in NAMES {
        let mut more = Vec::new();
        for choice in &all {
            for (_, version) in packages.keys().filter(|(other, _)| *other == name) {
                let mut with = choice.clone();
                with.insert(name, *version);
                more.push(with);
            }
        }
        all.extend(more);
    }
    all
}

fn read_choice(added: &[String]) -> Choice {
    let read = |text: &String| {
        let (name, version) = text.split_once(' ').unwrap();
        let name = NAMES.into_iter().find(|known| *known == name).unwrap();
        (name, version.parse().unwrap())
    };
    added.iter().map(read).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_solver_finds_what_trying_everything_finds(
        packages in packages(),
        wanted in prop::sample::subsequence(NAMES.to_vec(), 1..=3),
        more in prop::sample::subsequence(NAMES.to_vec(), 1..=3),
    ) {
        let index = write_index(&packages);
        let all = choices(&packages);
        let possible = all.iter().any(|choice| is_valid(&packages, choice, &wanted));
        let first = solve(&index, &wanted, &[], Essential::AlreadyThere);
        prop_assert_eq!(first.is_ok(), possible, "{:?}", first);
        let again = solve(&index, &wanted, &[], Essential::AlreadyThere);
        prop_assert_eq!(&first, &again);
        let Ok(base) = first else { return Ok(()) };
        let base_choice = read_choice(&base);
        prop_assert!(is_valid(&packages, &base_choice, &wanted), "{:?}", base);

        // Then more over that, which must stay as it is.
        let keeps = |choice: &&Choice| {
            base_choice.iter().all(|(name, version)| choice.get(name) == Some(version))
        };
        let possible = all.iter().filter(keeps).any(|choice| is_valid(&packages, choice, &more));
        let installed: Vec<_> = base.iter().map(String::as_str).collect();
        let second = solve(&index, &more, &installed, Essential::AlreadyThere);
        prop_assert_eq!(second.is_ok(), possible, "{:?}", second);
        if let Ok(added) = second {
            let mut choice = read_choice(&added);
            prop_assert!(choice.keys().all(|name| !base_choice.contains_key(name)));
            choice.extend(base_choice);
            prop_assert!(is_valid(&packages, &choice, &more), "{:?}", choice);
        }
    }
}
