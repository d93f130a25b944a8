//! The pages and addresses that samples asked for last: a small table in front of the larger one, for the few dozen
//! pages that nearly all samples of a moment are in. What is noted here is written back before anybody looks.

use crate::dso::DsoId;
use crate::machine::Space;
use crate::round::Round;

/// How many are kept; a power of two. The table is to stay in a CPU's second cache.
const SLOTS: usize = 4096;

/// What was asked for, and when: one line of a CPU's cache.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Slot {
    whose: u64,
    /// A page's number, or, where `whose` has [`ADDR`], an address.
    key: u64,
    /// From which time on the answer is so.
    from: u64,
    /// The earliest and the latest time that asked in this round.
    first: u64,
    last: u64,
    /// The latest time that asked in the round before.
    before: u64,
    /// The low bits of the round's number.
    round: u32,
    /// Whether a sample's own address asked, and not only a call chain.
    by_ip: bool,
    asked_before: bool,
    /// What is there; `None` where nothing is, at any time.
    dso: Option<DsoId>,
}

const _: () = assert!(size_of::<Slot>() == 64);

/// The earliest and the latest time that asked for a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// Whether a sample's own address asked, and not only a call chain.
    pub(crate) by_ip: bool,
}

/// A slot that is empty: no space has this number.
const EMPTY: u64 = u64::MAX;

/// The kernel's addresses; a process's are those of its pid.
const KERNEL: u64 = 1 << 32;

/// The bit that tells addresses from pages.
const ADDR: u64 = 1 << 33;

/// The table. What it knows is of the host, and of spaces in which nothing has changed since.
#[derive(Debug, Clone)]
pub(crate) struct Recent {
    slots: Box<[Slot; SLOTS]>,
    used: Vec<u16>,
}

impl Default for Recent {
    fn default() -> Self {
        let answer = Answer { dso: None, from: 0, now: Round(0) };
        let empty = Slot::new(EMPTY, 0, answer, 0);
        Self { slots: Box::new([empty; SLOTS]), used: Vec::new() }
    }
}

/// One page, or one address of a page that is not of one map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Page(u64),
    Addr(u64),
}

/// A number for a space and the kind of place: the kernel's addresses, or a process's by its pid.
fn number(space: Space, place: Place) -> (u64, u64) {
    let whose = match space {
        Space::Kernel => KERNEL,
        Space::Process(pid) => u64::from(pid.cast_unsigned()),
    };
    match place {
        Place::Page(page) => (whose, page),
        Place::Addr(addr) => (whose | ADDR, addr),
    }
}

/// Rounds are compared with those just before them.
#[expect(clippy::cast_possible_truncation, reason = "the low bits are what is asked for")]
fn low(round: Round) -> u32 {
    round.0 as u32
}

#[inline]
fn index(whose: u64, key: u64) -> usize {
    // Fibonacci hashing: the product's high bits depend on all of the key's.
    let mixed = (key ^ whose.rotate_left(40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> (u64::BITS - SLOTS.trailing_zeros())).unwrap_or(0)
}

impl Recent {
    /// Whether a place's answer is known as of a time; then it is noted that it was asked for.
    #[inline]
    pub(crate) fn knows(&mut self, space: Space, place: Place, time: u64, by_ip: bool, now: Round) -> bool {
        let (whose, key) = number(space, place);
        let Some(slot) = self.slots.get_mut(index(whose, key)) else { return false };
        if slot.key != key || slot.whose != whose || time < slot.from {
            return false;
        }
        if slot.round != low(now) {
            slot.turn(now, time);
        }
        slot.first = slot.first.min(time);
        slot.last = slot.last.max(time);
        slot.by_ip |= by_ip;
        true
    }

    /// Notes a place whose answer is so from a time on. What had its slot is given back.
    pub(crate) fn put(&mut self, space: Space, place: Place, answer: Answer, time: u64) -> Option<Given> {
        let (whose, key) = number(space, place);
        let at = index(whose, key);
        let slot = self.slots.get_mut(at)?;
        let old = std::mem::replace(slot, Slot::new(whose, key, answer, time));
        if old.whose == EMPTY {
            self.used.push(u16::try_from(at).unwrap_or(0));
        }
        // What stood there for the same place is still good for what it noted.
        old.named(answer.now)
    }

    /// Gives back all that is of a space.
    pub(crate) fn drain(&mut self, space: Space, now: Round, mut each: impl FnMut(Given)) {
        let (whose, _) = number(space, Place::Page(0));
        let Self { slots, used } = self;
        used.retain(|at| {
            let Some(slot) = slots.get_mut(usize::from(*at)).filter(|slot| slot.whose & !ADDR == whose)
            else {
                return true;
            };
            slot.named(now).into_iter().for_each(&mut each);
            slot.whose = EMPTY;
            false
        });
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        for at in self.used.drain(..) {
            if let Some(slot) = self.slots.get_mut(usize::from(at)) {
                slot.whose = EMPTY;
            }
        }
    }
}

/// What is noted of a place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    /// What is there.
    pub(crate) dso: Option<DsoId>,
    /// From which time on.
    pub(crate) from: u64,
    /// In which round it was asked for.
    pub(crate) now: Round,
}

