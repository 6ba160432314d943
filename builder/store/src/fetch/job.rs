//! What runs for one file, and for all at once: locations in order, further tries, events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kiln_model::Digest;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use crate::blob::BlobInfo;
use crate::error::StoreError;
use crate::fetch::address::{Address, Candidate};
use crate::fetch::error::{Attempt, AttemptError, BodyKind, FailedFetch, FetchError};
use crate::fetch::request::{FetchOrigin, FetchProgress};
use crate::fetch::settings::FetchLimits;
use crate::fetch::stop::Stop;
use crate::fetch::transfer::{Bound, Line, Sink, TransferError};
use crate::partial::PartialBlob;
use crate::store::Store;
use crate::turn::Turn;

/// New bytes after which a try at an address counts as none: a line that breaks now and then gets a
/// large file all the same, and a server that breaks it at will is given up after finitely many.
const PROGRESS: u64 = 1024 * 1024;

/// How often a job asks whether another kiln is done with its file.
pub(crate) const ASK_AGAIN: Duration = Duration::from_millis(50);

/// One file to fetch.
pub(crate) struct Job {
    pub(crate) line: Arc<Line>,
    pub(crate) store: Store,
    pub(crate) name: String,
    pub(crate) sha256: Digest,
    pub(crate) size: Option<u64>,
    pub(crate) candidates: Vec<Candidate>,
}

/// What a job tells while it runs.
enum Event {
    Started(String, Option<u64>),
    Advanced(String, u64),
    PassedOver(String, String, AttemptError),
    Finished(String, BlobInfo, FetchOrigin),
}

impl Event {
    fn tell(self, progress: &dyn FetchProgress) {
        match self {
            Self::Started(name, size) => progress.started(&name, size),
            Self::Advanced(name, bytes) => progress.advanced(&name, bytes),
            Self::PassedOver(name, address, reason) => {
                progress.passed_over(&name, &address, &reason);
            }
            Self::Finished(name, info, origin) => progress.finished(&name, &info, origin),
        }
    }
}

/// Who fetches a file.
pub(crate) enum Claim {
    /// This kiln, as long as it has the turn.
    Ours(Turn),
    /// Another kiln did.
    Done(BlobInfo),
}

/// Asks for the turn at fetching what has a digest; `None` while another kiln has it. `looks`: whether
/// somebody may have fetched it since it was looked for.
pub(crate) fn claim(
    store: &Store,
    digest: &Digest,
    looks: bool,
) -> Result<Option<Claim>, StoreError> {
    let name = Digest::of(format!("fetch {digest}").as_bytes());
    let Some(turn) = store.try_turn(&name)? else {
        return Ok(None);
    };
    if !looks || !store.contains(digest) {
        return Ok(Some(Claim::Ours(turn)));
    }
    match store.blob_info(digest) {
        Ok(info) => Ok(Some(Claim::Done(info))),
        // It was set aside, and is fetched.
        Err(StoreError::Damaged { .. } | StoreError::Missing { .. }) => Ok(Some(Claim::Ours(turn))),
        Err(error) => Err(error),
    }
}

/// Why a job ended without its file.
enum JobError {
    Failed(FailedFetch),
    Store(StoreError),
}

/// Runs all jobs, so many at a time; a failed one does not stop the others.
pub(crate) async fn fetch_jobs(
    jobs: Vec<Job>,
    line: &Line,
    stop: &Stop,
    progress: &dyn FetchProgress,
) -> Result<Vec<(Digest, BlobInfo)>, FetchError> {
    let places = Arc::new(Semaphore::new(line.limits.parallel.max(1)));
    let (events, mut heard) = unbounded_channel();
    let mut running = JoinSet::new();
    for (place, job) in jobs.into_iter().enumerate() {
        let (places, events) = (Arc::clone(&places), events.clone());
        running.spawn(async move {
            let _place = places.acquire().await;
            (place, job.run(&events).await)
        });
    }
    drop(events);
    let mut failures = BTreeMap::new();
    let mut found = Vec::new();
    loop {
        let joined = tokio::select! {
            biased;
            // First: a fast line gives no other a turn.
            () = stop.raised() => {
                // What came so far is kept: each download is dropped on its own thread.
                running.shutdown().await;
                return Err(FetchError::Cancelled);
            }
            Some(event) = heard.recv() => {
                event.tell(progress);
                continue;
            }
            joined = running.join_next() => joined,
        };
        match joined {
            None => break,
            Some(Ok((_, Ok(info)))) => found.push((info.digest, info)),
            Some(Ok((place, Err(JobError::Failed(failed))))) => {
                failures.insert(place, failed);
            }
            // A full disk does not get better with more files: dropping the set stops the others.
            Some(Ok((_, Err(JobError::Store(error))))) => return Err(error.into()),
            Some(Err(error)) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => {
                    let reason = error.to_string();
                    return Err(FetchError::Client { reason });
                }
            },
        }
    }
    tell_rest(&mut heard, progress);
    if failures.is_empty() {
        return Ok(found);
    }
    Err(FetchError::Failed {
        failures: failures.into_values().collect(),
    })
}

