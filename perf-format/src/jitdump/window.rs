//! A buffered window on a source that may still be growing, in which a reader can skip.

use std::io::{Read, Seek, SeekFrom};

use super::Extent;
use crate::Error;
use crate::read::read_full;

/// Bytes that the window has: many small functions, and little of a large one whose code nobody wants.
const WINDOW: usize = 1 << 16;

#[derive(Debug)]
pub(super) struct Window<S> {
    source: S,
    /// The bytes that were read last, and where in the source they start.
    bytes: Vec<u8>,
    offset: u64,
    /// How long the source is known to be. It may have grown.
    len: u64,
}

impl<S: Read + Seek> Window<S> {
    pub(super) fn new(source: S) -> Self {
        Self { source, bytes: Vec::new(), offset: 0, len: 0 }
    }

    pub(super) fn into_inner(self) -> S {
        self.source
    }

    /// The `len` bytes at `offset`, or `None` where they are not all there.
    pub(super) fn get(&mut self, offset: u64, len: usize) -> Result<Option<&[u8]>, Error> {
        self.there(offset, len).map(|bytes| bytes.get(..len))
    }

    /// The bytes at `offset`, at least `len` of them where the source has so many.
    pub(super) fn there(&mut self, offset: u64, len: usize) -> Result<&[u8], Error> {
        if self.seen(offset).is_none_or(|seen| seen.len() < len) {
            self.move_to(offset, len)?;
        }
        Ok(self.seen(offset).unwrap_or_default())
    }

    /// What the window has from `offset` on, if that lies in it or at its end.
    fn seen(&self, offset: u64) -> Option<&[u8]> {
        self.bytes.get(usize::try_from(offset.checked_sub(self.offset)?).ok()?..)
    }

    fn move_to(&mut self, offset: u64, len: usize) -> Result<(), Error> {
        // A long name was held; the next window need not be so large.
        self.bytes.resize(len.max(WINDOW), 0);
        self.bytes.shrink_to(len.max(WINDOW));
        let read = seek(&mut self.source, SeekFrom::Start(offset), offset)
            .and_then(|_| read_full(&mut self.source, &mut self.bytes, offset));
        // Of a read that failed nothing is there.
        self.bytes.truncate(*read.as_ref().unwrap_or(&0));
        self.offset = offset;
        read.map(|_| ())
    }

    /// How long the source is now.
    pub(super) fn len(&mut self) -> Result<u64, Error> {
        self.len = seek(&mut self.source, SeekFrom::End(0), self.len)?;
        Ok(self.len)
    }

    /// Whether the source has all bytes up to `end`. None of them is read for that, and to seek behind the end of a
    /// file is no error: so its length is asked for, again if need be.
    pub(super) fn reaches(&mut self, end: u64) -> Result<bool, Error> {
        if end > self.len {
            self.len = seek(&mut self.source, SeekFrom::End(0), end)?;
        }
        Ok(end <= self.len)
    }

    pub(super) fn read(&mut self, extent: Extent) -> Result<Vec<u8>, Error> {
        let Extent { offset, len } = extent;
        if let Some(seen) = self.seen(offset).and_then(|seen| seen.get(..len)) {
            return Ok(seen.to_vec());
        }
        if !self.reaches(offset.saturating_add(len as u64))? {
            let have = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(len);
            return Err(Error::Truncated { offset, have, need: len });
        }
        let mut bytes = vec![0; len];
        seek(&mut self.source, SeekFrom::Start(offset), offset)?;
        let have = read_full(&mut self.source, &mut bytes, offset)?;
        if have < len { Err(Error::Truncated { offset, have, need: len }) } else { Ok(bytes) }
    }
}

fn seek(source: &mut impl Seek, to: SeekFrom, offset: u64) -> Result<u64, Error> {
    source.seek(to).map_err(|source| Error::Io { offset, source })
}
