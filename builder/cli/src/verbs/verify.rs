//! `kiln verify`: built again under other circumstances, is everything the same?

use std::io::IsTerminal as _;
use std::path::Path;

use kiln_attest::{BuilderId, VerificationBuild, VerificationStatement, VerifiedFile};
use kiln_build::{Graph, KILN_VERSION, Plan, publish};
use kiln_compare::{
    Checks, Clock, Progress, RebuildError, SubjectKind, SubjectReport, Verdict, Verification,
    VerifyOrder, render_html, render_json, verify,
};
use kiln_model::{RecipeName, STEP_RUNNER_VERSION};

use crate::arguments::{Common, Format, Verify};
use crate::failure::{Failure, TROUBLE};
use crate::host;
use crate::interrupt::FirstSignal;
use crate::print;
use crate::report::{EventLine, print_event};
use crate::session::Session;
use crate::style::Colours;
use crate::verify::{BuiltOutputs, ChildRebuilder, Destdirs, lines, list, progress_line};

/// Verifies recipes of the project, or packages by what they say of themselves.
pub fn run(common: &Common, arguments: &Verify) -> Result<u8, Failure> {
    if arguments.what.iter().any(|what| is_file(what)) {
        return crate::verbs::verify_file::run(common, arguments);
    }
    let names = arguments.what.iter().map(|what| recipe_name(what));
    let names = names.collect::<Result<Vec<RecipeName>, Failure>>()?;
    let mut session = Session::open(common, FirstSignal::Asks)?;
    let all = arguments.all;
    let wanted = super::wanted(&session.project, &crate::arguments::Names { names, all });
    let (original, listing) = {
        let shop = session.workshop();
        let failure = |error: kiln_build::BuildError| Failure::build(&session.project, &error);
        let graph = Graph::new(&session.project, &wanted).map_err(|error| failure(error.into()))?;
        let plan = Plan::new(&shop, graph).map_err(failure)?;
        check_built(&plan)?;
        let listing = list(
            &session.project,
            &plan,
            &wanted,
            &session.output,
            shop.architecture,
        );
        let destdir = |node: &kiln_build::NodeId| Some((node.to_string(), plan.destdir(node)?));
        let destdirs: Destdirs = plan.graph.order.iter().filter_map(destdir).collect();
        let original = BuiltOutputs {
            folder: session.output.clone(),
            destdirs,
        };
        (original, listing)
    };
    let plan = arguments.builds.plan();
    let order = VerifyOrder {
        recipes: &wanted,
        subjects: &listing.subjects,
        notes: &listing.notes,
        original: &original,
        plan: &plan,
        isolation: arguments.isolation(),
        effort: kiln_compare::Effort::USUAL,
    };
    let clock = original_clock(&session.output, &wanted);
    let mut rebuilder = ChildRebuilder::new(&session, common.verbose, clock);
    let verification = perform(common, &mut rebuilder, &order);
    session.finish_report();
    finish(common, &session.output, &verification?)
}

/// Returns from when to when the recipes were built, as their run records say.
fn original_clock(output: &Path, recipes: &[RecipeName]) -> Option<Clock> {
    let mut times = Vec::new();
    for recipe in recipes {
        let file = output.join(format!("provenance/{recipe}.run.json"));
        let text = fs_err::read(file).ok()?;
        let record: serde_json::Value = serde_json::from_slice(&text).ok()?;
        for key in ["started", "finished"] {
            let time: jiff::Timestamp = record[key].as_str()?.parse().ok()?;
            times.push(time.as_second());
        }
    }
    let (start, end) = (*times.iter().min()?, *times.iter().max()?);
    Some(Clock {
        start,
        span: end - start,
    })
}

/// Returns whether an argument means a file, not a recipe: no recipe's name ends like that.
fn is_file(what: &std::ffi::OsStr) -> bool {
    let text = what.to_string_lossy();
    text.contains('/') || text.ends_with(".rpm")
}

fn recipe_name(what: &std::ffi::OsStr) -> Result<RecipeName, Failure> {
    let text = what.to_string_lossy();
    text.parse().map_err(|error: kiln_model::NameError| {
        Failure::usage(
            &format!(
                "`{}` is no recipe's name: {error}",
                crate::text::clean(&text)
            ),
            "say a recipe of this project, or the path of an RPM file",
        )
    })
}

/// What is not built yet can not be verified, and building it here would hide what is in `out/`.
fn check_built(plan: &Plan) -> Result<(), Failure> {
    let missing: Vec<String> = plan
        .to_build()
        .into_iter()
        .map(|node| format!("`{node}`"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(
        &format!(
            "the recipes say something else than what was built: {} would be built now",
            missing.join(", ")
        ),
        "run `kiln build` first; `kiln verify` compares with what is in out/",
    ))
}

/// Rebuilds and compares, telling how it goes.
pub fn perform(
    common: &Common,
    rebuilder: &mut dyn kiln_compare::Rebuilder,
    order: &VerifyOrder<'_>,
) -> Result<Verification, Failure> {
    let is_json = common.format == Format::Json;
    let mut tell = |progress: &Progress<'_>| {
        if is_json {
            print_event(&progress_event(progress));
        }
        if !common.quiet {
            print::note(&progress_line(progress));
        }
    };
    verify(order, rebuilder, &mut tell).map_err(|error| match error {
        RebuildError::Interrupted => Failure::interrupted(),
        RebuildError::Impossible(error) => Failure::host(error),
    })
}

