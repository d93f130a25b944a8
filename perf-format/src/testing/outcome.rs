//! What came out of a run: its records, what of it was injected, and which ids that gives to which names.

use crate::record::{RawRecord, Record, RecordType};
use crate::{BuildId, Endian, PipeStream};

/// One record of a stream, by its bytes, with the payload behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedRecord {
    /// Its type.
    pub record_type: RecordType,
    /// The record, header included.
    pub bytes: Vec<u8>,
    /// The payload.
    pub payload: Vec<u8>,
}

/// Cuts a whole stream into its records.
#[must_use]
pub fn records(stream: &[u8]) -> Vec<OwnedRecord> {
    let mut reader = PipeStream::open(stream).expect("a pipe's header").records();
    let mut records: Vec<OwnedRecord> = Vec::new();
    while let Some(batch) = reader.next_batch().expect("whole records") {
        for record in batch {
            let record = record.expect("a whole record");
            let (record_type, bytes) = (record.record_type(), record.bytes.to_vec());
            records.push(OwnedRecord { record_type, bytes, payload: Vec::new() });
        }
        while let Some(payload) = reader.next_payload().expect("a whole payload") {
            records.last_mut().expect("a record").payload.extend_from_slice(payload);
        }
    }
    records
}

/// The records of `output` that are not of `input`, all of them BUILD_ID records; fails where taking them away does not
/// leave the input.
#[must_use]
pub fn injected(input: &[u8], output: &[u8]) -> Vec<OwnedRecord> {
    assert_eq!(input[..16], output[..16], "the header passes as it is");
    let mut rest = records(input).into_iter().peekable();
    let injected: Vec<_> =
        records(output).into_iter().filter(|record| rest.next_if_eq(record).is_none()).collect();
    assert_eq!(rest.next(), None, "all of the input is in the output, in its order");
    for record in &injected {
        assert_eq!(record.record_type, RecordType::BUILD_ID, "nothing but ids is injected");
    }
    injected
}

/// The names and ids of BUILD_ID records.
#[must_use]
pub fn ids_in(records: &[OwnedRecord], endian: Endian) -> Vec<(String, BuildId)> {
    let ids = records.iter().filter(|record| record.record_type == RecordType::BUILD_ID);
    ids.map(|record| {
        let raw = RawRecord::first(&record.bytes, 0, endian).expect("a whole record");
        let Ok(Record::BuildId(id)) = raw.parse() else { panic!("a BUILD_ID record that cannot be read") };
        (id.filename.to_string(), id.build_id.0.expect("an id"))
    })
    .collect()
}
