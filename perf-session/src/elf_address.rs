//! From an offset in an ELF file to the address that its symbols have. The program headers alone are read, of either class
//! and byte order.

use object::elf::{FileHeader32, FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader as _};
use object::{Endianness, FileKind};

/// The address that the symbols of an ELF file have for what stands at an offset in it, by the segment that has the offset
/// (`PT_LOAD`: `p_vaddr + offset - p_offset`). Of the file no more than its headers need be given. `None` where it is no ELF
/// file, or no segment has the offset.
///
/// Offsets are what maps have ([`StackFrame::offset`](crate::StackFrame::offset)): a linker need not place a segment at its
/// offset, so that the two differ in most programs.
#[must_use]
pub fn elf_address(elf: &[u8], offset: u64) -> Option<u64> {
    match FileKind::parse(elf).ok()? {
        FileKind::Elf32 => address_in::<FileHeader32<Endianness>>(elf, offset),
        FileKind::Elf64 => address_in::<FileHeader64<Endianness>>(elf, offset),
        _ => None,
    }
}

fn address_in<E: FileHeader<Endian = Endianness>>(elf: &[u8], offset: u64) -> Option<u64> {
    let header = E::parse(elf).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, elf).ok()?;
    segments.iter().filter(|segment| segment.p_type(endian) == PT_LOAD).find_map(|segment| {
        let (start, size) = segment.file_range(endian);
        let inside = offset.checked_sub(start).filter(|inside| *inside < size)?;
        let address: u64 = segment.p_vaddr(endian).into();
        address.checked_add(inside)
    })
}

#[cfg(test)]
mod tests {
    use perf_format::Endian;

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
                let order = match endian {
                    Endianness::Little => Endian::Little,
                    Endianness::Big => Endian::Big,
                };
                // `p_vaddr`, behind the file's header and two of segments.
                if is_64 {
                    bytes[64 + 2 * 56 + 16..][..8].copy_from_slice(&order.put_u64(0x40_1000));
                } else {
                    bytes[52 + 2 * 32 + 8..][..4].copy_from_slice(&order.put_u32(0x40_1000));
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
