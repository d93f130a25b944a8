//! The records of a recording, one after the other, out of compressed ones too, with what stands behind them hashed.

use std::io::Read;
use std::ops::Range;

use perf_format::{Endian, Error, Inflater, RawRecord, RecordHeader, RecordReader, RecordType};

use crate::escape::Fnv;

/// Where records come from.
pub(crate) type BoxedRead<'s> = Box<dyn Read + 's>;

/// The payload behind a record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PayloadHash {
    /// Its length in bytes.
    pub(crate) len: u64,
    pub(crate) hash: Fnv,
}

/// What there is next.
#[derive(Debug)]
pub(crate) enum Next {
    /// A record, which was shown.
    Shown,
    /// Something that cannot be read; what is behind it may be.
    Damage(Error),
    /// Nothing.
    End,
}

/// The records of the files of a recording, one file after the other.
pub(crate) struct Records<'s> {
    readers: Vec<RecordReader<BoxedRead<'s>>>,
    /// The reader that is being read.
    at: usize,
    /// That reader's own: what is compressed in one file goes on from record to record, and not into the next file.
    inflater: Option<Inflater>,
    /// A compressed record whose inside is being read, with its offset and its byte order.
    outer: Option<(Vec<u8>, u64, Endian)>,
    /// Where the next record inside is, of what was inflated last.
    inside: usize,
    /// Whether compressed records do not inflate any more, which was reported.
    is_broken: bool,
}

impl std::fmt::Debug for Records<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").field("at", &self.at).finish_non_exhaustive()
    }
}

impl<'s> Records<'s> {
    pub(crate) fn new(readers: Vec<RecordReader<BoxedRead<'s>>>) -> Self {
        Self { readers, at: 0, inflater: None, outer: None, inside: 0, is_broken: false }
    }

    /// Shows the next record, and the payload behind it.
    pub(crate) fn next(&mut self, show: impl FnOnce(&RawRecord<'_>, Option<PayloadHash>)) -> Next {
        if self.outer.is_some() {
            match self.step_inside() {
                Ok(Some(place)) => {
                    if let (Some((_, offset, endian)), Some(inflater)) = (&self.outer, &self.inflater) {
                        let bytes = inflater.inflated().get(place).unwrap_or_default();
                        if let Some(record) = RawRecord::first(bytes, *offset, *endian) {
                            show(&record, None);
                        }
                    }
                    return Next::Shown;
                }
                Ok(None) => self.outer = None,
                Err(error) => {
                    self.outer = None;
                    if !std::mem::replace(&mut self.is_broken, true) {
                        return Next::Damage(error);
                    }
                }
            }
        }
        while let Some(reader) = self.readers.get_mut(self.at) {
            match reader.next_record() {
                Ok(None) => self.next_file(),
                Err(error) => {
                    self.next_file();
                    return Next::Damage(error);
                }
                Ok(Some(record)) => {
                    let compressed = [RecordType::COMPRESSED, RecordType::COMPRESSED2];
                    if compressed.contains(&record.record_type()) {
                        self.outer = Some((record.bytes.to_vec(), record.offset, record.endian));
                    }
                    if !matches!(record.payload_len(), Ok(1..)) {
                        show(&record, None);
                        return Next::Shown;
                    }
                    // Reading on takes the record's place in the buffer.
                    let (bytes, offset, endian) = (record.bytes.to_vec(), record.offset, record.endian);
                    let payload = read_payload(reader);
                    if let Some(record) = RawRecord::first(&bytes, offset, endian) {
                        show(&record, payload.as_ref().ok().copied());
                    }
                    return match payload {
                        Ok(_) => Next::Shown,
                        Err(error) => {
                            self.next_file();
                            Next::Damage(error)
                        }
                    };
                }
            }
        }
        Next::End
    }

    /// Goes on to the next file.
    fn next_file(&mut self) {
        self.at += 1;
        (self.inflater, self.inside, self.is_broken) = (None, 0, false);
    }

    /// Where the next record inside the compressed one is; `None` where there is none any more.
    fn step_inside(&mut self) -> Result<Option<Range<usize>>, Error> {
        let Some((bytes, offset, endian)) = &self.outer else { return Ok(None) };
        let Some(outer) = RawRecord::first(bytes, *offset, *endian) else { return Ok(None) };
        let inflater = self.inflater.get_or_insert_default();
        if self.inside >= inflater.inflated().len() {
            self.inside = 0;
            if inflater.inflate_next(&outer)?.is_none() {
                return Ok(None);
            }
        }
        let rest = inflater.inflated().get(self.inside..).unwrap_or_default();
        let len = match rest.first_chunk() {
            Some(head) => RecordHeader::from_bytes(*head, *endian).size.into(),
            None => rest.len(),
        };
        let start = self.inside;
        self.inside += usize::max(len, RecordHeader::SIZE);
        Ok(Some(start..self.inside))
    }
}

fn read_payload(reader: &mut RecordReader<BoxedRead<'_>>) -> Result<PayloadHash, Error> {
    let mut payload = PayloadHash { len: 0, hash: Fnv::default() };
    while let Some(piece) = reader.next_payload()? {
        payload.len += piece.len() as u64;
        payload.hash.update(piece);
    }
    Ok(payload)
}
