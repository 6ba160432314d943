//! In which order pieces of work are begun: what waits for what, and which of those that wait for
//! nothing comes first.
//!
//! First comes what the longest way to the end leads through, by the times that pieces took before:
//! while it runs, others can run beside it, and nothing is left that only one worker could do at the
//! end. Of equal ones the name decides, so that two runs begin alike.
//!
//! Pieces are numbers: their places in a list in which each stands after what it needs. Taking one,
//! and ending one, looks only at those that wait for it, however many there are.

use std::collections::BTreeSet;
use std::time::Duration;

/// One piece of work, as far as its order matters.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    /// Decides between pieces with equally long ways to the end.
    pub(crate) name: String,
    /// Pieces that come before it; each stands before it in the list.
    pub(crate) needs: Vec<usize>,
    /// How long it will take, as far as one can say.
    pub(crate) length: Duration,
}

/// Where a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Not begun, or put back.
    Waiting,
    /// Somebody is at it.
    Begun,
    /// Done, or failed.
    Ended,
}

/// What is still to be begun.
#[derive(Debug)]
pub(crate) struct Queue {
    /// The pieces that each one waits for.
    needs: Vec<Vec<usize>>,
    /// The pieces that wait for each one.
    users: Vec<Vec<usize>>,
    /// The place of each piece in the order of preference.
    rank: Vec<usize>,
    /// Where each piece is.
    place: Vec<Place>,
    /// Pieces that wait for nothing and were not begun, with their rank before them.
    ready: BTreeSet<(usize, usize)>,
    /// Such as were put back, until they are brought back.
    put_back: BTreeSet<(usize, usize)>,
    /// For each piece what failed that it needs, first failure first come.
    blocked: Vec<Option<usize>>,
    /// Pieces that were not begun and can still be.
    waiting: usize,
}

impl Queue {
    /// Takes pieces in an order in which each stands after what it needs.
    pub(crate) fn new(pieces: &[Piece]) -> Self {
        let mut users = vec![Vec::new(); pieces.len()];
        for (number, piece) in pieces.iter().enumerate() {
            for needed in &piece.needs {
                users[*needed].push(number);
            }
        }
        let rank = ranks(pieces, &users);
        let free = (0..pieces.len()).filter(|number| pieces[*number].needs.is_empty());
        Self {
            ready: free.map(|number| (rank[number], number)).collect(),
            put_back: BTreeSet::new(),
            place: vec![Place::Waiting; pieces.len()],
            needs: pieces.iter().map(|piece| piece.needs.clone()).collect(),
            users,
            rank,
            blocked: vec![None; pieces.len()],
            waiting: pieces.len(),
        }
    }

    /// Takes the piece that is to be begun next, if there is one that can be.
    pub(crate) fn take(&mut self) -> Option<usize> {
        let (_, number) = self.ready.pop_first()?;
        self.waiting -= 1;
        self.place[number] = Place::Begun;
        Some(number)
    }

    /// Takes note that a piece needs not be begun: it is done already.
    pub(crate) fn skip(&mut self, number: usize) {
        if self.ready.remove(&(self.rank[number], number)) {
            self.waiting -= 1;
            self.end(number);
        }
    }

    /// Takes back a piece that was begun and can not be done now; it comes again when it is brought back,
    /// or when what it waits for is done.
    pub(crate) fn put_back(&mut self, number: usize) {
        self.place[number] = Place::Waiting;
        // Something that it needs may have failed meanwhile.
        if self.blocked[number].is_some() {
            return;
        }
        self.waiting += 1;
        if self.is_free(number) {
            self.put_back.insert((self.rank[number], number));
        }
    }

    /// Returns whether something was put back.
    pub(crate) fn has_put_back(&self) -> bool {
        !self.put_back.is_empty()
    }

    /// Lets what was put back be taken again.
    pub(crate) fn bring_back(&mut self) {
        self.ready.append(&mut self.put_back);
    }

    /// Takes note that a piece is done: who waited for it alone can be begun. To say so twice is to say it
    /// once.
    pub(crate) fn end(&mut self, number: usize) {
        if std::mem::replace(&mut self.place[number], Place::Ended) == Place::Ended {
            return;
        }
        for place in 0..self.users[number].len() {
            let user = self.users[number][place];
            if self.is_open(user) && self.is_free(user) {
                self.ready.insert((self.rank[user], user));
            }
        }
    }

