//! A map: a range of addresses and the DSO that is mapped there.

use crate::dso::DsoId;

/// A range of addresses and the DSO in it, with the fields of `struct perf_record_mmap2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Map {
    /// First address.
    pub start: u64,
    /// One past the last address.
    pub end: u64,
    /// Offset in the DSO of the first address, in bytes.
    pub pgoff: u64,
    /// When it was mapped, in ns; 0 where that is not known.
    pub since: u64,
    /// The DSO.
    pub dso: DsoId,
    /// `PROT_*` bits.
    pub prot: u32,
    /// `MAP_*` bits.
    pub flags: u32,
}

impl Map {
    /// Whether the address lies in the map.
    #[must_use]
    #[inline]
    pub fn contains(&self, addr: u64) -> bool {
        (self.start..self.end).contains(&addr)
    }

    /// The part of it between two addresses, if any.
    pub(crate) fn part(self, start: u64, end: u64) -> Option<Self> {
        let (start, end) = (start.max(self.start), end.min(self.end));
        let pgoff = self.pgoff.wrapping_add(start.wrapping_sub(self.start));
        (start < end).then_some(Self { start, end, pgoff, ..self })
    }
}
