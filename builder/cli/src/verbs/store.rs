//! `kiln store`: check, clean and measure what is kept.

use std::collections::{BTreeMap, BTreeSet};

use kiln_build::{
    BuildError, KnownProject, forget_project, known_projects, needed_by, note_project,
};
use kiln_image::{TreeState, check_tree, flattened_tree, image_layers};
use kiln_model::{DiffId, Digest, ManifestDigest};
use kiln_sandbox::Cancel;
use kiln_store::{
    Checked, CollectMode, Collected, Gone, Keep, RecordKind, Store, StoreFinding, Usage,
};

use crate::arguments::{Common, Format, Gc, StoreVerb};
use crate::failure::Failure;
use crate::interrupt::{self, FirstSignal};
use crate::print::line;
use crate::report::{CollectedLine, EventLine, StoreCheckedLine, UsageLine, print_event};
use crate::session::{self, open_store};
use crate::text::{count, pad, size, width};

/// Does what was asked.
pub fn run(common: &Common, verb: &StoreVerb) -> Result<u8, Failure> {
    let cancel = Cancel::new();
    interrupt::watch(&cancel, FirstSignal::Asks);
    let store = open_store(common)?;
    match verb {
        StoreVerb::Check => check(common, &store, &cancel),
        StoreVerb::Gc(gc) => collect(common, &store, gc),
        StoreVerb::Du => {
            tell_usage(common, &store.usage());
            Ok(0)
        }
    }
}

fn failed(error: impl std::error::Error + 'static) -> Failure {
    Failure::host(Box::new(error))
}

fn check(common: &Common, store: &Store, cancel: &Cancel) -> Result<u8, Failure> {
    let is_stopped = || cancel.is_cancelled();
    let mut checked = store.check(&is_stopped).map_err(failed)?;
    let mut trees = 0;
    let mut unknown = 0;
    let flattened = flattened(store);
    for id in store.tree_ids() {
        if is_stopped() {
            return Err(Failure::interrupted());
        }
        let layers = flattened.get(&id).cloned().unwrap_or_else(|| vec![id]);
        trees += 1;
        match check_tree(store, &id, &layers).map_err(failed)? {
            TreeState::Whole => {}
            TreeState::Unknown => unknown += 1,
            TreeState::Differs { place, problem } => {
                let evidence = store.set_tree_aside(&id).map_err(failed)?;
                checked.findings.push(StoreFinding::Tree {
                    id,
                    place,
                    problem,
                    evidence,
                });
            }
        }
    }
    if is_stopped() {
        return Err(Failure::interrupted());
    }
    tell_checked(common, &checked, (trees, unknown));
    Ok(u8::from(!checked.findings.is_empty()))
}

/// Returns the layers of trees that are made of several.
fn flattened(store: &Store) -> BTreeMap<DiffId, Vec<DiffId>> {
    let named = store.records(RecordKind::Reference).into_iter();
    let manifests = named.filter_map(|(name, _)| store.recorded_image(&name).ok().flatten());
    let layers = manifests.filter_map(|manifest: ManifestDigest| {
        let id = flattened_tree(store, &manifest)?;
        Some((id, image_layers(store, &manifest).ok()?))
    });
    layers.collect()
}

fn tell_checked(common: &Common, checked: &Checked, (trees, unknown): (usize, usize)) {
    if common.format == Format::Json {
        print_event(&EventLine::StoreChecked(StoreCheckedLine::new(
            checked, trees,
        )));
        return;
    }
    for finding in &checked.findings {
        line(&format!("damaged    {finding}"));
    }
    if common.quiet {
        return;
    }
    let blobs = format!("{} ({})", count(checked.blobs, "blob"), size(checked.bytes));
    let records = count(checked.records, "record");
    let trees = count(trees, "tree");
    line(&format!("checked    {blobs}, {records}, {trees}"));
    if unknown > 0 {
        line(&format!(
            "           {} could not be compared: the store lacks their layers",
            count(unknown, "tree")
        ));
    }
    match checked.findings.len() {
        0 => line("Everything is as it should be."),
        number => line(&format!(
            "{}. What was set aside is fetched or built again when it is needed.",
            count(number, "thing was damaged")
        )),
    }
}

