//! The fetcher: what is missing from the store is fetched, several files at once.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use kiln_model::{Digest, GitLocation, Submodules};
use tokio::runtime::Runtime;

use crate::blob::BlobInfo;
use crate::error::StoreError;
use crate::fetch::address::Mirrors;
use crate::fetch::client;
use crate::fetch::error::{FetchError, MissingBlob};
use crate::fetch::job::{ASK_AGAIN, Claim, Job, claim, fetch_index, fetch_jobs};
use crate::fetch::netrc::Netrc;
use crate::fetch::proxy::Proxies;
use crate::fetch::request::{FetchLocation, FetchOrigin, FetchProgress, FetchRequest};
use crate::fetch::settings::{FetchSettings, NetrcFile, Network};
use crate::fetch::stop::Stop;
use crate::fetch::transfer::Line;
use crate::store::Store;

/// Fetches pinned files into a store.
///
/// Made for [`Network::Offline`] it holds no HTTP client: it can only say what is missing.
#[derive(Debug)]
pub struct Fetcher {
    store: Store,
    stop: Stop,
    connection: Connection,
}

/// The way to servers: client, places, and what answers are waited for on.
pub(crate) type Way<'a> = (&'a Arc<Line>, &'a Mirrors, &'a Runtime);

#[derive(Debug)]
enum Connection {
    /// Where it could be asked, for messages.
    Offline { mirrors: Mirrors },
    Online {
        line: Arc<Line>,
        mirrors: Mirrors,
        netrc: NetrcFile,
        /// `None` only while it is dropped.
        runtime: Option<Runtime>,
    },
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Waiting for the runtime is not allowed where another one is running.
        if let Self::Online { runtime, .. } = self
            && let Some(runtime) = runtime.take()
        {
            runtime.shutdown_background();
        }
    }
}

impl Fetcher {
    /// Makes a fetcher.
    ///
    /// # Errors
    /// `Archive`, `Mirror`, `Proxy`, `Roots` or `Client`; none of them when the network is switched
    /// off.
    pub fn new(store: Store, settings: FetchSettings) -> Result<Self, FetchError> {
        if settings.network == Network::Offline {
            let mirrors = Mirrors::usable(&settings.archives, &settings.mirrors, settings.upstream);
            return Ok(Self {
                store,
                stop: Stop::default(),
                connection: Connection::Offline { mirrors },
            });
        }
        let mirrors = Mirrors::parse(&settings.archives, &settings.mirrors, settings.upstream)?;
        let proxies = Arc::new(Proxies::parse(&settings.proxies)?);
        let (client, roots) = client::build(&settings, &proxies)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("kiln-fetch")
            .enable_all()
            .build()
            .map_err(|error| FetchError::Client {
                reason: error.to_string(),
            })?;
        Ok(Self {
            store,
            stop: Stop::default(),
            connection: Connection::Online {
                line: Arc::new(Line {
                    client,
                    roots,
                    proxies,
                    netrc: OnceLock::new(),
                    limits: settings.limits,
                }),
                mirrors,
                netrc: settings.netrc,
                runtime: Some(runtime),
            },
        })
    }

    /// Ends whatever it fetches soon after `question` is answered with yes: with `Cancelled`, and
    /// with what came so far kept for the next time.
    #[must_use]
    pub fn stop_when(self, question: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self {
            stop: Stop::when(question),
            ..self
        }
    }

