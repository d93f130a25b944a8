//! Lookups of samples that stand before the mapping of their process's dump, which comes out of another CPU's buffer.
//! The mapping comes in the same round or the next, or there is none.

use hashbrown::HashMap;

use crate::limits::EARLY_AT_MOST;

/// Lookups of two rounds.
#[derive(Debug, Default)]
pub(super) struct Early {
    this_round: Lookups,
    last_round: Lookups,
}

type Lookups = HashMap<(i32, u64), EarlyLookups>;

/// Lookups of one address of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EarlyLookups {
    /// When first and when last, in ns.
    pub(super) first: u64,
    pub(super) last: u64,
    /// How many samples had it as their own.
    pub(super) own: u64,
}

impl Early {
    /// Notes that a sample of a process looked an address up, at a time in ns.
    pub(super) fn note(&mut self, pid: i32, addr: u64, time: u64, is_own: bool) {
        let is_room = self.this_round.len() < EARLY_AT_MOST;
        let new = EarlyLookups { first: time, last: time, own: 0 };
        let lookups = match is_room {
            true => self.this_round.entry((pid, addr)).or_insert(new),
            false => match self.this_round.get_mut(&(pid, addr)) {
                Some(lookups) => lookups,
                None => return,
            },
        };
        lookups.first = lookups.first.min(time);
        lookups.last = lookups.last.max(time);
        lookups.own += u64::from(is_own);
    }

    /// A round ends.
    pub(super) fn finish_round(&mut self) {
        std::mem::swap(&mut self.this_round, &mut self.last_round);
        self.this_round.clear();
    }

    /// The lookups of a process, by address.
    pub(super) fn take(&mut self, pid: i32) -> Vec<(u64, EarlyLookups)> {
        let rounds = [&mut self.last_round, &mut self.this_round];
        let of_pid = rounds.map(|round| round.extract_if(|(of, _), _| *of == pid).collect::<Vec<_>>());
        let of_pid = of_pid.into_iter().flatten();
        let mut taken: Vec<_> = of_pid.map(|((_, addr), lookups)| (addr, lookups)).collect();
        taken.sort_by_key(|(addr, lookups)| (lookups.first, *addr));
        taken
    }
}