fn tell_rest(heard: &mut UnboundedReceiver<Event>, progress: &dyn FetchProgress) {
    while let Ok(event) = heard.try_recv() {
        event.tell(progress);
    }
}

impl Job {
    async fn run(self, events: &UnboundedSender<Event>) -> Result<BlobInfo, JobError> {
        // The other end is only gone when nobody wants to know any more.
        let tell = |event| drop(events.send(event));
        tell(Event::Started(self.name.clone(), self.size));
        let _turn = match self.turn().await.map_err(JobError::Store)? {
            Claim::Ours(turn) => turn,
            Claim::Done(info) => {
                tell(Event::Finished(self.name, info, FetchOrigin::Store));
                return Ok(info);
            }
        };
        let mut attempts = Vec::new();
        // Kept from try to try, and from address to address: the digest says whose bytes are right.
        let mut place = None;
        for candidate in &self.candidates {
            match self.try_candidate(candidate, &mut place, events).await {
                Ok(info) => {
                    let address = candidate.shown.clone();
                    let origin = FetchOrigin::Network { address };
                    tell(Event::Finished(self.name.clone(), info, origin));
                    return Ok(info);
                }
                Err(Tried::Attempt(attempt)) => {
                    let (address, reason) = (attempt.address.clone(), attempt.reason.clone());
                    tell(Event::PassedOver(self.name.clone(), address, reason));
                    attempts.push(attempt);
                }
                Err(Tried::Store(error)) => return Err(JobError::Store(error)),
            }
        }
        Err(JobError::Failed(FailedFetch {
            name: self.name,
            expected: self.sha256,
            attempts,
        }))
    }

