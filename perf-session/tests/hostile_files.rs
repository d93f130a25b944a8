//! Files that were made to cost much where a build-id is looked for: what is read of them is bounded, whatever they
//! say of themselves, and once for all of their names.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use object::Endianness;
use perf_format::BuildId;
use perf_session::build_id::{ElfError, NoBuildId, UnpackError, build_id_of};
use perf_session::testing::{BUILD_ID, Elf};

const TERABYTE: u64 = 1 << 40;

/// A directory that goes away with the test, and a file in it.
struct Made {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Made {
    fn of(bytes: &[u8]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        fs::write(&path, bytes).expect("written");
        Self { _dir: dir, path }
    }

    /// Gives it a size that it has no bytes for.
    fn sparse(self, len: u64) -> Self {
        File::options()
            .write(true)
            .open(&self.path)
            .and_then(|file| file.set_len(len))
            .expect("a sparse file");
        self
    }

    fn id(&self) -> Result<Option<BuildId>, NoBuildId> {
        build_id_of(File::open(&self.path).expect("there"))
    }

    /// What is wrong with its contents.
    fn wrong(&self) -> ElfError {
        match self.id() {
            Err(NoBuildId::Elf(error)) => error,
            other => panic!("{other:?}"),
        }
    }
}

fn id(byte: u8) -> BuildId {
    BuildId::new(&[byte; 20]).expect("an id")
}

/// A module that is packed this way.
fn module(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)).expect("it is kept")
}

#[test]
fn the_notes_of_all_sections_together_have_one_limit() {
    for is_64 in [true, false] {
        for (segments, sections) in [(true, false), (false, true)] {
            let small = Elf { segments, sections, ..Elf::new(Endianness::Little, is_64) };
            // 8,000 times the same MiB of notes are 8 GB, and nobody's.
            let large = small.clone().note(b"NOT\0", BUILD_ID, &vec![0; 1 << 20]);
            let many = Elf { headers: 8000, ..large };
            assert_eq!(Made::of(&many.bytes()).wrong(), ElfError::TooLarge, "{is_64} {segments}");
            let few = Elf { headers: 8000, ..small.note(b"NOT\0", BUILD_ID, &[0; 20]) };
            assert!(matches!(Made::of(&few.bytes()).id(), Ok(None)), "{is_64} {segments}");
        }
    }
}

#[test]
fn notes_too_large_to_be_read_do_not_hide_those_behind_them() {
    let notes = Elf::with_build_id(&[7; 20]).notes;
    // The program header tells of all that follows, the section header of the id alone.
    let elf = Elf { notes: notes.clone(), ..Elf::new(Endianness::Little, true) };
    let mut bytes = elf.bytes();
    let p_filesz = 64 + 32;
    bytes[p_filesz..p_filesz + 8].copy_from_slice(&(1_u64 << 31).to_le_bytes());
    assert_eq!(Made::of(&bytes).sparse(1 << 32).id().expect("it has one"), Some(id(7)));
}

#[test]
fn a_table_of_headers_as_large_as_a_sparse_file_is_not_read() {
    let mut bytes = Elf { segments: false, ..Elf::with_build_id(&[7; 20]) }.bytes();
    // e_shnum of 0: the number of sections, a billion, is the first one's sh_size.
    bytes[60..62].copy_from_slice(&[0; 2]);
    let sh_size = 64 + 32;
    bytes[sh_size..sh_size + 8].copy_from_slice(&1_000_000_000_u64.to_le_bytes());
    assert_eq!(Made::of(&bytes).sparse(TERABYTE).wrong(), ElfError::TooLarge);
}

#[test]
fn padding_behind_what_is_packed_is_not_read_to_its_end() {
    let hollow = ElfError::Packed(UnpackError::Hollow);
    let xz = Made::of(&module("module.ko.xz"));
    assert_eq!(xz.id().expect("it is whole"), Some(id(0xcd)));
    assert_eq!(xz.sparse(TERABYTE).wrong(), hollow);
    // Frames of 4 GiB that are to be skipped.
    let zstd = Made::of(&module("module.ko.zst"));
    let mut file = File::options().append(true).open(&zstd.path).expect("there");
    file.write_all(b"\x50\x2a\x4d\x18\xff\xff\xff\xff").expect("written");
    assert_eq!(zstd.sparse(TERABYTE).wrong(), hollow);
    // Behind gzip's end is nothing that is allowed.
    let gzip = Made::of(&module("module.ko.gz")).sparse(TERABYTE).wrong();
    assert!(matches!(gzip, ElfError::Packed(UnpackError::Damaged(_))), "{gzip:?}");
}

#[test]
fn frames_of_nothing_are_not_read_to_their_end_either() {
    // A frame of one block that has no bytes, then its like for ever.
    let empty = b"\x28\xb5\x2f\xfd\x20\x00\x01\x00\x00";
    let zstd = Made::of(&empty.repeat(1 << 18));
    assert_eq!(zstd.wrong(), ElfError::Packed(UnpackError::Hollow));
    assert_eq!(Made::of(&empty.repeat(1 << 4)).wrong(), ElfError::NotElf);
}

#[test]
fn what_is_packed_may_not_refer_back_without_an_end() {
    let far_back = ElfError::Packed(UnpackError::FarBack);
    // The block's header has the dictionary's size behind the filter's number and its own length.
    let xz = |code: u8| {
        let mut bytes = module("module.ko.xz");
        let header = 12..12 + (usize::from(bytes[12]) + 1) * 4;
        let filter = bytes[header.clone()].windows(2).position(|window| window == [0x21, 1]).expect("LZMA2");
        bytes[header.start + filter + 2] = code;
        let mut crc = flate2::Crc::new();
        crc.update(&bytes[header.start..header.end - 4]);
        bytes[header.end - 4..header.end].copy_from_slice(&crc.sum().to_le_bytes());
        Made::of(&bytes)
    };
    // 8 MiB, as xz does it by itself, and 64 MiB, as xz -9 does; 96 MiB, and 4 GiB.
    for code in [22, 28] {
        assert_eq!(xz(code).id().expect("modules have such"), Some(id(0xcd)), "{code}");
    }
    for code in [29, 40] {
        assert_eq!(xz(code).wrong(), far_back, "{code}");
    }
    // The window's size, then a block of nothing.
    let zstd = |log: u8| Made::of(&[0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3, 1, 0, 0]);
    assert_eq!(zstd(27).wrong(), ElfError::NotElf);
    for log in [28, 31] {
        assert_eq!(zstd(log).wrong(), far_back, "{log}");
    }
}
