//! Inflates COMPRESSED and COMPRESSED2 records. All of them hold one zstd stream, which its writer never ends; a record
//! in it may span two of them.

use std::ops::Range;

use crate::Error;
use crate::raw::RecordPlace;
use crate::record::{Compressed2, RawRecord, RecordHeader, RecordType};

#[cfg(not(feature = "zstd"))]
mod no_zstd;
#[cfg(feature = "zstd")]
mod zstd;

#[cfg(not(feature = "zstd"))]
use no_zstd::NoZstd as PieceStream;
#[cfg(feature = "zstd")]
use zstd::ZstdStream as PieceStream;

/// Bytes inflated at a time. The whole is never held, however much a record inflates to; a torn record of 64 KiB
/// always has room to become whole.
const BUFFER_SIZE: usize = 1 << 18;

/// Inflates the compressed records of one recording, in their order.
///
/// Without the feature `zstd`, which is on by default, nothing inflates: [`Error::Inflate`] says so.
pub struct Inflater {
    stream: PieceStream,
    buffer: Box<[u8]>,
    /// First byte of the buffer that was not given out as part of a whole record.
    at: usize,
    /// One past the last byte that was inflated.
    end: usize,
    /// How much of the record's piece has been inflated.
    taken: usize,
    /// Whether more of the piece may come without more of its bytes: the buffer was full.
    full: bool,
    /// What [`inflate_next`](Self::inflate_next) gave last; `None` behind a record's last piece.
    given: Option<Range<usize>>,
    broken: bool,
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflater")
            .field("torn", &(self.end - self.at))
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

impl Default for Inflater {
    fn default() -> Self {
        let buffer = vec![0; BUFFER_SIZE].into();
        Self {
            stream: PieceStream::default(),
            buffer,
            at: 0,
            end: 0,
            taken: 0,
            full: false,
            given: None,
            broken: false,
        }
    }
}

/// The piece of the stream that a record holds.
fn piece<'a>(record: &RawRecord<'a>) -> Result<&'a [u8], Error> {
    if record.record_type() == RecordType::COMPRESSED {
        return record.parse_as();
    }
    let Ok(Compressed2 { data_size, data }) = record.parse_as() else {
        return Err(failed(record, "it has no data size"));
    };
    let len = usize::try_from(data_size).ok();
    len.and_then(|len| data.get(..len))
        .ok_or_else(|| failed(record, "its data size is larger than the record"))
}

#[cold]
fn failed(record: &RawRecord<'_>, problem: &'static str) -> Error {
    Error::Inflate { offset: record.offset, record_type: record.record_type(), problem }
}

impl Inflater {
    /// Passes each whole record inside a COMPRESSED or COMPRESSED2 record to `each`, with the offset of the compressed
    /// record, the only one that it has in the input.
    ///
    /// # Errors
    /// [`Error::Inflate`] where the piece is no part of the stream; what comes after it cannot be inflated then either,
    /// and is not tried. Any error of `each`.
    pub fn inflate<E: From<Error>>(
        &mut self,
        record: &RawRecord<'_>,
        mut each: impl FnMut(RawRecord<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.begin(record)?;
        while self.inflate_more(record)? {
            while let Some(place) = self.step(record)? {
                each(self.at(place, record))?;
            }
        }
        Ok(())
    }

    /// The next whole records inside a COMPRESSED or COMPRESSED2 record, one behind the other, at most 256 KiB of them;
    /// `None` where that was all. It is called with the same record until then, or until an error.
    ///
    /// # Errors
    /// [`Error::Inflate`], as of [`inflate`](Self::inflate).
    pub fn inflate_next(&mut self, record: &RawRecord<'_>) -> Result<Option<&[u8]>, Error> {
        if self.given.take().is_none() {
            self.begin(record)?;
        }
        loop {
            let start = self.at;
            // Those before one that is none come first.
            loop {
                match self.step(record) {
                    Ok(Some(_)) => {}
                    Err(error) if self.at == start => return Err(error),
                    Ok(None) | Err(_) => break,
                }
            }
            if self.at > start {
                self.given = Some(start..self.at);
                return Ok(Some(self.inflated()));
            }
            if !self.inflate_more(record)? {
                return Ok(None);
            }
        }
    }

    /// The records that [`inflate_next`](Self::inflate_next) gave last; none behind a record's last.
    #[must_use]
    pub fn inflated(&self) -> &[u8] {
        self.given.clone().and_then(|given| self.buffer.get(given)).unwrap_or_default()
    }

    /// Starts on a record's piece: [`step`](Self::step) gives the records in it, and where that has no more,
    /// [`inflate_more`](Self::inflate_more) says whether the piece has.
    pub(crate) fn begin(&mut self, record: &RawRecord<'_>) -> Result<(), Error> {
        if self.broken {
            return Err(failed(record, "a piece before it did not"));
        }
        // Until it has gone well.
        self.broken = true;
        (self.taken, self.full) = (0, false);
        Ok(())
    }

    /// Inflates as much of the piece as there is room for; false where nothing is left of it.
    pub(crate) fn inflate_more(&mut self, record: &RawRecord<'_>) -> Result<bool, Error> {
        let piece = piece(record)?.get(self.taken..).unwrap_or_default();
        if piece.is_empty() && !self.full {
            self.broken = false;
            return Ok(false);
        }
        self.buffer.copy_within(self.at..self.end, 0);
        (self.at, self.end) = (0, self.end - self.at);
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        let len = room.len();
        let (taken, inflated) =
            self.stream.inflate(piece, room).map_err(|problem| failed(record, problem))?;
        self.full = inflated == len;
        self.end += inflated;
        self.taken += taken;
        Ok(true)
    }

    /// Goes behind the next whole record that was inflated, which stays in the buffer until more is.
    #[inline]
    pub(crate) fn step(&mut self, record: &RawRecord<'_>) -> Result<Option<RecordPlace>, Error> {
        let rest = self.buffer.get(self.at..self.end).unwrap_or_default();
        let Some(head) = rest.first_chunk() else { return Ok(None) };
        let header = RecordHeader::from_bytes(*head, record.endian);
        let len = usize::from(header.size);
        if len < RecordHeader::SIZE {
            return Err(failed(record, "a record in it is smaller than its own header"));
        }
        if len > rest.len() {
            return Ok(None);
        }
        let place = RecordPlace { header, start: self.at, offset: record.offset };
        self.at += len;
        Ok(Some(place))
    }

    /// The record of the last step, which has the offset and byte order of the one that it was in.
    #[inline]
    pub(crate) fn at(&self, place: RecordPlace, record: &RawRecord<'_>) -> RawRecord<'_> {
        place.record_in(&self.buffer, record.endian)
    }
}
