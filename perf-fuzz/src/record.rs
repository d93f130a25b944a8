//! `record`: each type's layout, in both byte orders.

use arbitrary::{Result, Unstructured};
use perf_format::record::HeaderAttr;
use perf_format::{Endian, Error, Misc, RawRecord, Record, RecordHeader, RecordType};

/// Where the record is said to stand.
const OFFSET: u64 = 0x1000;

/// A byte order, the length of a trailer, a type, a misc word, and the body. What can be read is written as it
/// reads back, in either order; what cannot be is malformed, at its place.
pub fn record(data: &[u8]) {
    let Ok((bytes, endian, trailer)) = bytes(&mut Unstructured::new(data)) else { return };
    let raw = RawRecord::first(&bytes, OFFSET, endian).expect("a whole record");
    for parsed in [raw.parse(), raw.parse_before(trailer)] {
        match parsed {
            Ok(record) => {
                assert_eq!(record.record_type(), raw.record_type());
                reads_back(&record, &raw, endian);
                if !ends_inside_a_field(&record) {
                    reads_back(&record, &raw, endian.other());
                }
            }
            Err(Error::Malformed { offset, record_type, .. }) => {
                assert_eq!((offset, record_type), (OFFSET, raw.record_type()));
            }
            Err(error) => panic!("not the error of a record: {error}"),
        }
    }
    if let Err(error) = raw.payload_len() {
        assert!(matches!(error, Error::Malformed { offset: OFFSET, .. }), "{error}");
    }
}

/// The record, its byte order, and the bytes of its trailer.
fn bytes(u: &mut Unstructured<'_>) -> Result<(Vec<u8>, Endian, usize)> {
    let flags: u8 = u.arbitrary()?;
    let endian = if flags & 1 == 0 { Endian::Little } else { Endian::Big };
    let number: u8 = u.arbitrary()?;
    // All types that are known, and beyond them some that are not.
    let record_type = RecordType::ALL.get(usize::from(number)).copied();
    let record_type = record_type.unwrap_or(RecordType(number.into()));
    let misc = Misc(u.arbitrary()?);
    let body = u.peek_bytes(u.len().min(usize::from(u16::MAX) - RecordHeader::SIZE)).unwrap_or_default();
    let size = u16::try_from(RecordHeader::SIZE + body.len()).unwrap_or(u16::MAX);
    let header = RecordHeader { record_type, misc, size };
    Ok(([&header.to_bytes(endian), body].concat(), endian, usize::from(flags >> 4) * 8))
}

/// Whether it has an attr of a size that no kernel ever had: in the other order the other half of its last field is
/// there.
fn ends_inside_a_field(record: &Record<'_>) -> bool {
    matches!(record, Record::HeaderAttr(HeaderAttr { attr, .. }) if !attr.size().is_multiple_of(8))
}

/// Padding, reserved bytes and what stands behind the last field are not in the view; all else is.
fn reads_back(record: &Record<'_>, raw: &RawRecord<'_>, endian: Endian) {
    let mut written = Vec::new();
    if let Err(error) = record.encode(raw.misc(), &[], endian, &mut written) {
        // Written out, a name has its padding, for which there may have been no room.
        assert!(raw.bytes.len() > usize::from(u16::MAX) - 8, "{error}");
        assert!(written.is_empty());
        return;
    }
    let again = RawRecord::first(&written, OFFSET, endian).expect("what is written is whole");
    assert_eq!(again.bytes.len(), written.len());
    let view = again.parse().expect("what is written can be read");
    assert_eq!(view, *record);
    let mut twice = Vec::new();
    view.encode(again.misc(), &[], endian, &mut twice).expect("as large as it was");
    assert_eq!(twice, written);
}
