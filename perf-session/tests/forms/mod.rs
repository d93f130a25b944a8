//! A recording in each of its forms: a pipe's stream as a file, compressed, and as a directory.

use std::fs::{self, File};
use std::io::{Cursor, Write as _};
use std::path::Path;

use perf_format::record::Compressed2;
use perf_format::testing::records;
use perf_format::{Endian, Misc, PipeStream, Preamble, Record, RecordType};
use zstd_safe::{CCtx, InBuffer, OutBuffer};

/// A pipe's stream as a file.
pub(crate) fn file_of(stream: &[u8]) -> Vec<u8> {
    let mut records = PipeStream::open(stream).expect("a stream").records();
    let preamble = Preamble::read_from_pipe(&mut records).expect("a preamble");
    let mut out = Cursor::new(Vec::new());
    let before = preamble.write_before(&mut out).expect("written");
    let mut size = 0;
    while let Some(batch) = records.next_batch().expect("whole") {
        for record in batch {
            let record = record.expect("whole");
            out.write_all(record.bytes).expect("written");
            size += record.bytes.len() as u64;
        }
    }
    preamble.write_behind(&mut out, before, size).expect("written");
    out.into_inner()
}

/// A stream whose records of the kernel are inside compressed ones, each piece but the last of so many bytes.
pub(crate) fn compressed(stream: &[u8], endian: Endian, piece: usize) -> Vec<u8> {
    let mut out = stream[..16].to_vec();
    let mut context = CCtx::create();
    let mut inside = Vec::new();
    let mut flush = |inside: &mut Vec<u8>, out: &mut Vec<u8>| {
        for piece in inside.chunks(piece) {
            let mut packed = vec![0_u8; 2 * piece.len() + 4096];
            let mut to = OutBuffer::around(packed.as_mut_slice());
            let mut from = InBuffer::around(piece);
            while from.pos < piece.len() {
                context.compress_stream(&mut to, &mut from).expect("it compresses");
            }
            while context.flush_stream(&mut to).expect("it flushes") > 0 {}
            let data = to.as_slice();
            let record = Record::Compressed2(Compressed2 { data_size: data.len() as u64, data });
            record.encode(Misc::default(), &[], endian, out).expect("it fits");
        }
        inside.clear();
    };
    for record in records(stream) {
        if record.record_type.is_kernel() {
            inside.extend_from_slice(&record.bytes);
            continue;
        }
        flush(&mut inside, &mut out);
        out.extend_from_slice(&record.bytes);
        out.extend_from_slice(&record.payload);
    }
    flush(&mut inside, &mut out);
    out
}

/// Writes a recording's directory: the records of the kernel are dealt out to three files, the preamble is in the first, and
/// all else is left out.
pub(crate) fn directory(stream: &[u8], path: &Path) {
    let others = [path.join("data.0"), path.join("data.1")];
    let mut files = others.map(|path| File::create(path).expect("made"));
    let mut first = stream[..16].to_vec();
    for (number, record) in records(stream).into_iter().enumerate() {
        match record.record_type {
            record_type if record_type.is_kernel() => match files.get_mut(number % 3) {
                Some(file) => file.write_all(&record.bytes).expect("written"),
                None => first.extend_from_slice(&record.bytes),
            },
            RecordType::HEADER_ATTR | RecordType::HEADER_FEATURE | RecordType::TRACING_DATA => {
                first.extend_from_slice(&record.bytes);
                first.extend_from_slice(&record.payload);
            }
            _ => {}
        }
    }
    fs::write(path.join("data"), file_of(&first)).expect("written");
}
