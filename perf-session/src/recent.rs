//! The pages and addresses that samples asked for last: a small table in front of the larger one, for the few dozen
//! pages that nearly all samples of a moment are in. What is noted here is written back before anybody looks.

use crate::machine::Space;

/// How many are kept; a power of two. At 48 bytes each the table stays in a CPU's second cache.
const SLOTS: usize = 1024;

/// What was asked for, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    whose: u64,
    /// A page's number, or, where `whose` has [`ADDR`], an address.
    key: u64,
    /// From which time on the answer is so.
    from: u64,
    /// The earliest and the latest time that asked.
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

/// The table. What it knows is of the host, of this round, and of maps that have not changed since.
#[derive(Debug)]
pub(crate) struct Recent {
    slots: Box<[Slot; SLOTS]>,
    used: Vec<u16>,
}

impl Default for Recent {
    fn default() -> Self {
        let empty = Slot { whose: EMPTY, key: 0, from: 0, first: 0, last: 0, by_ip: false };
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

#[inline]
fn index(whose: u64, key: u64) -> usize {
    // Fibonacci hashing: the product's high bits depend on all of the key's.
    let mixed = (key ^ whose.rotate_left(40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> (u64::BITS - SLOTS.trailing_zeros())).unwrap_or(0)
}

impl Recent {
    /// Whether a place's answer is known as of a time; then it is noted that it was asked for.
    #[inline]
    pub(crate) fn knows(&mut self, space: Space, place: Place, time: u64, by_ip: bool) -> bool {
        let (whose, key) = number(space, place);
        let Some(slot) = self.slots.get_mut(index(whose, key)) else { return false };
        if slot.key != key || slot.whose != whose || time < slot.from {
            return false;
        }
        slot.first = slot.first.min(time);
        slot.last = slot.last.max(time);
        slot.by_ip |= by_ip;
        true
    }

    /// Notes a place whose answer is so from a time on. What had its slot is given back.
    pub(crate) fn put(
        &mut self,
        space: Space,
        place: Place,
        from: u64,
        time: u64,
    ) -> Option<(Space, Place, Slot)> {
        let (whose, key) = number(space, place);
        let at = index(whose, key);
        let slot = self.slots.get_mut(at)?;
        let new = Slot { whose, key, from, first: time, last: time, by_ip: false };
        let old = std::mem::replace(slot, new);
        if old.whose == EMPTY {
            self.used.push(u16::try_from(at).unwrap_or(0));
        }
        old.named()
    }

    /// Empties the table, and gives back all that was in it.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (Space, Place, Slot)> + '_ {
        let Self { slots, used } = self;
        used.drain(..).filter_map(|at| {
            let slot = slots.get_mut(usize::from(at))?;
            let old = *slot;
            slot.whose = EMPTY;
            old.named()
        })
    }
}

impl Slot {
    /// Whose it is and what it is of; `None` of an empty one.
    fn named(self) -> Option<(Space, Place, Self)> {
        let space = match self.whose & !ADDR {
            _ if self.whose == EMPTY => return None,
            KERNEL => Space::Kernel,
            pid => Space::Process(u32::try_from(pid).ok()?.cast_signed()),
        };
        let place = if self.whose & ADDR == 0 { Place::Page(self.key) } else { Place::Addr(self.key) };
        Some((space, place, self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_known_until_it_is_drained() {
        let (mut recent, mine) = (Recent::default(), Space::Process(7));
        assert!(!recent.knows(mine, Place::Page(1), 10, true));
        assert!(recent.put(mine, Place::Page(1), 5, 10).is_none());
        for (space, place, time, known) in [
            (mine, Place::Page(1), 4, false),
            (mine, Place::Page(1), 5, true),
            (mine, Place::Page(1), 20, true),
            (mine, Place::Addr(1), 20, false),
            (Space::Process(8), Place::Page(1), 20, false),
            (Space::Kernel, Place::Page(1), 20, false),
        ] {
            assert_eq!(recent.knows(space, place, time, true), known, "{space:?} {place:?} {time}");
        }
        let drained: Vec<_> = recent.drain().collect();
        let [(space, place, slot)] = drained.as_slice() else { panic!("{drained:?}") };
        assert_eq!((*space, *place, slot.first, slot.last, slot.by_ip), (mine, Place::Page(1), 5, 20, true));
        assert!(recent.drain().next().is_none() && !recent.knows(mine, Place::Page(1), 10, true));
    }

    #[test]
    fn what_shares_a_slot_takes_turns_and_nothing_is_lost() {
        let (mut recent, mut given_back) = (Recent::default(), 0);
        let places = (0..5000).map(|n| (Space::Process(-1), Place::Addr(n << 40)));
        for (space, place) in places.chain((0..5000).map(|n| (Space::Kernel, Place::Page(n)))) {
            given_back += usize::from(recent.put(space, place, 0, 0).is_some());
            assert!(recent.knows(space, place, 0, false));
        }
        assert_eq!(given_back + recent.drain().count(), 10_000);
    }
}