    /// Sees to it that every file is in the store; returns what is known of each, in order.
    ///
    /// What is there already is verified. Files of one digest are fetched once. A file that fails
    /// does not stop the others: all failures are told at the end.
    ///
    /// # Errors
    /// `Offline` with everything that is missing, `Failed` with every location that was tried,
    /// `Size` when a stated size contradicts its digest, `Netrc`, `Cancelled`, or `Store`.
    pub fn fetch_all(
        &self,
        requests: &[FetchRequest],
        progress: &dyn FetchProgress,
    ) -> Result<Vec<BlobInfo>, FetchError> {
        let wanted = group(requests);
        let mut found = BTreeMap::new();
        let mut missing = Vec::new();
        let present = self.look_up_all(&wanted.values().collect::<Vec<_>>());
        for (file, presence) in wanted.values().zip(present) {
            match presence? {
                Presence::There(info) => {
                    progress.finished(&file.name, &info, FetchOrigin::Store);
                    found.insert(file.sha256, info);
                }
                Presence::Missing { damaged } => missing.push((file, damaged)),
            }
        }
        // In the order in which they were asked for.
        missing.sort_by_key(|(file, _)| file.place);
        if !missing.is_empty() {
            match &self.connection {
                Connection::Offline { mirrors } => return Err(offline(&missing, mirrors)),
                Connection::Online {
                    line,
                    mirrors,
                    netrc,
                    runtime,
                } => {
                    let runtime = runtime.as_ref().expect("only dropping takes it");
                    read_netrc(line, netrc)?;
                    let bytes = missing.iter().map(|(file, _)| file.size).sum();
                    progress.planned(missing.len(), bytes);
                    let all = missing.iter().map(|(file, _)| *file);
                    let (commits, files): (Vec<&Wanted>, Vec<&Wanted>) =
                        all.partition(|file| file.commit().is_some());
                    let jobs = files.iter().map(|file| self.job(line, mirrors, file));
                    let jobs = fetch_jobs(jobs.collect(), line, &self.stop, progress);
                    let fetched = run_apart(|| runtime.block_on(jobs));
                    let exported = self.export_all(&commits, progress);
                    found.extend(fetched?);
                    found.extend(exported?);
                }
            }
        }
        check_sizes(requests, &found)?;
        Ok(requests
            .iter()
            .map(|request| found[&request.sha256])
            .collect())
    }

    /// Fetches a file whose digest is not known from the first archive that has it, whole or not at
    /// all. The caller verifies a signature over it: it is not stored.
    ///
    /// # Errors
    /// `OfflineIndex`, `Index` with every archive that was tried, `Netrc`, or `Cancelled`.
    pub fn fetch_unpinned(&self, path: &str, limit: u64) -> Result<Vec<u8>, FetchError> {
        self.fetch_bytes(FetchLocation::ArchivePath(path.to_owned()), path, limit)
    }

    /// Fetches a file of unknown digest, called `path` in errors, into memory.
    pub(crate) fn fetch_bytes(
        &self,
        location: FetchLocation,
        path: &str,
        limit: u64,
    ) -> Result<Vec<u8>, FetchError> {
        let Some((line, mirrors, runtime)) = self.online()? else {
            return Err(FetchError::OfflineIndex {
                path: path.to_owned(),
            });
        };
        let candidates = mirrors.candidates(&[location]);
        let index = fetch_index(line, &self.stop, (path, limit), candidates);
        run_apart(|| runtime.block_on(index))
    }

    /// Looks for every file, many of them side by side: verifying a warm store's packages is hashing.
    fn look_up_all(&self, files: &[&Wanted]) -> Vec<Result<Presence, FetchError>> {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let threads = files.len().div_ceil(FILES_PER_THREAD).min(processors);
        let next = AtomicUsize::new(0);
        let found = Mutex::new(Vec::new());
        let work = || {
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(file) = files.get(place) else {
                    break;
                };
                let presence = if self.stop.is_raised() {
                    Err(FetchError::Cancelled)
                } else {
                    self.look_up(file).map_err(FetchError::from)
                };
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                found.push((place, presence));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.sort_by_key(|(place, _)| *place);
        found.into_iter().map(|(_, presence)| presence).collect()
    }

    fn look_up(&self, file: &Wanted) -> Result<Presence, StoreError> {
        match self.store.blob_info(&file.sha256) {
            Ok(info) => Ok(Presence::There(info)),
            Err(StoreError::Missing { .. }) => Ok(Presence::Missing { damaged: None }),
            Err(
                StoreError::Damaged { evidence, .. } | StoreError::NotARegularFile { evidence, .. },
            ) => Ok(Presence::Missing {
                damaged: Some(evidence),
            }),
            Err(error) => Err(error),
        }
    }

    /// Returns what an online fetcher works with; `None` for one that is offline.
    pub(crate) fn online(&self) -> Result<Option<Way<'_>>, FetchError> {
        let Connection::Online {
            line,
            mirrors,
            netrc,
            runtime,
        } = &self.connection
        else {
            return Ok(None);
        };
        read_netrc(line, netrc)?;
        let runtime = runtime.as_ref().expect("only dropping takes it");
        Ok(Some((line, mirrors, runtime)))
    }

    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) const fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Makes the exports of commits anew, one after another; one that fails does not stop the others.
    fn export_all(
        &self,
        commits: &[&Wanted],
        progress: &dyn FetchProgress,
    ) -> Result<Vec<(Digest, BlobInfo)>, FetchError> {
        let mut found = Vec::new();
        let mut failed = None;
        for wanted in commits {
            match self.export_in_turn(wanted, progress) {
                Ok(Some(info)) => found.push((wanted.sha256, info)),
                Ok(None) => {}
                Err(error @ (FetchError::Cancelled | FetchError::Store(_))) => return Err(error),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(found),
        }
    }

    /// Makes an export, unless another kiln does meanwhile; `None` for what is no commit.
    fn export_in_turn(
        &self,
        wanted: &Wanted,
        progress: &dyn FetchProgress,
    ) -> Result<Option<BlobInfo>, FetchError> {
        let Some((location, submodules)) = wanted.commit() else {
            return Ok(None);
        };
        let digest = &wanted.sha256;
        loop {
            // It was looked for before everything else was fetched: that may be a while ago.
            match claim(&self.store, digest, true)? {
                Some(Claim::Ours(_turn)) => {
                    let exported = self.export_again(location, submodules, digest, progress)?;
                    return Ok(Some(exported));
                }
                Some(Claim::Done(info)) => {
                    progress.finished(&wanted.name, &info, FetchOrigin::Store);
                    return Ok(Some(info));
                }
                None if self.stop.is_raised() => return Err(FetchError::Cancelled),
                None => std::thread::sleep(ASK_AGAIN),
            }
        }
    }

    fn job(&self, line: &Arc<Line>, mirrors: &Mirrors, file: &Wanted) -> Job {
        Job {
            line: Arc::clone(line),
            store: self.store.clone(),
            name: file.name.clone(),
            sha256: file.sha256,
            size: file.size,
            candidates: mirrors.candidates(&file.locations),
        }
    }
}