    /// Takes note that a piece that was done is to be done again: who was not begun waits for it again.
    pub(crate) fn reopen(&mut self, number: usize) {
        if self.place[number] != Place::Ended {
            return;
        }
        self.place[number] = Place::Waiting;
        for user in &self.users[number] {
            self.ready.remove(&(self.rank[*user], *user));
            self.put_back.remove(&(self.rank[*user], *user));
        }
        if self.blocked[number].is_none() {
            self.waiting += 1;
            if self.is_free(number) {
                self.ready.insert((self.rank[number], number));
            }
        }
    }

    /// Returns whether everything that a piece needs is done.
    fn is_free(&self, number: usize) -> bool {
        let mut needs = self.needs[number].iter();
        needs.all(|needed| self.place[*needed] == Place::Ended)
    }

    fn is_open(&self, number: usize) -> bool {
        self.place[number] == Place::Waiting && self.blocked[number].is_none()
    }

    /// Takes note that a piece failed: nothing that needs it will be begun.
    pub(crate) fn fail(&mut self, number: usize) {
        self.place[number] = Place::Ended;
        let mut open = vec![number];
        while let Some(next) = open.pop() {
            for user in &self.users[next] {
                if self.blocked[*user].is_none() {
                    self.blocked[*user] = Some(number);
                    // One that is being done already is not waited for.
                    if self.place[*user] == Place::Waiting {
                        self.waiting -= 1;
                    }
                    open.push(*user);
                }
            }
        }
    }

    /// Returns what failed that a piece needs.
    pub(crate) fn blocked_by(&self, number: usize) -> Option<usize> {
        self.blocked[number]
    }

    /// Returns whether there is nothing that could still be begun, now or later.
    pub(crate) const fn is_empty(&self) -> bool {
        self.waiting == 0
    }
}

/// Returns the place of each piece in the order of preference.
fn ranks(pieces: &[Piece], users: &[Vec<usize>]) -> Vec<usize> {
    let mut ahead = vec![Duration::ZERO; pieces.len()];
    for number in (0..pieces.len()).rev() {
        let longest = users[number].iter().map(|user| ahead[*user]).max();
        ahead[number] = pieces[number].length + longest.unwrap_or_default();
    }
    let mut order: Vec<usize> = (0..pieces.len()).collect();
    order.sort_by(|a, b| {
        let by_way = ahead[*b].cmp(&ahead[*a]);
        let by_name = || pieces[*a].name.cmp(&pieces[*b].name);
        by_way.then_with(by_name).then_with(|| a.cmp(b))
    });
    let mut ranks = vec![0; pieces.len()];
    for (rank, number) in order.into_iter().enumerate() {
        ranks[number] = rank;
    }
    ranks
}

