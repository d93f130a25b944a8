//! `framing`: the reader cuts any bytes, in any pieces, into the same records, payloads and error.

use std::io::{Cursor, Read};

use perf_format::header::PIPE_HEADER_SIZE;
use perf_format::{Endian, Error, PerfData, PerfReader, RecordReader};

use crate::laws::offset_of;
use crate::{FuzzPieces, cut};

/// A pipe's stream; other bytes are records at once, in the order that the first one's lowest bit tells.
pub fn framing(data: &[u8]) {
    lent(data);
    match PerfData::open(data) {
        Ok(PerfData::Pipe(stream)) if stream.is_headless() => any_split(data, stream.endian(), 0),
        Ok(PerfData::Pipe(stream)) => {
            let (header, rest) = data.split_at(PIPE_HEADER_SIZE);
            let endian = stream.endian();
            assert_eq!(stream.records().header().as_ref().map(|header| &header[..]), Some(header));
            any_split(rest, endian, PIPE_HEADER_SIZE as u64);
        }
        _ => {
            let Some((order, records)) = data.split_first() else { return };
            any_split(records, if order & 1 == 0 { Endian::Little } else { Endian::Big }, 1);
        }
    }
}

/// Whatever stands there, a reader that lends its records comes to an end, or to an error that comes again.
fn lent(data: &[u8]) {
    let Ok(mut reader) = PerfReader::open(Cursor::new(data)) else { return };
    // A few bytes may inflate to millions of records.
    let error = (0..1 << 16).find_map(|_| match reader.next_record() {
        Ok(None) => Some(None),
        Ok(Some(_)) | Err(Error::Inflate { .. }) => None,
        Err(error) => Some(Some(error.to_string())),
    });
    let Some(Some(error)) = error else { return };
    let again = reader.next_record().map(|_| ()).expect_err("nothing can be read behind it");
    assert_eq!(again.to_string(), error);
}

fn any_split(records: &[u8], endian: Endian, offset: u64) {
    let whole = Items::read(RecordReader::records(records, endian, offset));
    let cut = cut(records, endian);
    assert_eq!(whole.items.iter().map(|(_, bytes)| bytes).collect::<Vec<_>>(), cut.pieces, "as cut by hand");
    assert_eq!(whole.error.is_none(), cut.is_whole(), "an error where it is not whole: {:?}", whole.error);
    let mut at = offset;
    for (offset, bytes) in &whole.items {
        assert_eq!(*offset, at);
        at += bytes.len() as u64;
    }
    for pieces in [FuzzPieces::new(records, &[1]), FuzzPieces::of(records)] {
        assert_eq!(Items::read(RecordReader::records(pieces, endian, offset)), whole, "in pieces");
    }
}

/// What came out of a reader.
#[derive(Debug, PartialEq, Eq)]
struct Items {
    /// Where each record stood, and its bytes with those of its payload.
    items: Vec<(u64, Vec<u8>)>,
    error: Option<String>,
}

impl Items {
    fn read<R: Read>(mut reader: RecordReader<R>) -> Self {
        let mut items = Vec::new();
        let error = read(&mut reader, &mut items).err();
        if let Some(error) = &error {
            let end = items.last().map_or(0, |(at, bytes): &(u64, Vec<u8>)| at + bytes.len() as u64);
            assert!(offset_of(error).is_some_and(|at| at <= end.max(PIPE_HEADER_SIZE as u64)), "{error}");
        }
        Self { items, error: error.map(|error| error.to_string()) }
    }
}

fn read<R: Read>(reader: &mut RecordReader<R>, items: &mut Vec<(u64, Vec<u8>)>) -> Result<(), Error> {
    while let Some(mut batch) = reader.next_batch()? {
        let start = batch.offset();
        let mut run = Vec::new();
        loop {
            let peeked = batch.peek().map(|record| (record.offset, record.bytes));
            let Some(record) = batch.next().transpose()? else { break };
            assert_eq!(peeked, Some((record.offset, record.bytes)), "what was seen before it was taken");
            assert_eq!(batch.payload(), record.payload_len()?);
            run.extend_from_slice(record.bytes);
            assert_eq!(batch.position(), start + run.len() as u64);
            items.push((record.offset, record.bytes.to_vec()));
        }
        assert_eq!(batch.bytes(start, batch.position()), run, "the batch is one run of bytes");
        while let Some(payload) = reader.next_payload()? {
            let (_, bytes) = items.last_mut().expect("a payload has its record");
            bytes.extend_from_slice(payload);
        }
    }
    Ok(())
}
