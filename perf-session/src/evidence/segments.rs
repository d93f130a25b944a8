//! Whether a map fits a file: a loader maps the segments that the file's program headers tell of.

use bstr::{BStr, ByteSlice as _};

/// A `PT_LOAD` program header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    /// `p_offset`, in bytes.
    pub offset: u64,
    /// `p_vaddr`.
    pub vaddr: u64,
    /// `p_filesz`, in bytes.
    pub filesz: u64,
    /// `p_memsz`, in bytes.
    pub memsz: u64,
    /// Whether it is executable.
    pub is_exec: bool,
}

/// What an ELF file tells loaders.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ElfLayout {
    /// Its segments, in the order of its program headers.
    pub segments: Vec<Segment>,
    /// Whether it is a program (it names an interpreter, or is no shared object), and not a library.
    pub is_program: bool,
}

/// What of a file was mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MappedPart {
    /// Where in the file it begins, in bytes.
    pub pgoff: u64,
    /// Its length, in bytes.
    pub len: u64,
    /// Whether it was executable.
    pub is_exec: bool,
}

/// How well a map fits a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fit {
    /// No segment is at the mapped place.
    None,
    /// It lies in a segment, as a part of a map that was changed later does.
    Within,
    /// It is what a loader maps of the file.
    Exact,
}

/// The sizes of pages, in bytes, that machines of an architecture (`uname -m`) have.
#[must_use]
pub(crate) fn page_sizes(arch: &BStr) -> &'static [u64] {
    match arch.as_bytes() {
        b"x86_64" | b"i386" | b"i486" | b"i586" | b"i686" | b"s390x" => &[4096],
        _ => &[4096, 16_384, 65_536],
    }
}

/// How well a map fits a file with these segments, on a machine with pages of one of these sizes.
#[must_use]
pub(crate) fn fit(part: MappedPart, segments: &[Segment], page_sizes: &[u64]) -> Fit {
    let may_be = |page: &&u64| part.pgoff.is_multiple_of(**page) && part.len.is_multiple_of(**page);
    let fits = page_sizes.iter().filter(may_be).map(|page| fit_with(part, segments, *page));
    fits.max().unwrap_or(Fit::None)
}

fn fit_with(part: MappedPart, segments: &[Segment], page: u64) -> Fit {
    let end = part.pgoff.saturating_add(part.len);
    let down = |at: u64| at - at % page;
    let up = |at: u64| at.checked_next_multiple_of(page).unwrap_or(u64::MAX);
    let mut best = Fit::None;
    // Executable segments that follow each other are one map.
    let mut joined: Option<(u64, u64)> = None;
    for segment in segments.iter().filter(|segment| segment.is_exec || !part.is_exec) {
        let (from, to) = (down(segment.offset), up(segment.offset.saturating_add(segment.filesz)));
        let (from, to) = match joined {
            Some((before, at)) if at == from => (before, to),
            _ => (from, to),
        };
        joined = Some((from, to));
        if part.pgoff == from && end == to {
            return Fit::Exact;
        }
        if part.pgoff >= from && end <= to {
            best = Fit::Within;
        }
    }
    // A loader takes room for the whole file with its first map, and maps the other segments over it.
    if let (Some(first), Some(last)) = (segments.first(), segments.last())
        && (first.is_exec || !part.is_exec)
    {
        let room = up(last.vaddr.saturating_add(last.memsz)).saturating_sub(down(first.vaddr));
        if part.pgoff == down(first.offset) && part.len == room {
            return Fit::Exact;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(part: MappedPart, segments: &[Segment]) -> Fit {
        super::fit(part, segments, page_sizes("x86_64".into()))
    }

    fn exec(pgoff: u64, len: u64) -> MappedPart {
        MappedPart { pgoff, len, is_exec: true }
    }

    /// As a linker lays out a program today: what is read, what is executed, what is read, what is written.
    const PROGRAM: [Segment; 4] = [
        Segment { offset: 0, vaddr: 0, filesz: 0x2a40, memsz: 0x2a40, is_exec: false },
        Segment { offset: 0x3000, vaddr: 0x3000, filesz: 0x11d51, memsz: 0x11d51, is_exec: true },
        Segment { offset: 0x15000, vaddr: 0x15000, filesz: 0x52ac, memsz: 0x52ac, is_exec: false },
        Segment { offset: 0x1a5d0, vaddr: 0x1b5d0, filesz: 0x1140, memsz: 0x2868, is_exec: false },
    ];

    #[test]
    fn what_a_loader_maps_fits_and_nothing_else_does() {
        assert_eq!(fit(exec(0x3000, 0x12000), &PROGRAM), Fit::Exact);
        assert_eq!(fit(exec(0x4000, 0x1000), &PROGRAM), Fit::Within);
        for (pgoff, len) in [(0x2000, 0x12000), (0x3000, 0x13000), (0, 0x3000), (0x2d000, 0xb1000)] {
            assert_eq!(fit(exec(pgoff, len), &PROGRAM), Fit::None, "{pgoff:#x} {len:#x}");
        }
        assert_eq!(fit(MappedPart { is_exec: false, ..exec(0, 0x3000) }, &PROGRAM), Fit::Exact);
        assert_eq!(fit(exec(0, 0x1000), &[]), Fit::None, "a file without segments is never loaded");
    }

    #[test]
    fn an_old_loader_takes_room_for_all_of_a_file_first() {
        let old = [
            Segment { offset: 0, vaddr: 0, filesz: 0x1a_1000, memsz: 0x1a_1000, is_exec: true },
            Segment { offset: 0x1a_1750, vaddr: 0x3a_1750, filesz: 0x4ff0, memsz: 0x92e0, is_exec: false },
        ];
        assert_eq!(fit(exec(0, 0x3a_b000), &old), Fit::Exact);
        assert_eq!(fit(exec(0, 0x1a_1000), &old), Fit::Exact);
        assert_eq!(fit(exec(0, 0x3a_c000), &old), Fit::None);
    }

    #[test]
    fn pages_may_be_larger_than_here() {
        let aarch64 =
            [Segment { offset: 0x1_2340, vaddr: 0x2_2340, filesz: 0x9000, memsz: 0x9000, is_exec: true }];
        let pages = page_sizes("aarch64".into());
        assert_eq!(super::fit(exec(0x1_0000, 0x1_0000), &aarch64, pages), Fit::Exact);
        assert_eq!(super::fit(exec(0x1_2000, 0xa000), &aarch64, pages), Fit::Exact);
        assert_eq!(fit(exec(0x1_0000, 0x1_0000), &aarch64), Fit::None, "not on x86");
    }

    #[test]
    fn executable_segments_that_follow_each_other_are_one_map() {
        let two = [
            Segment { offset: 0x1000, vaddr: 0x1000, filesz: 0x1000, memsz: 0x1000, is_exec: true },
            Segment { offset: 0x2000, vaddr: 0x2000, filesz: 0x800, memsz: 0x800, is_exec: true },
        ];
        assert_eq!(fit(exec(0x1000, 0x2000), &two), Fit::Exact);
    }
}
