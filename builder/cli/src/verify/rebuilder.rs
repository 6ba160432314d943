//! Rebuilds for `kiln-compare`, each in a varied child of this kiln.

use std::collections::BTreeMap;

use kiln_build::{Checks as BuildChecks, NodeId, Project};
use kiln_compare::{Checks, Circumstances, Clock, RebuildError, RebuildOrder, Rebuilder, Rebuilt};
use kiln_model::RecipeName;

use super::BuiltOutputs;
use crate::print::note;
use crate::session::Session;
use crate::varied::{self, Answer, Facts, control_facts, rebuild_varied};

/// Asks children for rebuilds.
pub struct ChildRebuilder<'a> {
    session: &'a Session,
    /// Whether what children write is shown.
    is_verbose: bool,
    /// From when to when the original was built.
    clock: Option<Clock>,
    /// What a build without any change sees; asked once.
    control: Option<Facts>,
}

impl<'a> ChildRebuilder<'a> {
    /// Returns a rebuilder of the session's project; `clock` tells when the original was built.
    pub const fn new(session: &'a Session, is_verbose: bool, clock: Option<Clock>) -> Self {
        Self {
            session,
            is_verbose,
            clock,
            control: None,
        }
    }

    fn control(&mut self, recipes: &[RecipeName]) -> Result<&Facts, RebuildError> {
        if self.control.is_none() {
            let facts = control_facts(&self.session.workshop(), recipes);
            self.control = Some(facts.map_err(impossible)?);
        }
        Ok(self.control.get_or_insert_default())
    }
}

impl Rebuilder for ChildRebuilder<'_> {
    fn rebuild(&mut self, order: &RebuildOrder<'_>) -> Result<Rebuilt, RebuildError> {
        let control = self.control(order.recipes)?.clone();
        let shop = self.session.workshop();
        let asked = varied::RebuildOrder {
            project: &self.session.project,
            recipes: order.recipes,
            variation: order.variation,
            checks: match order.checks {
                Checks::Run => BuildChecks::Run,
                Checks::Skipped => BuildChecks::Skip,
            },
            store: shop.store,
            jobs: shop.jobs,
            control: &control,
            cancel: self.session.cancel(),
        };
        let is_verbose = self.is_verbose;
        let mut hear = |line: &str| {
            if is_verbose {
                note(&format!("  {line}"));
            }
        };
        let rebuilt = rebuild_varied(&asked, &mut hear).map_err(|error| match error {
            varied::RebuildError::Cancelled => RebuildError::Interrupted,
            error => impossible(error),
        })?;
        if rebuilt.answer.is_cancelled {
            return Err(RebuildError::Interrupted);
        }
        let circumstances = circumstances(&rebuilt.answer);
        Ok(Rebuilt {
            failures: failures(&self.session.project, order.recipes, &rebuilt.answer),
            checks: match rebuilt.answer.checks {
                Some(BuildChecks::Run) => Checks::Run,
                _ => Checks::Skipped,
            },
            observations: rebuilt.observations.clone(),
            circumstances,
            outputs: Box::new(ChildOutputs {
                built: BuiltOutputs {
                    folder: rebuilt.output.clone(),
                    destdirs: rebuilt.answer.destdirs.clone(),
                },
                _rebuilt: rebuilt,
            }),
        })
    }

    fn original_circumstances(&self) -> Circumstances {
        let mut known = self.control.as_ref().map(of_facts).unwrap_or_default();
        known.clock = self.clock;
        known
    }
}

/// The files of a rebuild go away with it.
struct ChildOutputs {
    built: BuiltOutputs,
    _rebuilt: varied::Rebuilt,
}

impl kiln_compare::Outputs for ChildOutputs {
    fn open(
        &self,
        subject: &kiln_compare::Subject,
    ) -> std::io::Result<Option<Box<dyn std::io::Read + '_>>> {
        self.built.open(subject)
    }

    fn digest(&self, subject: &kiln_compare::Subject) -> Option<kiln_model::Digest> {
        self.built.digest(subject)
    }
}

/// Returns the recipes of which something is missing, with the first thing that went wrong with each.
fn failures(
    project: &Project,
    recipes: &[RecipeName],
    answer: &Answer,
) -> BTreeMap<RecipeName, String> {
    let mut failed = BTreeMap::new();
    for recipe in recipes {
        let own = |failure: &&varied::RecipeFailure| {
            failure
                .recipe
                .as_deref()
                .is_none_or(|name| name == recipe.as_str())
        };
        let node = NodeId::alone(&project.recipes[recipe].recipe);
        let is_built = answer.destdirs.contains_key(&node.to_string());
        let mut told = answer.failures.iter();
        let failure = match is_built {
            true => told.find(own),
            false => told.clone().find(own).or_else(|| told.next()),
        };
        if let Some(failure) = failure {
            failed.insert(recipe.clone(), failure.text.trim_end().to_owned());
        } else if !is_built {
            failed.insert(recipe.clone(), "it was not built".to_owned());
        }
    }
    failed
}

fn circumstances(answer: &Answer) -> Circumstances {
    let (start, end) = answer.clock;
    Circumstances {
        clock: Some(Clock {
            start,
            span: (end - start).max(0),
        }),
        jobs: Some(answer.jobs),
        environment: answer.environment.clone(),
        ..of_facts(&answer.facts)
    }
}

fn of_facts(facts: &Facts) -> Circumstances {
    let outside = |name: &str| facts.outside.get(name).cloned();
    let inside = |name: &str| facts.inside.get(name).cloned();
    let variable = |name: &str, text: Option<String>| {
        let text = text?;
        let value = text
            .split(' ')
            .find_map(|part| part.strip_prefix(&format!("{name}=")))?;
        (!value.is_empty()).then(|| value.to_owned())
    };
    Circumstances {
        clock: None,
        host_name: outside("host-name"),
        user_name: None,
        uid: outside("user").and_then(|user| user.split(':').next()?.parse().ok()),
        paths: outside("host-path").into_iter().collect(),
        time_zone: variable("TZ", outside("time-zone")),
        locale: variable("LC_ALL", outside("locale")),
        kernel: inside("kernel"),
        processors: inside("processors").and_then(|text| text.parse().ok()),
        jobs: inside("jobs").and_then(|text| text.parse().ok()),
        environment: BTreeMap::new(),
    }
}

fn impossible(error: impl std::error::Error + Send + Sync + 'static) -> RebuildError {
    RebuildError::Impossible(Box::new(error))
}
