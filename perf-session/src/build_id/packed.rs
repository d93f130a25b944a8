//! Files packed with gzip, xz or zstd that are read as ELF files: kernel modules, mostly. The unpacked contents are not
//! kept: they are read as a stream, which begins again for each read before its position, and is bounded.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;

use crate::limits::{PACKED_AT_MOST, PACKED_SLACK, UNPACKED_AT_MOST, UNPACKED_HEAD};
use crate::unpack::{Packing, UnpackFailure, Unpacked};

/// Why a packed file cannot be unpacked: a property of its bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// It is damaged; the text is the decompressor's.
    #[error("{0}")]
    Damaged(String),
    /// Its size, packed or unpacked, is beyond any module's.
    #[error("it is larger than any module")]
    TooLarge,
    /// It goes on without yielding bytes: padding, or frames to be skipped.
    #[error("it is larger than what is in it")]
    Hollow,
    /// Unpacking it takes more memory than any module's does.
    #[error("it refers further back than any module")]
    FarBack,
}

/// Why a part of a packed file could not be read.
#[derive(Debug)]
pub(super) enum Failure {
    /// The file could not be read.
    Io(io::Error),
    /// It was read, and cannot be unpacked.
    Packed(UnpackError),
}

/// The unpacked contents of a file, unpacked as far as they are read.
pub(super) struct Unpacker {
    packed: Rc<Packed>,
    packing: Packing,
    stream: Unpacked<Pass>,
    /// The position of the stream in the unpacked contents.
    at: u64,
    /// Whether the stream is at its end.
    at_end: bool,
    /// Whether this stream or one before it came to its end, where the checksums are.
    checked: bool,
    /// The first bytes of what is unpacked.
    head: Vec<u8>,
    /// How many bytes may still be unpacked, in this pass and others.
    left: u64,
}

impl Unpacker {
    /// The unpacker of a file; the file itself where it is not packed.
    pub(super) fn of(file: File) -> io::Result<Result<Self, File>> {
        let mut magic = [0; Packing::MAGIC_SIZE];
        let packing = match file.read_exact_at(&mut magic, 0) {
            Ok(()) => Packing::detect(&magic),
            // Too short for a magic.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => return Err(error),
        };
        Ok(match packing {
            Some(packing) => Ok(Self::new(file, packing, PACKED_AT_MOST, UNPACKED_AT_MOST)),
            None => Err(file),
        })
    }

    fn new(file: File, packing: Packing, packed_at_most: u64, unpacked_at_most: u64) -> Self {
        let packed = Rc::new(Packed {
            file,
            at_most: packed_at_most,
            read: Cell::new(0),
            unpacked: Cell::new(0),
            failed: RefCell::new(None),
        });
        let stream = stream(&packed, packing);
        Self {
            packed,
            packing,
            stream,
            at: 0,
            at_end: false,
            checked: false,
            head: Vec::new(),
            left: unpacked_at_most,
        }
    }

    /// Reads at an offset; returns whether there are as many bytes.
    pub(super) fn read_exact_at(&mut self, buf: &mut [u8], mut offset: u64) -> Result<bool, Failure> {
        self.fill_head()?;
        let mut rest = buf;
        if let Some(kept) = usize::try_from(offset).ok().and_then(|offset| self.head.get(offset..)) {
            let (from_head, behind) = rest.split_at_mut(kept.len().min(rest.len()));
            from_head.iter_mut().zip(kept).for_each(|(byte, kept)| *byte = *kept);
            offset += from_head.len() as u64;
            rest = behind;
        }
        if rest.is_empty() {
            return Ok(true);
        }
        if offset < self.at {
            self.stream = stream(&self.packed, self.packing);
            self.at = 0;
            self.at_end = false;
        }
        if !self.skip_to(offset)? {
            return Ok(false);
        }
        while !rest.is_empty() {
            match self.next(rest)? {
                0 => return Ok(false),
                read => rest = rest.get_mut(read..).unwrap_or_default(),
            }
        }
        Ok(true)
    }

    fn fill_head(&mut self) -> Result<(), Failure> {
        let mut chunk = [0; 1 << 13];
        while self.head.len() < UNPACKED_HEAD && self.at == self.head.len() as u64 {
            let wanted = chunk.len().min(UNPACKED_HEAD - self.head.len());
            let read = self.next(chunk.get_mut(..wanted).unwrap_or_default())?;
            if read == 0 {
                break;
            }
            self.head.extend_from_slice(chunk.get(..read).unwrap_or_default());
        }
        Ok(())
    }

    /// Unpacks all, unless that was done.
    pub(super) fn check_end(&mut self) -> Result<(), Failure> {
        if !self.checked {
            self.skip_to(u64::MAX)?;
        }
        Ok(())
    }

