//! Inflates COMPRESSED and COMPRESSED2 records. All of them hold one zstd stream, which its writer never ends; a record
//! in it may span two of them.

use zstd_safe::{DCtx, InBuffer, OutBuffer};

use crate::Error;
use crate::record::{Compressed2, RawRecord, RecordHeader, RecordType};

/// Bytes inflated at a time. The whole is never held, however much a record inflates to; a torn record of 64 KiB
/// always has room to become whole.
const BUFFER_SIZE: usize = 1 << 18;

/// Inflates the compressed records of one recording, in their order.
pub struct Inflater {
    context: DCtx<'static>,
    buffer: Box<[u8]>,
    /// How much of the buffer is a torn record's start.
    torn: usize,
    broken: bool,
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflater")
            .field("torn", &self.torn)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

impl Default for Inflater {
    fn default() -> Self {
        let buffer = vec![0; BUFFER_SIZE].into();
        Self { context: DCtx::create(), buffer, torn: 0, broken: false }
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
        if self.broken {
            return Err(failed(record, "a piece before it did not").into());
        }
        // Until it has gone well.
        self.broken = true;
        let mut piece = InBuffer::around(piece(record)?);
        loop {
            let room = self.buffer.get_mut(self.torn..).unwrap_or_default();
            let len = room.len();
            let mut out = OutBuffer::around(room);
            self.context
                .decompress_stream(&mut out, &mut piece)
                .map_err(|code| failed(record, zstd_safe::get_error_name(code)))?;
            let inflated = out.pos();
            let end = self.torn + inflated;
            let whole = self.give_whole(end, record, &mut each)?;
            self.buffer.copy_within(whole..end, 0);
            self.torn = end - whole;
            if piece.pos() == piece.src.len() && inflated < len {
                break;
            }
        }
        self.broken = false;
        Ok(())
    }

    /// Passes the whole records at the start of the buffer to `each`; returns where they end.
    fn give_whole<E: From<Error>>(
        &self,
        end: usize,
        record: &RawRecord<'_>,
        each: &mut impl FnMut(RawRecord<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let mut at = 0;
        while let Some(rest) = self.buffer.get(at..end) {
            if let Some(head) = rest.first_chunk()
                && usize::from(RecordHeader::from_bytes(*head, record.endian).size) < RecordHeader::SIZE
            {
                return Err(failed(record, "a record in it is smaller than its own header").into());
            }
            let Some(inner) = RawRecord::first(rest, record.offset, record.endian) else { break };
            at += inner.bytes.len();
            each(inner)?;
        }
        Ok(at)
    }
}
