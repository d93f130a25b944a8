//! Rounds: how long something is remembered that out-of-order records may still ask for.
//!
//! A producer empties one CPU's buffer after the other and then writes FINISHED_ROUND. Records of one round stand
//! in any order of time; what belongs together stands in the same round, or on the two sides of one mark. So what
//! is kept for two rounds is kept long enough.

use std::collections::VecDeque;

use crate::limits::KEPT_AT_MOST;

/// After how many rounds nothing asks any more.
pub const ROUNDS_KEPT: u64 = 2;

/// A number that grows by one a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Round(pub u64);

impl Round {
    /// Whether something of this round is still asked for in round `now`.
    #[must_use]
    pub fn is_recent(self, now: Self) -> bool {
        now.0.saturating_sub(self.0) < ROUNDS_KEPT
    }
}

/// Things to be done two rounds later, in the order in which they came.
#[derive(Debug)]
pub struct Later<T> {
    queue: VecDeque<(Round, T)>,
}

/// Something whose time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due<T> {
    /// What.
    pub what: T,
    /// Whether it has come too soon, for want of room.
    pub crowded: bool,
}

impl<T> Default for Later<T> {
    fn default() -> Self {
        Self { queue: VecDeque::new() }
    }
}

impl<T> Later<T> {
    /// Notes something in round `now`.
    pub fn push(&mut self, now: Round, what: T) {
        self.queue.push_back((now, what));
    }

    /// The next thing whose time has come, or for which there is no room any more.
    pub fn pop_due(&mut self, now: Round) -> Option<Due<T>> {
        let (noted, _) = self.queue.front()?;
        let crowded = noted.is_recent(now);
        if crowded && self.queue.len() <= KEPT_AT_MOST {
            return None;
        }
        self.queue.pop_front().map(|(_, what)| Due { what, crowded })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_due_two_rounds_later_and_in_order() {
        let mut later = Later::default();
        later.push(Round(5), 'a');
        later.push(Round(6), 'b');
        assert_eq!(later.pop_due(Round(6)), None);
        assert_eq!(later.pop_due(Round(7)), Some(Due { what: 'a', crowded: false }));
        assert_eq!(later.pop_due(Round(7)), None);
        assert_eq!(later.pop_due(Round(8)), Some(Due { what: 'b', crowded: false }));
        assert_eq!(later.pop_due(Round(8)), None);
    }

    #[test]
    fn without_rounds_the_oldest_go_first() {
        let mut later = Later::default();
        for n in 0..=KEPT_AT_MOST {
            later.push(Round(0), n);
        }
        assert_eq!(later.pop_due(Round(0)), Some(Due { what: 0, crowded: true }));
        assert_eq!(later.pop_due(Round(0)), None);
    }
}