/// Files that are worth a thread of their own to look at them.
const FILES_PER_THREAD: usize = 32;

/// Reads the credentials the first time that somebody may ask for them: a broken file is no trouble
/// to those who fetch nothing.
fn read_netrc(line: &Line, file: &NetrcFile) -> Result<(), FetchError> {
    if line.netrc.get().is_none() {
        let netrc = Netrc::read(file)?;
        // Another thread may have read the same.
        let _ = line.netrc.set(netrc);
    }
    Ok(())
}

/// Runs `work` on a thread of its own: the caller's may be one on which nothing may wait.
pub(crate) fn run_apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(outcome) => outcome,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

enum Presence {
    There(BlobInfo),
    Missing { damaged: Option<PathBuf> },
}

/// All requests for one digest.
struct Wanted {
    /// The first request's place.
    place: usize,
    name: String,
    sha256: Digest,
    /// The first size that a request states.
    size: Option<u64>,
    locations: Vec<FetchLocation>,
}

impl Wanted {
    /// Returns the commit that it is the export of, if it is one.
    fn commit(&self) -> Option<(&GitLocation, Submodules)> {
        self.locations.iter().find_map(|location| match location {
            FetchLocation::Git(location, submodules) => Some((location, *submodules)),
            FetchLocation::Location(_) | FetchLocation::ArchivePath(_) => None,
        })
    }
}

fn group(requests: &[FetchRequest]) -> BTreeMap<Digest, Wanted> {
    let mut wanted: BTreeMap<Digest, Wanted> = BTreeMap::new();
    for (place, request) in requests.iter().enumerate() {
        let file = wanted.entry(request.sha256).or_insert_with(|| Wanted {
            place,
            name: request.name.clone(),
            sha256: request.sha256,
            size: None,
            locations: Vec::new(),
        });
        file.size = file.size.or(request.size);
        file.locations.extend(request.locations.iter().cloned());
    }
    wanted
}

fn check_sizes(
    requests: &[FetchRequest],
    found: &BTreeMap<Digest, BlobInfo>,
) -> Result<(), FetchError> {
    for request in requests {
        let actual = found[&request.sha256].size;
        if let Some(expected) = request.size.filter(|size| *size != actual) {
            return Err(FetchError::Size {
                name: request.name.clone(),
                digest: request.sha256,
                expected,
                actual,
            });
        }
    }
    Ok(())
}

fn offline(missing: &[(&Wanted, Option<PathBuf>)], mirrors: &Mirrors) -> FetchError {
    let describe = |(file, damaged): &(&Wanted, Option<PathBuf>)| {
        let candidates = mirrors.candidates(&file.locations).into_iter();
        MissingBlob {
            name: file.name.clone(),
            sha256: file.sha256,
            locations: candidates.map(|candidate| candidate.shown).collect(),
            damaged: damaged.clone(),
        }
    };
    FetchError::Offline {
        missing: missing.iter().map(describe).collect(),
    }
}
