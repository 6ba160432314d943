//! The child of a rebuild: builds as always, with a disturbed engine, and writes down what it saw.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use kiln_build::{
    BuildError, Circumstances, OnFailure, Project, Summary, Workshop, destdirs, static_programs_of,
};
use kiln_model::Factor;
use kiln_sandbox::{
    APPLIED, Applied, Cancel, Disturbance, DisturbedEngine, EmbeddedEngine, InitProgram, View,
    personality, process_facts,
};

use super::{
    ANSWER, Answer, ChildOrder, ORDER, RecipeFailure, clock, environment, facts, read_json,
    write_json,
};
use crate::SANDBOX_INIT;
use crate::arguments::Arguments;
use crate::failure::{Failure, TROUBLE};
use crate::interrupt::FirstSignal;
use crate::session::Session;

/// Rebuilds as the exchange folder says and answers there; returns the exit status.
pub fn run(exchange: &Path) -> u8 {
    match answer(exchange) {
        Ok(answer) => match write_json(&exchange.join(ANSWER), &answer) {
            Ok(()) => 0,
            Err(error) => {
                crate::print::note(&format!("error: {error}"));
                TROUBLE
            }
        },
        Err(failure) => {
            failure.print();
            TROUBLE
        }
    }
}

fn answer(exchange: &Path) -> Result<Answer, Failure> {
    let lost = || Failure::usage("a rebuild is started by kiln itself", "use `kiln verify`");
    let order: ChildOrder = read_json(&exchange.join(ORDER)).ok_or_else(lost)?;
    let applied: Applied = read_json(&exchange.join(APPLIED)).ok_or_else(lost)?;
    let mut session = open(exchange, &order, &applied)?;
    // Another user has no control groups; they are no part of a result.
    session.project.config.require.resource_limits = false;
    end_with_caller(session.cancel());
    let init = InitProgram {
        program: PathBuf::from("/proc/self/exe"),
        arguments: vec![SANDBOX_INIT.to_owned()],
    };
    if let Err(error) = session.workshop().engine.probe() {
        return Ok(Answer {
            unsealed: Some(error.to_string()),
            ..Answer::default()
        });
    }
    let wanted = (
        order.variation.level(Factor::Clock),
        &*exchange.join("clock"),
    );
    let clocks = clock::make(&session.workshop(), &order.recipes, wanted)
        .map_err(|error| Failure::build(&session.project, &error))?;
    let (clocks, no_clock) = match clocks {
        Ok(clocks) => (clocks, None),
        Err(reason) => (BTreeMap::new(), Some(reason)),
    };
    let clock_offset = clocks.values().next().map_or(0, |clock| clock.offset);
    let disturbance = Disturbance {
        clocks,
        view: applied.view.clone().map(|face| View {
            folder: applied.places.store.clone(),
            face,
        }),
        personality: personality(&order.variation),
    };
    let engine = DisturbedEngine::new(EmbeddedEngine::new(init), disturbance);
    let shop = Workshop {
        engine: &engine,
        circumstances: Circumstances {
            checks: order.checks,
            clock_offset,
        },
        ..session.workshop()
    };
    let rebuilt = rebuild(&shop, &order, &applied);
    let answer = rebuilt.map_err(|error| Failure::build(&session.project, &error))?;
    Ok(Answer { no_clock, ..answer })
}

/// Opens the project and the store as the command line of a build would.
fn open(exchange: &Path, order: &ChildOrder, applied: &Applied) -> Result<Session, Failure> {
    let text = |path: &Path| path.as_os_str().to_owned();
    let jobs = order.jobs.to_string();
    let arguments = [
        "kiln".into(),
        "build".into(),
        "--offline".into(),
        "--project".into(),
        text(&applied.places.project),
        "--store".into(),
        text(&applied.places.store),
        "--out".into(),
        text(&exchange.join("out")),
        "--jobs".into(),
        jobs.into(),
    ];
    let arguments =
        Arguments::try_parse_from(arguments).map_err(|error| Failure::host(Box::new(error)))?;
    let common = arguments.common.on_base(order.base.as_ref());
    let mut session = Session::open(&common, FirstSignal::Asks)?;
    // The caller looks for everything there, whatever the base image.
    session.output = exchange.join("out");
    Ok(session)
}

/// The caller holds the other end of standard input for as long as it wants an answer.
fn end_with_caller(cancel: &Cancel) {
    let cancel = cancel.clone();
    std::thread::spawn(move || {
        let mut bytes = [0; 64];
        while matches!(std::io::stdin().read(&mut bytes), Ok(count) if count > 0) {}
        cancel.cancel();
    });
}

fn rebuild(
    shop: &Workshop<'_>,
    order: &ChildOrder,
    applied: &Applied,
) -> Result<Answer, BuildError> {
    let inside = facts::inside(shop, &order.recipes)?;
    let summary = kiln_build::build(shop, &order.recipes, OnFailure::KeepGoing)?;
    let mut outside = facts::outside(shop, &environment::own());
    let busy = process_facts(shop.store.root(), &applied.busy);
    let seen = |facts: &BTreeMap<String, String>| {
        let text = facts.get("clock").and_then(|text| text.parse().ok());
        text.unwrap_or_default()
    };
    let started: i64 = seen(&inside);
    let ended = crate::host::seconds() + shop.circumstances.clock_offset;
    outside.entry("load".to_owned()).or_default();
    let not_covered = match shop.circumstances.clock_offset {
        0 => Vec::new(),
        _ => static_programs_of(shop, &order.recipes)?,
    };
    let nodes = destdirs(shop, &order.recipes)?;
    Ok(Answer {
        failures: failures(shop.project, &summary),
        is_cancelled: summary.is_cancelled,
        destdirs: nodes
            .into_iter()
            .map(|(node, digest)| (node.to_string(), digest))
            .collect(),
        facts: facts::Facts { outside, inside },
        clock: (started, ended),
        unsealed: None,
        no_clock: None,
        not_covered,
        // The caller knows it.
        environment: BTreeMap::new(),
        busy_time: busy.busy_time,
        jobs: order.jobs.get(),
        checks: Some(shop.circumstances.checks),
    })
}

/// Returns what failed, as people are shown it.
fn failures(project: &Project, summary: &Summary) -> Vec<RecipeFailure> {
    let failures = summary.failures.iter();
    let told = failures.map(|error| RecipeFailure {
        recipe: match error {
            BuildError::StepFailed { node, .. } => Some(node.recipe.to_string()),
            BuildError::PackagingFailed { what, .. } => Some(what.clone()),
            _ => None,
        },
        text: Failure::build(project, error).text(),
    });
    told.collect()
}
