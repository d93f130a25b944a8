//! From an offset in an ELF file to the address that its symbols have. The program headers alone are read, of either class
//! and byte order.

use perf_format::Endian;

/// How the header of a class is laid out: where its fields are, in bytes (`Elf32_Ehdr`, `Elf64_Ehdr`, and the same of
/// `Phdr`).
struct Class {
    is_64: bool,
    phoff: usize,
    phentsize: usize,
    phnum: usize,
    p_offset: usize,
    p_vaddr: usize,
    p_filesz: usize,
}

const ELF32: Class =
    Class { is_64: false, phoff: 28, phentsize: 42, phnum: 44, p_offset: 4, p_vaddr: 8, p_filesz: 16 };
const ELF64: Class =
    Class { is_64: true, phoff: 32, phentsize: 54, phnum: 56, p_offset: 8, p_vaddr: 16, p_filesz: 32 };

const PT_LOAD: u32 = 1;

impl Class {
    fn word(&self, bytes: &[u8], at: usize, endian: Endian) -> Option<u64> {
        if self.is_64 { endian.u64_at(bytes, at) } else { endian.u32_at(bytes, at).map(u64::from) }
    }
}

/// The address that the symbols of an ELF file have for what stands at an offset in it, by the segment that has the offset
/// (`PT_LOAD`: `p_vaddr + offset - p_offset`). Of the file no more than its headers need be given. `None` where it is no ELF
/// file, or no segment has the offset.
///
/// Offsets are what maps have ([`StackFrame::offset`](crate::StackFrame::offset)): a linker need not place a segment at its
/// offset, so that the two differ in most programs.
#[must_use]
pub fn elf_address(elf: &[u8], offset: u64) -> Option<u64> {
    let (class, endian) = match elf {
        [0x7f, b'E', b'L', b'F', class, data, ..] => (
            match class {
                1 => ELF32,
                2 => ELF64,
                _ => return None,
            },
            match data {
                1 => Endian::Little,
                2 => Endian::Big,
                _ => return None,
            },
        ),
        _ => return None,
    };
    let half = |at: usize| elf.get(at..)?.first_chunk().map(|half| usize::from(endian.u16(*half)));
    let phoff = usize::try_from(class.word(elf, class.phoff, endian)?).ok()?;
    let (size, count) = (half(class.phentsize)?, half(class.phnum)?);
    let headers = elf.get(phoff..)?.chunks_exact(size.max(1)).take(count);
    headers.filter(|header| endian.u32_at(header, 0) == Some(PT_LOAD)).find_map(|header| {
        let word = |at| class.word(header, at, endian);
        let (start, size) = (word(class.p_offset)?, word(class.p_filesz)?);
        let inside = offset.checked_sub(start).filter(|inside| *inside < size)?;
        word(class.p_vaddr)?.checked_add(inside)
    })
}

#[cfg(test)]
mod tests {
    use object::Endianness;

    use super::*;
    use crate::testing::Elf;

    #[test]
    fn an_offset_is_found_by_the_segment_that_has_it_in_either_class_and_byte_order() {
        for endian in [Endianness::Little, Endianness::Big] {
            for is_64 in [false, true] {
                let mut elf = Elf::new(endian, is_64);
                elf.loads = vec![(0, 0x1000), (0x1000, 0x800)];
                let mut bytes = elf.bytes();
                assert_eq!(elf_address(&bytes, 0x1234), Some(0x1234));
                assert_eq!(elf_address(&bytes, 0x1800), None);
                // The second of them is placed elsewhere: its header is the third, behind one of notes.
                let (class, order) = match (is_64, endian) {
                    (true, Endianness::Little) => (ELF64, Endian::Little),
                    (true, Endianness::Big) => (ELF64, Endian::Big),
                    (false, Endianness::Little) => (ELF32, Endian::Little),
                    (false, Endianness::Big) => (ELF32, Endian::Big),
                };
                let header = if is_64 { 64 + 2 * 56 } else { 52 + 2 * 32 };
                let at = header + class.p_vaddr;
                match is_64 {
                    true => bytes[at..at + 8].copy_from_slice(&order.put_u64(0x40_1000)),
                    false => bytes[at..at + 4].copy_from_slice(&order.put_u32(0x40_1000)),
                }
                assert_eq!(elf_address(&bytes, 0x1234), Some(0x40_1234));
                assert_eq!(elf_address(&bytes, 0x234), Some(0x234));
            }
        }
    }

    #[test]
    fn what_is_no_elf_file_has_no_address() {
        let bytes = Elf::new(Endianness::Little, true).bytes();
        for len in 0..bytes.len() {
            assert!(elf_address(&bytes[..len], 0).is_none_or(|address| address == 0));
        }
        assert_eq!(elf_address(b"", 0), None);
        assert_eq!(elf_address(&bytes[..64], 0), None);
        assert_eq!(elf_address(&[&[0x7f], &bytes[1..4], &[9; 100]].concat(), 0), None);
    }
}
