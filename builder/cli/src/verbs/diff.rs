//! `kiln diff`: where two packages, folders or files differ, and why.

mod input;
mod page;

use std::path::PathBuf;

use kiln_compare::{
    Agreement, Change, Circumstances, Comparison, Difference, Effort, NamedCause, Side,
    compare_contents, compare_packages, compare_trees, is_package, name_causes,
};

use self::input::{Input, WholeFile};
use self::page::Page;
use crate::arguments::{Common, Diff, Format};
use crate::failure::Failure;
use crate::report::{CauseLine, EventLine, NoteLine, PlaceSegment, print_event};

/// What came of comparing two things.
struct Outcome {
    /// How far they agree, if they are packages.
    agreement: Option<Agreement>,
    found: Comparison,
    causes: Vec<NamedCause>,
    /// What is to be said of the comparison as a whole.
    remarks: Vec<String>,
}

/// Compares, tells, and exits with 0 when nothing differs and 1 when something does.
pub fn run(common: &Common, arguments: &Diff) -> Result<u8, Failure> {
    let effort = match (arguments.first, arguments.limit) {
        (true, _) => Effort::stopping_at(1),
        (false, Some(limit)) => Effort {
            per_leaf: limit.get().max(Effort::USUAL.per_leaf),
            ..Effort::stopping_at(limit.get())
        },
        (false, None) => Effort::USUAL,
    };
    let sides = [
        PathBuf::from(&arguments.left),
        PathBuf::from(&arguments.right),
    ];
    let outcome = compare(&sides, &effort)?;
    let exit = u8::from(!outcome.found.is_identical());
    if common.format == Format::Json {
        tell_programs(&sides, &outcome);
    } else if !common.quiet {
        Page::new(common, &sides, &outcome).print();
    }
    Ok(exit)
}

fn compare(sides: &[PathBuf; 2], effort: &Effort) -> Result<Outcome, Failure> {
    let (left, right) = (Input::look(&sides[0])?, Input::look(&sides[1])?);
    let mut outcome = match (left, right) {
        (Input::Folder(left), Input::Folder(right)) => {
            let (left, right, remark) = input::without_runs(left, right);
            let found = compare_trees(&left, &right, effort)
                .map_err(|error| Failure::compared(&error.error, &sides[side(error.side)]))?;
            Outcome {
                agreement: None,
                found,
                causes: Vec::new(),
                remarks: remark.into_iter().collect(),
            }
        }
        (Input::File(left), Input::File(right)) => compare_files(sides, &left, &right, effort)?,
        (left, right) => {
            let text = format!(
                "`{}` is {} and `{}` is {}",
                sides[0].display(),
                left.kind(),
                sides[1].display(),
                right.kind()
            );
            return Err(Failure::usage(&text, "compare two files, or two folders"));
        }
    };
    let unknown = Circumstances::default();
    outcome.causes = name_causes(&outcome.found.differences, &unknown, &unknown);
    Ok(outcome)
}

const fn side(side: Side) -> usize {
    match side {
        Side::Left => 0,
        Side::Right => 1,
    }
}

fn compare_files(
    sides: &[PathBuf; 2],
    left: &WholeFile,
    right: &WholeFile,
    effort: &Effort,
) -> Result<Outcome, Failure> {
    let mut outcome = Outcome {
        agreement: None,
        found: Comparison::default(),
        causes: Vec::new(),
        remarks: Vec::new(),
    };
    if left.is_same_as(right)? {
        return Ok(outcome);
    }
    let (one, two) = (left.read()?, right.read()?);
    if is_package(&one) && is_package(&two) {
        let compared = compare_packages(&one, &two, effort);
        let (agreement, found) =
            compared.map_err(|error| Failure::compared(&error.error, &sides[side(error.side)]))?;
        outcome.agreement = Some(agreement);
        outcome.found = found;
        return Ok(outcome);
    }
    for (path, bytes) in sides.iter().zip([&one, &two]) {
        if path.extension().is_some_and(|ending| ending == "rpm") && !is_package(bytes) {
            let text = format!(
                "`{}` is no RPM package, whatever its name: compared as what it is",
                path.display()
            );
            outcome.remarks.push(text);
        }
    }
    outcome.found = compare_contents(&one, &two, effort);
    Ok(outcome)
}

fn segments(place: &[kiln_compare::Segment]) -> Vec<PlaceSegment> {
    let segment = |segment: &kiln_compare::Segment| PlaceSegment {
        kind: segment.kind.clone(),
        name: segment.name.clone(),
    };
    place.iter().map(segment).collect()
}

fn event((difference, follows): (&Difference, bool)) -> EventLine {
    let (change, left, right) = match &difference.change {
        Change::OnlyLeft(left) => ("only-left", Some(left), None),
        Change::OnlyRight(right) => ("only-right", None, Some(right)),
        Change::Value { left, right } => ("value", Some(left), Some(right)),
        Change::Order { left, right } => ("order", Some(left), Some(right)),
    };
    EventLine::Difference {
        place: segments(&difference.place),
        change: change.to_owned(),
        left: left.cloned(),
        right: right.cloned(),
        follows,
    }
}

fn tell_programs(sides: &[PathBuf; 2], outcome: &Outcome) {
    let lines = outcome.found.explained().map(event);
    lines.for_each(|line| print_event(&line));
    let cause = |named: &NamedCause| CauseLine {
        cause: serde_json::to_value(named.cause)
            .ok()
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default(),
        evidence: named.evidence.clone(),
    };
    let mut notes: Vec<NoteLine> = outcome
        .found
        .notes
        .iter()
        .map(|note| NoteLine {
            place: segments(&note.place),
            text: note.text.clone(),
        })
        .collect();
    notes.extend(outcome.remarks.iter().map(|text| NoteLine {
        place: Vec::new(),
        text: text.clone(),
    }));
    print_event(&EventLine::Diff {
        left: sides[0].display().to_string(),
        right: sides[1].display().to_string(),
        is_identical: outcome.found.is_identical(),
        agreement: outcome
            .agreement
            .map(|agreement| agreement.word().to_owned()),
        differences: outcome.found.differences.len(),
        is_cut: outcome.found.is_cut,
        causes: outcome.causes.iter().map(cause).collect(),
        notes,
    });
}
