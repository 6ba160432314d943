//! Passes on to a report what the store and the image rooms tell, and to them that they are to stop.

use std::sync::OnceLock;
use std::time::Instant;

use kiln_image::{PrepareProgress, TreeStage};
use kiln_sandbox::Cancel;
use kiln_store::{AttemptError, BlobInfo, FetchOrigin, FetchProgress};

use crate::workshop::{Event, Report, Workshop};

/// Passes on what is fetched.
pub(crate) struct Told<'a>(pub(crate) &'a dyn Report);

impl FetchProgress for Told<'_> {
    fn planned(&self, files: usize, bytes: Option<u64>) {
        self.0.tell(&Event::Fetching { files, bytes });
    }

    fn started(&self, name: &str, size: Option<u64>) {
        self.0.tell(&Event::FetchStarted { name, size });
    }

    fn advanced(&self, name: &str, bytes: u64) {
        self.0.tell(&Event::FetchAdvanced { name, bytes });
    }

    fn passed_over(&self, name: &str, address: &str, reason: &AttemptError) {
        self.0.tell(&Event::FetchPassedOver {
            name,
            address,
            reason: &reason.to_string(),
        });
    }

    fn finished(&self, name: &str, info: &BlobInfo, origin: FetchOrigin) {
        if matches!(origin, FetchOrigin::Network { .. }) {
            self.0.tell(&Event::Fetched {
                name,
                bytes: info.size,
            });
        }
    }
}

/// Passes on how a root file system is coming along; says nothing when it is there already.
pub(crate) struct TreeTold<'a> {
    report: &'a dyn Report,
    cancel: &'a Cancel,
    /// Of which base image.
    pub(crate) what: &'a str,
    started: OnceLock<Instant>,
}

impl<'a> TreeTold<'a> {
    pub(crate) fn new(shop: &Workshop<'a>, what: &'a str) -> Self {
        Self {
            report: shop.report,
            cancel: shop.cancel,
            what,
            started: OnceLock::new(),
        }
    }

    /// Says once that there is something to do.
    pub(crate) fn start(&self) {
        if self.started.set(Instant::now()).is_ok() {
            self.report.tell(&Event::Assembling { what: self.what });
        }
    }

    /// Says that it is done, if there was something to do.
    pub(crate) fn finish(&self) {
        if let Some(started) = self.started.get() {
            self.report.tell(&Event::Assembled {
                what: self.what,
                elapsed: started.elapsed(),
            });
        }
    }
}

impl FetchProgress for TreeTold<'_> {
    fn planned(&self, files: usize, bytes: Option<u64>) {
        self.start();
        Told(self.report).planned(files, bytes);
    }

    fn started(&self, name: &str, size: Option<u64>) {
        Told(self.report).started(name, size);
    }

    fn advanced(&self, name: &str, bytes: u64) {
        Told(self.report).advanced(name, bytes);
    }

    fn passed_over(&self, name: &str, address: &str, reason: &AttemptError) {
        Told(self.report).passed_over(name, address, reason);
    }

    fn finished(&self, name: &str, info: &BlobInfo, origin: FetchOrigin) {
        Told(self.report).finished(name, info, origin);
    }
}

impl PrepareProgress for TreeTold<'_> {
    fn tree_advanced(&self, stage: TreeStage, bytes: u64, total: u64) {
        self.start();
        self.report.tell(&Event::AssemblyAdvanced {
            what: self.what,
            stage,
            bytes,
            total,
        });
    }

    fn is_stopped(&self) -> bool {
        self.cancel.is_cancelled()
    }
}

/// Says nothing, and only hears whether the work is to stop.
pub(crate) struct OnlyStops<'a>(pub(crate) &'a Cancel);

impl FetchProgress for OnlyStops<'_> {
    fn started(&self, _: &str, _: Option<u64>) {}
    fn advanced(&self, _: &str, _: u64) {}
    fn finished(&self, _: &str, _: &BlobInfo, _: FetchOrigin) {}
}

impl PrepareProgress for OnlyStops<'_> {
    fn is_stopped(&self) -> bool {
        self.0.is_cancelled()
    }
}
