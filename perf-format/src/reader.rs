//! Reads batches of raw records: each read of the source makes one batch, so that no record waits for the next read.

use std::io::Read;
use std::thread::Scope;

use crate::foreign::Foreign;
use crate::header::{Head, PIPE_HEADER_SIZE};
use crate::raw::{RawRecord, RecordHeader, RecordPlace};
use crate::read::read_once;
use crate::record_type::RecordType;
use crate::{Endian, Error};

mod ahead;

use ahead::ReadingThread;

/// Bytes of the rolling buffer. A pipe brings 64 KiB at a time, or 1 MiB where it was enlarged; a record has at
/// most 64 KiB, so that a torn one always has room to become whole.
const BUFFER_SIZE: usize = 1 << 20;

/// Reads records from a source. After the last record of a batch, the payload that it announces (TRACING_DATA,
/// AUXTRACE) is read with [`RecordReader::next_payload`].
#[derive(Debug)]
pub struct RecordReader<R> {
    source: Source<R>,
    buffer: Box<[u8]>,
    cursor: Cursor,
    header: Option<[u8; PIPE_HEADER_SIZE]>,
}

/// Where what is read comes from.
#[derive(Debug)]
enum Source<R> {
    Here(R),
    /// A thread reads it.
    Ahead(ReadingThread),
}

/// The reader's position in the buffer and in the input. `start <= end <= buffer.len()`.
#[derive(Debug)]
struct Cursor {
    /// First byte of the buffer that no batch has given out as part of a whole record.
    start: usize,
    /// One past the last byte that was read.
    end: usize,
    /// Where `start` stands in the input.
    offset: u64,
    endian: Endian,
    payload: Payload,
    /// Whether the input is over.
    is_over: bool,
}

/// The payload that is being read, and the record that announced it.
#[derive(Debug, Clone, Copy)]
struct Payload {
    offset: u64,
    record_type: RecordType,
    len: u64,
    left: u64,
}

impl Payload {
    const NONE: Self = Self { offset: 0, record_type: RecordType(0), len: 0, left: 0 };
}

impl<R: Read> RecordReader<R> {
    /// Reads the records of a pipe's stream, whose header ([`Head::read`]) is read already; what
    /// [`PipeStream::records`](crate::PipeStream::records) does.
    pub fn pipe(source: R, head: Head) -> Self {
        let mut reader = Self::records(source, head.format.endian(), head.records_at());
        let ahead = head.record_bytes();
        if let Some(place) = reader.buffer.get_mut(..ahead.len()) {
            place.copy_from_slice(ahead);
        }
        reader.cursor.end = ahead.len();
        reader.with_header(head.pipe_header())
    }

    /// Gives the reader a pipe's header, which [`header`](Self::header) then has, and a repiped stream starts with.
    #[must_use]
    pub fn with_header(mut self, header: [u8; PIPE_HEADER_SIZE]) -> Self {
        self.header = Some(header);
        self
    }

    /// Reads records from the source's first byte on, which stands at `offset` in the input.
    pub fn records(source: R, endian: Endian, offset: u64) -> Self {
        let cursor = Cursor { start: 0, end: 0, offset, endian, payload: Payload::NONE, is_over: false };
        Self { source: Source::Here(source), buffer: vec![0; BUFFER_SIZE].into(), cursor, header: None }
    }