fn collect(common: &Common, store: &Store, gc: &Gc) -> Result<u8, Failure> {
    // The project that this runs in counts even if nothing was ever built there.
    if let Ok(root) = session::root(common)
        && root.join("recipes").is_dir()
    {
        note_project(store, &root).map_err(failed)?;
    }
    let gone: Vec<_> = known_projects(store)
        .into_iter()
        .filter(|project| !project.is_there)
        .collect();
    let needed = needed_by_all(store).map_err(failed)?;
    let mode = if gc.dry_run {
        CollectMode::DryRun
    } else {
        CollectMode::Remove
    };
    let keep = Keep {
        needed,
        results: gc.keep,
        grace: gc.grace.seconds,
        mode,
    };
    let collected = store
        .collect_garbage(&keep, || needed_by_all(store))
        .map_err(failed)?;
    let evidence = match gc.evidence {
        true => store.remove_evidence(mode).map_err(failed)?,
        false => Gone::default(),
    };
    if mode == CollectMode::Remove {
        let still = known_projects(store);
        for project in gone.iter().filter(|project| still.contains(project)) {
            forget_project(store, &project.root).map_err(failed)?;
        }
    }
    tell_collected(common, gc, (&collected, evidence), &gone);
    Ok(0)
}

/// Returns what the projects that use the store name, as far as they are there.
fn needed_by_all(store: &Store) -> Result<BTreeSet<Digest>, BuildError> {
    let mut needed = BTreeSet::new();
    for project in known_projects(store) {
        needed.extend(needed_by(store, &project.root)?);
    }
    Ok(needed)
}

fn tell_collected(
    common: &Common,
    gc: &Gc,
    (collected, evidence): (&Collected, Gone),
    gone: &[KnownProject],
) {
    if common.format == Format::Json {
        let projects = gone.iter().map(|p| p.root.display().to_string()).collect();
        print_event(&EventLine::Collected(CollectedLine {
            is_dry_run: gc.dry_run,
            ..CollectedLine::new(collected, evidence, projects)
        }));
        return;
    }
    if common.quiet {
        return;
    }
    for project in gone {
        line(&format!(
            "forgotten  project {}, which is gone",
            project.root.display()
        ));
    }
    let what =
        |gone: Gone, what: &str| format!("{} ({})", count(gone.count, what), size(gone.bytes));
    let mut parts = vec![
        what(collected.results, "result"),
        what(collected.blobs, "blob"),
        what(collected.trees, "tree"),
    ];
    if gc.evidence {
        parts.push(what(evidence, "thing that was set aside"));
    }
    let removed = if gc.dry_run { "would go" } else { "removed" };
    line(&format!("{}  {}", pad(removed, 9), parts.join(", ")));
    if collected.leased > 0 {
        let things = count(collected.leased, "thing");
        line(&format!(
            "kept       {things} that another kiln uses just now"
        ));
    }
    if collected.young > 0 {
        let things = count(collected.young, "thing");
        line(&format!(
            "kept       {things} that nobody needs but that are too young (--grace)"
        ));
    }
}

fn tell_usage(common: &Common, usage: &Usage) {
    if common.format == Format::Json {
        print_event(&EventLine::StoreUsage(usage.into()));
        return;
    }
    let mut rows = vec![["what", "results", "names", "alone"].map(str::to_owned)];
    let shares = UsageLine::from(usage).shares;
    for share in shares {
        let name = match share.name.as_str() {
            "" => "(results of older kilns)".to_owned(),
            name => name.to_owned(),
        };
        let results = match share.results {
            0 => String::new(),
            number => number.to_string(),
        };
        rows.push([name, results, size(share.named), size(share.own)]);
    }
    let others = [
        ("other blobs", usage.other_blobs),
        ("other trees", usage.other_trees),
        ("unfinished", usage.unfinished),
        ("left by failed steps", usage.kept),
        ("damaged, set aside", usage.quarantine),
        ("everything", usage.total),
    ];
    for (name, bytes) in others.into_iter().filter(|(_, bytes)| *bytes > 0) {
        rows.push([name.to_owned(), String::new(), String::new(), size(bytes)]);
    }
    let widths: [usize; 4] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| width(&row[column]));
        cells.max().unwrap_or(0)
    });
    for [name, results, named, own] in &rows {
        let (results_width, named_width, own_width) = (widths[1], widths[2], widths[3]);
        let name = pad(name, widths[0]);
        line(&format!(
            "{name}  {results:>results_width$}  {named:>named_width$}  {own:>own_width$}"
        ));
    }
    if !common.quiet {
        line(
            "`names`: all that it names; `alone`: what nothing else names. `kiln store gc` cleans.",
        );
    }
}
