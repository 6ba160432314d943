//! A few lines at the bottom of a terminal that are drawn over and over, with plain lines above them.
//!
//! The cursor always rests at the start of the line below what is drawn, and is never hidden: whatever
//! ends the program leaves a usable terminal. Each change is one text, to be written at once: old lines
//! are overwritten, so that nothing flickers. Only these commands are used:
//!
//! ```text
//! CR         to the start of the line
//! ESC [ n A  up n lines
//! ESC [ K    clear to the end of the line
//! ```
//!
//! The screen is never cleared from the cursor on (`ESC [ J`): where that is all of it, tmux keeps what
//! was there among the lines that scrolled away.

use std::fmt::Write as _;

/// A terminal's columns and rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Characters in a row.
    pub columns: usize,
    /// Rows.
    pub rows: usize,
}

/// A line as written, and how many columns it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawn {
    pub text: String,
    pub columns: usize,
}

/// What is drawn at the bottom of a terminal.
#[derive(Debug, Default)]
pub struct Screen {
    drawn: Vec<Drawn>,
}

impl Screen {
    /// Returns an empty screen.
    pub const fn new() -> Self {
        Self { drawn: Vec::new() }
    }

    /// Returns what to write so that `lines` are drawn instead of what was; nothing if nothing changes.
    /// Each line is narrower than the terminal, and there are fewer than it has rows.
    pub fn draw(&mut self, lines: Vec<Drawn>, size: Size) -> String {
        if self.drawn == lines {
            return String::new();
        }
        let mut out = if self.rows(size) > lines.len() {
            self.erase(size)
        } else {
            self.to_start(size)
        };
        for line in &lines {
            let _ = write!(out, "{}\u{1b}[K\r\n", line.text);
        }
        // What was typed meanwhile stands where the cursor rests.
        out.push_str("\u{1b}[K");
        self.drawn = lines;
        out
    }

    /// Returns what to write so that `text`, one or more lines, stands above what is drawn. It may be
    /// of any width.
    pub fn print_above(&self, text: &str, size: Size) -> String {
        if self.drawn.is_empty() {
            return format!("{text}\n");
        }
        let mut out = self.erase(size);
        for line in text.split('\n') {
            let _ = write!(out, "{line}\r\n");
        }
        for line in &self.drawn {
            let _ = write!(out, "{}\r\n", line.text);
        }
        out
    }

    /// Returns what to write so that nothing is drawn.
    pub fn clear(&mut self, size: Size) -> String {
        self.draw(Vec::new(), size)
    }

    /// Forgets what is drawn: somebody else wrote to the terminal.
    pub fn forget(&mut self) {
        self.drawn.clear();
    }

    /// Empties the rows of what is drawn, and the one below, and returns to the first.
    fn erase(&self, size: Size) -> String {
        let start = self.to_start(size);
        let rows = "\u{1b}[K\r\n".repeat(self.rows(size));
        format!("{start}{rows}\u{1b}[K{start}")
    }

    fn to_start(&self, size: Size) -> String {
        match self.rows(size) {
            0 => String::new(),
            rows => format!("\r\u{1b}[{rows}A"),
        }
    }

    /// Rows that the drawn lines take now: terminals break lines anew when they become narrower.
    fn rows(&self, size: Size) -> usize {
        let columns = size.columns.max(1);
        let rows = |line: &Drawn| line.columns.div_ceil(columns).max(1);
        let rows: usize = self.drawn.iter().map(rows).sum();
        // What has scrolled away can not be reached.
        rows.min(size.rows.saturating_sub(1).max(self.drawn.len()))
    }
}

#[cfg(test)]
mod tests;
