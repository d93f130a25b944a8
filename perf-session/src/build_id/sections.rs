//! What the sections of an ELF file tell of separate debug files: whether the file is one, what the one of the file is
//! called, and which alternate one it shares with others.

use std::fs::File;

use bstr::ByteSlice as _;
use object::elf::{FileHeader32, FileHeader64, SHF_EXECINSTR, SHT_NOBITS};
use object::read::elf::{FileHeader, SectionHeader as _};
use object::{Endianness, FileKind, ReadCache, ReadRef};
use perf_format::BuildId;

use super::NoBuildId;
use super::contents::Contents;
use super::elf::Budget;

/// What a file's sections tell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Separation {
    /// Whether the file has no code, though its headers tell where that was: `objcopy --only-keep-debug` and `eu-strip -f`
    /// leave code out of what they separate.
    pub(crate) is_separate: bool,
    /// What its debug file is called (`.gnu_debuglink`), if the section is there.
    pub(crate) debug_link: Option<DebugLink>,
    /// The alternate debug file (`.gnu_debugaltlink`), if the section is there and there is debug information that could refer
    /// to it: what is stripped keeps the section.
    pub(crate) alternate: Option<AlternateLink>,
}

/// The debug file of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DebugLink {
    /// Its name, without a directory.
    pub(crate) name: Vec<u8>,
    /// The CRC-32 of its contents.
    pub(crate) crc: u32,
}

/// What `dwz -m` took out of several files, since it was in all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AlternateLink {
    /// Its path, absolute or from the directory of the file that tells it.
    pub(crate) path: Vec<u8>,
    /// Its build-id.
    pub(crate) build_id: BuildId,
}

/// Reads the sections of an open file. One without sections, or with damaged ones, tells nothing.
pub(crate) fn separation_of(file: &File) -> Result<Separation, NoBuildId> {
    let contents = ReadCache::new(Contents::of(file.try_clone()?)?);
    let budget = Budget::default();
    let data = budget.of(&contents);
    let separation = match FileKind::parse(data) {
        Ok(FileKind::Elf32) => read::<FileHeader32<Endianness>, _>(data),
        Ok(FileKind::Elf64) => read::<FileHeader64<Endianness>, _>(data),
        Ok(_) | Err(_) => None,
    };
    contents.into_inner().check()?;
    Ok(separation.unwrap_or_default())
}

fn read<'d, Elf, R>(data: R) -> Option<Separation>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'d>,
{
    let header = Elf::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.section_headers(endian, data).ok()?;
    let is_separate = sections.iter().any(|section| {
        section.sh_flags(endian).contains(SHF_EXECINSTR) && section.sh_type(endian) == SHT_NOBITS
    });
    let names = header.shstrndx(endian, data).ok().and_then(|index| usize::try_from(index).ok());
    let names = names.and_then(|index| sections.get(index)?.data(endian, data).ok()).unwrap_or_default();
    let section = |wanted: &[u8]| {
        let section = sections.iter().find(|section| {
            let name = usize::try_from(section.sh_name(endian)).ok().and_then(|at| names.get(at..));
            name.is_some_and(|name| name.starts_with(wanted))
        });
        section?.data(endian, data).ok()
    };
    let debug_link = section(b".gnu_debuglink\0").and_then(|section| debug_link(endian, section));
    let has_debug_info = section(b".debug_info\0").is_some();
    let alternate = section(b".gnu_debugaltlink\0").filter(|_| has_debug_info).and_then(alternate_link);
    Some(Separation { is_separate, debug_link, alternate })
}

/// A path that ends with a NUL, and the build-id behind it.
fn alternate_link(section: &[u8]) -> Option<AlternateLink> {
    let end = section.find_byte(0)?;
    let (path, id) = (section.get(..end)?, section.get(end + 1..)?);
    let build_id = BuildId::new(id).ok().filter(|_| !path.is_empty())?;
    Some(AlternateLink { path: path.to_owned(), build_id })
}

/// A name that ends with a NUL, zeros to a multiple of four, and the CRC-32.
fn debug_link(endian: Endianness, section: &[u8]) -> Option<DebugLink> {
    let end = section.find_byte(0)?;
    let (name, behind) = (section.get(..end)?, section.get((end + 1).next_multiple_of(4)..)?);
    let crc: [u8; 4] = behind.get(..4)?.try_into().ok()?;
    let crc = match endian {
        Endianness::Little => u32::from_le_bytes(crc),
        Endianness::Big => u32::from_be_bytes(crc),
    };
    // It is somebody else's text, and no way into other directories.
    let is_name = !matches!(name, b"" | b"." | b"..") && !name.contains(&b'/');
    is_name.then(|| DebugLink { name: name.to_owned(), crc })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing::Elf;

    fn read(bytes: &[u8]) -> Separation {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        fs::write(&path, bytes).expect("written");
        separation_of(&File::open(&path).expect("there")).expect("it can be read")
    }

    #[test]
    fn a_link_and_a_file_without_code_are_told_in_either_class_and_byte_order() {
        for endian in [Endianness::Little, Endianness::Big] {
            for is_64 in [false, true] {
                for name in ["a", "abc", "abcd", "a.debug"] {
                    let linked =
                        Elf { debug_link: Some((name.into(), 0x0102_0304)), ..Elf::new(endian, is_64) };
                    let link = DebugLink { name: name.into(), crc: 0x0102_0304 };
                    let told = Separation { debug_link: Some(link), ..Separation::default() };
                    assert_eq!(read(&linked.bytes()), told);
                    let separate = Elf { is_separate: true, ..linked };
                    let told = Separation { is_separate: true, ..told };
                    assert_eq!(read(&separate.bytes()), told);
                    let both = Elf { alternate_link: Some((name.into(), vec![7; 20])), ..separate };
                    let build_id = BuildId::new(&[7; 20]).expect("an id");
                    let alternate = Some(AlternateLink { path: name.into(), build_id });
                    assert_eq!(read(&both.bytes()), Separation { alternate, ..told });
                }
                let without = Elf { sections: false, ..Elf::new(endian, is_64) };
                assert_eq!(read(&without.bytes()), Separation::default());
            }
        }
    }

    #[test]
    fn an_alternate_file_has_a_path_and_an_id_or_is_none() {
        let read = |path: &[u8], id: &[u8]| {
            let alternate_link = Some((path.into(), id.into()));
            read(&Elf { alternate_link, ..Elf::with_build_id(&[1; 20]) }.bytes()).alternate
        };
        for size in 1..=BuildId::MAX {
            let id = vec![7; size];
            let told = read(b"../a", &id).expect("there is one");
            assert_eq!((told.path, told.build_id), (b"../a".to_vec(), BuildId::new(&id).expect("an id")));
        }
        assert_eq!([read(b"", &[7; 20]), read(b"a", &[]), read(b"a", &[0; 20])], [None, None, None]);
    }

    #[test]
    fn damaged_files_tell_nothing_and_hurt_nobody() {
        let linked = Elf {
            debug_link: Some((b"a.debug".to_vec(), 7)),
            alternate_link: Some((b"/b.debug".to_vec(), vec![7; 20])),
            ..Elf::with_build_id(&[1; 20])
        };
        let whole = linked.bytes();
        // The names of sections stand last.
        for cut in 0..whole.len() {
            assert_eq!(read(&whole[..cut]).alternate, None, "cut at {cut}");
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            // Any answer will do that is one.
            read(&bytes);
        }
    }
}
