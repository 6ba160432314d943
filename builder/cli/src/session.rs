//! One run of the command: the project, the store and everything around them, opened in order.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use kiln_build::{Circumstances, Project, Workshop, note_project};
use kiln_model::Architecture;
use kiln_sandbox::{Cancel, EmbeddedEngine, InitProgram};
use kiln_store::{FORMAT_FILE, Fetcher, Network, STORE_FORMAT, Store};

use crate::SANDBOX_INIT;
use crate::arguments::{Common, path};
use crate::failure::Failure;
use crate::host;
use crate::interrupt::{self, FirstSignal};
use crate::print::note;
use crate::report::Reporter;

/// Everything that a verb works with.
pub struct Session {
    pub project: Project,
    store: Store,
    fetcher: Fetcher,
    engine: EmbeddedEngine,
    report: Reporter,
    cancel: Cancel,
    jobs: NonZeroUsize,
    pub output: PathBuf,
}

impl Session {
    /// Reads the project and opens the store.
    pub fn open(common: &Common, first: FirstSignal) -> Result<Self, Failure> {
        Self::open_with(common, first, None)
    }

    /// Does the same with a store that was opened before.
    pub fn open_with(
        common: &Common,
        first: FirstSignal,
        store: Option<Store>,
    ) -> Result<Self, Failure> {
        let report = Reporter::new(common);
        let project = load(common)?;
        let output = output_folder(common);
        let store = match store {
            Some(store) => store,
            None => open_store(common)?,
        };
        note_project(&store, &project.root).map_err(|error| Failure::build(&project, &error))?;
        let cancel = Cancel::new();
        let stop = cancel.clone();
        let fetcher =
            open_fetcher(common, &project, &store)?.stop_when(move || stop.is_cancelled());
        let init = InitProgram {
            program: PathBuf::from("/proc/self/exe"),
            arguments: vec![SANDBOX_INIT.to_owned()],
        };
        interrupt::watch(&cancel, first);
        let jobs = common
            .jobs
            .or_else(|| std::thread::available_parallelism().ok());
        Ok(Self {
            project,
            store,
            fetcher,
            engine: EmbeddedEngine::new(init),
            report,
            cancel,
            jobs: jobs.unwrap_or(NonZeroUsize::MIN),
            output,
        })
    }

    /// Returns what stops everything.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Takes away what progress drew, before something else is printed.
    pub fn finish_report(&mut self) {
        self.report.finish();
    }

    /// Returns what a build is done with.
    pub fn workshop(&self) -> Workshop<'_> {
        Workshop {
            project: &self.project,
            store: &self.store,
            fetcher: &self.fetcher,
            engine: &self.engine,
            report: &self.report,
            cancel: &self.cancel,
            architecture: Architecture::X86_64,
            jobs: self.jobs,
            output: &self.output,
            program: host::program(),
            host: &host::facts,
            clock: &host::now,
            circumstances: Circumstances::USUAL,
        }
    }
}

/// Returns the folder of the store.
pub fn store_folder(common: &Common) -> PathBuf {
    let given = path(common.store.as_ref());
    without_links(given.unwrap_or_else(|| likely_root(common).join(".kiln/store")))
}

/// Returns the folder of results: of a base image that was chosen, one of its own within.
pub fn output_folder(common: &Common) -> PathBuf {
    let given = path(common.out.as_ref());
    let output = given.unwrap_or_else(|| likely_root(common).join("out"));
    match common.chosen_base() {
        Some(base) => output.join(base.as_str()),
        None => output,
    }
}

/// Returns the project's folder without links, as far as it is there.
fn likely_root(common: &Common) -> PathBuf {
    let project = &common.project;
    fs_err::canonicalize(project).unwrap_or_else(|_| project.clone())
}

/// Opens the store if it is there already and nothing is wrong with it.
pub fn opened_store(common: &Common) -> Option<Store> {
    let folder = store_folder(common);
    let is_store = folder.join(FORMAT_FILE).is_file();
    is_store.then(|| open_store(common).ok())?
}

/// Opens the store, and makes it if there is none.
pub fn open_store(common: &Common) -> Result<Store, Failure> {
    let store = Store::open(&store_folder(common)).map_err(|error| Failure::host(error.into()))?;
    if let Some(from) = store.migrated_from() {
        note(&format!(
            "note: the store `{}` had format {from} and has format {STORE_FORMAT} now; older kilns refuse it",
            store.root().display()
        ));
    }
    Ok(store)
}

fn open_fetcher(common: &Common, project: &Project, store: &Store) -> Result<Fetcher, Failure> {
    let network = if common.offline {
        Network::Offline
    } else {
        Network::Online
    };
    let settings = crate::network::settings(common, project, network);
    Fetcher::new(store.clone(), settings).map_err(|error| Failure::host(error.into()))
}

/// Makes a fetcher for a project whose files may still be wrong.
pub fn fetcher(common: &Common) -> Result<Fetcher, Failure> {
    let project = Project::survey(&root(common)?).project;
    open_fetcher(common, &project, &open_store(common)?)
}

/// The sandbox refuses places behind symbolic links, which a step could have planted; one on the way
/// to the store is the user's own.
fn without_links(path: PathBuf) -> PathBuf {
    if let Ok(real) = fs_err::canonicalize(&path) {
        return real;
    }
    let real_parent = path
        .parent()
        .and_then(|parent| fs_err::canonicalize(parent).ok());
    match (real_parent, path.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => path,
    }
}

/// Returns the project's folder.
pub fn root(common: &Common) -> Result<PathBuf, Failure> {
    fs_err::canonicalize(&common.project).map_err(|error| Failure::host(error.into()))
}

/// Reads the project of the command line; everything that is wrong with it becomes one failure.
pub fn load(common: &Common) -> Result<Project, Failure> {
    Project::load_on(&root(common)?, common.chosen_base())
        .map_err(|survey| Failure::project(&survey))
}
