//! What a reader of recordings gives: the same records in the same order, wherever they are.

use std::fs;
use std::io::{Cursor, Write as _};
use std::path::Path;

use perf_format::strategies::scenario::scenario;
use perf_format::strategies::{config, endian, lengths};
use perf_format::testing::{At, OwnedRecord, Pieces, StreamBuilder, records, swapped};
use perf_format::{CpuMode, Endian, RecordType};
use perf_session::{Error, SessionReader};
use proptest::prelude::*;

use crate::forms::{compressed, directory, file_of};

mod forms;

/// A record that was given: its bytes, and its time.
type Given = (Vec<u8>, Option<u64>);

fn read(mut reader: SessionReader<'_>) -> Result<Vec<Given>, Error> {
    let mut given = Vec::new();
    while let Some(record) = reader.next()? {
        given.push((record.record.bytes.to_vec(), record.time()));
    }
    assert!(reader.next()?.is_none(), "the end stays the end");
    Ok(given)
}

/// The records that have times.
fn timed(given: Vec<Given>) -> Vec<Given> {
    given.into_iter().filter(|(_, time)| time.is_some_and(|time| time > 0)).collect()
}

fn of_stream(stream: &[u8]) -> Vec<Given> {
    read(SessionReader::from_stream(stream).expect("perf data")).expect("whole")
}

/// The records of a stream that stand behind its events.
fn behind_the_preamble(stream: &[u8]) -> Vec<Vec<u8>> {
    let events = |record: &OwnedRecord| record.record_type == RecordType::HEADER_ATTR;
    records(stream).into_iter().filter(|record| !events(record)).map(|record| record.bytes).collect()
}

fn packed(bytes: &[u8], packing: &str) -> Vec<u8> {
    match packing {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).expect("packed");
            encoder.finish().expect("packed")
        }
        "xz" => {
            let options = lzma_rust2::XzOptions::with_preset(1);
            let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).expect("made");
            encoder.write_all(bytes).expect("packed");
            encoder.finish().expect("packed")
        }
        _ => {
            let mut packed = Vec::with_capacity(2 * bytes.len() + 4096);
            zstd_safe::compress(&mut packed, bytes, 1).expect("packed");
            packed
        }
    }
}

/// What is read of bytes that are a file of this name.
fn of_file(bytes: &[u8]) -> Vec<Given> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("perf.data");
    fs::write(&path, bytes).expect("written");
    read(SessionReader::open(&path).expect("perf data")).expect("whole")
}

proptest! {
    #![proptest_config(config(96, "reader"))]

    #[test]
    fn records_come_as_a_stable_sort_by_time_puts_them(
        scenario in scenario(), endian in endian(), lengths in lengths(),
    ) {
        let stream = scenario.stream(endian);
        let reader = SessionReader::from_stream(Pieces::new(&stream, &lengths)).expect("perf data");
        let given = read(reader).expect("whole");
        prop_assert_eq!(given.len(), behind_the_preamble(&stream).len());
        let unsorted = read(SessionReader::from_stream(&stream[..]).expect("perf data").unsorted());
        let mut sorted = timed(unsorted.expect("whole"));
        sorted.sort_by_key(|(_, time)| *time);
        prop_assert_eq!(timed(given), sorted);
    }

    #[test]
    fn unsorted_they_come_as_they_stand(scenario in scenario(), endian in endian(), lengths in lengths()) {
        let stream = scenario.stream(endian);
        let reader = SessionReader::from_stream(Pieces::new(&stream, &lengths)).expect("perf data");
        let given = read(reader.unsorted()).expect("whole");
        let stand = behind_the_preamble(&stream);
        prop_assert_eq!(given.into_iter().map(|(bytes, _)| bytes).collect::<Vec<_>>(), stand);
    }

    #[test]
    fn compressed_records_are_given_in_their_place(
        scenario in scenario(), endian in endian(), piece in 1_usize..300, sorted in any::<bool>(),
    ) {
        let stream = scenario.stream(endian);
        let compressed = compressed(&stream, endian, piece);
        let read = |stream: &[u8]| {
            let reader = SessionReader::from_stream(Cursor::new(stream.to_vec())).expect("perf data");
            read(if sorted { reader } else { reader.unsorted() }).expect("whole")
        };
        prop_assert_eq!(timed(read(&compressed)), timed(read(&stream)));
    }

    #[test]
    fn the_twin_in_the_other_byte_order_gives_the_same_times(scenario in scenario(), endian in endian()) {
        let stream = scenario.stream(endian);
        let times = |stream: &[u8]| of_stream(stream).into_iter().map(|(_, time)| time).collect::<Vec<_>>();
        prop_assert_eq!(times(&swapped(&stream)), times(&stream));
    }
}

/// A stream of some rounds, in which later records come first.
fn stream(endian: Endian) -> Vec<u8> {
    let mut stream = StreamBuilder::with_callchains(endian);
    for round in 0..40 {
        for step in [3, 1, 2, 0, 4] {
            let time = 100 + 5 * round + step;
            stream = stream.mmap2(At::new(1, time), time << 16, 0x1000, "/bin/a");
            stream = stream.sample(CpuMode::User, At::new(1, time), (time << 16) + 8, &[1, 2]);
        }
        stream = stream.finished_round();
    }
    stream.bytes()
}

