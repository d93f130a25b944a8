//! Whether an input is an object file and no recording: what is inside decides, be it packed or not.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use perf_session::unpack::{Packing, Unpacked};

/// How ELF files begin.
const ELF: &[u8; 4] = b"\x7fELF";

/// How many bytes of a packed file are read at the most to see whether it is an ELF file: its own header may have a name
/// in it, and before the first block there may be some to be skipped.
const READ_AT_MOST: u64 = 1 << 20;

/// Whether a file is an ELF file, or unpacks to one.
pub(super) fn is_object(file: &File) -> bool {
    let mut magic = [0; Packing::MAGIC_SIZE];
    // An input that cannot be read at an offset is no file; one that is too short is no object.
    if file.read_exact_at(&mut magic, 0).is_err() {
        return false;
    }
    match Packing::detect(&magic) {
        Some(packing) => unpacks_to_one(packing, file),
        None => magic.starts_with(ELF),
    }
}

fn unpacks_to_one(packing: Packing, file: &File) -> bool {
    let mut unpacked = Unpacked::new(packing, FromStart { file, at: 0 }.take(READ_AT_MOST));
    let (mut magic, mut len) = ([0; ELF.len()], 0);
    while let Some(rest) = magic.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match unpacked.read(rest) {
            Ok(read) if read > 0 => len += read,
            _ => return false,
        }
    }
    magic == *ELF
}

/// A file that is read from its start on, whatever its position.
struct FromStart<'f> {
    file: &'f File,
    at: u64,
}

impl Read for FromStart<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buf, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