/// What is given back of a place: who asked for it in this round, and in the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) space: Space,
    pub(crate) place: Place,
    pub(crate) dso: Option<DsoId>,
    pub(crate) from: u64,
    pub(crate) this_round: Option<Asked>,
    pub(crate) last_round: Option<Asked>,
}

impl Slot {
    fn new(whose: u64, key: u64, answer: Answer, time: u64) -> Self {
        let Answer { dso, from, now } = answer;
        let (first, last, round) = (time, time, low(now));
        Self { whose, key, from, first, last, before: 0, round, by_ip: false, asked_before: false, dso }
    }

    /// Turns to another round, in which it was just asked for.
    #[cold]
    fn turn(&mut self, now: Round, time: u64) {
        self.asked_before = low(now).wrapping_sub(self.round) == 1;
        self.before = self.last;
        (self.first, self.last, self.round) = (time, time, low(now));
    }

    /// What is to be given back of it in a round; `None` where nobody asked lately, or it is empty.
    fn named(&self, now: Round) -> Option<Given> {
        let asked = Asked { first: self.first, last: self.last, by_ip: self.by_ip };
        let before = Asked { first: self.before, last: self.before, by_ip: self.by_ip };
        let (this_round, last_round) = match low(now).wrapping_sub(self.round) {
            0 => (Some(asked), Some(before).filter(|_| self.asked_before)),
            1 => (None, Some(asked)),
            _ => return None,
        };
        let space = match self.whose & !ADDR {
            _ if self.whose == EMPTY => return None,
            KERNEL => Space::Kernel,
            pid => Space::Process(u32::try_from(pid).ok()?.cast_signed()),
        };
        let place = if self.whose & ADDR == 0 { Place::Page(self.key) } else { Place::Addr(self.key) };
        Some(Given { space, place, dso: self.dso, from: self.from, this_round, last_round })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINE: Space = Space::Process(7);
    const NOW: Round = Round(3);

    fn asked(first: u64, last: u64, by_ip: bool) -> Asked {
        Asked { first, last, by_ip }
    }

    fn drained(recent: &mut Recent, space: Space, now: Round) -> Vec<Given> {
        let mut given = Vec::new();
        recent.drain(space, now, |one| given.push(one));
        given
    }

    #[test]
    fn what_is_put_is_known_until_it_is_drained() {
        let mut recent = Recent::default();
        let answer = Answer { dso: None, from: 5, now: NOW };
        assert!(!recent.knows(MINE, Place::Page(1), 10, true, NOW));
        assert!(recent.put(MINE, Place::Page(1), answer, 10).is_none());
        for (space, place, time, known) in [
            (MINE, Place::Page(1), 4, false),
            (MINE, Place::Page(1), 5, true),
            (MINE, Place::Page(1), 20, true),
            (MINE, Place::Addr(1), 20, false),
            (Space::Process(8), Place::Page(1), 20, false),
            (Space::Kernel, Place::Page(1), 20, false),
        ] {
            assert_eq!(recent.knows(space, place, time, true, NOW), known, "{space:?} {place:?} {time}");
        }
        assert_eq!(drained(&mut recent, Space::Kernel, NOW), []);
        let given = Given {
            space: MINE,
            place: Place::Page(1),
            dso: None,
            from: 5,
            this_round: Some(asked(5, 20, true)),
            last_round: None,
        };
        assert_eq!(drained(&mut recent, MINE, NOW), [given]);
        assert!(!recent.knows(MINE, Place::Page(1), 10, true, NOW));
    }

    #[test]
    fn what_two_rounds_asked_is_told_apart_and_older_is_forgotten() {
        let (mut recent, place) = (Recent::default(), Place::Addr(1 << 60));
        recent.put(MINE, place, Answer { dso: None, from: 0, now: NOW }, 10);
        assert!(recent.knows(MINE, place, 12, false, NOW));
        assert!(recent.knows(MINE, place, 30, true, Round(4)));
        let in_round = |round| {
            let given = drained(&mut recent.clone(), MINE, Round(round));
            given.first().map(|given| (given.this_round, given.last_round))
        };
        // Of the round before the latest time is kept; who asked is not told apart.
        let (old, new) = (asked(12, 12, true), asked(30, 30, true));
        assert_eq!(in_round(4), Some((Some(new), Some(old))));
        assert_eq!(in_round(5), Some((None, Some(new))));
        assert_eq!(in_round(6), None);
        assert!(recent.knows(MINE, place, 40, true, Round(9)));
        assert_eq!(drained(&mut recent, MINE, Round(9)).first().and_then(|given| given.last_round), None);
    }

    #[test]
    fn what_shares_a_slot_takes_turns_and_nothing_is_lost() {
        let (mut recent, mut given_back) = (Recent::default(), 0);
        let places = (0..5000).map(|n| (Space::Process(-1), Place::Addr(n << 40)));
        for (space, place) in places.chain((0..5000).map(|n| (Space::Kernel, Place::Page(n)))) {
            let answer = Answer { dso: None, from: 0, now: NOW };
            given_back += usize::from(recent.put(space, place, answer, 0).is_some());
            assert!(recent.knows(space, place, 0, false, NOW));
        }
        let left: usize = [Space::Process(-1), Space::Kernel]
            .map(|space| drained(&mut recent, space, NOW).len())
            .iter()
            .sum();
        assert_eq!(given_back + left, 10_000);
    }
}