#[test]
fn a_file_a_stream_a_directory_and_what_they_are_packed_in_give_the_same() {
    for endian in [Endian::Little, Endian::Big] {
        let stream = stream(endian);
        let expected = timed(of_stream(&stream));
        assert_eq!(expected.len(), 400);
        let file = file_of(&stream);
        let source = SessionReader::from_source(Cursor::new(&file)).expect("perf data");
        assert_eq!(timed(read(source).expect("whole")), expected);
        let source = SessionReader::from_source(Cursor::new(&stream)).expect("perf data");
        assert_eq!(timed(read(source).expect("whole")), expected);
        for bytes in [&stream, &file, &compressed(&stream, endian, 1000)] {
            assert_eq!(timed(of_file(bytes)), expected);
            for packing in ["gzip", "xz", "zstd"] {
                assert_eq!(timed(of_file(&packed(bytes, packing))), expected, "{packing}");
            }
        }
        let dir = tempfile::tempdir().expect("a directory");
        directory(&stream, dir.path());
        let mut of_directory = timed(read(SessionReader::open(dir.path()).expect("opened")).expect("whole"));
        assert!(of_directory.is_sorted_by_key(|(_, time)| *time));
        // Of one time, that of the first file comes first.
        of_directory.sort();
        let mut sorted = expected.clone();
        sorted.sort();
        assert_eq!(of_directory, sorted);
    }
}

#[test]
fn a_fifo_is_read_as_it_comes() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).expect("made");
    for packing in [None, Some("zstd")] {
        let stream = stream(Endian::Little);
        let expected = of_stream(&stream);
        let bytes = packing.map_or(stream.clone(), |packing| packed(&stream, packing));
        let given = std::thread::scope(|scope| {
            scope.spawn(|| fs::write(&path, &bytes).expect("written"));
            read(SessionReader::open(&path).expect("perf data")).expect("whole")
        });
        assert_eq!(given, expected);
    }
}

#[test]
fn what_cannot_be_opened_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().expect("a directory");
    for path in [dir.path().join("none"), dir.path().to_owned()] {
        let error = SessionReader::open(&path).expect_err("nothing is there");
        assert!(matches!(&error, Error::Open { path: named, .. } if named.starts_with(&path)), "{error}");
    }
    let file = file_of(&stream(Endian::Little));
    SessionReader::from_stream(&file[..]).expect_err("a file is no stream");
}

#[test]
fn all_that_was_read_comes_before_the_error_and_that_once() {
    let stream = stream(Endian::Little);
    let expected = of_stream(&stream);
    let cut = &stream[..stream.len() - 30];
    let mut reader = SessionReader::from_stream(cut).expect("perf data");
    let mut given = 0;
    let error = loop {
        match reader.next() {
            Ok(Some(_)) => given += 1,
            Ok(None) => panic!("a good end"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Format(perf_format::Error::Truncated { .. })), "{error}");
    // The last round's mark and a sample are not whole.
    assert_eq!(given, expected.len() - 2);
    assert!(reader.next().expect("the error came").is_none());
}

#[test]
fn a_file_that_is_cut_in_its_records_is_an_error_at_its_end() {
    let file = file_of(&stream(Endian::Little));
    let cut = &file[..file.len() / 2];
    let mut reader = SessionReader::from_source(Cursor::new(cut)).expect("perf data");
    let mut given = 0;
    while let Ok(Some(_)) = reader.next() {
        given += 1;
    }
    assert!(given > 100, "{given}");
    assert!(reader.next().expect("the error came").is_none());
}

#[test]
fn the_session_has_taken_a_record_in_when_it_is_given() {
    let stream = stream(Endian::Little);
    let mut reader = SessionReader::from_stream(&stream[..]).expect("perf data");
    let mut samples = 0;
    while let Some(record) = reader.next().expect("whole") {
        let Some(sample) = record.sample().expect("whole") else { continue };
        let ip = sample.ip.expect("an address");
        let space = record.session.space(&record.record, CpuMode::User, 1).expect("a process");
        // What is of the sample's own time was taken in before.
        assert!(record.session.dso_at(space.0, space.1, ip, record.time()).is_some());
        assert_eq!((record.pid(), record.tid()), (Some(1), Some(1)));
        samples += 1;
    }
    assert_eq!(samples, 200);
}

#[test]
fn every_record_of_the_kernel_has_the_cpu_and_the_sample_id_that_it_was_recorded_with() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/system-wide.pipe");
    let mut reader = SessionReader::open(path).expect("perf data");
    let (mut samples, mut others) = (0, 0);
    while let Some(record) = reader.next().expect("whole") {
        let Some(evsel) = record.evsel() else {
            assert_eq!((record.cpu(), record.sample_id()), (None, Vec::new()));
            continue;
        };
        let id = record.sample_id();
        assert_eq!(id.len(), evsel.format.trailer_len());
        if let Some(sample) = record.sample().expect("whole") {
            assert!(record.is_sample());
            assert_eq!(record.cpu(), sample.cpu.map(|cpu| cpu.cpu));
            samples += 1;
        } else {
            assert!(!record.is_sample() && record.record.bytes.ends_with(&id));
            others += 1;
        }
        assert!(record.cpu().is_some(), "{:?}", record.record);
    }
    assert!(samples > 0 && others > 0);
}

#[test]
fn a_reader_goes_from_thread_to_thread() {
    fn is_send<T: Send>(_: &T) {}
    let stream = stream(Endian::Little);
    is_send(&SessionReader::from_stream(&stream[..]).expect("perf data"));
}
