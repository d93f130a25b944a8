//! What samples asked for before the mapping of their process's dump came, out of another CPU's buffer. It comes in
//! the same round or the next, or there is none.

use hashbrown::HashMap;

use crate::limits::EARLY_AT_MOST;

/// Questions of two rounds.
#[derive(Debug, Default)]
pub(super) struct Early {
    this_round: Asks,
    last_round: Asks,
}

type Asks = HashMap<(i32, u64), Ask>;

/// An address of a process that samples asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ask {
    /// When first and when last, in ns.
    pub(super) first: u64,
    pub(super) last: u64,
    /// How many samples had it as their own.
    pub(super) own: u64,
}

impl Early {
    pub(super) fn ask(&mut self, pid: i32, addr: u64, time: u64, is_own: bool) {
        let is_room = self.this_round.len() < EARLY_AT_MOST;
        let new = Ask { first: time, last: time, own: 0 };
        let ask = match is_room {
            true => self.this_round.entry((pid, addr)).or_insert(new),
            false => match self.this_round.get_mut(&(pid, addr)) {
                Some(ask) => ask,
                None => return,
            },
        };
        ask.first = ask.first.min(time);
        ask.last = ask.last.max(time);
        ask.own += u64::from(is_own);
    }

    pub(super) fn finish_round(&mut self) {
        std::mem::swap(&mut self.this_round, &mut self.last_round);
        self.this_round.clear();
    }

    /// What was asked of a process, by address.
    pub(super) fn take(&mut self, pid: i32) -> Vec<(u64, Ask)> {
        let rounds = [&mut self.last_round, &mut self.this_round];
        let of_pid = rounds.map(|asks| asks.extract_if(|(of, _), _| *of == pid).collect::<Vec<_>>());
        let mut asks: Vec<_> = of_pid.into_iter().flatten().map(|((_, addr), ask)| (addr, ask)).collect();
        asks.sort_by_key(|(addr, ask)| (ask.first, *addr));
        asks
    }
}
