//! Ctrl-C and SIGTERM become a request to stop; steps are killed, the store stays whole.
//!
//! While something is built the first signal asks it to stop, and a second one ends kiln at once.
//! Verbs that run no step end at the first: the store survives that by design.

use kiln_sandbox::Cancel;
use tokio::signal::unix::{SignalKind, signal};

/// 128 and SIGINT's number, for both signals.
const INTERRUPTED: i32 = 130;

/// The signal that lets a stopped process go on.
const SIGCONT: i32 = 18;

/// What the first signal does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstSignal {
    /// Asks the build to stop, which cleans up.
    Asks,
    /// Ends the command.
    Ends,
}

/// Watches for Ctrl-C and SIGTERM until the process ends.
pub fn watch(cancel: &Cancel, first: FirstSignal) {
    let cancel = cancel.clone();
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
        else {
            return;
        };
        runtime.block_on(async {
            let (Ok(mut interrupt), Ok(mut terminate), Ok(mut resume)) = (
                signal(SignalKind::interrupt()),
                signal(SignalKind::terminate()),
                signal(SignalKind::from_raw(SIGCONT)),
            ) else {
                return;
            };
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = resume.recv() => {
                        // After Ctrl-Z the shell wrote where progress is drawn.
                        crate::print::forget();
                        continue;
                    }
                }
                if first == FirstSignal::Ends || cancel.is_cancelled() {
                    end();
                }
                cancel.cancel();
            }
        });
    });
}

#[expect(clippy::disallowed_methods, reason = "only cli exits")]
fn end() -> ! {
    crate::print::close();
    crate::print::note("interrupted");
    std::process::exit(INTERRUPTED)
}
