//! A queue of work that is due two rounds later.

use std::collections::VecDeque;

use crate::limits::DELAYED_AT_MOST;
use crate::round::Round;

/// Work that is due two rounds later, in the order in which it came.
#[derive(Debug)]
pub(crate) struct DelayQueue<T> {
    queue: VecDeque<(Round, T)>,
}

/// An entry that left the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expired<T> {
    /// The work.
    pub(crate) what: T,
    /// Whether it left the queue too early, because the queue was full.
    pub(crate) evicted: bool,
}

impl<T> Default for DelayQueue<T> {
    fn default() -> Self {
        Self { queue: VecDeque::new() }
    }
}

impl<T> DelayQueue<T> {
    /// Notes something in round `now`.
    pub(crate) fn push(&mut self, now: Round, what: T) {
        self.queue.push_back((now, what));
    }

    /// The next entry that is due, or for which there is no room any more.
    pub(crate) fn pop_expired(&mut self, now: Round) -> Option<Expired<T>> {
        let (noted, _) = self.queue.front()?;
        let evicted = noted.is_recent(now);
        if evicted && self.queue.len() <= DELAYED_AT_MOST {
            return None;
        }
        self.queue.pop_front().map(|(_, what)| Expired { what, evicted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_expire_two_rounds_later_and_in_order() {
        let mut queue = DelayQueue::default();
        queue.push(Round(5), 'a');
        queue.push(Round(6), 'b');
        assert_eq!(queue.pop_expired(Round(6)), None);
        assert_eq!(queue.pop_expired(Round(7)), Some(Expired { what: 'a', evicted: false }));
        assert_eq!(queue.pop_expired(Round(7)), None);
        assert_eq!(queue.pop_expired(Round(8)), Some(Expired { what: 'b', evicted: false }));
        assert_eq!(queue.pop_expired(Round(8)), None);
    }

    #[test]
    fn without_rounds_the_oldest_go_first() {
        let mut queue = DelayQueue::default();
        for n in 0..=DELAYED_AT_MOST {
            queue.push(Round(0), n);
        }
        assert_eq!(queue.pop_expired(Round(0)), Some(Expired { what: 0, evicted: true }));
        assert_eq!(queue.pop_expired(Round(0)), None);
    }
}
