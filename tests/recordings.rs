//! The recordings in tests/data: what real perf wrote goes through, is understood, and has its twin in the other
//! byte order.

mod common;

use std::io::Cursor;

use common::{inject, pipe_recordings};
use perf_format::record::HeaderAttr;
use perf_format::testing::{Pieces, injected, records, swapped};
use perf_format::tracing_data::TracingData;
use perf_format::{Endian, Feature, Misc, PerfFile, RawRecord, Record, RecordType, Sample, SampleFormat};
use perf_session::evlist::Evlist;
use perf_session::testing::process;
use perf_session::{Passed, Pipeline, Repipe, Session, Tool};

#[test]
fn without_tools_every_recording_passes_as_it_is() {
    for (name, stream) in pipe_recordings() {
        let no_tools: &mut [&mut dyn Tool] = &mut [];
        let ran = process(&stream[..], no_tools);
        assert_eq!(ran.error, None, "{name}");
        assert!(ran.out == stream, "{name}");
    }
}

#[test]
fn with_ids_every_recording_keeps_its_bytes_and_each_name_gets_one_id() {
    let mut with_ids = 0;
    for (name, stream) in pipe_recordings() {
        let ran = inject(&stream[..]);
        assert_eq!(ran.error, None, "{name}");
        let injected = injected(&stream, &ran.out);
        with_ids += usize::from(!injected.is_empty());
        assert!(inject(&ran.out[..]).out == ran.out, "{name}: twice is once");
        let in_pieces = inject(Pieces::new(&stream, &[1, 4096, 7, 65536]));
        assert!(in_pieces.out == ran.out, "{name}: in pieces");
    }
    assert!(with_ids >= 8, "most recordings have samples whose DSOs have no id yet; {with_ids} did");
}

/// The recordings whose twins can be made: the swapper does not look into what is compressed.
fn with_twins() -> impl Iterator<Item = (String, Vec<u8>)> {
    pipe_recordings().into_iter().filter(|(name, _)| !name.contains("compressed"))
}

#[test]
fn every_recording_has_a_twin_that_is_treated_like_it() {
    for (name, stream) in with_twins() {
        let twin = swapped(&stream);
        assert_eq!(records(&twin).len(), records(&stream).len(), "{name}");
        assert!(swapped(&twin) == stream, "{name}: the twin's twin");
        let mut ran = inject(&twin[..]);
        assert_eq!(ran.error, None, "{name}");
        ran.out = swapped(&ran.out);
        assert!(ran.out == inject(&stream[..]).out, "{name}");
    }
}

/// Reads every record of a recording in full, and says what each was.
fn read_in_full(name: &str, stream: &[u8]) -> Vec<RecordType> {
    let mut evlist = Evlist::default();
    let mut types = Vec::new();
    for record in records(stream) {
        let raw = RawRecord::first(&record.bytes, 0, Endian::Little).expect("a whole record");
        let format = evlist.evsel(&raw).map(|evsel| evsel.format);
        let trailer =
            format.filter(|_| raw.record_type().is_kernel()).map_or(0, |format| format.trailer_len());
        let parsed = raw.parse_before(trailer).unwrap_or_else(|error| panic!("{name}: {error}"));
        match parsed {
            Record::HeaderAttr(HeaderAttr { attr, ids }) => evlist.add(attr, ids.0.iter()),
            Record::Sample(_) => read_sample(name, &raw, &format.expect("a sample's event is known")),
            Record::TracingData(_) => {
                let data =
                    TracingData::parse(&record.payload, 0).unwrap_or_else(|error| panic!("{name}: {error}"));
                let events: Vec<_> = data.systems.iter().flat_map(|system| system.events()).collect();
                assert!(
                    events.iter().any(|(event, id)| *event == "sched_switch" && id.is_some()),
                    "{name}: {events:?}"
                );
            }
            Record::Other(record_type, _) => panic!("{name}: a record of type {record_type} is not known"),
            _ => {}
        }
        types.push(raw.record_type());
    }
    types
}

