//! Starts a varied process, passes on what it says and sees to its end.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::ProcessOrder;
use crate::cancel::Cancel;
use crate::engine::InitProgram;

/// How often a cancel is looked for.
const LOOK: Duration = Duration::from_millis(100);
/// How long a cancelled process may take to clean up.
const GRACE: Duration = Duration::from_secs(20);
/// Bytes of one line that are passed on.
const LONGEST_LINE: usize = 4096;

/// Why there is no end of a varied process to tell of.
#[derive(Debug, thiserror::Error)]
pub enum VariedError {
    /// It could not be started.
    #[error("can not start a varied process: {act}")]
    Start {
        /// What was tried.
        act: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
}

/// How a varied process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VariedEnd {
    /// By itself, with this status.
    Exited(i32),
    /// By a signal.
    Signaled(i32),
    /// Because the caller's cancel was raised.
    Cancelled,
}

/// Runs a varied process to its end; `hear` gets each line that it writes for people.
///
/// # Errors
/// `Start` when it does not run at all.
#[expect(clippy::disallowed_methods, reason = "sandbox is the room that spawns")]
pub fn run_varied(
    init: &InitProgram,
    order: &ProcessOrder,
    hear: &mut dyn FnMut(&str),
    cancel: &Cancel,
) -> Result<VariedEnd, VariedError> {
    let failed = |act| move |source| VariedError::Start { act, source };
    let mut text = serde_json::to_string(order)
        .map_err(std::io::Error::from)
        .map_err(failed("writing the order"))?;
    text.push('\n');
    let mut child = Command::new(&init.program)
        .args(&init.arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed("starting the program"))?;
    let mut leash = child.stdin.take();
    if let Some(stdin) = &mut leash {
        // A process that is gone already says so by its status.
        let _ = stdin.write_all(text.as_bytes());
    }
    let (sender, lines) = mpsc::channel();
    let errors = child.stderr.take();
    let reader = std::thread::spawn(move || {
        for line in errors.map(BufReader::new).into_iter().flat_map(read_lines) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let end = watch(&mut child, &lines, hear, (cancel, &mut leash));
    let _ = reader.join();
    end.map_err(failed("waiting for it"))
}

/// Reads lines of any bytes, each of them bounded.
fn read_lines(mut from: impl BufRead) -> impl Iterator<Item = String> {
    std::iter::from_fn(move || {
        let mut bytes = Vec::new();
        match from.read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => None,
            Ok(_) => {
                bytes.truncate(LONGEST_LINE);
                Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())
            }
        }
    })
}

fn watch(
    child: &mut Child,
    lines: &mpsc::Receiver<String>,
    hear: &mut dyn FnMut(&str),
    (cancel, leash): (&Cancel, &mut Option<std::process::ChildStdin>),
) -> std::io::Result<VariedEnd> {
    let mut cancelled: Option<Instant> = None;
    loop {
        match lines.recv_timeout(LOOK) {
            Ok(line) => {
                hear(&line);
                continue;
            }
            Err(RecvTimeoutError::Timeout) => {}
            // All that could write has ended, or closed its standard error.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(LOOK / 10),
        }
        if let Some(status) = child.try_wait()? {
            return Ok(match (cancelled, status.code()) {
                (Some(_), _) => VariedEnd::Cancelled,
                (None, Some(code)) => VariedEnd::Exited(code),
                (None, None) => VariedEnd::Signaled(status.signal().unwrap_or_default()),
            });
        }
        match cancelled {
            None if cancel.is_cancelled() => {
                cancelled = Some(Instant::now());
                // The end of its standard input asks it to stop.
                *leash = None;
            }
            Some(since) if since.elapsed() > GRACE => child.kill()?,
            _ => {}
        }
    }
}
