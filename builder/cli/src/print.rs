//! The one way to the terminal: printing that survives a closed pipe (`kiln plan | head -1` is no
//! error), and keeps clear of what is drawn at the bottom of the screen.

use std::io::{self, ErrorKind, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::screen::{Drawn, Screen, Size};
use crate::text::clean_lines;

/// What is drawn on the terminal behind standard error.
static SCREEN: Mutex<Screen> = Mutex::new(Screen::new());

/// Whether nothing may be drawn any more.
static IS_CLOSED: AtomicBool = AtomicBool::new(false);

/// The first reason why a result is not on standard output.
static LOST: Mutex<Option<io::Error>> = Mutex::new(None);

fn screen() -> MutexGuard<'static, Screen> {
    SCREEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prints text to standard output, made harmless. When nobody reads any more, the command ends quietly.
pub fn line(text: &str) {
    rendered_line(&clean_lines(text));
}

/// Prints text with colours to standard output.
pub fn rendered_line(text: &str) {
    let mut screen = screen();
    write_error(&screen.clear(size()));
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush()) {
        if error.kind() == ErrorKind::BrokenPipe {
            end();
        }
        lose(error);
    }
}

/// Prints a line for programs to standard output, which is no terminal that is drawn on. One that
/// nobody reads is no reason to stop a build.
pub fn event(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        lose(error);
    }
}

fn lose(error: io::Error) {
    let mut lost = LOST.lock().unwrap_or_else(PoisonError::into_inner);
    lost.get_or_insert(error);
}

/// Returns why not all results were printed: a full disk, not a reader who has read enough.
pub fn lost() -> Option<io::Error> {
    LOST.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Prints text to standard error, made harmless; progress that nobody reads is no reason to stop a
/// build.
pub fn note(text: &str) {
    rendered_note(&clean_lines(text));
}

/// Prints text with colours to standard error.
pub fn rendered_note(text: &str) {
    let text = screen().print_above(text, size());
    write_error(&text);
}

/// Draws lines at the bottom of the terminal, over those that were drawn before.
pub fn draw(lines: Vec<Drawn>, size: Size) {
    let mut screen = screen();
    if !IS_CLOSED.load(Ordering::SeqCst) {
        write_error(&screen.draw(lines, size));
    }
}

/// Takes away what is drawn.
pub fn clear() {
    let mut screen = screen();
    write_error(&screen.clear(size()));
}

/// Takes away what is drawn, for good: the program is about to end, perhaps by a panic in the midst
/// of drawing.
pub fn close() {
    IS_CLOSED.store(true, Ordering::SeqCst);
    if let Ok(mut screen) = SCREEN.try_lock() {
        write_error(&screen.clear(size()));
    }
}

/// Starts anew below whatever somebody else wrote.
pub fn forget() {
    screen().forget();
}

/// Returns the size of the terminal behind standard error; what is usual if it does not tell.
pub fn size() -> Size {
    let told = rustix::termios::tcgetwinsize(std::io::stderr()).ok();
    let told = told.filter(|told| told.ws_col > 0 && told.ws_row > 0);
    told.map_or(
        Size {
            columns: 80,
            rows: 24,
        },
        |told| Size {
            columns: told.ws_col.into(),
            rows: told.ws_row.into(),
        },
    )
}

/// One text is one write: nobody sees half of it, and nothing of others comes in between.
fn write_error(text: &str) {
    if !text.is_empty() {
        let mut err = std::io::stderr().lock();
        let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }
}

#[expect(clippy::disallowed_methods, reason = "only cli exits")]
fn end() -> ! {
    std::process::exit(0)
}
