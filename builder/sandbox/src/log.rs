//! Keeps the first bytes of a step's output and its last ones, and counts what was between.

use std::io::{self, Write};

/// Bytes at the end of the output that are kept although the limit was passed: a step that fails says
/// why in its last lines.
const END: usize = 8 * 1024;

/// Copies to the caller's log up to a limit; memory use does not depend on what the step prints.
pub(crate) struct LimitedLog<'a> {
    sink: &'a mut dyn Write,
    /// Bytes that may still be kept.
    remaining: u64,
    limit: u64,
    /// Bytes that came after the limit.
    dropped: u64,
    /// The last of them.
    end: Vec<u8>,
    ends_in_newline: bool,
}

impl<'a> LimitedLog<'a> {
    /// Returns a log that keeps `limit` bytes.
    pub(crate) fn new(sink: &'a mut dyn Write, limit: u64) -> Self {
        Self {
            sink,
            remaining: limit,
            limit,
            dropped: 0,
            end: Vec::new(),
            ends_in_newline: true,
        }
    }

    /// Keeps what fits of `bytes` and counts the rest.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let fits =
            usize::try_from(self.remaining).map_or(bytes.len(), |room| room.min(bytes.len()));
        let (kept, rest) = bytes.split_at(fits);
        if let Some(last) = kept.last() {
            self.ends_in_newline = *last == b'\n';
            self.sink.write_all(kept)?;
            self.remaining -= fits as u64;
        }
        self.dropped = self.dropped.saturating_add(rest.len() as u64);
        let rest = &rest[rest.len().saturating_sub(END)..];
        self.end.extend_from_slice(rest);
        // Moved only when twice as much is there, so that small pieces cost little.
        if self.end.len() > 2 * END {
            self.end.drain(..self.end.len() - END);
        }
        Ok(())
    }

    /// Says on one line how much was dropped, if anything was, and adds the last lines.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        if self.dropped > 0 {
            let end = self.last_lines();
            let dropped = self.dropped - end.len() as u64;
            let start = if self.ends_in_newline { "" } else { "\n" };
            let then = if end.is_empty() {
                ""
            } else {
                "; the last lines:"
            };
            let line = format!(
                "{start}kiln: the log limit of {} bytes was reached; {dropped} more bytes were \
                 dropped{then}\n",
                self.limit
            );
            self.sink.write_all(line.as_bytes())?;
            self.sink.write_all(&end)?;
            if end.last().is_some_and(|last| *last != b'\n') {
                self.sink.write_all(b"\n")?;
            }
        }
        self.sink.flush()
    }

    /// Returns the whole lines among the last bytes.
    fn last_lines(&mut self) -> Vec<u8> {
        let end = std::mem::take(&mut self.end);
        let end = &end[end.len().saturating_sub(END)..];
        // The first line may have begun before the limit, or before what was kept.
        match end.iter().position(|byte| *byte == b'\n') {
            Some(first) => end[first + 1..].to_vec(),
            None => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(limit: u64, pieces: &[&str], expected: &str) {
        let mut kept = Vec::new();
        let mut log = LimitedLog::new(&mut kept, limit);
        for piece in pieces {
            log.append(piece.as_bytes()).unwrap();
        }
        log.finish().unwrap();
        assert_eq!(String::from_utf8(kept).unwrap(), expected);
    }

    #[test]
    fn output_is_cut_at_the_limit_with_one_line_that_says_so() {
        check(10, &["abc\n", "def\n"], "abc\ndef\n");
        check(8, &["abc\n", "def\n"], "abc\ndef\n");
        check(
            6,
            &["abc\n", "def\n", "ghi\n"],
            "abc\nde\nkiln: the log limit of 6 bytes was reached; 2 more bytes were dropped; the \
             last lines:\nghi\n",
        );
        check(
            4,
            &["abc\n", "def\n"],
            "abc\nkiln: the log limit of 4 bytes was reached; 4 more bytes were dropped\n",
        );
        check(
            0,
            &["x"],
            "kiln: the log limit of 0 bytes was reached; 1 more bytes were dropped\n",
        );
    }

    #[test]
    fn of_a_flood_the_first_and_the_last_lines_are_kept() {
        let mut kept = Vec::new();
        let mut log = LimitedLog::new(&mut kept, 100);
        let line = "x".repeat(99) + "\n";
        for _ in 0..100_000 {
            log.append(line.as_bytes()).unwrap();
        }
        log.append(b"this is why").unwrap();
        assert!(log.end.capacity() <= 8 * END, "memory is bounded");
        log.finish().unwrap();
        let text = String::from_utf8(kept).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        // 81 whole lines of 100 bytes fit into the kept end beside the last one.
        assert_eq!(lines.len(), 1 + 1 + 81 + 1);
        assert_eq!(lines[0].len(), 99);
        let dropped = 9_999_900 - 8100;
        assert_eq!(
            lines[1],
            format!(
                "kiln: the log limit of 100 bytes was reached; {dropped} more bytes were dropped; \
                 the last lines:"
            )
        );
        assert_eq!(lines[83], "this is why");
    }
}
