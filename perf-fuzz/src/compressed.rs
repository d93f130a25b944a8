//! `compressed`: what is inside COMPRESSED records, however the stream is cut into them.

use perf_format::{Endian, Error, Inflater, Misc, RawRecord, Record};
use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer};

use crate::cut;
use crate::pieces::lengths;

/// The most records that are looked at: a few bytes may inflate to millions.
const RECORDS_AT_MOST: usize = 1 << 12;

/// The first byte tells what follows: a compressed stream, or records that are compressed here first.
pub fn compressed(data: &[u8]) {
    match data.split_first() {
        Some((0, stream)) => in_any_pieces(stream),
        Some((order, records)) => {
            let endian = if order & 1 == 0 { Endian::Little } else { Endian::Big };
            comes_back(records, endian);
        }
        None => {}
    }
}

/// Where the pieces inflate, they hold what the whole holds. Of a stream that does not inflate to its end, small
/// pieces tell more than large ones.
fn in_any_pieces(stream: &[u8]) {
    let whole = Inflated::of(&[stream], Endian::Little);
    let pieces = Inflated::of(&pieces(stream), Endian::Little);
    if whole.records.len().max(pieces.records.len()) > RECORDS_AT_MOST {
        return;
    }
    assert_eq!(pieces.failed, whole.failed);
    assert!(pieces.records.starts_with(&whole.records));
    assert!(whole.failed || pieces.records == whole.records);
}

/// What was compressed as perf does it, one stream that is never ended, inflates to the same records.
fn comes_back(records: &[u8], endian: Endian) {
    let compressed = compress(&pieces(records));
    let inflated = Inflated::of(&compressed.iter().map(Vec::as_slice).collect::<Vec<_>>(), endian);
    // Inside there are no payloads: TRACING_DATA and AUXTRACE are never compressed.
    let mut rest = records;
    for (at, record) in inflated.records.iter().enumerate().take(RECORDS_AT_MOST) {
        assert!(rest.starts_with(record), "record {at}");
        rest = &rest[record.len()..];
    }
    if inflated.records.len() <= RECORDS_AT_MOST {
        let left = cut(rest, endian);
        let too_small = rest.len() >= 8 && endian.u16([rest[6], rest[7]]) < 8;
        assert_eq!(inflated.failed, too_small);
        assert!(RawRecord::first(rest, 0, endian).is_none(), "{} records were left", left.pieces.len());
    }
}

/// What came out of compressed records.
struct Inflated {
    records: Vec<Vec<u8>>,
    failed: bool,
}

impl Inflated {
    /// Inflates pieces of a stream in records of the two types by turns.
    fn of(pieces: &[&[u8]], endian: Endian) -> Self {
        let mut inflater = Inflater::default();
        let mut inflated = Self { records: Vec::new(), failed: false };
        for (turn, piece) in pieces.iter().enumerate() {
            let record = record(piece, turn % 2 == 0, endian);
            let raw = RawRecord::first(&record, 0x1000, endian).expect("a whole record");
            let result = inflater.inflate(&raw, |inner| {
                if inflated.records.len() <= RECORDS_AT_MOST {
                    inflated.records.push(inner.bytes.to_vec());
                }
                Ok::<_, Error>(())
            });
            assert!(result.is_err() || !inflated.failed, "behind a piece that did not inflate none does");
            if let Err(error) = result {
                assert!(matches!(error, Error::Inflate { offset: 0x1000, .. }), "{error}");
                inflated.failed = true;
            }
        }
        inflated
    }
}

fn record(piece: &[u8], first_kind: bool, endian: Endian) -> Vec<u8> {
    let padded;
    let record = match first_kind {
        true => Record::Compressed(piece),
        false => {
            padded = [piece, &[0xff; 3]].concat();
            let data_size = piece.len() as u64;
            Record::Compressed2(perf_format::record::Compressed2 { data_size, data: &padded })
        }
    };
    let mut bytes = Vec::new();
    record.encode(Misc::default(), &[], endian, &mut bytes).expect("a piece fits");
    bytes
}

/// The bytes in pieces as they themselves say, none too long for a record.
fn pieces(bytes: &[u8]) -> Vec<&[u8]> {
    let mut rest = bytes;
    let mut pieces = Vec::new();
    for length in lengths(bytes).iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, behind) = rest.split_at((*length).min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

/// Compresses each piece so that it can be inflated without those behind it.
fn compress(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut context = CCtx::create();
    // A small window: the context of a large one takes longer to make than all the rest.
    context.set_parameter(CParameter::WindowLog(10)).expect("a window that zstd has");
    pieces
        .iter()
        .map(|piece| {
            let mut compressed = vec![0; CCtx::out_size()];
            let mut out = OutBuffer::around(&mut compressed[..]);
            let mut input = InBuffer::around(piece);
            context.compress_stream(&mut out, &mut input).expect("it compresses");
            let left = context.flush_stream(&mut out).expect("it is flushed");
            assert_eq!((input.pos(), left), (piece.len(), 0), "a piece is small");
            let len = out.pos();
            compressed.truncate(len);
            compressed
        })
        .collect()
}
