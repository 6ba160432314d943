//! Tells how far the slow work on a tree is, and hears whether it is to go on.

use std::io::{self, Read};

use kiln_store::{FetchProgress, Silent};

use crate::stop::Stopped;

/// What is being done to a tree of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TreeStage {
    /// Binary packages are read; bytes are those of their files.
    Read,
    /// The layer that they make is written; bytes are those of the files in it.
    Write,
    /// A layer is unpacked; bytes are the layer's.
    Unpack,
}

/// Hears how a base image or a recipe's tools are coming along.
pub trait PrepareProgress: FetchProgress {
    /// `bytes` of `total` are done in this stage.
    fn tree_advanced(&self, stage: TreeStage, bytes: u64, total: u64) {
        let _ = (stage, bytes, total);
    }

    /// Returns whether the work is to end now, unfinished; asked again and again.
    fn is_stopped(&self) -> bool {
        false
    }
}

impl PrepareProgress for Silent {}

/// How often is told, in bytes: far apart enough to cost nothing.
const INTERVAL: u64 = 1 << 20;

/// Counts the bytes of one stage.
pub(crate) struct Advance<'a> {
    progress: &'a dyn PrepareProgress,
    stage: TreeStage,
    total: u64,
    done: u64,
    told: u64,
}

impl<'a> Advance<'a> {
    /// Starts a stage of `total` bytes.
    pub(crate) fn start(progress: &'a dyn PrepareProgress, stage: TreeStage, total: u64) -> Self {
        progress.tree_advanced(stage, 0, total);
        Self {
            progress,
            stage,
            total,
            done: 0,
            told: 0,
        }
    }

    /// Counts bytes that were just done. Fails when no more are to be done.
    pub(crate) fn count(&mut self, bytes: u64) -> Result<(), Stopped> {
        self.done += bytes;
        if self.done - self.told >= INTERVAL || self.done >= self.total && self.done > self.told {
            self.told = self.done;
            self.progress
                .tree_advanced(self.stage, self.done.min(self.total), self.total);
        }
        if self.progress.is_stopped() {
            return Err(Stopped);
        }
        Ok(())
    }
}

/// Counts what is read through it.
pub(crate) struct Counted<'a, 'b, R> {
    inner: R,
    advance: &'a mut Advance<'b>,
}

impl<'a, 'b, R> Counted<'a, 'b, R> {
    pub(crate) fn new(inner: R, advance: &'a mut Advance<'b>) -> Self {
        Self { inner, advance }
    }
}

impl<R: Read> Read for Counted<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.advance.count(count as u64)?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use kiln_store::{BlobInfo, FetchOrigin};

    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<(TreeStage, u64, u64)>>);

    impl FetchProgress for Heard {
        fn started(&self, _: &str, _: Option<u64>) {}
        fn advanced(&self, _: &str, _: u64) {}
        fn finished(&self, _: &str, _: &BlobInfo, _: FetchOrigin) {}
    }

    impl PrepareProgress for Heard {
        fn tree_advanced(&self, stage: TreeStage, bytes: u64, total: u64) {
            self.0.lock().unwrap().push((stage, bytes, total));
        }
    }

    #[test]
    fn it_is_told_at_the_start_now_and_then_and_at_the_end() {
        let check = |total: u64, expected: &[u64]| {
            let heard = Heard::default();
            let mut advance = Advance::start(&heard, TreeStage::Unpack, total);
            let mut bytes = io::repeat(0).take(total);
            let mut counted = Counted::new(&mut bytes, &mut advance);
            io::copy(&mut counted, &mut io::sink()).unwrap();
            let told = heard.0.into_inner().unwrap();
            let expected: Vec<_> = expected
                .iter()
                .map(|bytes| (TreeStage::Unpack, *bytes, total))
                .collect();
            assert_eq!(told, expected);
        };
        check(0, &[0]);
        check(10, &[0, 10]);
        check(INTERVAL, &[0, INTERVAL]);
        check(
            2 * INTERVAL + 5,
            &[0, INTERVAL, 2 * INTERVAL, 2 * INTERVAL + 5],
        );
    }
}
