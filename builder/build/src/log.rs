//! The log of one step: everything to a file, the last lines and commands for an error message, and
//! every line to whoever wants to see it at once.

use std::collections::VecDeque;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Lines of a log that an error shows.
const TAIL_LINES: usize = 20;
/// Longest line that an error shows, in characters.
const TAIL_LINE: usize = 400;
/// Longest piece of a line that is looked at, in bytes: memory does not depend on what a step prints.
const LINE_BYTES: usize = 4096;
/// How a shell with `set -x` starts the line that shows a command.
const COMMAND: &str = "+ ";

/// Hears each line of a log, without control characters.
pub(crate) type Listener<'a> = Box<dyn Fn(&str) + 'a>;

/// Writes a step's output to a file and remembers its last lines.
pub(crate) struct StepLog<'a> {
    path: PathBuf,
    file: fs_err::File,
    tail: VecDeque<String>,
    /// The last command that the step's shell showed.
    command: Option<String>,
    line: Vec<u8>,
    listener: Option<Listener<'a>>,
}

/// What an error says of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEnd {
    /// Where the whole log is.
    pub log: PathBuf,
    /// The command that ran last, as the step's shell showed it: the one that failed, if one did.
    pub command: Option<String>,
    /// The log's last lines.
    pub tail: Vec<String>,
}

impl<'a> StepLog<'a> {
    /// Creates the file and its folder; an earlier log of the same step is replaced.
    pub(crate) fn create(path: &Path, listener: Option<Listener<'a>>) -> std::io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        let file = fs_err::File::create(path)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            tail: VecDeque::new(),
            command: None,
            line: Vec::new(),
            listener,
        })
    }

    /// Returns where the log is and how it ends.
    pub(crate) fn into_end(mut self) -> Box<LogEnd> {
        if !self.line.is_empty() {
            self.end_line();
        }
        Box::new(LogEnd {
            log: self.path,
            command: self.command,
            tail: self.tail.into(),
        })
    }

    fn end_line(&mut self) {
        let text = String::from_utf8_lossy(&self.line);
        // A log may carry terminal commands; an error message must not.
        let is_shown = |c: &char| !c.is_control() || *c == '\t';
        let text: String = text.chars().filter(is_shown).collect();
        self.line.clear();
        if let Some(listener) = &self.listener {
            listener(&text);
        }
        let short: String = text.chars().take(TAIL_LINE).collect();
        if let Some(command) = short.strip_prefix(COMMAND) {
            self.command = Some(command.to_owned());
        }
        self.tail.push_back(short);
        if self.tail.len() > TAIL_LINES {
            self.tail.pop_front();
        }
    }
}

impl Write for StepLog<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write_all(bytes)?;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, is_whole) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            let room = LINE_BYTES.saturating_sub(self.line.len());
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if is_whole {
                self.end_line();
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
    use std::cell::RefCell;

    #[test]
    fn the_tail_is_short_and_harmless() {
        let folder = tempfile::tempdir().unwrap();
        let heard = RefCell::new(Vec::new());
        let listener = |line: &str| heard.borrow_mut().push(line.to_owned());
        let path = folder.path().join("a/b.log");
        let mut log = StepLog::create(&path, Some(Box::new(listener))).unwrap();
        write!(log, "+ make").unwrap();
        writeln!(log, " -j2").unwrap();
        for number in 0..100 {
            writeln!(log, "line {number}").unwrap();
        }
        write!(log, "\u{1b}[31mred{}", "x".repeat(10_000)).unwrap();
        let end = log.into_end();
        assert_eq!(end.tail.len(), TAIL_LINES);
        assert_eq!(end.tail[0], "line 81");
        assert!(end.tail[19].starts_with("[31mredxxx"));
        assert_eq!(end.tail[19].len(), TAIL_LINE);
        assert_eq!(end.command.as_deref(), Some("make -j2"));
        assert_eq!(end.log, path);
        let heard = heard.into_inner();
        assert_eq!(heard.len(), 102);
        assert_eq!(heard[0], "+ make -j2");
        assert!(heard[101].len() <= LINE_BYTES);
        let whole = fs_err::read_to_string(path).unwrap();
        assert!(whole.starts_with("+ make -j2\nline 0\n"));
        assert!(whole.len() > 10_000);
    }

    #[test]
    fn only_what_the_shell_shows_is_a_command() {
        let command = |text: &str| {
            let folder = tempfile::tempdir().unwrap();
            let mut log = StepLog::create(&folder.path().join("b.log"), None).unwrap();
            log.write_all(text.as_bytes()).unwrap();
            log.into_end().command
        };
        for (text, expected) in [
            ("", None),
            ("no command\n +not one\n+neither\n", None),
            (
                "+ a\n+ b 'c d'\nb says\n++ in a subshell\n",
                Some("b 'c d'"),
            ),
            ("+ cut off", Some("cut off")),
        ] {
            assert_eq!(command(text).as_deref(), expected, "{text:?}");
        }
    }
}
