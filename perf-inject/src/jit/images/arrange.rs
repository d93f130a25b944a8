//! Where functions stand in an image: packed, or as far from each other as they were in memory.
//!
//! For names it does not matter. To unwind a stack that was recorded, perf (with libunwind) takes one distance between
//! addresses and offsets for all of a file, and reads its tables where the process has them mapped.

use std::collections::BTreeMap;
use std::ops::Range;

use jit_image::{PackedLayout, TEXT_OFFSET};

/// Addresses that one image holds, in bytes: offsets in unwinding tables have four bytes and a sign.
const WINDOW: u64 = 1 << 30;

/// How much memory without functions lies between two parts at the least, in bytes: a runtime's code is in one piece, or
/// in pieces far from each other with files between.
pub(super) const GAP: u64 = 1 << 24;

/// The granularity of maps, in bytes.
const PAGE: u64 = 0x1000;

/// How far apart the places are that are tried for tables, in bytes.
const STEP: u64 = 1 << 20;

/// An arrangement.
#[derive(Debug)]
pub(super) enum Arrangement {
    Packed(PackedLayout),
    AsInMemory(AsInMemory),
}

/// Functions of one part of a process's memory, and addresses of nothing else for their tables.
///
/// A runtime has its code from `0x7000_1234` to `0x7000_5000`. The image's first function can be at offset `0x1000`,
/// and offsets in a page are those in memory, so that what lies between an address and its offset is `0x7000_0000`: the
/// function at `0x7000_1240` has the offset `0x1240`, one at `0x7000_4ff0` has `0x4ff0`. The tables get the first free
/// pages behind the code, in steps of 1 MiB: from `0x7000_5000`, offset `0x5000`, if nothing is mapped there. One more
/// function at an address that is taken goes into a second image, whose distance is one page less (`0x6fff_f000`):
/// readers of unwinding tables distinguish images by it.
#[derive(Debug)]
pub(super) struct AsInMemory {
    /// The distance between an address and its offset.
    base: u64,
    /// Where functions can be.
    text: Range<u64>,
    /// Where they are: their ends, by their starts.
    taken: BTreeMap<u64, u64>,
    /// Where the tables will be.
    tables: Range<u64>,
    /// Bytes of them that are nobody's yet.
    room: u64,
}

/// The part of memory that an address is in.
pub(super) fn window(addr: u64) -> Range<u64> {
    let start = addr / WINDOW * WINDOW;
    start..start.saturating_add(WINDOW)
}

impl AsInMemory {
    /// An arrangement of the functions between two addresses, with tables of so many bytes at the most in a place that
    /// is free. Of several for the same addresses each has its number. `None` where there is no place for the tables.
    pub(super) fn new(
        functions: Range<u64>,
        tables: u64,
        number: u64,
        is_free: impl Fn(&Range<u64>) -> bool,
    ) -> Option<Self> {
        let low = functions.start / PAGE * PAGE;
        // Readers of unwinding tables distinguish images by this difference.
        let base = low.checked_sub(TEXT_OFFSET)?.checked_sub(number.checked_mul(PAGE)?)?;
        let high = functions.end.checked_next_multiple_of(PAGE)?;
        let tables = tables.checked_next_multiple_of(PAGE)?.max(PAGE);
        let limit = low.saturating_add(WINDOW);
        let places = (0..).map(|step| high.saturating_add(step * STEP));
        let places = places.take_while(|place| *place < limit);
        let mut places = places.filter_map(|place| Some(place..place.checked_add(tables)?));
        let tables = places.find(|place| is_free(place))?;
        let room = tables.end - tables.start;
        Some(Self { base, text: low..tables.start, taken: BTreeMap::new(), tables, room })
    }

    /// The offset of a function, if its place is not taken, and there is room for its tables of so many bytes.
    pub(super) fn place(&mut self, address: u64, size: u64, tables: u64) -> Option<u64> {
        let end = address.checked_add(size)?;
        let room = self.room.checked_sub(tables)?;
        let is_taken = self.taken.range(..end).next_back().is_some_and(|(_, taken)| *taken > address);
        if address < self.text.start || end > self.text.end || is_taken {
            return None;
        }
        self.taken.insert(address, end);
        self.room = room;
        Some(address - self.base)
    }

    /// The addresses of the tables.
    pub(super) fn tables(&self) -> Range<u64> {
        self.tables.clone()
    }

    /// Their offset.
    pub(super) fn tables_at(&self) -> u64 {
        self.tables.start - self.base
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_as_far_from_each_other_as_in_memory() {
        let mut image = AsInMemory::new(0x7000_1234..0x7000_5000, 100, 0, |_| true).unwrap();
        let places = [(0x7000_1240, 16), (0x7000_4ff0, 16), (0x7000_1248, 4), (0x7000_1230, 0x11)];
        let places = places.map(|(address, size)| image.place(address, size, 100));
        assert_eq!(places, [Some(TEXT_OFFSET + 0x240), Some(TEXT_OFFSET + 0x3ff0), None, None]);
        assert_eq!(image.tables(), 0x7000_5000..0x7000_6000);
        assert_eq!(image.tables_at(), TEXT_OFFSET + 0x4000);
        assert_eq!(image.place(0x7000_2000, 16, PAGE), None, "its tables have no room");
        let second = AsInMemory::new(0x7000_1234..0x7000_5000, 100, 1, |_| true).unwrap();
        assert_eq!(second.tables_at(), TEXT_OFFSET + 0x5000, "another distance");
    }

    #[test]
    fn tables_are_where_nothing_is() {
        let image =
            AsInMemory::new(0x7000_0000..0x7000_1000, 1, 0, |place| place.start > 0x7020_0000).unwrap();
        assert_eq!(image.tables(), 0x7020_1000..0x7020_2000);
        assert!(AsInMemory::new(0x7000_0000..0x7000_1000, 1, 0, |_| false).is_none());
        assert!(AsInMemory::new(0x1000..0x2000, 1, 0, |_| true).is_some_and(|image| image.base == 0));
        assert!(AsInMemory::new(0..0x2000, 1, 0, |_| true).is_none(), "no offset would do");
    }
}
