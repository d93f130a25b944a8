//! `elf_notes`: the build-id among notes, and in an ELF file, packed or not.

use std::fs::File;
use std::io::{Seek as _, Write as _};

use perf_session::build_id::{build_id_of, gnu_build_id};
use rustix::fs::MemfdFlags;

/// Bytes that are notes, and that are a file in memory.
pub fn elf_notes(data: &[u8]) {
    if let Some(id) = gnu_build_id(data) {
        let id = id.as_bytes();
        assert!(data.windows(id.len()).any(|window| window == id), "the id stands in the notes");
    }
    let magic = data.get(..4).unwrap_or_default();
    let packed = matches!(magic, [0x1f, 0x8b, ..] | [0xfd, b'7', ..] | [0x28, 0xb5, 0x2f, 0xfd]);
    // Other files are told by their first bytes, before anything is read.
    if !packed && magic != b"\x7fELF" {
        return;
    }
    let found = build_id_of(in_memory(data)).ok().flatten();
    if let (Some(id), false) = (found, packed) {
        let id = id.as_bytes();
        assert!(data.windows(id.len()).any(|window| window == id), "the id stands in the file");
    }
}

/// A file of no name and no place on a disk.
fn in_memory(bytes: &[u8]) -> File {
    let file = rustix::fs::memfd_create("elf", MemfdFlags::CLOEXEC).expect("a file in memory");
    let mut file = File::from(file);
    file.write_all(bytes).expect("written");
    file.rewind().expect("at its start");
    file
}
