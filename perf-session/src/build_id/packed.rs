//! Files packed with gzip, xz or zstd: kernel modules, mostly. The bytes decide, not the name. The unpacked contents
//! are not kept: they are read as a stream, which begins again for each read before its position.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;

use flate2::read::MultiGzDecoder;
use lzma_rust2::{XzReader, lzma2_get_memory_usage};
use zstd_safe::zstd_sys::ZSTD_ErrorCode;
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use crate::limits::{
    PACKED_AT_MOST, PACKED_SLACK, UNPACKED_AT_MOST, UNPACKED_HEAD, XZ_DICTIONARY_AT_MOST,
    ZSTD_WINDOW_LOG_AT_MOST,
};

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

#[derive(Clone, Copy)]
enum Format {
    Gzip,
    Xz,
    Zstd,
}

/// The unpacked contents of a file, unpacked as far as they are read.
pub(super) struct Unpacker {
    packed: Rc<Packed>,
    format: Format,
    stream: Box<dyn Read>,
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
        let mut magic = [0; 6];
        let format = match file.read_exact_at(&mut magic, 0).map(|()| magic) {
            Ok([0x1f, 0x8b, ..]) => Format::Gzip,
            Ok([0xfd, b'7', b'z', b'X', b'Z', 0]) => Format::Xz,
            Ok([0x28, 0xb5, 0x2f, 0xfd, ..]) => Format::Zstd,
            Ok(_) => return Ok(Err(file)),
            // Too short for a magic.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Err(file)),
            Err(error) => return Err(error),
        };
        Ok(Ok(Self::new(file, format, PACKED_AT_MOST, UNPACKED_AT_MOST)))
    }

    fn new(file: File, format: Format, packed_at_most: u64, unpacked_at_most: u64) -> Self {
        let packed = Rc::new(Packed {
            file,
            at_most: packed_at_most,
            read: Cell::new(0),
            unpacked: Cell::new(0),
            failed: RefCell::new(None),
        });
        let stream = stream(&packed, format);
        Self {
            packed,
            format,
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
            from_head.copy_from_slice(&kept[..from_head.len()]);
            offset += from_head.len() as u64;
            rest = behind;
        }
        if rest.is_empty() {
            return Ok(true);
        }
        if offset < self.at {
            self.stream = stream(&self.packed, self.format);
            self.at = 0;
            self.at_end = false;
        }
        if !self.skip_to(offset)? {
            return Ok(false);
        }
        while !rest.is_empty() {
            match self.next(rest)? {
                0 => return Ok(false),
                read => rest = &mut rest[read..],
            }
        }
        Ok(true)
    }

    fn fill_head(&mut self) -> Result<(), Failure> {
        let mut chunk = [0; 1 << 13];
        while self.head.len() < UNPACKED_HEAD && self.at == self.head.len() as u64 {
            let wanted = chunk.len().min(UNPACKED_HEAD - self.head.len());
            let read = self.next(&mut chunk[..wanted])?;
            if read == 0 {
                break;
            }
            self.head.extend_from_slice(&chunk[..read]);
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
            if self.next(&mut skipped[..size])? == 0 {
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
        let read = loop {
            match self.stream.read(buf) {
                Ok(read) => break read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.packed.failure(&error)),
            }
        };
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

fn stream(packed: &Rc<Packed>, format: Format) -> Box<dyn Read> {
    let pass = Pass { packed: packed.clone(), at: 0 };
    match format {
        Format::Gzip => Box::new(MultiGzDecoder::new(pass)),
        Format::Xz => {
            let memory = lzma2_get_memory_usage(XZ_DICTIONARY_AT_MOST);
            Box::new(XzReader::new_mem_limit(BufReader::new(pass), true, memory))
        }
        Format::Zstd => Box::new(ZstdReader::new(pass)),
    }
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
    /// The cause of a stream's error.
    fn failure(&self, error: &io::Error) -> Failure {
        self.failed.take().unwrap_or_else(|| match error.kind() {
            io::ErrorKind::OutOfMemory => Failure::Packed(UnpackError::FarBack),
            _ => Failure::Packed(UnpackError::Damaged(error.to_string())),
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

/// A zstd stream that is read as it is unpacked.
struct ZstdReader {
    pass: Pass,
    context: DCtx<'static>,
    packed: Vec<u8>,
    start: usize,
}

impl ZstdReader {
    fn new(pass: Pass) -> Self {
        let mut context = DCtx::create();
        // It is one of the values that there are.
        context.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_AT_MOST)).ok();
        Self { pass, context, packed: Vec::new(), start: 0 }
    }
}

impl Read for ZstdReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.start == self.packed.len() {
                self.packed.resize(DCtx::in_size(), 0);
                let read = self.pass.read(&mut self.packed);
                self.packed.truncate(*read.as_ref().unwrap_or(&0));
                self.start = 0;
                read?;
            }
            let mut input = InBuffer::around(&self.packed);
            input.set_pos(self.start);
            let mut output = OutBuffer::around(&mut *buf);
            let step = self.context.decompress_stream(&mut output, &mut input);
            step.map_err(zstd_error)?;
            let (unpacked, was_at_the_end) = (output.pos(), self.packed.is_empty());
            self.start = input.pos();
            if unpacked > 0 || was_at_the_end {
                return Ok(unpacked);
            }
        }
    }
}

/// An error of the library's, which are negative numbers.
fn zstd_error(code: usize) -> io::Error {
    if code == (ZSTD_ErrorCode::ZSTD_error_frameParameter_windowTooLarge as usize).wrapping_neg() {
        return io::ErrorKind::OutOfMemory.into();
    }
    io::Error::other(zstd_safe::get_error_name(code))
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const FORMATS: [Format; 2] = [Format::Gzip, Format::Zstd];

    fn unpacker(format: Format, bytes: &[u8], packed_at_most: u64, unpacked_at_most: u64) -> Unpacker {
        let packed = match format {
            Format::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(bytes).expect("memory");
                encoder.finish().expect("memory")
            }
            Format::Zstd => {
                let mut packed = vec![0; zstd_safe::compress_bound(bytes.len())];
                let len = zstd_safe::compress(packed.as_mut_slice(), bytes, 1).expect("it fits");
                packed.truncate(len);
                packed
            }
            Format::Xz => unreachable!("nothing here packs it"),
        };
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&packed).expect("written");
        file.rewind().expect("a file");
        Unpacker::new(file, format, packed_at_most, unpacked_at_most)
    }

    /// Bytes that say where they are.
    fn bytes(len: u32) -> Vec<u8> {
        (0..len / 4).flat_map(u32::to_le_bytes).collect()
    }

    #[test]
    fn what_is_unpacked_is_the_same_in_any_order_of_reading() {
        let bytes = bytes(1 << 18);
        for format in FORMATS {
            let mut unpacker = unpacker(format, &bytes, u64::MAX, u64::MAX);
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
        for format in FORMATS {
            let mut unpacker = unpacker(format, &bytes, u64::MAX, 1 << 20);
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
        for format in FORMATS {
            let packed = unpacker(format, &bytes, 0, 0).packed.file.metadata().expect("a file").len();
            let mut unpacker = unpacker(format, &bytes, packed * 2, u64::MAX);
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
