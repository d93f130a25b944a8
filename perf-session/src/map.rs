//! A map: a range of addresses and the DSO that is mapped there; and how far the kernel's image reaches.

use crate::dso::DsoId;

/// A range of addresses and the DSO in it, with the fields of `struct perf_record_mmap2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
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

/// One past the last address that can be the kernel's image, which its map has from `start` to `end`.
///
/// Recorders end the map with `_etext` or `_edata`, and code that ran at boot (`.init.text`) stands behind both: the call
/// chains of idle tasks start there. perf knows how far the image reaches when it has read the kernel's symbols. On
/// x86-64 nothing but the image is mapped between its start and the modules (`Documentation/arch/x86/x86_64/mm.rst`),
/// which begin 512 MiB above the first place that it can have, or 1 GiB where that place is random. A map without a size,
/// as perf of 2.6.3x wrote it, is all of the kernel.
pub(crate) fn end_of_kernel(start: u64, end: u64) -> u64 {
    const TEXT: u64 = 0xffff_ffff_8000_0000;
    const MODULES: [u64; 2] = [0xffff_ffff_a000_0000, 0xffff_ffff_c000_0000];
    match (start, end) {
        (0, 0) => u64::MAX,
        (TEXT.., _) => MODULES.into_iter().find(|modules| end <= *modules).unwrap_or(end),
        _ => end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_reaches_to_the_modules_where_nothing_else_can_be_between() {
        for (start, end, reaches) in [
            (0xffff_ffff_8100_0000, 0xffff_ffff_8227_6f48, 0xffff_ffff_a000_0000),
            (0xffff_ffff_8100_0000, 0xffff_ffff_a000_0000, 0xffff_ffff_a000_0000),
            (0xffff_ffff_b120_0000, 0xffff_ffff_b220_0000, 0xffff_ffff_c000_0000),
            // Addresses of which it is not known, and an end that is the end of all.
            (0xffff_ffff_9f00_0000, 0xffff_ffff_c100_0000, 0xffff_ffff_c100_0000),
            (0xffff_8000_1000_0000, 0xffff_8000_1100_0000, 0xffff_8000_1100_0000),
            (0, u64::MAX, u64::MAX),
            (0, 0, u64::MAX),
        ] {
            assert_eq!(end_of_kernel(start, end), reaches, "{start:#x} {end:#x}");
        }
    }
}