/// A sample has what its event says, to its last byte, and the quick look agrees with the full one.
fn read_sample(name: &str, raw: &RawRecord<'_>, format: &SampleFormat) {
    let sample = Sample::parse(format, raw).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(sample.rest, b"", "{name}: a sample to its end");
    assert_eq!(
        (sample.ip, sample.tid, sample.time),
        (format.ip(raw), format.tid(raw), format.time(raw)),
        "{name}"
    );
    assert_eq!(sample.callchain, format.callchain(raw).expect("it was read"), "{name}");
    assert_eq!(sample.to_bytes(format, Endian::Little), raw.bytes[8..], "{name}: written, it is what it was");
}

#[test]
fn every_record_is_read_in_full() {
    let mut seen = Vec::new();
    for (name, stream) in pipe_recordings() {
        seen.extend(read_in_full(&name, &stream));
    }
    seen.sort();
    seen.dedup();
    use RecordType as R;
    for wanted in
        [R::SAMPLE, R::MMAP, R::MMAP2, R::COMM, R::FORK, R::EXIT, R::TRACING_DATA, R::HEADER_FEATURE]
    {
        assert!(seen.contains(&wanted), "no recording has a {wanted} record");
    }
}

#[test]
fn what_the_newest_perf_does_by_itself_is_kept() {
    let kept = |name: &str| std::fs::read(common::data().join(name)).expect("a recording");
    let ids_in_maps = |stream: &[u8]| {
        let records = records(stream);
        let raws = records.iter().map(|record| RawRecord::first(&record.bytes, 0, Endian::Little));
        raws.flatten()
            .filter(|raw| raw.record_type() == RecordType::MMAP2 && raw.misc().has(Misc::MMAP_BUILD_ID))
            .count()
    };
    assert!(ids_in_maps(&kept("newest.pipe")) > 5, "its maps carry ids");
    assert_eq!(ids_in_maps(&kept("callchain.pipe")), 0, "those of 6.1 do not");
    let types =
        |name: &str| -> Vec<_> { records(&kept(name)).iter().map(|record| record.record_type).collect() };
    assert!(types("newest-compressed.pipe").contains(&RecordType::COMPRESSED2));
    for (name, has_table) in [("newest.data", false), ("newest-table.data", true), ("plain.data", true)] {
        let file = PerfFile::open(Cursor::new(kept(name))).expect("a file's header");
        assert_eq!(file.has(Feature::BUILD_ID), has_table, "{name}");
    }
}

#[test]
fn a_recording_cut_at_any_record_passes_whole_and_cut_inside_one_says_where() {
    let no_tools = || -> Vec<&mut dyn Tool> { Vec::new() };
    for (name, stream) in pipe_recordings() {
        let mut at = 16;
        for record in records(&stream).into_iter().take(60) {
            let ran = process(&stream[..at + 5], &mut no_tools());
            let said = ran.error.unwrap_or_default();
            assert!(said.contains(&format!("at offset {at:#x}: 5 of 8 bytes")), "{name}: {said}");
            assert!(ran.out == stream[..at], "{name}: all that was whole came out");
            at += record.bytes.len() + record.payload.len();
            let ran = process(&stream[..at], &mut no_tools());
            assert_eq!((ran.error, ran.out.len()), (None, at), "{name}");
        }
    }
}

#[test]
fn no_recording_has_a_record_that_seems_odd() {
    let twins = with_twins().map(|(name, stream)| (name, swapped(&stream)));
    for (name, stream) in pipe_recordings().into_iter().chain(twins) {
        let mut reader = perf_format::PipeStream::open(&stream[..]).expect("a pipe's header").records();
        let mut session = Session::new();
        let mut tools = common::HIT.tools(common::named(), common::EVENTS);
        Pipeline::new(&mut tools.as_tools())
            .run(&mut reader, &mut session, Repipe::Off, &mut Passed::default())
            .expect("a whole stream");
        assert_eq!(session.anomalies.count(), 0, "{name}: {:?}", session.anomalies);
    }
}
