//! The raw record: its bytes as they stood, their offset, and their byte order. The typed views of it are in
//! `record.rs`.

use crate::codec::{Decoder, FieldError, Layout, Problem};
use crate::misc::Misc;
use crate::record_type::RecordType;
use crate::{Endian, Error};

/// `struct perf_event_header`: eight bytes before every record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    /// The type of the record.
    pub record_type: RecordType,
    /// The cpumode and bits that depend on the type.
    pub misc: Misc,
    /// Bytes of the record, this header included.
    pub size: u16,
}

impl RecordHeader {
    /// The header's own size in bytes.
    pub const SIZE: usize = 8;

    /// Reads a header.
    #[must_use]
    #[inline]
    pub fn from_bytes(bytes: [u8; Self::SIZE], endian: Endian) -> Self {
        let [a, b, c, d, e, f, g, h] = bytes;
        Self {
            record_type: RecordType(endian.u32([a, b, c, d])),
            misc: Misc(endian.u16([e, f])),
            size: endian.u16([g, h]),
        }
    }

    /// Whether a TRACING_DATA record with this header holds its payload of so many bytes, so that nothing follows the
    /// record. simpleperf wrote it so (Android 7); perf's own records have twelve or sixteen bytes and hold nothing.
    pub(crate) fn holds_tracing_data(self, size: u32) -> bool {
        let len = usize::from(self.size);
        len > TRACING_DATA_AT + 4 && (len - TRACING_DATA_AT) as u64 >= u64::from(size)
    }

    /// The header's bytes.
    #[must_use]
    pub fn to_bytes(self, endian: Endian) -> [u8; Self::SIZE] {
        let [a, b, c, d] = endian.put_u32(self.record_type.0);
        let [e, f] = endian.put_u16(self.misc.0);
        let [g, h] = endian.put_u16(self.size);
        [a, b, c, d, e, f, g, h]
    }
}

/// Where the payload starts in a TRACING_DATA record that holds it: behind the header and the payload's size.
pub(crate) const TRACING_DATA_AT: usize = RecordHeader::SIZE + 4;

/// A whole record as it stood in the input.
#[derive(Debug, Clone, Copy)]
pub struct RawRecord<'a> {
    /// The header, read.
    pub header: RecordHeader,
    /// The bytes of the record, header included; as many as the header says.
    pub bytes: &'a [u8],
    /// Where the record started, in bytes from the start of the input.
    pub offset: u64,
    /// The byte order of its fields.
    pub endian: Endian,
}

/// Where a whole record stands in a reader's buffer: what a reader keeps of a record that it gives out later.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordPlace {
    pub(crate) header: RecordHeader,
    pub(crate) start: usize,
    pub(crate) offset: u64,
}

impl RecordPlace {
    /// The record, out of the buffer that it stands in.
    #[inline]
    pub(crate) fn record_in(self, buffer: &[u8], endian: Endian) -> RawRecord<'_> {
        let Self { header, start, offset } = self;
        let bytes = buffer.get(start..start + usize::from(header.size)).unwrap_or_default();
        RawRecord { header, bytes, offset, endian }
    }
}

impl<'a> RawRecord<'a> {
    /// The record at the start of `bytes`, if all of it is there.
    #[must_use]
    #[inline]
    pub fn first(bytes: &'a [u8], offset: u64, endian: Endian) -> Option<Self> {
        let header = RecordHeader::from_bytes(*bytes.first_chunk()?, endian);
        let bytes = bytes.get(..usize::from(header.size))?;
        (bytes.len() >= RecordHeader::SIZE).then_some(Self { header, bytes, offset, endian })
    }

    /// The type in the header.
    #[must_use]
    pub fn record_type(&self) -> RecordType {
        self.header.record_type
    }

    /// The misc word in the header.
    #[must_use]
    pub fn misc(&self) -> Misc {
        self.header.misc
    }

    /// The body read as one given layout, whatever the header's type.
    ///
    /// # Errors
    /// [`Error::Malformed`] where the bytes cannot be such a body.
    pub fn parse_as<T: Layout<'a>>(&self) -> Result<T, Error> {
        let mut d = Decoder::new(self.bytes, RecordHeader::SIZE, self.endian, self.header.misc);
        T::read(&mut d).map_err(|error| Error::malformed(self.offset, self.header.record_type, error))
    }

    /// The number of payload bytes that follow the record and are not counted in its size, for the two types
    /// that have any: TRACING_DATA, unless the record holds its payload, and AUXTRACE.
    ///
    /// # Errors
    /// [`Error::Malformed`] where the record is too short to say; what follows it cannot then be found.
    #[inline]
    pub fn payload_len(&self) -> Result<u64, Error> {
        let size = match self.header.record_type {
            RecordType::TRACING_DATA => self
                .endian
                .u32_at(self.bytes, RecordHeader::SIZE)
                .map(|size| if self.header.holds_tracing_data(size) { 0 } else { size.into() }),
            RecordType::AUXTRACE => self.endian.u64_at(self.bytes, RecordHeader::SIZE),
            _ => return Ok(0),
        };
        size.ok_or_else(|| {
            let error = FieldError { field: "size", problem: Problem::Short };
            Error::malformed(self.offset, self.header.record_type, error)
        })
    }
}
