//! How far an ELF file reaches by its own headers, so that one that was cut off is told, and whether it was stripped.

use std::fs::File;

use object::elf::{FileHeader32, FileHeader64, SHT_NOBITS, SHT_NULL, SHT_SYMTAB};
use object::read::elf::{FileHeader, SectionHeader as _};
use object::{Endianness, FileKind, ReadCache, ReadRef};

use super::contents::Contents;
use super::elf::Budget;
use super::{ElfError, NoBuildId};

/// What the section headers of an ELF file say of all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ElfExtent {
    /// The bytes that a file has to have for its headers and sections to be in it.
    pub bytes: u64,
    /// Whether it has the symbols of all its functions (`.symtab`), and not those alone that others link to.
    pub has_symbols: bool,
}

/// Reads the section headers of an ELF file. A file that is packed is none.
///
/// # Errors
/// [`NoBuildId::Elf`] where the file is no ELF file, or its headers lie outside it, and [`NoBuildId::Io`] where it cannot be
/// read.
pub fn elf_extent(file: &File) -> Result<ElfExtent, NoBuildId> {
    let mut contents = Contents::of(file.try_clone()?)?;
    if contents.is_packed() {
        return Err(ElfError::NotElf.into());
    }
    let cached = ReadCache::new(contents);
    let budget = Budget::default();
    let data = budget.of(&cached);
    let extent = match FileKind::parse(data) {
        Ok(FileKind::Elf32) => read::<FileHeader32<Endianness>, _>(data),
        Ok(FileKind::Elf64) => read::<FileHeader64<Endianness>, _>(data),
        Ok(_) | Err(_) => Err(ElfError::NotElf),
    };
    contents = cached.into_inner();
    contents.check()?;
    Ok(extent?)
}

fn read<'d, Elf, R>(data: R) -> Result<ElfExtent, ElfError>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'d>,
{
    let damaged = |error: object::read::Error| ElfError::Damaged(error.to_string());
    let header = Elf::parse(data).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    let sections = header.section_headers(endian, data).map_err(damaged)?;
    let table: u64 = header.e_shoff(endian).into();
    let entry = u64::from(header.e_shentsize(endian));
    let ends = sections.iter().filter(|section| {
        // Those have no bytes in the file.
        !matches!(section.sh_type(endian), SHT_NOBITS | SHT_NULL)
    });
    let ends = ends.map(|section| {
        let (offset, size): (u64, u64) = (section.sh_offset(endian).into(), section.sh_size(endian).into());
        offset.saturating_add(size)
    });
    let table_end = table.saturating_add(entry.saturating_mul(sections.len() as u64));
    Ok(ElfExtent {
        bytes: ends.fold(table_end, u64::max),
        has_symbols: sections.iter().any(|section| section.sh_type(endian) == SHT_SYMTAB),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing::Elf;

    fn extent(bytes: &[u8]) -> Result<ElfExtent, NoBuildId> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        fs::write(&path, bytes).expect("written");
        elf_extent(&File::open(&path).expect("there"))
    }

    #[test]
    fn a_file_that_was_cut_off_is_told_wherever_it_was_cut() {
        for endian in [Endianness::Little, Endianness::Big] {
            for is_64 in [false, true] {
                let whole = Elf::new(endian, is_64).bytes();
                let size = whole.len() as u64;
                let all = extent(&whole).expect("an ELF file");
                assert!(all.bytes <= size && !all.has_symbols, "{all:?} of {size}");
                for cut in 0..all.bytes {
                    let cut = usize::try_from(cut).expect("small");
                    let is_told = extent(&whole[..cut]).is_ok_and(|extent| extent.bytes <= cut as u64);
                    assert!(!is_told, "cut at {cut} of {size}");
                }
            }
        }
    }

    #[test]
    fn this_program_is_whole_and_has_symbols() {
        let file = File::open("/proc/self/exe").expect("there");
        let size = file.metadata().expect("its size").len();
        let extent = elf_extent(&file).expect("an ELF file");
        assert!(extent.bytes <= size && extent.has_symbols, "{extent:?} of {size}");
    }

    #[test]
    fn what_is_no_elf_file_or_packed_is_none() {
        for bytes in [&b"<html>"[..], b"", b"\x1f\x8b\x08\x00\x00\x00\x00\x00", b"\x7fELF"] {
            assert!(extent(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn damaged_files_hurt_nobody() {
        let whole = Elf::with_build_id(&[1; 20]).bytes();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            // Any answer will do that is one.
            extent(&bytes).ok();
        }
    }
}
