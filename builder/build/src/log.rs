//! The log of one step: everything to a file, the last lines for an error message.

use std::collections::VecDeque;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Lines of a log that an error shows.
const TAIL_LINES: usize = 20;
/// Longest line that an error shows, in bytes.
const LINE_BYTES: usize = 400;

/// Writes a step's output to a file and remembers its last lines.
#[derive(Debug)]
pub(crate) struct StepLog {
    path: PathBuf,
    file: fs_err::File,
    tail: VecDeque<String>,
    line: Vec<u8>,
}

impl StepLog {
    /// Creates the file and its folder; an earlier log of the same step is replaced.
    pub(crate) fn create(path: &Path) -> std::io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        let file = fs_err::File::create(path)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            tail: VecDeque::new(),
            line: Vec::new(),
        })
    }

    /// Returns where the log is and its last lines.
    pub(crate) fn into_tail(mut self) -> (PathBuf, Vec<String>) {
        if !self.line.is_empty() {
            self.end_line();
        }
        (self.path, self.tail.into())
    }

    fn end_line(&mut self) {
        let text = String::from_utf8_lossy(&self.line);
        // A log may carry terminal commands; an error message must not.
        let is_shown = |c: &char| !c.is_control() || *c == '\t';
        self.tail.push_back(text.chars().filter(is_shown).collect());
        self.line.clear();
        if self.tail.len() > TAIL_LINES {
            self.tail.pop_front();
        }
    }
}

impl Write for StepLog {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write_all(bytes)?;
        for byte in bytes {
            if *byte == b'\n' {
                self.end_line();
            } else if self.line.len() < LINE_BYTES {
                self.line.push(*byte);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_short_and_harmless() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = StepLog::create(&folder.path().join("a/b.log")).unwrap();
        for number in 0..100 {
            writeln!(log, "line {number}").unwrap();
        }
        write!(log, "\u{1b}[31mred{}", "x".repeat(1000)).unwrap();
        let (path, tail) = log.into_tail();
        assert_eq!(tail.len(), TAIL_LINES);
        assert_eq!(tail[0], "line 81");
        assert!(tail[19].starts_with("[31mredxxx") && tail[19].len() <= LINE_BYTES);
        assert!(
            fs_err::read_to_string(path)
                .unwrap()
                .starts_with("line 0\n")
        );
    }
}
