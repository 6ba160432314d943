//! `kiln plan`: what a build would do, why, and how long it would take.

use std::time::Duration;

use kiln_build::{Estimate, Forecast, Foreseen, Graph, Plan, Project, Unpinned, Work};
use kiln_model::RecipeName;

use crate::arguments::{Common, Format, Names};
use crate::failure::Failure;
use crate::interrupt::FirstSignal;
use crate::print::line;
use crate::report::{
    EventLine, PlannedNode, PlannedPackage, milliseconds, print_event, unpinned_recipe,
};
use crate::session::Session;
use crate::text::{count, pad, seconds, whole_seconds, width};

/// The widest that names get before reasons stand where they end.
const WIDEST: usize = 48;

/// Prints one line per node, and one per packaging that would be done, in build order.
pub fn run(common: &Common, names: &Names) -> Result<u8, Failure> {
    let session = Session::open(common, FirstSignal::Ends)?;
    let shop = session.workshop();
    let wanted = super::wanted(&session.project, names);
    let failed = |error| Failure::build(&session.project, &error);
    let (unpinned, wanted) = sorted_out(&session.project, names, wanted);
    let graph = Graph::new(&session.project, &wanted).map_err(|error| failed(error.into()))?;
    let plan = Plan::new(&shop, graph).map_err(failed)?;
    let forecast = plan.forecast(&shop).map_err(failed)?;
    match common.format {
        Format::Json => print_event(&event(&plan, &forecast, &unpinned)),
        Format::Human => lines(&forecast, &unpinned)
            .iter()
            .for_each(|text| line(text)),
    }
    Ok(0)
}

/// Takes apart what can not be built yet: of what was named, or of everything.
fn sorted_out(
    project: &Project,
    names: &Names,
    wanted: Vec<RecipeName>,
) -> (Vec<Unpinned>, Vec<RecipeName>) {
    if names.names.is_empty() {
        return (kiln_build::left_out(project), wanted);
    }
    let is_pinned = |name: &RecipeName| project.unpinned(name).is_none();
    let (pinned, others): (Vec<_>, Vec<_>) = wanted.into_iter().partition(is_pinned);
    let unpinned = others.iter().filter_map(|name| project.unpinned(name));
    (unpinned.collect(), pinned)
}

/// Returns what people read.
fn lines(forecast: &Forecast, unpinned: &[Unpinned]) -> Vec<String> {
    let is_shown =
        |piece: &&Foreseen| matches!(piece.work, Work::Build(_)) || piece.reason.is_some();
    let shown: Vec<&Foreseen> = forecast.pieces.iter().filter(is_shown).collect();
    let done = || shown.iter().filter(|piece| piece.reason.is_some());
    let names = done().map(|piece| width(&piece.work.name()).min(WIDEST));
    let names = names.max().unwrap_or(0);
    let reasons = done().filter_map(|piece| piece.reason.as_deref());
    let reasons = reasons.map(|reason| width(reason).min(WIDEST)).max();
    let row = |piece: &&Foreseen| row(piece, names, reasons.unwrap_or(0));
    let mut lines: Vec<String> = shown.iter().map(row).collect();
    let left_out = unpinned.iter();
    lines.extend(left_out.map(|one| format!("unpinned {}", one.in_short())));
    lines.push(String::new());
    lines.push(total(forecast));
    if !unpinned.is_empty() {
        let number = count(unpinned.len(), "recipe");
        lines.push(format!(
            "{number} can not be built yet for want of pins; `kiln lock` finds them where the sources \
             can be reached."
        ));
    }
    lines
}

fn row(piece: &Foreseen, names: usize, reasons: usize) -> String {
    let name = piece.work.name();
    let Some(reason) = &piece.reason else {
        return format!("cached   {name}");
    };
    let what = match piece.work {
        Work::Build(_) => "build",
        _ => "package",
    };
    let time = piece.last.map_or("time unknown".to_owned(), about);
    let (name, reason) = (pad(&name, names), pad(reason, reasons));
    format!("{what:<7}  {name}  {reason}  {time}")
}

fn about(duration: Duration) -> String {
    format!("about {}", rough(duration))
}

/// Whole seconds, as far as there are any.
fn rough(duration: Duration) -> String {
    match duration.as_secs() {
        0 => seconds(duration),
        _ => whole_seconds(duration + Duration::from_millis(500)),
    }
}

fn total(forecast: &Forecast) -> String {
    let is_build = |piece: &&Foreseen| matches!(piece.work, Work::Build(_));
    let (builds, packages): (Vec<&Foreseen>, Vec<&Foreseen>) =
        forecast.pieces.iter().partition(is_build);
    let done = |pieces: &[&Foreseen]| pieces.iter().filter(|p| p.reason.is_some()).count();
    let (to_build, to_package) = (done(&builds), done(&packages));
    let cached = forecast.pieces.len() - to_build - to_package;
    if forecast.pieces.is_empty() {
        return "Nothing to build.".to_owned();
    }
    if to_build + to_package == 0 {
        return format!(
            "Nothing to build: {} there already.",
            match cached {
                1 => "the one result is".to_owned(),
                all => format!("all {all} results are"),
            }
        );
    }
    let parts = [
        (to_build, "to build"),
        (to_package, "to package"),
        (cached, "cached"),
    ];
    let told = parts.iter().filter(|(number, _)| *number > 0);
    let told: Vec<String> = told
        .map(|(number, what)| format!("{number} {what}"))
        .collect();
    format!(
        "{}; {}.",
        told.join(", "),
        duration(&forecast.estimate, to_build + to_package)
    )
}

fn duration(estimate: &Estimate, pieces: usize) -> String {
    let workers = estimate.workers;
    match (estimate.known, estimate.unknown) {
        (None, _) => {
            "how long it takes is not known, nothing of it was done here before".to_owned()
        }
        (Some(known), 0) => format!("{}, {workers} at a time", about(known)),
        (Some(known), unknown) => format!(
            "at least {}, {workers} at a time: {unknown} of {} never done here before",
            rough(known),
            match pieces {
                1 => "1 was".to_owned(),
                all => format!(
                    "{} {}",
                    count(all, "piece"),
                    if unknown == 1 { "was" } else { "were" }
                ),
            }
        ),
    }
}

/// Returns what programs read.
fn event(plan: &Plan, forecast: &Forecast, unpinned: &[Unpinned]) -> EventLine {
    let (mut nodes, mut packages) = (Vec::new(), Vec::new());
    for piece in &forecast.pieces {
        let is_cached = piece.reason.is_none();
        let (reason, last_ms) = (piece.reason.clone(), piece.last.map(milliseconds));
        match &piece.work {
            Work::Build(node) => nodes.push(PlannedNode {
                name: node.to_string(),
                recipe: node.recipe.to_string(),
                prefix: node.prefix.path().to_owned(),
                is_cached,
                destdir: plan.destdir(node).map(|digest| digest.to_string()),
                reason,
                last_ms,
            }),
            work => packages.push(PlannedPackage {
                name: work.name(),
                is_cached,
                reason,
                last_ms,
            }),
        }
    }
    EventLine::Plan {
        nodes,
        packages,
        estimate_ms: forecast.estimate.known.map(milliseconds),
        never_done: forecast.estimate.unknown,
        unpinned: unpinned.iter().map(unpinned_recipe).collect(),
    }
}

#[cfg(test)]
mod tests;