/// Writes reports and statements, prints the verdicts, and answers with the exit code.
pub fn finish(common: &Common, output: &Path, verification: &Verification) -> Result<u8, Failure> {
    let folder = output.join("verify");
    for recipe in &verification.recipes {
        let file = folder.join(format!("{recipe}.verification.json"));
        write(&file, &statement(verification, recipe).render())?;
    }
    write(
        &folder.join("verify.json"),
        &render_json(verification, KILN_VERSION),
    )?;
    let page = folder.join("index.html");
    write(&page, render_html(verification, KILN_VERSION).as_bytes())?;
    if common.format == Format::Json {
        verdict_events(verification, &page)
            .iter()
            .for_each(print_event);
    } else if !common.quiet || verification.verdict() != Verdict::Reproducible {
        let is_terminal = std::io::stdout().is_terminal();
        let colours = Colours::choose(common.color, host::colour_wishes(), is_terminal);
        for line in lines(verification, &page) {
            print::rendered_line(&line.render(colours));
        }
    }
    Ok(match verification.verdict() {
        Verdict::Reproducible => 0,
        Verdict::Unreproducible => 1,
        Verdict::FailedToBuild | Verdict::NotTested => TROUBLE,
    })
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    match publish(file, bytes) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::file(&error)),
    }
}

/// The in-toto statement about one recipe's own results.
fn statement(verification: &Verification, recipe: &RecipeName) -> VerificationStatement {
    let provenance = verification
        .of_recipe(recipe)
        .find(|report| report.subject.kind == SubjectKind::Provenance);
    let file = |report: &SubjectReport| {
        Some(VerifiedFile {
            name: report.subject.name.clone(),
            sha256: report.digest?,
            verdict: report.verdict.word().to_owned(),
            agreement: agreement_word(report),
            causes: cause_names(report),
            others: report
                .findings
                .iter()
                .map(|finding| (finding.build, finding.rebuilt))
                .collect(),
        })
    };
    VerificationStatement {
        recipe: recipe.clone(),
        verifier: BuilderId::local(),
        kiln_version: KILN_VERSION.parse().expect("a version is one line"),
        step_runner: STEP_RUNNER_VERSION,
        provenance: provenance.and_then(|report| report.digest),
        verdict: verification.recipe_verdict(recipe).word().to_owned(),
        files: verification.of_recipe(recipe).filter_map(file).collect(),
        builds: verification
            .builds
            .iter()
            .map(|build| VerificationBuild {
                variation: build.variation.clone(),
                observations: build.observations.clone(),
                has_run_checks: build.checks == Checks::Run,
            })
            .collect(),
    }
}

fn agreement_word(report: &SubjectReport) -> Option<String> {
    report
        .agreement
        .map(|agreement| agreement.word().to_owned())
}

fn cause_names(report: &SubjectReport) -> Vec<String> {
    let names = report.causes.iter().map(|cause| cause.cause.name());
    names.map(str::to_owned).collect()
}

fn progress_event(progress: &Progress<'_>) -> EventLine {
    match progress {
        Progress::Rebuilding {
            build,
            of,
            variation,
        } => EventLine::Rebuilding {
            build: *build,
            of: *of,
            varied: variation.to_string(),
        },
        Progress::Compared {
            build,
            same,
            differing,
        } => EventLine::RebuildCompared {
            build: *build,
            same: *same,
            differing: *differing,
        },
        Progress::Isolating { recipes, variation } => EventLine::Isolating {
            recipes: recipes.iter().map(ToString::to_string).collect(),
            varied: variation.to_string(),
        },
    }
}

fn verdict_events(verification: &Verification, page: &Path) -> Vec<EventLine> {
    let verdict = |report: &SubjectReport| EventLine::Verdict {
        name: report.subject.name.clone(),
        kind: report.subject.kind.name().to_owned(),
        recipe: report.subject.recipe.as_ref().map(ToString::to_string),
        verdict: report.verdict.word().to_owned(),
        agreement: agreement_word(report),
        causes: cause_names(report),
        reason: report.reason.clone(),
    };
    let mut events: Vec<EventLine> = verification.subjects.iter().map(verdict).collect();
    events.push(EventLine::Verified {
        verdict: verification.verdict().word().to_owned(),
        rebuilds: verification.builds.len(),
        report: page.display().to_string(),
    });
    events
}