    /// Waits while another kiln fetches the same. Nobody who waits here holds another turn.
    async fn turn(&self) -> Result<Claim, StoreError> {
        let mut waited = false;
        loop {
            let (store, digest) = (self.store.clone(), self.sha256);
            let asked = tokio::task::spawn_blocking(move || claim(&store, &digest, waited));
            let claimed = asked
                .await
                .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
            if let Some(claim) = claimed {
                return Ok(claim);
            }
            waited = true;
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    async fn try_candidate(
        &self,
        candidate: &Candidate,
        place: &mut Option<PartialBlob>,
        events: &UnboundedSender<Event>,
    ) -> Result<BlobInfo, Tried> {
        let mut tries = Tries::start(&self.line, candidate);
        let address = tries.address()?;
        loop {
            match self.try_once(address, place, events).await {
                Ok(info) => return Ok(info),
                Err(error) => {
                    let held = place.as_ref().map_or(0, PartialBlob::held);
                    tries.again(error, held).await?;
                }
            }
        }
    }

    /// Asks for what is missing; if that does not lead to the file, for all of it, once.
    async fn try_once(
        &self,
        address: &Address,
        place: &mut Option<PartialBlob>,
        events: &UnboundedSender<Event>,
    ) -> Result<BlobInfo, TransferError> {
        let mut partial = match place.take() {
            Some(partial) => partial,
            None => self.take_up().await?,
        };
        if partial.is_whole(&self.sha256)? {
            return self.finish(partial, BodyKind::Other).await;
        }
        let held = partial.held();
        let outcome = self.fill(address, partial, place, events).await;
        match outcome {
            Err(TransferError::Attempt(reason)) if held > 0 && reason.is_about_bytes() => {}
            Err(TransferError::NotTheRest(_)) if held > 0 => {}
            outcome => return outcome,
        }
        if let Some(partial) = place.take() {
            partial.discard();
        }
        partial = self.take_up().await?;
        self.fill(address, partial, place, events).await
    }

    /// Transfers into `partial`, and puts it into `place` if it is worth going on with.
    async fn fill(
        &self,
        address: &Address,
        mut partial: PartialBlob,
        place: &mut Option<PartialBlob>,
        events: &UnboundedSender<Event>,
    ) -> Result<BlobInfo, TransferError> {
        let advanced = |bytes| drop(events.send(Event::Advanced(self.name.clone(), bytes)));
        let sink: &mut dyn Sink = &mut partial;
        let outcome = self.line.transfer(address, self.bound(), sink, &advanced);
        match outcome.await {
            Ok(kind) => self.finish(partial, kind).await,
            Err(TransferError::Attempt(reason)) if !reason.is_about_bytes() => {
                *place = Some(partial);
                Err(reason.into())
            }
            Err(error) => {
                partial.discard();
                Err(error)
            }
        }
    }

    fn bound(&self) -> Bound {
        match self.size {
            Some(size) => Bound::Size(size),
            None => Bound::Limit(self.line.limits.size_limit),
        }
    }

    /// Waits for the disk, as [`Job::finish`] does, which the other downloads need not.
    async fn take_up(&self) -> Result<PartialBlob, StoreError> {
        let (store, digest) = (self.store.clone(), self.sha256);
        let (Bound::Size(most) | Bound::Limit(most)) = self.bound();
        let opened =
            tokio::task::spawn_blocking(move || PartialBlob::open(&store, &digest, most)).await;
        opened.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    async fn finish(
        &self,
        partial: PartialBlob,
        kind: BodyKind,
    ) -> Result<BlobInfo, TransferError> {
        let expected = self.sha256;
        let finished = tokio::task::spawn_blocking(move || partial.finish_expecting(&expected));
        finish(finished.await, kind)
    }
}

fn finish(
    finished: Result<Result<BlobInfo, StoreError>, tokio::task::JoinError>,
    kind: BodyKind,
) -> Result<BlobInfo, TransferError> {
    match finished {
        Ok(Ok(info)) => Ok(info),
        Ok(Err(StoreError::Mismatch { expected, actual })) => {
            Err(TransferError::Attempt(AttemptError::Mismatch {
                expected,
                actual,
                kind,
            }))
        }
        Ok(Err(error)) => Err(error.into()),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// How the tries at one address ended.
enum Tried {
    Attempt(Attempt),
    Store(StoreError),
}

impl From<Attempt> for Tried {
    fn from(attempt: Attempt) -> Self {
        Self::Attempt(attempt)
    }
}

/// Counts the tries at one address, and waits between them.
struct Tries<'a> {
    candidate: &'a Candidate,
    /// Further tries that are allowed.
    left: u32,
    done: u32,
    wait: Duration,
    /// The most bytes that were there when a try counted.
    mark: u64,
    limits: &'a FetchLimits,
}

impl<'a> Tries<'a> {
    fn start(line: &'a Line, candidate: &'a Candidate) -> Self {
        Self {
            candidate,
            left: line.limits.retries,
            done: 0,
            wait: line.limits.backoff,
            mark: 0,
            limits: &line.limits,
        }
    }

    fn address(&self) -> Result<&'a Address, Attempt> {
        let address = self.candidate.address.as_ref();
        address.map_err(|reason| self.failed(reason.clone()))
    }

    /// Returns after a while if the address is worth another try; `held` bytes are there.
    async fn again(&mut self, error: TransferError, held: u64) -> Result<(), Tried> {
        self.done += 1;
        let reason = match error {
            TransferError::Attempt(reason) | TransferError::NotTheRest(reason) => reason,
            TransferError::Store(error) => return Err(Tried::Store(error)),
        };
        if held >= self.mark + PROGRESS {
            (self.mark, self.left, self.wait) = (held, self.limits.retries, self.limits.backoff);
        }
        if self.left == 0 || !reason.is_passing() {
            return Err(self.failed(reason).into());
        }
        self.left -= 1;
        tokio::time::sleep(self.wait).await;
        self.wait *= 2;
        Ok(())
    }

    fn failed(&self, reason: AttemptError) -> Attempt {
        Attempt {
            address: self.candidate.shown.clone(),
            tries: self.done,
            reason,
        }
    }
}

/// Tries an archive's index at every candidate.
pub(crate) async fn fetch_index(
    line: &Line,
    stop: &Stop,
    (path, limit): (&str, u64),
    candidates: Vec<Candidate>,
) -> Result<Vec<u8>, FetchError> {
    tokio::select! {
        biased;
        () = stop.raised() => Err(FetchError::Cancelled),
        fetched = try_indexes(line, path, limit, candidates) => fetched,
    }
}

async fn try_indexes(
    line: &Line,
    path: &str,
    limit: u64,
    candidates: Vec<Candidate>,
) -> Result<Vec<u8>, FetchError> {
    let mut attempts = Vec::new();
    for candidate in &candidates {
        match try_index(line, candidate, limit).await {
            Ok(bytes) => return Ok(bytes),
            Err(Tried::Attempt(attempt)) => attempts.push(attempt),
            Err(Tried::Store(error)) => return Err(error.into()),
        }
    }
    Err(FetchError::Index {
        path: path.to_owned(),
        attempts,
    })
}

async fn try_index(line: &Line, candidate: &Candidate, limit: u64) -> Result<Vec<u8>, Tried> {
    let mut tries = Tries::start(line, candidate);
    let address = tries.address()?;
    loop {
        let mut bytes = Vec::new();
        let bound = Bound::Limit(limit);
        match line.transfer(address, bound, &mut bytes, &|_| ()).await {
            Ok(_) => return Ok(bytes),
            Err(error) => tries.again(error, 0).await?,
        }
    }
}
