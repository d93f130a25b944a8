//! Something packed, read as what it unpacks to: once, or, of a file, at any offset.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::{Packing, UnpackFailure, Unpacked};
use crate::limits::{UNPACKED_HEAD, UNPACKED_PASSES_AT_MOST};

/// Something packed, read once.
pub(crate) struct UnpackedStream<R>(Unpacked<R>);

impl<R: Read> UnpackedStream<R> {
    /// Unpacks a source from where it is.
    pub(crate) fn new(packing: Packing, source: R) -> Self {
        Self(Unpacked::new(packing, source))
    }
}

impl<R: Read> Read for UnpackedStream<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf).map_err(|failure| match failure {
            UnpackFailure::Source(error) => error,
            failure => io::Error::other(failure),
        })
    }
}

/// A packed file that can seek: backwards, it is unpacked anew from its start. Where it cannot be unpacked any further is its
/// end to a seek, and an error to a read.
pub(crate) struct UnpackedFile {
    file: Arc<File>,
    packing: Packing,
    stream: UnpackedStream<FromStart>,
    /// Where the stream is.
    at: u64,
    /// Where the next read is.
    position: u64,
    /// The first bytes, which are read more than once.
    head: Vec<u8>,
    passes: u32,
}

/// A file that is read from its start on, whatever its position.
struct FromStart {
    file: Arc<File>,
    at: u64,
}

impl Read for FromStart {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buf, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

fn stream(packing: Packing, file: &Arc<File>) -> UnpackedStream<FromStart> {
    UnpackedStream::new(packing, FromStart { file: file.clone(), at: 0 })
}

impl UnpackedFile {
    /// Unpacks a file from its start on.
    pub(crate) fn new(packing: Packing, file: File) -> Self {
        let file = Arc::new(file);
        let stream = stream(packing, &file);
        Self { file, packing, stream, at: 0, position: 0, head: Vec::new(), passes: 1 }
    }

    /// Unpacks on into a buffer.
    fn unpack(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buf)?;
        let new = buf.get(..read).unwrap_or_default();
        if self.head.len() as u64 == self.at {
            let room = UNPACKED_HEAD.saturating_sub(self.head.len());
            self.head.extend_from_slice(new.get(..room).unwrap_or(new));
        }
        self.at += read as u64;
        Ok(read)
    }

    /// Goes to an offset, or to the end where that is before it.
    fn go_to(&mut self, offset: u64) -> io::Result<()> {
        if offset < self.at {
            self.passes += 1;
            if self.passes > UNPACKED_PASSES_AT_MOST {
                return Err(io::Error::other("its parts are in no order in which a packed file can be read"));
            }
            self.stream = stream(self.packing, &self.file);
            self.at = 0;
        }
        let mut buf = vec![0; UNPACKED_HEAD];
        while self.at < offset {
            let len = usize::try_from(offset - self.at).map_or(buf.len(), |left| left.min(buf.len()));
            if self.unpack(buf.get_mut(..len).unwrap_or_default())? == 0 {
                break;
            }
        }
        Ok(())
    }
}

impl Read for UnpackedFile {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let from = usize::try_from(self.position).unwrap_or(usize::MAX);
        let read = match self.head.get(from..) {
            Some(mut ahead) if !ahead.is_empty() => ahead.read(buf)?,
            _ => {
                if self.at != self.position {
                    self.go_to(self.position)?;
                }
                if self.at == self.position { self.unpack(buf)? } else { 0 }
            }
        };
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for UnpackedFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => {
                // A failure comes again when the bytes before it are read.
                self.go_to(u64::MAX).ok();
                self.at.checked_add_signed(by)
            }
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
