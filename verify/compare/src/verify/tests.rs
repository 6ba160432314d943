use std::io::Cursor;

use kiln_model::Level;

use super::*;
use crate::cause::Cause;

/// The outputs of a build, in memory.
struct Files(BTreeMap<String, Vec<u8>>);

impl Outputs for Files {
    fn open(&self, subject: &Subject) -> io::Result<Option<Box<dyn io::Read + '_>>> {
        let bytes = self.0.get(&subject.name);
        Ok(bytes.map(|bytes| -> Box<dyn io::Read> { Box::new(Cursor::new(bytes.clone())) }))
    }
}

/// Builds by calling a function, and counts.
struct Fake<F> {
    build: F,
    count: usize,
}

impl<F> Rebuilder for Fake<F>
where
    F: Fn(&Variation, usize) -> Result<BTreeMap<String, Vec<u8>>, String>,
{
    fn rebuild(&mut self, order: &RebuildOrder<'_>) -> Result<Rebuilt, RebuildError> {
        self.count += 1;
        let (outputs, failures) = match (self.build)(order.variation, self.count) {
            Ok(files) => (files, BTreeMap::new()),
            Err(failure) => {
                let failed = order
                    .recipes
                    .iter()
                    .map(|recipe| (recipe.clone(), failure.clone()));
                (BTreeMap::new(), failed.collect())
            }
        };
        Ok(Rebuilt {
            outputs: Box::new(Files(outputs)),
            failures,
            checks: order.checks,
            observations: Vec::new(),
            circumstances: Circumstances::default(),
        })
    }

    fn original_circumstances(&self) -> Circumstances {
        Circumstances::default()
    }
}

fn files(text: &str) -> BTreeMap<String, Vec<u8>> {
    BTreeMap::from([("specs/demo.spec".to_owned(), text.as_bytes().to_vec())])
}

/// Verifies one spec, `original`, against what `build` yields.
fn check(
    original: Option<&str>,
    build: impl Fn(&Variation, usize) -> Result<BTreeMap<String, Vec<u8>>, String>,
) -> (SubjectReport, usize) {
    let recipes: [RecipeName; 1] = ["demo".parse().unwrap()];
    let subjects = [Subject {
        recipe: Some(recipes[0].clone()),
        kind: SubjectKind::Spec,
        name: "specs/demo.spec".into(),
    }];
    let plan = VariationPlan::each_level();
    let original = Files(original.map(files).unwrap_or_default());
    let order = VerifyOrder {
        recipes: &recipes,
        subjects: &subjects,
        notes: &[],
        original: &original,
        plan: &plan,
        isolation: Isolation::OneByOne,
        effort: Effort::USUAL,
    };
    let mut fake = Fake { build, count: 0 };
    let mut verification = verify(&order, &mut fake, &mut |_| {}).unwrap();
    assert_eq!(verification.builds.len(), 3);
    let report = verification.subjects.remove(0);
    (report, fake.count)
}

#[test]
fn the_same_everywhere_is_reproducible() {
    let (report, builds) = check(Some("text"), |_, _| Ok(files("text")));
    assert_eq!(report.verdict, Verdict::Reproducible);
    assert_eq!(report.agreement, Some(Agreement::BitIdentical));
    assert_eq!((report.causes.len(), builds), (0, 3));
}

#[test]
fn a_factor_that_makes_the_difference_is_found() {
    for (factor, cause) in [
        (Factor::Clock, Cause::Timestamp),
        (Factor::DirectoryOrder, Cause::DirectoryOrder),
        (Factor::Kernel, Cause::KernelVersion),
        (Factor::Processors, Cause::Cpu),
    ] {
        let (report, builds) = check(Some("built with something\n"), |variation, _| {
            Ok(files(match variation.level(factor) {
                Level::AsHost => "built with something\n",
                _ => "built with otherthing\n",
            }))
        });
        assert_eq!(report.verdict, Verdict::Unreproducible, "{factor}");
        assert_eq!(
            report.causes[0].cause, cause,
            "{factor}: {:?}",
            report.causes
        );
        assert_eq!(report.comparison.differences.len(), 1);
        assert!(builds <= 3 + 8, "{factor}: {builds} builds");
    }
}

#[test]
fn what_differs_each_time_is_no_factors_doing() {
    let (report, builds) = check(
        Some("id 0f8e4c1b-90aa-4b2c-8d1e-2f3a4b5c6d7e\n"),
        |_, count| {
            let id = format!("id {count:08x}-1c2d-4e3f-9a4b-5c6d7e8f9a0b\n");
            Ok(files(&id))
        },
    );
    assert_eq!(report.verdict, Verdict::Unreproducible);
    assert_eq!(report.causes[0].cause, Cause::Random);
    assert_eq!(builds, 8);
}

#[test]
fn no_build_and_no_original_are_said_so() {
    let (report, builds) = check(Some("text"), |_, _| Err("step `build` failed".into()));
    assert_eq!(report.verdict, Verdict::FailedToBuild);
    assert_eq!(
        report.reason.as_deref(),
        Some("rebuild 1 failed: step `build` failed")
    );
    assert_eq!(builds, 3);
    let (report, _) = check(Some("text"), |_, _| Ok(BTreeMap::new()));
    assert_eq!(report.verdict, Verdict::FailedToBuild);
    assert_eq!(report.reason.as_deref(), Some("rebuild 1 did not yield it"));
    let (report, _) = check(None, |_, _| Ok(files("text")));
    assert_eq!(report.verdict, Verdict::NotTested);
    assert_eq!(report.digest, None);
}

#[test]
fn one_failed_rebuild_does_not_hide_a_difference_in_another() {
    let (report, _) = check(Some("one"), |_, count| match count {
        1 => Err("no".into()),
        _ => Ok(files("two")),
    });
    assert_eq!(report.verdict, Verdict::Unreproducible);
    assert_eq!(report.findings[0].build, 2);
}