    /// Lets a thread read on, which has the next bytes ready when they are asked for: for files, whose bytes are all there. It
    /// ends with the input, or with the reader. Where no thread can be made, all stays as it is.
    #[must_use]
    pub fn read_ahead<'scope>(self, scope: &'scope Scope<'scope, '_>) -> Self
    where
        R: Send + 'scope,
    {
        let offset = self.cursor.offset + (self.cursor.end - self.cursor.start) as u64;
        let source = match self.source {
            Source::Here(source) => {
                ReadingThread::start(scope, source, offset).map_or_else(Source::Here, Source::Ahead)
            }
            ahead @ Source::Ahead(_) => ahead,
        };
        Self { source, ..self }
    }

    /// The pipe header that stands before the records, if one does; where it was missing, the one that should have.
    #[must_use]
    pub fn header(&self) -> Option<[u8; PIPE_HEADER_SIZE]> {
        self.header
    }

    /// Takes the pipe header away, for an output in which it has no place.
    pub fn take_header(&mut self) -> Option<[u8; PIPE_HEADER_SIZE]> {
        self.header.take()
    }

    /// The byte order of the records.
    #[must_use]
    pub fn endian(&self) -> Endian {
        self.cursor.endian
    }

    /// The input offset of the next record or payload byte that was not given out yet.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.cursor.offset
    }

    /// Reads once, and gives the whole records that are then there; `None` at the input's end. Records that are there
    /// already (behind a payload, or left in the last batch) are given first; a payload that was not read is skipped.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Truncated`] where the input ends inside a record. What no record can be is an error of
    /// the batch: [`Error::RecordTooSmall`], [`Error::AnotherRecording`], [`Error::Text`].
    pub fn next_batch(&mut self) -> Result<Option<Batch<'_>>, Error> {
        while self.next_payload()?.is_some() {}
        if self.missing().is_some() && !self.read_or_end()? {
            return Ok(None);
        }
        let bytes = self.buffer.get(self.cursor.start..self.cursor.end).unwrap_or_default();
        let Cursor { start, offset, .. } = self.cursor;
        Ok(Some(Batch { bytes, start, offset, failed: false, cursor: &mut self.cursor }))
    }

    /// The next record: those that a read brought are given one after the other, and then the source is read again. A
    /// payload behind the last one, if it was not read, is skipped. `None` at the input's end.
    ///
    /// [`next_batch`](Self::next_batch) is for loops that write runs of records as they stand, or skip most of them.
    ///
    /// # Errors
    /// As [`next_batch`](Self::next_batch) and its iterator. Where no record can be found behind an error, it comes again.
    #[inline]
    pub fn next_record(&mut self) -> Result<Option<RawRecord<'_>>, Error> {
        Ok(self.step()?.map(|place| self.at(place)))
    }

    /// The next record where it is in memory already, and nothing but that is to be read before it: what
    /// [`next_record`](Self::next_record) gives then. `None` says nothing of the input.
    #[must_use]
    #[inline]
    pub fn buffered(&self) -> Option<RawRecord<'_>> {
        let Cursor { start, end, offset, endian, payload, .. } = self.cursor;
        let rest = self.buffer.get(start..end)?;
        let record = RawRecord::first(rest, offset, endian)?;
        // Nearly all are whole records with nothing behind them.
        let is_plain = payload.left == 0
            && matches!(record.payload_len(), Ok(0))
            && rest.first_chunk().is_some_and(|head| Foreign::at(*head).is_none());
        is_plain.then_some(record)
    }

    /// Goes behind the next record, which stays in the buffer until the next step.
    #[inline]
    pub(crate) fn step(&mut self) -> Result<Option<RecordPlace>, Error> {
        let Cursor { start, offset, .. } = self.cursor;
        if let Some(RawRecord { header, .. }) = self.buffered() {
            self.cursor.advance(header.size.into());
            return Ok(Some(RecordPlace { header, start, offset }));
        }
        self.read_step()
    }

    /// The same, for all that the buffer alone does not tell.
    fn read_step(&mut self) -> Result<Option<RecordPlace>, Error> {
        while self.next_payload()?.is_some() {}
        while self.missing().is_some() {
            if !self.read_or_end()? {
                return Ok(None);
            }
        }
        let bytes = self.buffer.get(self.cursor.start..self.cursor.end).unwrap_or_default();
        let Cursor { start, offset, .. } = self.cursor;
        let mut batch = Batch { bytes, start, offset, failed: false, cursor: &mut self.cursor };
        let record = batch.next().transpose()?;
        Ok(record.map(|RawRecord { header, offset, .. }| RecordPlace { header, start, offset }))
    }

    /// The record of the last step.
    #[inline]
    pub(crate) fn at(&self, place: RecordPlace) -> RawRecord<'_> {
        place.record_in(&self.buffer, self.cursor.endian)
    }

    /// Reads once. Whether a batch or an error comes of what is there then; at the input's end neither does.
    fn read_or_end(&mut self) -> Result<bool, Error> {
        if self.read_more()? > 0 {
            return Ok(true);
        }
        match self.missing() {
            Some((0, _)) => Ok(false),
            Some((have, need)) => {
                let offset = self.cursor.offset;
                let rest = self.buffer.get(self.cursor.start..self.cursor.end).unwrap_or_default();
                let text = Foreign::at_the_end(rest).map(|text| text.error(offset, rest));
                Err(text.unwrap_or(Error::Truncated { offset, have, need }))
            }
            // It is not whole, but it can be told what it is.
            None => Ok(true),
        }
    }

    /// How many bytes of the next record are there, and how many it needs, while it is not whole. What no record can be
    /// counts as whole: reading on would not mend it.
    fn missing(&self) -> Option<(usize, usize)> {
        let there = self.buffer.get(self.cursor.start..self.cursor.end).unwrap_or_default();
        let need = match there.first_chunk() {
            Some(head) => match Foreign::at(*head) {
                Some(_) if self.cursor.is_over => return None,
                Some(foreign) => foreign.need(),
                None => RecordHeader::from_bytes(*head, self.cursor.endian).size.into(),
            },
            None => RecordHeader::SIZE,
        };
        (there.len() < need).then_some((there.len(), need))
    }

    /// The type of the record that announced the payload which [`next_payload`](Self::next_payload) gives.
    #[must_use]
    pub fn payload_type(&self) -> RecordType {
        self.cursor.payload.record_type
    }

    /// The next piece of the payload behind the last record of the batch: what is there already, then what each
    /// read brings. `None` where it is over.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::PayloadTruncated`] where the input ends inside it.
    pub fn next_payload(&mut self) -> Result<Option<&[u8]>, Error> {
        if self.cursor.payload.left == 0 {
            return Ok(None);
        }
        if self.cursor.start == self.cursor.end && self.read_more()? == 0 {
            let Payload { offset, record_type, len, left } = self.cursor.payload;
            return Err(Error::PayloadTruncated { offset, record_type, have: len - left, need: len });
        }
        let there = self.cursor.end - self.cursor.start;
        let len = usize::try_from(self.cursor.payload.left).map_or(there, |left| left.min(there));
        let from = self.cursor.start;
        self.cursor.advance(len);
        self.cursor.payload.left -= len as u64;
        Ok(self.buffer.get(from..from + len))
    }

    /// Moves what is left to the front and reads once behind it.
    fn read_more(&mut self) -> Result<usize, Error> {
        let Cursor { start, end, offset, .. } = self.cursor;
        let left = end - start;
        let (start, end) = match &mut self.source {
            Source::Here(source) => {
                self.buffer.copy_within(start..end, 0);
                let room = self.buffer.get_mut(left..).unwrap_or_default();
                (0, left + read_once(source, room, offset + left as u64)?)
            }
            Source::Ahead(ahead) => ahead.next(&mut self.buffer, start, end)?,
        };
        (self.cursor.start, self.cursor.end) = (start, end);
        let read = end - start - left;
        self.cursor.is_over = read == 0;
        Ok(read)
    }
}

