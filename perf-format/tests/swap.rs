//! The twin of a stream in the other byte order says the same, and the twin's twin is the stream.

use perf_format::attr::SampleType;
use perf_format::codec::Array;
use perf_format::strategies::config;
use perf_format::testing::{At, StreamBuilder, attr, swapped};
use perf_format::{CpuMode, Endian, Misc, PipeStream, RawRecord, Record, RecordType};
use perf_format::{Sample, SampleFormat, SampleId};
use proptest::prelude::*;

#[path = "common/examples.rs"]
mod examples;
#[path = "common/streams.rs"]
mod streams;

use streams::recording;

const ORDERS: [Endian; 2] = [Endian::Little, Endian::Big];

/// The bytes of the stream's records, with their offsets, without their payloads.
fn records(stream: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut reader = PipeStream::open(stream).unwrap().records();
    let mut records = Vec::new();
    while let Some(batch) = reader.next_batch().unwrap() {
        records.extend(batch.map(Result::unwrap).map(|record| (record.offset, record.bytes.to_vec())));
    }
    records
}

/// All that a record says, in words that do not depend on its byte order.
fn said(raw: &RawRecord<'_>, format: &SampleFormat) -> String {
    let trailer = SampleId::parse(format, raw).unwrap();
    let trailer_len = trailer.to_bytes(format, raw.endian).len();
    let view = match raw.parse_before(trailer_len).unwrap() {
        Record::Sample(_) => format!("{:?}", Sample::parse(format, raw).unwrap()),
        // A text's length is the one number in bytes that are carried as they are.
        Record::HeaderFeature(text) if text.feat_id == 3 => {
            format!("{:?} {:?}", raw.endian.u32_at(text.data, 0), &text.data[4..])
        }
        view => format!("{view:?}"),
    };
    format!("{:?} at {:#x}: {view} {trailer:?}", raw.header, raw.offset)
}

/// What each record of a stream says, whose events all have the first one's layout.
fn all_said(stream: &[u8], endian: Endian) -> Vec<String> {
    let records = records(stream);
    let raws = || records.iter().map(|(offset, bytes)| RawRecord::first(bytes, *offset, endian).unwrap());
    let first = raws().next().map(|raw| raw.parse().unwrap());
    let Some(Record::HeaderAttr(event)) = first else { panic!("the stream does not start with an event") };
    let format = SampleFormat::new(&event.attr);
    raws().map(|raw| said(&raw, &format)).collect()
}

proptest! {
    #![proptest_config(config(512, "swap"))]

    #[test]
    fn the_twin_is_what_the_other_machine_would_have_recorded(recording in recording()) {
        for endian in ORDERS {
            let stream = recording.stream(endian);
            let twin = swapped(&stream);
            prop_assert_eq!(&twin, &recording.stream(endian.other()));
            prop_assert_eq!(swapped(&twin), stream);
        }
    }

    #[test]
    fn every_record_of_the_twin_says_what_the_record_says(recording in recording()) {
        let stream = recording.stream(Endian::Little);
        prop_assert_eq!(all_said(&stream, Endian::Little), all_said(&swapped(&stream), Endian::Big));
    }
}

#[test]
fn each_event_of_several_has_its_own_layout() {
    let (first, second) = (
        attr(SampleType::IDENTIFIER | SampleType::IP | SampleType::TID),
        attr(SampleType::IDENTIFIER | SampleType::CPU | SampleType::CALLCHAIN),
    );
    let stream = |endian: Endian| {
        let chain = [endian.put_u64(0x10), endian.put_u64(0x20)].concat();
        let sample = Sample {
            identifier: Some(22),
            cpu: Some(perf_format::sample::Cpu { cpu: 3, reserved: 0 }),
            callchain: Some(Array::new(&chain, endian)),
            ..Sample::default()
        };
        let sample = sample.to_bytes(&SampleFormat::new(&second), endian);
        StreamBuilder::new(endian)
            .attr(&second, &[22])
            .attr(&first, &[1])
            .sample(CpuMode::User, At::new(5, 6), 0x1000, &[])
            .record(Misc::default(), &Record::Sample(&sample))
            .bytes()
    };
    assert_eq!(swapped(&stream(Endian::Little)), stream(Endian::Big));
}

#[test]
fn names_padded_further_than_their_layout_needs_keep_their_length() {
    let wide = [b"/bin/a\0".as_slice(), &[0; 25]].concat();
    let stream = |endian: Endian| {
        let body = [&endian.put_u32(1)[..], &endian.put_u32(2), &wide].concat();
        let comm = Record::Other(RecordType::COMM, &body);
        StreamBuilder::with_callchains(endian).traced(Misc::default(), &comm, At::new(1, 9)).bytes()
    };
    assert_eq!(swapped(&stream(Endian::Little)), stream(Endian::Big));
    assert_eq!(records(&stream(Endian::Big))[1].1.len(), 8 + 8 + 32 + 16);
}

#[test]
fn a_record_that_cannot_be_read_keeps_its_bytes_behind_a_swapped_header() {
    let stream =
        StreamBuilder::new(Endian::Little).record(Misc(2), &Record::Other(RecordType::LOST, b"short"));
    let twin = swapped(&stream.bytes());
    assert_eq!(records(&twin), [(16, b"\0\0\0\x02\0\x02\0\x0dshort".to_vec())]);
}
