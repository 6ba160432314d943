//! Packet lines (gitprotocol-common(5)): how git frames what it says over HTTP.
//!
//! | first four bytes | meaning |
//! |---|---|
//! | `0000` | flush: the end of a list or an answer |
//! | `0001` | delimiter: the end of a section |
//! | `0002` | the end of an answer |
//! | `0004` to `fff0`, hexadecimal | a packet of so many bytes, these four included |

use crate::fetch::{AttemptError, Body, BodyKind, Received};

/// Longest packet, its length included: LARGE_PACKET_MAX of git.
const MAX_PACKET: usize = 65520;

/// Bytes of a packet's length.
const LENGTH: usize = 4;

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Packet {
    /// Content.
    Data(Vec<u8>),
    /// `0000`.
    Flush,
    /// `0001`.
    Delimiter,
    /// `0002`.
    End,
}

impl Packet {
    /// Returns the content as a text without the line feed at its end.
    pub(super) fn text(&self) -> Option<String> {
        let Self::Data(bytes) = self else {
            return None;
        };
        let text = String::from_utf8_lossy(bytes);
        Some(text.trim_end_matches('\n').to_owned())
    }
}

/// Writes a packet.
pub(super) fn write(request: &mut Vec<u8>, text: &str) {
    let length = text.len() + LENGTH;
    debug_assert!(length <= MAX_PACKET, "requests are short");
    request.extend_from_slice(format!("{length:04x}{text}").as_bytes());
}

/// Ends a request.
pub(super) fn write_flush(request: &mut Vec<u8>) {
    request.extend_from_slice(b"0000");
}

/// Ends a section of a request.
pub(super) fn write_delimiter(request: &mut Vec<u8>) {
    request.extend_from_slice(b"0001");
}

/// Takes the next packet off the front of `buffer`; `None` while it is not whole.
///
/// # Errors
/// What is wrong with it.
fn take(buffer: &[u8], start: &mut usize) -> Result<Option<Packet>, AttemptError> {
    let rest = &buffer[*start..];
    let Some(length) = rest.get(..LENGTH) else {
        return Ok(None);
    };
    let is_hex = length.iter().all(u8::is_ascii_hexdigit);
    let length = std::str::from_utf8(length).ok().filter(|_| is_hex);
    let length = length.and_then(|text| usize::from_str_radix(text, 16).ok());
    let packet = match length {
        Some(0) => Packet::Flush,
        Some(1) => Packet::Delimiter,
        Some(2) => Packet::End,
        Some(length) if (LENGTH..=MAX_PACKET).contains(&length) => {
            let Some(content) = rest.get(LENGTH..length) else {
                return Ok(None);
            };
            let content = content.to_vec();
            *start += length;
            return Ok(Some(Packet::Data(content)));
        }
        _ => return Err(unreadable("a packet has no length")),
    };
    *start += LENGTH;
    Ok(Some(packet))
}

/// An answer that git's protocol does not have.
pub(super) fn unreadable(reason: impl Into<String>) -> AttemptError {
    AttemptError::GitProtocol {
        reason: reason.into(),
    }
}

/// Packets of an answer while it comes.
pub(super) struct Packets {
    body: Body,
    buffer: Vec<u8>,
    start: usize,
    received: u64,
    limit: u64,
}

impl Packets {
    /// Reads at most `limit` bytes.
    pub(super) fn new(body: Body, limit: u64) -> Self {
        Self {
            body,
            buffer: Vec::new(),
            start: 0,
            received: 0,
            limit,
        }
    }

    /// Returns the bytes that came so far.
    pub(super) const fn received(&self) -> u64 {
        self.received
    }

    /// Returns the next packet; `None` at the end of the answer.
    pub(super) async fn next(&mut self) -> Result<Option<Packet>, AttemptError> {
        loop {
            if let Some(packet) = take(&self.buffer, &mut self.start)? {
                return Ok(Some(packet));
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            match self.body.next_chunk().await? {
                Some(bytes) => {
                    self.received += bytes.len() as u64;
                    if self.received > self.limit {
                        return Err(AttemptError::Limit {
                            limit: self.limit,
                            actual: Received::AtLeast(self.received),
                            kind: BodyKind::Other,
                        });
                    }
                    self.buffer.extend_from_slice(&bytes);
                }
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(unreadable("it ends within a packet")),
            }
        }
    }

    /// Returns the next packet, which must be there.
    pub(super) async fn expect(&mut self) -> Result<Packet, AttemptError> {
        match self.next().await? {
            Some(packet) => Ok(packet),
            None => Err(unreadable("it ends too early")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<Packet>, AttemptError> {
        let mut start = 0;
        let mut packets = Vec::new();
        while let Some(packet) = take(bytes, &mut start)? {
            packets.push(packet);
        }
        Ok(packets)
    }

    #[test]
    fn packets_are_taken_off_one_by_one() {
        let mut request = Vec::new();
        write(&mut request, "command=ls-refs\n");
        write_delimiter(&mut request);
        write_flush(&mut request);
        assert_eq!(request, b"0014command=ls-refs\n00010000");
        let packets = all(&request).unwrap();
        assert_eq!(packets[0].text().as_deref(), Some("command=ls-refs"));
        assert_eq!(packets[1..], [Packet::Delimiter, Packet::Flush]);
        assert_eq!(all(b"0004").unwrap(), [Packet::Data(Vec::new())]);
        for at in 0..request.len() {
            for byte in [0, b' ', b'0', b'f', b'g', 0xff] {
                let mut changed = request.clone();
                changed[at] = byte;
                let _ = all(&changed);
            }
        }
        // Not whole.
        assert_eq!(all(b"0014comm").unwrap(), []);
        assert_eq!(all(b"00").unwrap(), []);
        for wrong in ["0003", "fff1", "ffff", "+004", "zzzz", "<htm"] {
            assert!(all(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
