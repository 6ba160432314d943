//! The same for many things, on several threads.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Things that are worth a thread of their own: starting one takes as long as reading a small recipe.
const LEAST: usize = 6;

/// Threads that [`by_turns`] takes at most: what is copied by them shares one disk.
const MOST_TURNS: usize = 8;

/// Returns what `work` makes of each item, in their order. For many small items.
pub(crate) fn side_by_side<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    on_threads(items.len() / LEAST, items, work)
}

/// Returns what `work` makes of each item, in their order. For items of very different sizes: the largest
/// should come first.
pub(crate) fn by_turns<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    on_threads(items.len().min(MOST_TURNS), items, work)
}

/// Does it on so many threads, and no more than there are processors: whoever is free takes the next item.
fn on_threads<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let next = AtomicUsize::new(0);
    let take = || {
        let places = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let mine = places.map_while(|place| Some((place, work(items.get(place)?))));
        mine.collect::<Vec<(usize, R)>>()
    };
    let mut made = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(processors))
            .map(|_| scope.spawn(take))
            .collect();
        let mut made = take();
        for other in others {
            match other.join() {
                Ok(more) => made.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        made
    });
    made.sort_by_key(|(place, _)| *place);
    made.into_iter().map(|(_, made)| made).collect()
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
            assert_eq!(by_turns(&items, |item| item * 2), expected);
        }
    }
}
