//! Files packed with gzip, xz or zstd: kernel modules, mostly. Their notes stand anywhere, so that they must be
//! unpacked whole; the bytes decide, not the name.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;
use zstd_safe::{DCtx, InBuffer, OutBuffer};

use crate::limits::UNPACKED_AT_MOST;

/// The contents of a packed file; `None` where it is not packed.
pub(super) fn unpacked(file: &File) -> io::Result<Option<Vec<u8>>> {
    let mut magic = [0; 6];
    // A file too short for a magic is not packed; other errors show when it is read.
    if file.read_exact_at(&mut magic, 0).is_err() {
        return Ok(None);
    }
    let mut unpacked = Vec::new();
    let mut take = |reader: &mut dyn Read| reader.take(UNPACKED_AT_MOST + 1).read_to_end(&mut unpacked);
    match magic {
        [0x1f, 0x8b, ..] => take(&mut MultiGzDecoder::new(file))?,
        [0xfd, b'7', b'z', b'X', b'Z', 0] => take(&mut XzReader::new(file, true))?,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => take(&mut ZstdReader::new(file))?,
        _ => return Ok(None),
    };
    if unpacked.len() as u64 > UNPACKED_AT_MOST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than any module"));
    }
    Ok(Some(unpacked))
}

/// A zstd stream that is read as it is unpacked.
struct ZstdReader<'f> {
    file: &'f File,
    context: DCtx<'static>,
    packed: Vec<u8>,
    start: usize,
}

impl<'f> ZstdReader<'f> {
    fn new(file: &'f File) -> Self {
        Self { file, context: DCtx::create(), packed: Vec::new(), start: 0 }
    }
}

impl Read for ZstdReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.start == self.packed.len() {
                self.packed.resize(DCtx::in_size(), 0);
                let read = self.file.read(&mut self.packed)?;
                self.packed.truncate(read);
                self.start = 0;
            }
            let mut input = InBuffer::around(&self.packed);
            input.set_pos(self.start);
            let mut output = OutBuffer::around(&mut *buf);
            let step = self.context.decompress_stream(&mut output, &mut input);
            step.map_err(|code| io::Error::other(zstd_safe::get_error_name(code)))?;
            let (unpacked, was_at_the_end) = (output.pos(), self.packed.is_empty());
            self.start = input.pos();
            if unpacked > 0 || was_at_the_end {
                return Ok(unpacked);
            }
        }
    }
}
