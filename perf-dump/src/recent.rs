//! The answers that were found last, so that a question that comes again is not looked up again: most do.

use std::cell::Cell;

/// Slots of a table. A power of two, some times as many as there are pages that are hit often.
const SLOTS: usize = 1 << 12;

/// The last answers to questions: each is in the slot that its key has, until another comes into it.
#[derive(Debug)]
pub(crate) struct RecentTable<K: Copy, V: Copy>(Box<[Slot<K, V>]>);

/// A question and its answer.
type Slot<K, V> = Cell<Option<(K, V)>>;

impl<K: Copy + PartialEq, V: Copy> RecentTable<K, V> {
    pub(crate) fn new() -> Self {
        Self((0..SLOTS).map(|_| Cell::new(None)).collect())
    }

    /// The answer to a question, from the table or else by `find`. `place` is a number of the key by which it gets its slot.
    pub(crate) fn get_or_find(&self, key: K, place: u64, find: impl FnOnce() -> V) -> V {
        // The upper bits of the product depend on all of the number (Fibonacci hashing).
        let slot = place.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - SLOTS.trailing_zeros());
        let slot = usize::try_from(slot).ok().and_then(|slot| self.0.get(slot));
        match slot.and_then(Cell::get) {
            Some((other, value)) if other == key => value,
            _ => {
                let value = find();
                if let Some(slot) = slot {
                    slot.set(Some((key, value)));
                }
                value
            }
        }
    }
}