/// Returns how long all of it takes with so many workers, each of which takes the next piece as soon
/// as it is free.
pub(crate) fn span(pieces: &[Piece], workers: usize) -> Duration {
    let mut queue = Queue::new(pieces);
    let mut running: BTreeSet<(Duration, usize)> = BTreeSet::new();
    let mut now = Duration::ZERO;
    loop {
        while running.len() < workers
            && let Some(number) = queue.take()
        {
            running.insert((now + pieces[number].length, number));
        }
        let Some((end, number)) = running.pop_first() else {
            return now;
        };
        now = end;
        queue.end(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(name: &str, needs: &[usize], seconds: u64) -> Piece {
        Piece {
            name: name.to_owned(),
            needs: needs.to_vec(),
            length: Duration::from_secs(seconds),
        }
    }

    /// Returns the names in the order in which one worker takes them.
    fn order(pieces: &[Piece]) -> Vec<&str> {
        let mut queue = Queue::new(pieces);
        let mut names = Vec::new();
        while let Some(number) = queue.take() {
            names.push(pieces[number].name.as_str());
            queue.end(number);
        }
        assert!(queue.is_empty());
        names
    }

    #[test]
    fn the_longest_way_to_the_end_comes_first_and_then_the_name() {
        let pieces = [
            piece("z", &[], 1),
            piece("zlib", &[], 5),
            piece("openssl", &[], 90),
            piece("curl", &[1, 2], 30),
            piece("a", &[], 1),
            piece("tail", &[], 119),
        ];
        assert_eq!(
            order(&pieces),
            ["openssl", "tail", "zlib", "curl", "a", "z"],
            "openssl leads to curl: 120 s; zlib to curl: 35 s"
        );
        assert_eq!(order(&[]), [""; 0]);
    }

    #[test]
    fn what_is_done_already_is_never_taken() {
        let pieces = [piece("a", &[], 1), piece("b", &[0], 1), piece("c", &[1], 1)];
        let mut queue = Queue::new(&pieces);
        queue.skip(0);
        queue.end(0);
        queue.skip(1);
        assert_eq!(queue.take(), Some(2));
        assert_eq!(queue.take(), None);
        assert!(queue.is_empty());
    }

    #[test]
    fn what_was_put_back_comes_again_and_what_was_lost_is_waited_for_again() {
        // c needs b needs a; d needs nothing.
        let pieces = [
            piece("a", &[], 9),
            piece("b", &[0], 5),
            piece("c", &[1], 1),
            piece("d", &[], 1),
        ];
        let mut queue = Queue::new(&pieces);
        assert_eq!(queue.take(), Some(0));
        queue.put_back(0);
        assert_eq!(queue.take(), Some(3), "other work comes first");
        assert_eq!(queue.take(), None);
        assert!(queue.has_put_back() && !queue.is_empty());
        queue.bring_back();
        assert_eq!(queue.take(), Some(0));
        queue.end(0);
        queue.end(3);
        assert_eq!(queue.take(), Some(1));
        queue.end(1);
        assert_eq!(queue.take(), Some(2));
        // c finds that b and a are damaged: both are made again, in their order, and then c.
        queue.reopen(1);
        queue.reopen(0);
        queue.put_back(2);
        assert_eq!(order_of_rest(&mut queue), [0, 1, 2]);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_library_that_was_lost_is_waited_for_by_all_above_it() {
        // b, c carries b, the package of c needs both: c is there, b proves damaged.
        let pieces = [
            piece("b", &[], 9),
            piece("c", &[0], 5),
            piece("c (package)", &[0, 1], 1),
        ];
        let mut queue = Queue::new(&pieces);
        queue.skip(0);
        queue.skip(1);
        assert_eq!(queue.take(), Some(2));
        queue.reopen(0);
        queue.put_back(2);
        assert!(
            !queue.has_put_back(),
            "it waits for b, not for another kiln"
        );
        assert_eq!(queue.take(), Some(0));
        queue.bring_back();
        assert_eq!(queue.take(), None);
        // While b is made again, c proves damaged too; then b fails for good.
        queue.reopen(1);
        assert_eq!(queue.take(), None);
        queue.fail(0);
        assert!(queue.is_empty());
        assert_eq!(
            (queue.blocked_by(1), queue.blocked_by(2)),
            (Some(0), Some(0))
        );
        queue.reopen(1);
        assert_eq!(queue.take(), None);
    }

    fn order_of_rest(queue: &mut Queue) -> Vec<usize> {
        let mut taken = Vec::new();
        loop {
            queue.bring_back();
            let Some(number) = queue.take() else {
                return taken;
            };
            taken.push(number);
            queue.end(number);
        }
    }

    #[test]
    fn what_needs_a_failure_is_blocked_by_the_first_one() {
        // c needs a and b, d needs c, e needs nothing.
        let pieces = [
            piece("a", &[], 9),
            piece("b", &[], 8),
            piece("c", &[0, 1], 1),
            piece("d", &[2], 1),
            piece("e", &[], 1),
        ];
        let mut queue = Queue::new(&pieces);
        assert_eq!((queue.take(), queue.take()), (Some(0), Some(1)));
        queue.fail(1);
        queue.fail(0);
        let blocked: Vec<_> = (0..5).map(|number| queue.blocked_by(number)).collect();
        assert_eq!(blocked, [None, None, Some(1), Some(1), None]);
        assert!(!queue.is_empty());
        assert_eq!(queue.take(), Some(4));
        assert!(queue.is_empty(), "although c and d were never begun");
    }

    #[test]
    fn two_workers_take_as_long_as_the_longest_way_or_half_of_all() {
        let way = [
            piece("a", &[], 10),
            piece("b", &[0], 10),
            piece("c", &[], 3),
        ];
        let wide = ["a", "b", "c", "d"].map(|name| piece(name, &[], 10));
        for (pieces, workers, seconds) in [
            (&way[..], 2, 20),
            (&way, 1, 23),
            (&wide, 2, 20),
            (&wide, 3, 20),
            (&wide, 4, 10),
            (&[], 2, 0),
        ] {
            assert_eq!(span(pieces, workers).as_secs(), seconds, "{workers}");
        }
    }

    #[test]
    fn no_worker_idles_at_the_end_because_of_a_long_piece_that_began_late() {
        // By name, `z` would begin last and take 10 s more.
        let mut pieces: Vec<Piece> = (0..10).map(|n| piece(&format!("a{n}"), &[], 1)).collect();
        pieces.push(piece("z", &[], 10));
        assert_eq!(span(&pieces, 2), Duration::from_secs(10));
    }
}
