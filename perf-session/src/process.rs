//! Processes and their threads, as far as lookups of addresses need them: which threads share an address space, and
//! until when.

use std::collections::VecDeque;

use crate::address_space::AddressSpaceMaps;
use crate::limits::FORKS_AT_MOST;
use crate::round::Round;

/// A thread group: one address space and the threads in it.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Process {
    /// The maps of its address space.
    pub maps: AddressSpaceMaps,
    /// Threads that have begun and not ended, as far as records show.
    pub(crate) threads: u32,
    /// When it was forked, in ns; 0 where that is not known.
    pub(crate) born: u64,
    /// The number of the process among those that had this pid: pids are used again.
    pub(crate) incarnation: u64,
    /// Children of the last rounds. A map of before the fork that comes after it is theirs too.
    pub(crate) forks: VecDeque<Fork>,
    /// Whether it waits in the queue of those that have something to forget.
    pub(crate) is_queued: bool,
    /// The process with a known root that it descends from.
    pub(crate) root: Option<i32>,
}

/// A child and when it began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fork {
    pub(crate) pid: i32,
    /// In ns.
    pub(crate) time: u64,
    pub(crate) round: Round,
}

impl Process {
    pub(crate) fn note_fork(&mut self, fork: Fork) {
        if self.forks.len() >= FORKS_AT_MOST {
            self.forks.pop_front();
        }
        self.forks.push_back(fork);
    }

    /// Forgets what no record can look up any more.
    pub(crate) fn forget(&mut self, now: Round) {
        self.maps.forget_past(now);
        self.forks.retain(|fork| fork.round.is_recent(now));
    }

    /// Forgets the whole past, for want of room.
    pub(crate) fn forget_all(&mut self) {
        self.maps.forget_all_past();
        self.forks.clear();
    }

    /// Whether it has a past, which will have to be forgotten.
    pub(crate) fn has_past(&self) -> bool {
        self.maps.has_past() || !self.forks.is_empty()
    }
}
