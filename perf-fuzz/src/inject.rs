//! `inject`: whole runs, in each pairing of input and output.

use perf_format::header::Format;

use crate::laws;
use crate::sources::{ALL_MAPS, BOTH, DECOMPRESS, HIT, LAZY_MAPS, LIVE, MAPPED};
use crate::{FuzzPieces, made};

/// Bytes that start as perf data does are perf data; others are steps that make a stream of whole records.
pub fn inject(data: &[u8]) {
    match Format::detect(data) {
        Ok(Format::File(_)) => file(data),
        Ok(Format::Pipe(_)) => stream(data),
        Err(_) => {
            laws::passes_as_it_is(data);
            stream(&made::stream(data));
        }
    }
}

fn stream(stream: &[u8]) {
    let plain = laws::passes_as_it_is(stream);
    let ran = laws::only_ids_are_added(stream, HIT, &plain);
    laws::pieces_are_the_same(FuzzPieces::of(stream), HIT, &ran);
    laws::becomes_a_file(stream);
    // By turns, since each costs as much time as all the rest of the fuzzer. Whatever comes of those without a law,
    // it comes, and is not endless.
    match stream.len() % 4 {
        0 => _ = laws::only_ids_are_added(stream, LIVE, &plain),
        1 => _ = laws::only_ids_are_added(stream, MAPPED, &plain),
        2 => {
            let _ = laws::pipe_to_file(BOTH, stream);
            let _ = laws::pipe_to_pipe(LAZY_MAPS, stream);
            let _ = laws::pipe_to_pipe(ALL_MAPS, stream);
        }
        _ => {
            let _ = laws::pipe_to_pipe(DECOMPRESS, stream);
            let _ = laws::pipe_to_file(DECOMPRESS, stream);
        }
    }
}

fn file(file: &[u8]) {
    laws::file_keeps_its_records(file);
    for plan in [BOTH, MAPPED, DECOMPRESS, LAZY_MAPS, ALL_MAPS] {
        let _ = laws::file_to_file(plan, file, &[]);
    }
    let _ = laws::file_to_pipe(DECOMPRESS, file);
    // The rest of a directory: its files hold records alone.
    let records = file.get(104..).unwrap_or_default();
    let _ = laws::file_to_file(HIT, file, &[records, records]);
}
