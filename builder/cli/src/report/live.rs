//! Progress on a terminal: a picture of what runs, drawn a few times a second, with what is finished
//! as plain lines above it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kiln_build::Event;

use super::frame::Frame;
use super::{People, words};
use crate::print;
use crate::screen::Drawn;
use crate::style::Colours;

/// How often the picture is looked at; it is written only where it changed.
const INTERVAL: Duration = Duration::from_millis(200);
/// Bytes of steps' output that wait for the next look: printing line by line would draw each time.
const MOST_PENDING: usize = 64 * 1024;

/// Draws until it is dropped.
#[derive(Debug)]
pub struct Live {
    shared: Arc<Shared>,
    ticker: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    stopped: Condvar,
    started: Instant,
    colours: Colours,
}

#[derive(Debug, Default)]
struct State {
    frame: Frame,
    /// Lines of steps' output that are not printed yet.
    pending: String,
    is_stopped: bool,
}

impl Live {
    /// Starts to draw, a moment from now: what is over by then leaves no trace.
    pub fn start(colours: Colours) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::default()),
            stopped: Condvar::new(),
            started: Instant::now(),
            colours,
        });
        let ticker = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.tick()
        });
        Self {
            shared,
            ticker: Some(ticker),
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.is_stopped = true;
        state.flush();
        drop(state);
        self.shared.stopped.notify_all();
        if let Some(ticker) = self.ticker.take() {
            // It draws and sleeps; there is nothing to learn from its end.
            let _ = ticker.join();
        }
        print::clear();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self) {
        let mut state = self.state();
        while !state.is_stopped {
            let waited = self.stopped.wait_timeout(state, INTERVAL);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if !state.is_stopped {
                state.flush();
                self.draw(&state.frame);
            }
        }
    }

    fn draw(&self, frame: &Frame) {
        let size = print::size();
        let lines = frame.lines(self.started.elapsed(), size);
        let drawn = |line: &crate::style::Line| Drawn {
            columns: line.width(),
            text: line.render(self.colours),
        };
        print::draw(lines.iter().map(drawn).collect(), size);
    }
}

impl State {
    fn flush(&mut self) {
        if !self.pending.is_empty() {
            let text = std::mem::take(&mut self.pending);
            print::rendered_note(text.trim_end_matches('\n'));
        }
    }
}

impl People for Live {
    fn tell(&self, event: &Event<'_>) {
        let now = self.shared.started.elapsed();
        let mut state = self.shared.state();
        if let Event::Output { .. } = event {
            if let Some(line) = words::line(event) {
                state.pending.push_str(&line.render(self.shared.colours));
                state.pending.push('\n');
            }
            if state.pending.len() > MOST_PENDING {
                state.flush();
            }
            return;
        }
        if let Some(line) = state.frame.note(event, now) {
            // In the order in which it happened.
            state.flush();
            print::rendered_note(&line.render(self.shared.colours));
        }
    }
}