impl Cursor {
    fn advance(&mut self, len: usize) {
        self.start += len;
        self.offset += len as u64;
    }
}

/// The whole records that one read brought, as an iterator. Records that it has given out are read; when it is dropped,
/// the others stay in the reader, and come with the next batch.
#[derive(Debug)]
pub struct Batch<'r> {
    bytes: &'r [u8],
    start: usize,
    offset: u64,
    failed: bool,
    cursor: &'r mut Cursor,
}

impl<'r> Batch<'r> {
    /// The bytes of the batch from one input offset to another, for writing runs of records.
    #[must_use]
    pub fn bytes(&self, from: u64, to: u64) -> &'r [u8] {
        let at = |offset: u64| usize::try_from(offset.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        self.bytes.get(at(from)..at(to)).unwrap_or_default()
    }

    /// The next whole record, which stays the next.
    #[must_use]
    #[inline]
    pub fn peek(&self) -> Option<RawRecord<'r>> {
        let rest =
            self.bytes.get(self.cursor.start - self.start..).filter(|_| self.cursor.payload.left == 0)?;
        Foreign::at(*rest.first_chunk()?).is_none().then_some(())?;
        RawRecord::first(rest, self.cursor.offset, self.cursor.endian)
    }

    /// The next whole record, if the predicate holds for it; otherwise it stays the next. The predicate is called only
    /// with records that [`next`](Iterator::next) would give as `Ok`.
    #[inline]
    pub fn next_if(&mut self, predicate: impl FnOnce(&RawRecord<'r>) -> bool) -> Option<RawRecord<'r>> {
        if self.failed {
            return None;
        }
        let record = self.peek()?;
        let len = record.payload_len().ok()?;
        if !predicate(&record) {
            return None;
        }
        self.give(&record, len);
        Some(record)
    }

    /// Skips records for as long as the predicate holds for them. It is called only with records that
    /// [`next`](Iterator::next) would give as `Ok`, and with none that has a payload behind it.
    ///
    /// This is [`next_if`](Self::next_if) for the loop that skips nearly all of a stream: the reader's position stays
    /// in registers until the end.
    #[inline]
    pub fn advance_while(&mut self, mut predicate: impl FnMut(&RawRecord<'r>) -> bool) -> Skipped {
        let Cursor { offset, endian, .. } = *self.cursor;
        let mut rest = self.rest();
        let mut skipped = Skipped::default();
        while let Some(record) = RawRecord::first(rest, offset + skipped.bytes as u64, endian)
            && matches!(record.payload_len(), Ok(0))
            && rest.first_chunk().is_some_and(|head| Foreign::at(*head).is_none())
            && predicate(&record)
        {
            rest = rest.get(record.bytes.len()..).unwrap_or_default();
            skipped.records += 1;
            skipped.bytes += record.bytes.len();
        }
        self.cursor.advance(skipped.bytes);
        skipped
    }

    /// The bytes from the next record on, whole records or not.
    fn rest(&self) -> &'r [u8] {
        let rest = self.bytes.get(self.cursor.start - self.start..).unwrap_or_default();
        if self.cursor.payload.left > 0 || self.failed { &[] } else { rest }
    }

    /// The input offset of the first record.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The input offset behind the last record given out.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.cursor.offset
    }

    /// The byte order of the records.
    #[must_use]
    pub fn endian(&self) -> Endian {
        self.cursor.endian
    }

    /// Bytes of payload that follow the last record given out.
    #[must_use]
    pub fn payload(&self) -> u64 {
        self.cursor.payload.left
    }
}

