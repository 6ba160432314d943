//! Bytes that are no text: addresses of memory, times as numbers, random ones.

use super::{Both, Candidate, Strength};
use crate::cause::Cause;

/// Reads the bytes back that [`crate::printable::hex`] wrote.
pub(super) fn parsed(text: &str) -> Option<Vec<u8>> {
    let (digits, _) = text.split_once("  |")?;
    let bytes: Option<Vec<u8>> = digits
        .split(' ')
        .map(|pair| match pair.len() {
            2 => u8::from_str_radix(pair, 16).ok(),
            _ => None,
        })
        .collect();
    bytes.filter(|bytes| !bytes.is_empty())
}

/// Returns what differing bytes speak for.
pub(super) fn candidates(left: &[u8], right: &[u8], both: Both<'_>) -> Vec<Candidate> {
    let mut found = Vec::new();
    found.extend(addresses(left, right));
    found.extend(times(left, right, both));
    found.extend(random(left, right));
    found.extend(padding(left, right));
    found
}

fn words<const N: usize>(left: &[u8], right: &[u8]) -> Vec<([u8; N], [u8; N])> {
    let pairs = left.chunks_exact(N).zip(right.chunks_exact(N));
    let pairs = pairs.filter(|(left, right)| left != right);
    let arrays = pairs.filter_map(|(left, right)| {
        Some((
            <[u8; N]>::try_from(left).ok()?,
            <[u8; N]>::try_from(right).ok()?,
        ))
    });
    arrays.collect()
}

/// Whether a number could be an address of a program, its libraries, heap or stack on 64-bit Linux.
pub(super) const fn is_address(number: u64) -> bool {
    matches!(number >> 40, 0x55 | 0x56 | 0x7e | 0x7f)
}

fn addresses(left: &[u8], right: &[u8]) -> Option<Candidate> {
    let pairs = words::<8>(left, right);
    let mut numbers = pairs.iter().flat_map(|(left, right)| {
        let of = [(u64::from_le_bytes(*left), u64::from_le_bytes(*right))];
        of.into_iter()
    });
    let (left, right) = numbers.find(|(left, right)| is_address(*left) && is_address(*right))?;
    Some(address(left, right))
}

/// What two addresses say: where only their page differs, it was chosen at random.
pub(super) fn address(left: u64, right: u64) -> Candidate {
    let is_same_page_offset = left & 0xfff == right & 0xfff;
    let (strength, how) = match is_same_page_offset {
        true => (Strength::Certain, "the same place of a page"),
        false => (Strength::Likely, "another place"),
    };
    Candidate::new(
        Cause::Memory,
        strength,
        format!("{left:#x} and {right:#x} are addresses of memory, {how}"),
    )
}

/// Most seconds that a build's clock may be off what is read from it: a file system's granularity.
const SLACK: i64 = 2;

/// From 2015 to 2050: what the clock of a build can be expected to say.
const PLAUSIBLE: std::ops::Range<u64> = 1_420_070_400..2_524_608_000;

/// Seconds since 1970 as 32 or 64 bits. Four random bytes often look like a time, so that only the
/// clocks of the builds make one of them; eight do not, with four of them zero on both sides.
fn times(left: &[u8], right: &[u8], (one, two): Both<'_>) -> Option<Candidate> {
    let told =
        |left: u64, right: u64| format!("{left} and {right} are seconds since 1970, as numbers");
    if let (Some(one), Some(two)) = (one.clock, two.clock) {
        let fits = |left: u32, right: u32| {
            left != right && one.has(left.into(), SLACK) && two.has(right.into(), SLACK)
        };
        for (left, right) in words::<4>(left, right) {
            let little = (u32::from_le_bytes(left), u32::from_le_bytes(right));
            let big = (u32::from_be_bytes(left), u32::from_be_bytes(right));
            for (left, right) in [little, big] {
                if fits(left, right) {
                    let evidence =
                        format!("{}, within the two builds", told(left.into(), right.into()));
                    return Some(Candidate::new(
                        Cause::Timestamp,
                        Strength::Certain,
                        evidence,
                    ));
                }
            }
        }
    }
    let pairs = words::<8>(left, right).into_iter();
    let mut pairs =
        pairs.map(|(left, right)| (u64::from_le_bytes(left), u64::from_le_bytes(right)));
    let (left, right) =
        pairs.find(|(left, right)| PLAUSIBLE.contains(left) && PLAUSIBLE.contains(right))?;
    Some(Candidate::new(
        Cause::Timestamp,
        Strength::Likely,
        told(left, right),
    ))
}

/// Bytes without anything in common, all of them unlike each other.
fn random(left: &[u8], right: &[u8]) -> Option<Candidate> {
    const FEWEST: usize = 8;
    let differing: Vec<(u8, u8)> = left
        .iter()
        .zip(right)
        .filter(|(left, right)| left != right)
        .map(|(left, right)| (*left, *right))
        .collect();
    let spread = |bytes: Vec<u8>| {
        let mut bytes = bytes;
        bytes.sort_unstable();
        bytes.dedup();
        bytes.len() * 4 >= differing.len() * 3
    };
    let is_random = differing.len() >= FEWEST
        && spread(differing.iter().map(|(left, _)| *left).collect())
        && spread(differing.iter().map(|(_, right)| *right).collect());
    is_random.then(|| {
        let evidence = format!("{} bytes in a row have nothing in common", differing.len());
        Candidate::new(Cause::Random, Strength::Possible, evidence)
    })
}

/// Bytes that one side has and the other leaves empty.
fn padding(left: &[u8], right: &[u8]) -> Option<Candidate> {
    let differing: Vec<(u8, u8)> = left
        .iter()
        .zip(right)
        .filter(|(left, right)| left != right)
        .map(|(left, right)| (*left, *right))
        .collect();
    let is_empty = |zero: fn(&(u8, u8)) -> u8| {
        differing.len() < 8 && differing.iter().all(|pair| zero(pair) == 0)
    };
    let is_padding = differing.len() > 1 && (is_empty(|pair| pair.0) || is_empty(|pair| pair.1));
    is_padding.then(|| {
        let evidence = "one side is empty where the other has bytes, as memory that nobody wrote";
        Candidate::new(Cause::Memory, Strength::Possible, evidence)
    })
}
