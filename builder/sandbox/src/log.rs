//! Keeps the first bytes of a step's output and counts the rest.

use std::io::{self, Write};

/// Copies to the caller's log up to a limit; memory use does not depend on what the step prints.
pub(crate) struct LimitedLog<'a> {
    sink: &'a mut dyn Write,
    /// Bytes that may still be kept.
    remaining: u64,
    limit: u64,
    dropped: u64,
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
        Ok(())
    }

    /// Says on one line how much was dropped, if anything was.
    pub(crate) fn finish(self) -> io::Result<()> {
        if self.dropped > 0 {
            let start = if self.ends_in_newline { "" } else { "\n" };
            let line = format!(
                "{start}kiln: the log limit of {} bytes was reached; {} more bytes were dropped\n",
                self.limit, self.dropped
            );
            self.sink.write_all(line.as_bytes())?;
        }
        self.sink.flush()
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
            "abc\nde\nkiln: the log limit of 6 bytes was reached; 6 more bytes were dropped\n",
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
}
