//! `recover`: whatever the bytes, what comes out is whole records, nothing is lost uncounted, and there is no more to
//! recover.

use std::io::Read;

use perf_format::{Damage, Endian, RecordReader, Recovering};

use crate::{FuzzPieces, cut};

/// The first byte's lowest bit tells the byte order.
pub fn recover(data: &[u8]) {
    let Some((order, records)) = data.split_first() else { return };
    let endian = if order & 1 == 0 { Endian::Little } else { Endian::Big };
    let (out, lost) = recovered(records, endian);
    assert!(cut(&out, endian).is_whole(), "whole records");
    if lost.mended == 0 {
        assert_eq!(out.len() as u64 + lost.bytes, records.len() as u64, "what is not there is counted");
    }
    assert_eq!(lost.bytes > 0, lost.places > 0);
    assert_eq!(recovered(&out[..], endian), (out.clone(), Damage::default()), "twice is once");
    assert_eq!(recovered(FuzzPieces::of(records), endian), (out, lost), "in pieces");
}

fn recovered(source: impl Read, endian: Endian) -> (Vec<u8>, Damage) {
    let (source, lost) = Recovering::new(source, endian, 0);
    let mut reader = RecordReader::records(source, endian, 0);
    let mut out = Vec::new();
    while let Some(batch) = reader.next_batch().expect("whole records") {
        for record in batch {
            out.extend_from_slice(record.expect("a whole record").bytes);
        }
        while let Some(payload) = reader.next_payload().expect("a whole payload") {
            out.extend_from_slice(payload);
        }
    }
    (out, lost.get())
}
