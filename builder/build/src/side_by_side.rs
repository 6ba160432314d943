//! The same for many things, on several threads.

use std::num::NonZero;

/// Things that are worth a thread of their own: starting one takes as long as reading a small recipe.
const LEAST: usize = 6;

/// Returns what `work` makes of each item, in their order.
pub(crate) fn side_by_side<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = (items.len() / LEAST).clamp(1, processors);
    let mut parts = items.chunks(items.len().div_ceil(threads).max(1));
    let own = parts.next().unwrap_or_default();
    let part = |items: &[T]| items.iter().map(&work).collect::<Vec<R>>();
    std::thread::scope(|scope| {
        let others: Vec<_> = parts.map(|items| scope.spawn(|| part(items))).collect();
        let mut made = part(own);
        for other in others {
            match other.join() {
                Ok(more) => made.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        made
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_done_once_and_in_order() {
        for count in [0, 1, LEAST - 1, LEAST, 2 * LEAST, 2 * LEAST + 1, 1000] {
            let items: Vec<usize> = (0..count).collect();
            let made = side_by_side(&items, |item| item * 2);
            let expected: Vec<usize> = items.iter().map(|item| item * 2).collect();
            assert_eq!(made, expected);
        }
    }
}