    /// Unpacks up to an offset; returns whether the contents reach it.
    fn skip_to(&mut self, offset: u64) -> Result<bool, Failure> {
        let mut skipped = [0; 1 << 13];
        while self.at < offset {
            let size = usize::try_from(offset - self.at).unwrap_or(usize::MAX).min(skipped.len());
            if self.next(skipped.get_mut(..size).unwrap_or_default())? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The next bytes of the stream, none at its end.
    fn next(&mut self, buf: &mut [u8]) -> Result<usize, Failure> {
        if self.at_end {
            return Ok(0);
        }
        let read = self.stream.read(buf).map_err(|failure| self.packed.failure(failure))?;
        // No caller reads 0 bytes: the stream is at its end, unless that was hidden.
        if read == 0 {
            self.packed.failed.take().map_or(Ok(()), Err)?;
            self.at_end = true;
            self.checked = true;
        }
        self.at += read as u64;
        self.left = self.left.checked_sub(read as u64).ok_or(Failure::Packed(UnpackError::TooLarge))?;
        self.packed.unpacked.update(|unpacked| unpacked + read as u64);
        Ok(read)
    }
}

fn stream(packed: &Rc<Packed>, packing: Packing) -> Unpacked<Pass> {
    Unpacked::new(packing, Pass { packed: packed.clone(), at: 0 })
}

/// A packed file, and how much of it is read.
struct Packed {
    file: File,
    /// How many of its bytes may be read.
    at_most: u64,
    /// How many were, and how many bytes came of them, in all passes.
    read: Cell<u64>,
    unpacked: Cell<u64>,
    /// Why no more is read.
    failed: RefCell<Option<Failure>>,
}

impl Packed {
    /// The cause of a stream's failure.
    fn failure(&self, failure: UnpackFailure) -> Failure {
        self.failed.take().unwrap_or_else(|| match failure {
            UnpackFailure::Source(error) => Failure::Io(error),
            UnpackFailure::FarBack => Failure::Packed(UnpackError::FarBack),
            failure => Failure::Packed(UnpackError::Damaged(failure.to_string())),
        })
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> Result<usize, Failure> {
        let len = loop {
            match self.file.read_at(buf, at) {
                Ok(len) => break len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::Io(error)),
            }
        };
        let read = self.read.get() + len as u64;
        if read > self.unpacked.get() + PACKED_SLACK {
            return Err(Failure::Packed(UnpackError::Hollow));
        }
        if read > self.at_most {
            return Err(Failure::Packed(UnpackError::TooLarge));
        }
        self.read.set(read);
        Ok(len)
    }
}

/// One pass over a packed file.
struct Pass {
    packed: Rc<Packed>,
    at: u64,
}

impl Read for Pass {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.packed.read_at(buf, self.at).map_err(|failure| {
            self.packed.failed.replace(Some(failure));
            io::Error::other("its bytes are not to be had")
        })?;
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const PACKINGS: [Packing; 2] = [Packing::Gzip, Packing::Zstd];

    fn unpacker(packing: Packing, bytes: &[u8], packed_at_most: u64, unpacked_at_most: u64) -> Unpacker {
        let packed = match packing {
            Packing::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(bytes).expect("memory");
                encoder.finish().expect("memory")
            }
            Packing::Zstd => {
                let mut packed = vec![0; zstd_safe::compress_bound(bytes.len())];
                let len = zstd_safe::compress(packed.as_mut_slice(), bytes, 1).expect("it fits");
                packed.truncate(len);
                packed
            }
            Packing::Xz => unreachable!("nothing here packs it"),
        };
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&packed).expect("written");
        file.rewind().expect("a file");
        Unpacker::new(file, packing, packed_at_most, unpacked_at_most)
    }

    /// Bytes that say where they are.
    fn bytes(len: u32) -> Vec<u8> {
        (0..len / 4).flat_map(u32::to_le_bytes).collect()
    }

    #[test]
    fn what_is_unpacked_is_the_same_in_any_order_of_reading() {
        let bytes = bytes(1 << 18);
        for packing in PACKINGS {
            let mut unpacker = unpacker(packing, &bytes, u64::MAX, u64::MAX);
            for (at, len) in [
                (0, 64),
                (UNPACKED_HEAD - 8, 16),
                (200_000, 60_000),
                (100_000, 4),
                (UNPACKED_HEAD - 8, 100_000),
                (16, 8),
                (bytes.len() - 4, 4),
                (0, bytes.len()),
            ] {
                let mut read = vec![0; len];
                assert!(matches!(unpacker.read_exact_at(&mut read, at as u64), Ok(true)), "{at}");
                assert!(read == bytes[at..at + len], "{len} bytes at {at}");
            }
            // Behind its end is nothing, however often one asks.
            for at in [bytes.len() - 4, bytes.len(), usize::MAX - 8].repeat(20) {
                assert!(matches!(unpacker.read_exact_at(&mut [0; 8], at as u64), Ok(false)), "{at}");
            }
            assert!(matches!(unpacker.check_end(), Ok(())));
        }
    }

    #[test]
    fn all_passes_together_unpack_no_more_than_is_allowed() {
        let bytes = bytes(1 << 18);
        for packing in PACKINGS {
            let mut unpacker = unpacker(packing, &bytes, u64::MAX, 1 << 20);
            let mut read = |at| unpacker.read_exact_at(&mut [0; 4], at);
            // Four times there are less than a MiB; back once more is not.
            for _ in 0..3 {
                assert!(matches!(read(260_000), Ok(true)));
                assert!(matches!(read(70_000), Ok(true)));
            }
            assert!(matches!(read(260_000), Ok(true)));
            let too_large = read(70_000);
            assert!(matches!(too_large, Err(Failure::Packed(UnpackError::TooLarge))), "{too_large:?}");
        }
    }

    #[test]
    fn all_passes_together_read_no_more_than_is_allowed() {
        let bytes = bytes(1 << 18);
        for packing in PACKINGS {
            let packed = unpacker(packing, &bytes, 0, 0).packed.file.metadata().expect("a file").len();
            let mut unpacker = unpacker(packing, &bytes, packed * 2, u64::MAX);
            let mut read = |at| unpacker.read_exact_at(&mut [0; 4], at);
            // Each time from its beginning.
            assert!(matches!(read(262_140), Ok(true)));
            assert!(matches!(read(262_140), Ok(true)));
            assert!(unpacker.packed.read.get() <= packed * 2);
            let too_large = unpacker.read_exact_at(&mut [0; 4], 70_000);
            assert!(matches!(too_large, Err(Failure::Packed(UnpackError::TooLarge))), "{too_large:?}");
        }
    }
}
