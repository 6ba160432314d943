//! `kiln verify FILE.rpm`: a package is built again from what it says of itself, with no recipe at hand.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use kiln_build::{InputKind, RestoreError, restore_project};
use kiln_compare::{
    DescribedPackage, DescribedPackageError, Effort, Outputs, Subject, SubjectKind, Verification,
    VerifyOrder,
};
use kiln_model::{BuildInfo, BuildInfoError, RecipeName};
use kiln_store::Store;

use crate::arguments::{Common, Verify};
use crate::failure::Failure;
use crate::interrupt::FirstSignal;
use crate::session::{self, Session};
use crate::text::count;
use crate::verify::ChildRebuilder;

/// Largest package that is read, in bytes.
const MOST_BYTES: u64 = 4 << 30;

/// Missing packages of a base image that are named: where one is missing, all are.
const MOST_OF_BASE: usize = 8;

/// A package that says how it was made.
struct Package {
    file: PathBuf,
    /// Where a build puts it below `out/`.
    place: String,
    info: BuildInfo,
}

/// Packages that were built together.
struct Batch {
    info: BuildInfo,
    files: BTreeMap<String, PathBuf>,
}

impl Outputs for Batch {
    fn open(&self, subject: &Subject) -> io::Result<Option<Box<dyn Read + '_>>> {
        Ok(match self.files.get(&subject.name) {
            Some(file) => Some(Box::new(fs_err::File::open(file)?)),
            None => None,
        })
    }
}

/// Verifies packages, those that were built together in one go.
pub fn run(common: &Common, arguments: &Verify) -> Result<u8, Failure> {
    let files = arguments.what.iter().map(PathBuf::from);
    let packages = files.map(|file| read(&file));
    let packages = packages.collect::<Result<Vec<Package>, Failure>>()?;
    let mut batches: BTreeMap<String, Batch> = BTreeMap::new();
    for package in packages {
        let key = serde_json::to_string(&package.info).unwrap_or_default();
        let batch = batches.entry(key).or_insert_with(|| Batch {
            info: package.info.clone(),
            files: BTreeMap::new(),
        });
        batch.files.insert(package.place, package.file);
    }
    let store = Store::open(&session::store_folder(common));
    let store = store.map_err(|error| Failure::host(error.into()))?;
    let mut whole: Option<Verification> = None;
    for batch in batches.values() {
        let verification = verify_batch(common, arguments, &store, batch)?;
        whole = Some(match whole {
            Some(earlier) => earlier.joined(verification),
            None => verification,
        });
    }
    match whole {
        Some(verification) => {
            super::verify::finish(common, &session::output_folder(common), &verification)
        }
        None => Ok(0),
    }
}

fn verify_batch(
    common: &Common,
    arguments: &Verify,
    store: &Store,
    batch: &Batch,
) -> Result<Verification, Failure> {
    let any_file = || batch.files.values().next().cloned().unwrap_or_default();
    let scratch = store
        .scratch()
        .map_err(|error| Failure::host(error.into()))?;
    let project = scratch.path().join("project");
    fs_err::create_dir(&project).map_err(|error| Failure::host(error.into()))?;
    let recipe = restore_project(&batch.info, store, &project)
        .map_err(|error| not_restored(&any_file(), &error))?;
    let restored = Common {
        project: project.clone(),
        store: Some(store.root().as_os_str().to_owned()),
        out: Some(OsString::from(project.join("out"))),
        offline: true,
        // A package says by itself what it was built on.
        ..common.on_base(None)
    };
    let mut session = Session::open(&restored, FirstSignal::Asks)?;
    let subjects: Vec<Subject> = batch
        .files
        .keys()
        .map(|place| Subject {
            recipe: Some(recipe.clone()),
            kind: match place.starts_with("srpms/") {
                true => SubjectKind::SourcePackage,
                false => SubjectKind::Package,
            },
            name: place.clone(),
        })
        .collect();
    let plan = arguments.builds.plan();
    let recipes: [RecipeName; 1] = [recipe];
    let order = VerifyOrder {
        recipes: &recipes,
        subjects: &subjects,
        notes: &[],
        original: batch,
        plan: &plan,
        isolation: arguments.isolation(),
        effort: Effort::USUAL,
    };
    let mut rebuilder = ChildRebuilder::new(&session, common.verbose, None);
    let verification = super::verify::perform(common, &mut rebuilder, &order);
    session.finish_report();
    verification
}

/// Reads a package and what it says of how it was made.
fn read(file: &Path) -> Result<Package, Failure> {
    let bytes = read_bytes(file)?;
    let read = DescribedPackage::read(&bytes).map_err(|error| {
        let hint = match &error {
            DescribedPackageError::Foreign { .. } => {
                Some("only packages made by kiln can be built again from themselves")
            }
            DescribedPackageError::Info(BuildInfoError::Newer { .. }) => {
                Some("update kiln, or verify with the kiln that built it")
            }
            DescribedPackageError::Info(BuildInfoError::Older { .. }) => {
                Some("verify it in its project, or build it anew")
            }
            _ => None,
        };
        Failure::named_file(file, &error.to_string(), hint)
    })?;
    // Packages that were built together say the same but for their own name.
    let info = BuildInfo {
        package: "together".parse().expect("a constant name"),
        ..read.info
    };
    Ok(Package {
        file: file.to_owned(),
        place: read.place,
        info,
    })
}

fn read_bytes(file: &Path) -> Result<Vec<u8>, Failure> {
    let metadata = std::fs::metadata(file).map_err(|error| {
        Failure::named_file(file, &format!("the package can not be read: {error}"), None)
    })?;
    if !metadata.is_file() {
        return Err(Failure::named_file(file, "it is no regular file", None));
    }
    if metadata.len() > MOST_BYTES {
        let problem = format!("the file has more than {MOST_BYTES} bytes");
        return Err(Failure::named_file(file, &problem, None));
    }
    fs_err::read(file).map_err(|error| Failure::host(error.into()))
}

fn not_restored(file: &Path, error: &RestoreError) -> Failure {
    let mut problem = error.to_string();
    let hint = match error {
        RestoreError::Missing { missing } => {
            let (of_base, own): (Vec<_>, Vec<_>) = missing
                .iter()
                .partition(|input| input.kind == InputKind::RootFileSystem);
            for input in own.iter().chain(of_base.iter().take(MOST_OF_BASE)) {
                let _ = write!(problem, "\n  missing   {input}");
            }
            if let Some(more) = of_base.len().checked_sub(MOST_OF_BASE + 1) {
                let what = count(more + 1, "more Debian package");
                let _ = write!(problem, "\n            and {what}");
            }
            Some("say with --store which store has them; `kiln fetch` fills one")
        }
        _ => None,
    };
    Failure::named_file(file, &problem, hint)
}