/// The records that [`Batch::advance_while`] skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Skipped {
    /// The number of records.
    pub records: u64,
    /// Their size in bytes.
    pub bytes: usize,
}

impl<'r> Iterator for Batch<'r> {
    type Item = Result<RawRecord<'r>, Error>;

    /// The next whole record. The batch is over where the next one is torn, behind a record with a payload, and
    /// behind an error.
    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.cursor.payload.left > 0 || self.failed {
            return None;
        }
        let rest = self.bytes.get(self.cursor.start - self.start..)?;
        let head = *rest.first_chunk()?;
        if let Some(foreign) = Foreign::at(head) {
            self.failed = self.cursor.is_over || rest.len() >= foreign.need();
            return self.failed.then(|| Err(foreign.error(self.cursor.offset, rest)));
        }
        let header = RecordHeader::from_bytes(head, self.cursor.endian);
        if usize::from(header.size) < RecordHeader::SIZE {
            self.failed = true;
            let (offset, record_type, size) = (self.cursor.offset, header.record_type, header.size);
            return Some(Err(Error::RecordTooSmall { offset, record_type, size }));
        }
        let bytes = rest.get(..header.size.into())?;
        let record = RawRecord { header, bytes, offset: self.cursor.offset, endian: self.cursor.endian };
        Some(self.take(record))
    }
}

impl<'r> Batch<'r> {
    #[inline]
    fn take(&mut self, record: RawRecord<'r>) -> Result<RawRecord<'r>, Error> {
        let len = record.payload_len().inspect_err(|_| self.failed = true)?;
        self.give(&record, len);
        Ok(record)
    }

    /// Goes behind a record, to the `len` bytes of its payload.
    #[inline]
    fn give(&mut self, record: &RawRecord<'r>, len: u64) {
        if len > 0 {
            let (offset, record_type) = (record.offset, record.record_type());
            self.cursor.payload = Payload { offset, record_type, len, left: len };
        }
        self.cursor.advance(record.bytes.len());
    }
}
