//! One run of the command: the project, the store and everything around them, opened in order.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use kiln_build::{Project, Workshop};
use kiln_model::{Architecture, BaseOrigin};
use kiln_sandbox::{Cancel, EmbeddedEngine, InitProgram};
use kiln_store::{FetchSettings, Fetcher, Network, Store, TrustedRoots};

use crate::SANDBOX_INIT;
use crate::arguments::{Common, path};
use crate::failure::Failure;
use crate::host;
use crate::interrupt::{self, FirstSignal};
use crate::report::Lines;

/// Everything that a verb works with.
pub struct Session {
    pub project: Project,
    store: Store,
    fetcher: Fetcher,
    engine: EmbeddedEngine,
    report: Lines,
    cancel: Cancel,
    jobs: NonZeroUsize,
    pub output: PathBuf,
}

impl Session {
    /// Reads the project and opens the store.
    pub fn open(common: &Common, first: FirstSignal) -> Result<Self, Failure> {
        let project = load(common)?;
        let root = &project.root;
        let store_folder = path(common.store.as_ref()).unwrap_or_else(|| root.join(".kiln/store"));
        let store_folder = without_links(store_folder);
        let output = path(common.out.as_ref()).unwrap_or_else(|| root.join("out"));
        let store = Store::open(&store_folder).map_err(|error| Failure::host(error.into()))?;
        let network = if common.offline {
            Network::Offline
        } else {
            Network::Online
        };
        let mut settings = FetchSettings::new(archives(common, &project), network);
        if let Some(bundle) = path(common.trusted_roots.as_ref()) {
            settings.roots = TrustedRoots::Bundle(bundle);
        }
        let fetcher =
            Fetcher::new(store.clone(), settings).map_err(|error| Failure::host(error.into()))?;
        let init = InitProgram {
            program: PathBuf::from("/proc/self/exe"),
            arguments: vec![SANDBOX_INIT.to_owned()],
        };
        let cancel = Cancel::new();
        interrupt::watch(&cancel, first);
        let jobs = common
            .jobs
            .or_else(|| std::thread::available_parallelism().ok());
        Ok(Self {
            project,
            store,
            fetcher,
            engine: EmbeddedEngine::new(init),
            report: Lines::new(common.quiet),
            cancel,
            jobs: jobs.unwrap_or(NonZeroUsize::MIN),
            output,
        })
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
        }
    }
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

/// Reads the project of the command line; everything that is wrong with it becomes one failure.
pub fn load(common: &Common) -> Result<Project, Failure> {
    let root =
        fs_err::canonicalize(&common.project).map_err(|error| Failure::host(error.into()))?;
    Project::load(&root).map_err(|errors| Failure::project(&errors))
}

/// The command line and environment first, then `kiln.toml`, then the host's apt.
fn archives(common: &Common, project: &Project) -> Vec<String> {
    let given = common
        .debian_archive
        .iter()
        .filter(|address| !address.is_empty());
    let given: Vec<String> = given.cloned().collect();
    if !given.is_empty() {
        return given;
    }
    if !project.config.mirrors.debian.is_empty() {
        return project.config.mirrors.debian.clone();
    }
    let suite = project.bases.values().find_map(|base| match &base.origin {
        BaseOrigin::Archive(archive) => Some(archive.suite.as_str()),
        BaseOrigin::Layout { .. } => None,
    });
    suite.map(host::apt_archives).unwrap_or_default()
}
