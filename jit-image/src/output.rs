//! The file of an image: written from its start to its end, with holes.

use std::io::{self, Seek, SeekFrom, Write};

/// Bytes between functions from which on they are left to the file system: a hole smaller than its block saves
/// nothing.
const HOLE_FROM: u64 = 0x1000;

/// A file that is written from its start to its end, with holes, and its head last.
#[derive(Debug)]
pub(crate) struct SparseWriter<W> {
    out: W,
    /// How far it is written, in bytes from its start.
    at: u64,
}

impl<W: Write + Seek> SparseWriter<W> {
    /// An output at the start of an empty file.
    pub(crate) fn new(out: W) -> Self {
        Self { out, at: 0 }
    }

    /// Writes bytes behind what is written. Zeros in place of code that nobody kept are a hole; it is no matter where
    /// they end, since something follows in every image.
    pub(crate) fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        const ZEROS: [u8; 64] = [0; 64];
        let are_zeros = || bytes.chunks(ZEROS.len()).all(|part| ZEROS.starts_with(part));
        if bytes.is_empty() || (bytes.len() as u64 >= HOLE_FROM && are_zeros()) {
            return Ok(());
        }
        if offset.saturating_sub(self.at) >= HOLE_FROM {
            self.out.seek(SeekFrom::Start(offset))?;
            self.at = offset;
        }
        while self.at < offset {
            let gap = usize::try_from(offset - self.at).unwrap_or(ZEROS.len()).min(ZEROS.len());
            self.out.write_all(ZEROS.get(..gap).unwrap_or_default())?;
            self.at += gap as u64;
        }
        self.out.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Writes the head, for which there is room.
    pub(crate) fn write_head(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(bytes)?;
        self.out.flush()
    }
}
