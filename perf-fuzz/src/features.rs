//! `features`: the table of build-ids, the events' names, and the preamble as a pipe has it.

use perf_format::{Endian, EventName, Preamble, RecordReader, build_id_table, event_names, push_build_id};

use crate::file::survives_a_pipe;

/// The first byte tells the byte order and what follows.
pub fn features(data: &[u8]) {
    let Some((what, data)) = data.split_first() else { return };
    let endian = if what & 1 == 0 { Endian::Little } else { Endian::Big };
    match what >> 1 & 3 {
        0 => table(data, endian),
        1 => names(data, endian),
        _ => preamble(data, endian),
    }
}

/// The entries up to the first that cannot be read, written, are a table of the same entries.
fn table(data: &[u8], endian: Endian) {
    let mut written = Vec::new();
    let mut entries = Vec::new();
    let mut failed = false;
    for entry in build_id_table(data, 0x1000, endian) {
        assert!(!failed, "behind an entry that cannot be read there is none");
        match entry {
            Ok((misc, entry)) => {
                push_build_id(&mut written, misc, entry.clone(), endian)
                    .expect("as large as it was, or padded");
                entries.push(entry);
            }
            Err(error) => {
                let at = crate::laws::offset_of(&error).expect("an offset");
                assert!((0x1000..0x1000 + data.len() as u64).contains(&at), "{error}");
                failed = true;
            }
        }
    }
    let again: Vec<_> = build_id_table(&written, 0, endian)
        .map(|entry| entry.expect("what is written can be read").1)
        .collect();
    assert_eq!(again, entries);
}

fn names(data: &[u8], endian: Endian) {
    let names = event_names(data, endian);
    let size = |event: &EventName<'_>| 8 + event.name.len() + event.ids.bytes().len();
    assert!(names.iter().map(size).sum::<usize>() <= data.len());
}

/// Records, of which the first may be a preamble.
fn preamble(data: &[u8], endian: Endian) {
    let mut reader = RecordReader::records(data, endian, 0);
    if let Ok(preamble) = Preamble::read_from_pipe(&mut reader) {
        survives_a_pipe(&preamble);
    }
}
