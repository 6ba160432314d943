//! Ctrl-C and SIGTERM become a request to stop; steps are killed, the store stays whole.

use kiln_sandbox::Cancel;
use tokio::signal::unix::{SignalKind, signal};

/// Watches for Ctrl-C and SIGTERM until the process ends.
pub fn watch(cancel: &Cancel) {
    let cancel = cancel.clone();
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
        else {
            return;
        };
        runtime.block_on(async {
            let (Ok(mut interrupt), Ok(mut terminate)) = (
                signal(SignalKind::interrupt()),
                signal(SignalKind::terminate()),
            ) else {
                return;
            };
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            cancel.cancel();
        });
    });
}
