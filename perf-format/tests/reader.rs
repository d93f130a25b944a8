//! However the input is cut into reads, the reader gives the same records, payloads and error, and at once.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use perf_format::record::Auxtrace;
use perf_format::strategies::config;
use perf_format::testing::{At, StreamBuilder};
use perf_format::{
    CpuMode, Endian, Error, Misc, PipeStream, Record, RecordHeader, RecordReader, RecordType, Skipped,
};
use proptest::prelude::*;
use proptest::sample::Index;

#[path = "common/examples.rs"]
mod examples;
#[path = "common/sources.rs"]
mod sources;
#[path = "common/streams.rs"]
mod streams;

use sources::{Fails, Interrupted, Live, Once, Pieces};
use streams::recording;

/// What a reader gives: a record and its offset, or the payload behind it, or the part of it that is there.
#[derive(Debug, PartialEq, Eq)]
enum Item {
    Record(u64, Vec<u8>),
    Payload(Vec<u8>),
}

/// All that comes out of a source, and the error that it ends with.
fn drained(source: impl Read) -> (Vec<Item>, Option<Error>) {
    let mut items = Vec::new();
    let end = drain(source, &mut |item| items.push(item)).err();
    (items, end)
}

fn drain(source: impl Read, see: &mut dyn FnMut(Item)) -> Result<(), Error> {
    drain_reader(PipeStream::open(source)?.records(), see)
}

/// The same, with a thread that reads ahead.
fn drained_ahead(source: impl Read + Send) -> (Vec<Item>, Option<Error>) {
    let mut items = Vec::new();
    let end = thread::scope(|scope| {
        let reader = PipeStream::open(source)?.records().read_ahead(scope);
        drain_reader(reader, &mut |item| items.push(item))
    });
    (items, end.err())
}

fn drain_reader(mut reader: RecordReader<impl Read>, see: &mut dyn FnMut(Item)) -> Result<(), Error> {
    while let Some(mut batch) = reader.next_batch()? {
        let start = batch.offset();
        let mut run = Vec::new();
        while let Some(record) = batch.next() {
            let record = record?;
            assert_eq!(record.offset, start + run.len() as u64);
            run.extend_from_slice(record.bytes);
            assert_eq!(batch.position(), start + run.len() as u64);
            assert_eq!(batch.payload(), record.payload_len()?);
            see(Item::Record(record.offset, record.bytes.to_vec()));
        }
        // The records of a batch can be written as the one run of bytes that they are.
        assert_eq!(batch.bytes(start, batch.position()), run);
        let announced = batch.payload();
        let mut payload = Vec::new();
        let failed = loop {
            match reader.next_payload() {
                Ok(Some(piece)) => payload.extend_from_slice(piece),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        if announced > 0 {
            see(Item::Payload(payload));
        }
        failed.map_or(Ok(()), Err)?;
    }
    Ok(())
}

/// Asserts that pieces of these lengths give what one piece gives.
#[track_caller]
fn assert_same_in_pieces(stream: &[u8], lens: &[usize]) {
    let (whole, end) = drained(stream);
    let end = end.map(|error| error.to_string());
    let (items, error) = drained(Pieces::new(stream, lens));
    assert_eq!(
        (&items, error.map(|error| error.to_string())),
        (&whole, end.clone()),
        "in pieces of {lens:?}"
    );
    let (items, error) = drained(Interrupted::new(Pieces::new(stream, lens)));
    assert_eq!((&items, error.map(|error| error.to_string())), (&whole, end.clone()), "interrupted");
    let (items, error) = drained_ahead(Interrupted::new(Pieces::new(stream, lens)));
    assert_eq!((&items, error.map(|error| error.to_string())), (&whole, end), "read ahead");
}

/// A stream with all that a reader must tell apart: names, odd sizes, unknown types, payloads and none.
fn sampler(endian: Endian) -> Vec<u8> {
    let trace = |size| Record::Auxtrace(Auxtrace { size, ..Auxtrace::default() });
    StreamBuilder::with_callchains(endian)
        .mmap2(At::new(1, 10), 0x1000, 0x1000, "/bin/a")
        .unknown(99, b"odd")
        .tracing_data(&[0x44; 24])
        .sample(CpuMode::User, At::new(1, 20), 0x1004, &[0x1004, 0x1010])
        .record(Misc::default(), &trace(40))
        .raw(&[0x55; 40])
        .record(Misc::default(), &trace(0))
        .record(Misc::default(), &Record::Compressed(b"12345"))
        .tracing_data(&[0x66; 8])
        .finished_round()
        .bytes()
}

/// A record header and nothing behind it.
fn header(record_type: RecordType, size: u16, endian: Endian) -> [u8; 8] {
    RecordHeader { record_type, misc: Misc::default(), size }.to_bytes(endian)
}

proptest! {
    #![proptest_config(config(256, "reader"))]

    #[test]
    fn any_cut_into_reads_gives_the_same_records_and_the_same_error(
        recording in recording(),
        endian in prop::sample::select(&[Endian::Little, Endian::Big][..]),
        lens in prop::collection::vec(prop_oneof![1usize..9, 1usize..200], 1..8),
        end in prop_oneof![Just(None), any::<Index>().prop_map(Some)],
        damage in prop::option::of((any::<u32>(), 0u16..8)),
    ) {
        let mut stream = recording.stream(endian);
        assert_same_in_pieces(&stream, &lens);
        if let Some((number, size)) = damage {
            stream.extend_from_slice(&header(RecordType(number), size, endian));
            stream.extend_from_slice(b"whatever stands behind it");
        }
        let len = end.map_or(stream.len(), |end| end.index(stream.len()));
        assert_same_in_pieces(&stream[..len], &lens);
    }
}

#[test]
fn a_stream_cut_at_any_byte_ends_with_the_place_and_what_is_missing() {
    for endian in [Endian::Little, Endian::Big] {
        let stream = sampler(endian);
        let (whole, end) = drained(&stream[..]);
        assert!(end.is_none());
        let payloads = whole.iter().filter(|item| matches!(item, Item::Payload(_))).count();
        assert_eq!((whole.len(), payloads), (13, 3));
        let mut starts = 16;
        let mut record = (0, RecordType(0));
        for item in &whole {
            let (len, is_payload) = match item {
                Item::Record(offset, bytes) => {
                    record = (*offset, RecordType(endian.u32_at(bytes, 0).unwrap()));
                    (bytes.len(), false)
                }
                Item::Payload(bytes) => (bytes.len(), true),
            };
            for have in 0..len {
                let (offset, record_type) = record;
                let expected = match (is_payload, have) {
                    (true, _) => format!(
                        "the input ends inside the payload of the {record_type} record at offset {offset:#x}: \
                         {have} of {len} bytes"
                    ),
                    // Between records a stream may end.
                    (false, 0) => continue,
                    (false, _) => {
                        let need = if have < 8 { 8 } else { len };
                        format!(
                            "the input ends inside a record at offset {offset:#x}: {have} of {need} bytes"
                        )
                    }
                };
                let cut = &stream[..starts + have];
                assert_eq!(drained(cut).1.unwrap().to_string(), expected);
                assert_same_in_pieces(cut, &[1]);
                assert_same_in_pieces(cut, &[7, 64]);
            }
            starts += len;
        }
        assert_eq!(starts, stream.len());
    }
}

#[test]
fn a_stream_cut_inside_its_header_says_so() {
    let stream = sampler(Endian::Big);
    for len in 0..16 {
        let (items, end) = drained(&stream[..len]);
        assert_eq!(items, []);
        let said = end.unwrap().to_string();
        match len {
            0..8 => assert!(said.starts_with("not perf data: it starts with "), "{said}"),
            _ => assert_eq!(said, format!("the input ends inside its header: {len} of 16 bytes")),
        }
        assert_same_in_pieces(&stream[..len], &[3]);
    }
}

#[test]
fn a_record_smaller_than_its_header_ends_the_stream_where_it_stands() {
    for (endian, size) in [(Endian::Little, 0), (Endian::Big, 7)] {
        let good = sampler(endian);
        let stream = [&good[..], &header(RecordType::COMM, size, endian), &good[16..]].concat();
        let (items, end) = drained(&stream[..]);
        assert_eq!(items, drained(&good[..]).0);
        let at = good.len();
        let said =
            format!("a record of type COMM at offset {at:#x} has size {size}, less than its own header");
        assert_eq!(end.unwrap().to_string(), said);
        assert_same_in_pieces(&stream, &[1]);
        assert_same_in_pieces(&stream, &[100, 3]);
    }
}

#[test]
fn a_stream_whose_header_is_missing_is_read_from_its_first_record_and_has_one_then() {
    for endian in [Endian::Little, Endian::Big] {
        let good = sampler(endian);
        let (whole, _) = drained(&good[..]);
        let (items, end) = drained(&good[16..]);
        assert!(end.is_none(), "{end:?}");
        let here = |item: &Item| match item {
            Item::Record(offset, bytes) => Item::Record(offset - 16, bytes.clone()),
            Item::Payload(bytes) => Item::Payload(bytes.clone()),
        };
        assert_eq!(items, whole.iter().map(here).collect::<Vec<_>>());
        assert_same_in_pieces(&good[16..], &[1]);
        assert_same_in_pieces(&good[16..], &[7, 64]);
        let stream = PipeStream::open(&good[16..]).unwrap();
        assert!(stream.is_headless());
        let reader = stream.records();
        assert_eq!((reader.header().unwrap()[..].to_vec(), reader.offset()), (good[..16].to_vec(), 0));
    }
}

#[test]
fn another_recording_behind_one_is_an_error_at_its_header() {
    for endian in [Endian::Little, Endian::Big] {
        let good = sampler(endian);
        let other = sampler(Endian::Big);
        let file = [&b"PERFILE2"[..], &104_u64.to_le_bytes(), &[0; 88]].concat();
        for behind in [&good[..], &other, &file, b"PERFFILE", &[&good[..], &good].concat()] {
            let stream = [&good[..], behind].concat();
            let (items, end) = drained(&stream[..]);
            assert_eq!(items, drained(&good[..]).0);
            assert!(
                matches!(end, Some(Error::AnotherRecording { offset }) if offset == good.len() as u64),
                "{end:?}"
            );
            assert_same_in_pieces(&stream, &[1]);
            assert_same_in_pieces(&stream, &[good.len(), 5, 3]);
        }
    }
}

#[test]
fn text_in_the_place_of_a_record_is_an_error_with_its_first_line() {
    let said =
        b"[ perf record: Woken up 1 times to write data ]\n[ perf record: Captured and wrote 0.1 MB ]\n";
    for endian in [Endian::Little, Endian::Big] {
        let good = sampler(endian);
        let (whole, _) = drained(&good[..]);
        for text in [&said[..], b"\n  [ perf\n", b"done.\n\n", "Größe: 5\n".as_bytes()] {
            for rest in [&good[16..], b"", b"\0\0"] {
                let stream = [&good[..], text, rest].concat();
                let (items, end) = drained(&stream[..]);
                assert_eq!(items, whole);
                let Some(Error::Text { offset, text: shown }) = end else { panic!("{end:?}") };
                assert_eq!(offset, good.len() as u64);
                let text = std::str::from_utf8(text).unwrap().trim_start();
                assert!(text.starts_with(shown.trim_end()) && shown.len() >= 5, "{shown:?} of {text:?}");
                for lens in [&[1][..], &[good.len(), 7], &[good.len() + 9, 100], &[64]] {
                    assert_same_in_pieces(&stream, lens);
                }
            }
        }
    }
}

#[test]
fn text_behind_records_that_are_skipped_or_taken_is_found_where_it_stands() {
    let good = sampler(Endian::Little);
    // As a record it would have a size that is there.
    let stream = [&good[..], &[b'x'; 1 << 16]].concat();
    let (offsets, end) = offsets_by_question(&good, &[1 << 20], |_| false, |_| false);
    assert_eq!(end, None);
    for (skip, take) in [(true, false), (false, true), (true, true)] {
        let found = offsets_by_question(&stream, &[1 << 20], |_| skip, |_| take);
        assert_eq!(found.0, offsets);
        assert!(found.1.is_some_and(|end| end.starts_with("text stands where a record must")));
    }
}

#[test]
fn a_record_that_does_not_say_how_long_its_payload_is_ends_the_stream() {
    let good = sampler(Endian::Little);
    for (record_type, size, field) in
        [(RecordType::TRACING_DATA, 8, "size"), (RecordType::AUXTRACE, 12, "size")]
    {
        let header = header(record_type, size, Endian::Little);
        let stream = [&good[..], &header, &vec![0; usize::from(size) - 8], &good[16..]].concat();
        let (items, end) = drained(&stream[..]);
        assert_eq!(items, drained(&good[..]).0);
        let said = end.unwrap().to_string();
        let expected = format!("{record_type} record at offset {:#x}: field {field}: ", good.len());
        assert!(said.starts_with(&expected), "{said}");
        assert_same_in_pieces(&stream, &[1]);
    }
}

/// A TRACING_DATA record of simpleperf (Android 7), which holds its payload, and some bytes behind it.
fn tracing_data_inside(endian: Endian, payload: &[u8], behind: usize) -> Vec<u8> {
    let size = u16::try_from(12 + payload.len() + behind).unwrap();
    let announced = endian.put_u32(u32::try_from(payload.len()).unwrap());
    let header = header(RecordType::TRACING_DATA, size, endian);
    [&header[..], &announced, payload, &vec![0; behind]].concat()
}

#[test]
fn nothing_follows_a_record_that_holds_its_tracing_data() {
    for endian in [Endian::Little, Endian::Big] {
        for (len, behind) in [(100, 8), (100, 0), (4, 4), (8, 0), (65_000, 64)] {
            let inside = tracing_data_inside(endian, &vec![0x44; len], behind);
            let good = sampler(endian);
            let stream = [&good[..], &inside, &good[16..]].concat();
            let (items, end) = drained(&stream[..]);
            assert!(end.is_none(), "{len} {behind}: {end:?}");
            let (whole, _) = drained(&good[..]);
            assert_eq!(items.len(), 2 * whole.len() + 1);
            assert_eq!(items[whole.len()], Item::Record(good.len() as u64, inside));
            assert_same_in_pieces(&stream, &[1]);
            assert_same_in_pieces(&stream, &[100, 3]);
        }
        // One that holds but a part of it is none of these.
        let mut part = tracing_data_inside(endian, &[0x44; 24], 0);
        part[8..12].copy_from_slice(&endian.put_u32(25));
        let stream = [&StreamBuilder::new(endian).bytes()[..], &part, &[0x55; 25]].concat();
        let (items, end) = drained(&stream[..]);
        assert!(end.is_none(), "{end:?}");
        assert_eq!(items[1], Item::Payload(vec![0x55; 25]));
    }
}

#[test]
fn an_error_stays_when_asked_again() {
    let good = sampler(Endian::Little);
    let small = [&good[..], &header(RecordType::COMM, 4, Endian::Little)].concat();
    let silent = [&good[..], &header(RecordType::AUXTRACE, 8, Endian::Little)].concat();
    for stream in [&small[..], &silent, &good[..good.len() - 1]] {
        let mut reader = PipeStream::open(stream).unwrap().records();
        let mut next_error = || loop {
            match reader.next_batch() {
                Ok(batch) => {
                    let mut batch = batch.expect("an error");
                    if let Some(error) = batch.find_map(Result::err) {
                        // Behind an error a batch is over.
                        assert!(batch.next().is_none());
                        return error.to_string();
                    }
                }
                Err(error) => return error.to_string(),
            }
        };
        assert_eq!(next_error(), next_error());
    }
}

#[test]
fn a_source_that_fails_is_an_error_with_the_offset_of_its_first_missing_byte() {
    let stream = sampler(Endian::Little);
    for len in 0..=stream.len() {
        let (_, end) = drained(Pieces::new(&stream[..len], &[13, 50]).take(len as u64).chain(Fails));
        let Some(Error::Io { offset, source }) = end else { panic!("{end:?}") };
        assert_eq!((offset, source.to_string()), (len as u64, "the disk burns".to_owned()));
    }
}

#[test]
fn what_came_before_a_failure_is_given_when_it_is_read_ahead_and_the_failure_after_it() {
    let stream = sampler(Endian::Little);
    for len in 16..=stream.len() {
        let source = || Pieces::new(&stream[..len], &[13, 50]).take(len as u64).chain(Fails);
        let (items, end) = drained_ahead(source());
        assert_eq!(items, drained(source()).0);
        let Some(Error::Io { offset, .. }) = end else { panic!("{end:?}") };
        assert_eq!(offset, len as u64);
    }
}

#[test]
fn a_thread_that_reads_ahead_ends_with_its_reader() {
    let read = AtomicUsize::new(0);
    let endless = CountReads { read: &read, then: io::repeat(0) };
    // The scope waits for the thread.
    thread::scope(|scope| {
        let mut reader = RecordReader::records(endless, Endian::Little, 0).read_ahead(scope);
        assert!(reader.next_record().is_err(), "a record has no size of 0");
    });
    // One is the reader's, two are on the way, and the thread has been asked for one more at the most.
    assert!(read.load(Ordering::Relaxed) <= 4, "{read:?}");
}

/// Counts how often it is read.
struct CountReads<'c, R> {
    read: &'c AtomicUsize,
    then: R,
}

impl<R: Read> Read for CountReads<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read.fetch_add(1, Ordering::Relaxed);
        self.then.read(buf)
    }
}

#[test]
fn what_one_read_brought_is_given_before_the_next_read() {
    let stream = sampler(Endian::Little);
    let (whole, _) = drained(&stream[..]);
    let len = |item: &Item| match item {
        Item::Record(_, bytes) | Item::Payload(bytes) => bytes.len() as u64,
    };
    let ends: Vec<u64> = whole
        .iter()
        .scan(16, |at, item| {
            Some({
                *at += len(item);
                *at
            })
        })
        .collect();
    for piece in (1..stream.len()).chain([usize::MAX]) {
        let seen = Rc::new(Cell::new(16));
        let live = Live::new(Pieces::new(&stream, &[16, piece]), ends.clone(), seen.clone());
        let mut items = Vec::new();
        drain(live, &mut |item| {
            seen.set(seen.get() + len(&item));
            items.push(item);
        })
        .unwrap();
        assert_eq!(items, whole);
    }
}

#[test]
fn records_behind_a_payload_in_the_buffer_come_without_a_read_and_an_unread_payload_is_passed_over() {
    let stream = StreamBuilder::new(Endian::Little).tracing_data(b"eightbyt").finished_round().bytes();
    for take_payload in [true, false] {
        let (rest, head) = PipeStream::open(&stream[..]).unwrap().into_parts();
        let mut reader = RecordReader::pipe(Once(Some(rest)), head);
        assert_eq!((reader.header(), reader.endian()), (Some(head.bytes), Endian::Little));
        let mut batch = reader.next_batch().unwrap().unwrap();
        let record = batch.next().unwrap().unwrap();
        assert_eq!((record.record_type(), batch.payload()), (RecordType::TRACING_DATA, 8));
        assert!(batch.next().is_none());
        if take_payload {
            assert_eq!(reader.next_payload().unwrap(), Some(&b"eightbyt"[..]));
            assert_eq!(reader.next_payload().unwrap(), None);
        }
        let mut batch = reader.next_batch().unwrap().unwrap();
        assert_eq!(batch.offset(), 16 + 16 + 8);
        assert_eq!(batch.next().unwrap().unwrap().record_type(), RecordType::FINISHED_ROUND);
        assert!(batch.next().is_none());
    }
}

#[test]
fn records_left_in_a_batch_are_given_in_the_next() {
    let stream =
        StreamBuilder::new(Endian::Big).finished_round().unknown(99, b"odd").finished_round().bytes();
    let mut reader = RecordReader::records(&stream[16..], Endian::Big, 0x100);
    let mut offsets = Vec::new();
    while let Some(mut batch) = reader.next_batch().unwrap() {
        offsets.extend(batch.next().map(|record| record.unwrap().offset));
    }
    assert_eq!((offsets, reader.header()), (vec![0x100, 0x108, 0x113], None));
}

/// The offsets of all records, of which those that `skip` says yes to are passed over, and those that `take` says yes to
/// taken; and the error that the stream ends with.
fn offsets_by_question(
    stream: &[u8],
    lens: &[usize],
    skip: impl Fn(RecordType) -> bool,
    take: impl Fn(RecordType) -> bool,
) -> (Vec<u64>, Option<String>) {
    let mut reader = PipeStream::open(Pieces::new(stream, lens)).unwrap().records();
    let mut offsets = Vec::new();
    loop {
        let mut batch = match reader.next_batch() {
            Ok(Some(batch)) => batch,
            Ok(None) => return (offsets, None),
            Err(error) => return (offsets, Some(error.to_string())),
        };
        loop {
            let from = batch.position();
            let before = offsets.len();
            let skipped = batch.advance_while(|record| {
                assert_eq!(record.payload_len().unwrap(), 0);
                let yes = skip(record.record_type());
                offsets.extend(yes.then_some(record.offset));
                yes
            });
            let len = batch.position() - from;
            assert_eq!((skipped.records, skipped.bytes as u64), ((offsets.len() - before) as u64, len));
            if let Some(record) = batch.next_if(|record| take(record.record_type())) {
                assert!(take(record.record_type()));
                assert_eq!(batch.payload(), record.payload_len().unwrap());
                offsets.push(record.offset);
                continue;
            }
            match batch.next() {
                Some(Ok(record)) => offsets.push(record.offset),
                Some(Err(error)) => {
                    // Behind an error there is nothing to ask about.
                    assert_eq!(batch.advance_while(|_| panic!("asked")), Skipped::default());
                    assert!(batch.next_if(|_| panic!("asked")).is_none());
                    return (offsets, Some(error.to_string()));
                }
                None => break,
            }
        }
    }
}

#[test]
fn records_passed_over_or_taken_on_a_question_are_those_that_come_without_one() {
    for endian in [Endian::Little, Endian::Big] {
        let good = sampler(endian);
        let small = [&good[..], &header(RecordType::COMM, 4, endian)].concat();
        let silent = [&good[..], &header(RecordType::AUXTRACE, 8, endian)].concat();
        for stream in [&good[..], &small, &silent, &good[..good.len() - 1]] {
            let (items, end) = drained(stream);
            let offsets: Vec<_> = items
                .iter()
                .filter_map(|item| match item {
                    Item::Record(offset, _) => Some(*offset),
                    Item::Payload(_) => None,
                })
                .collect();
            let expected = (offsets, end.map(|error| error.to_string()));
            for lens in [&[usize::MAX][..], &[1], &[7, 64]] {
                let by = |skip: fn(RecordType) -> bool, take: fn(RecordType) -> bool| {
                    offsets_by_question(stream, lens, skip, take)
                };
                assert_eq!(by(|_| false, |_| false), expected);
                assert_eq!(by(|_| true, |_| false), expected);
                assert_eq!(by(|_| false, |_| true), expected);
                assert_eq!(by(|other| other.0 % 2 == 0, |other| other.0 % 3 == 0), expected);
            }
        }
    }
}

#[test]
fn a_record_that_the_answer_is_no_to_stays_the_next() {
    let stream = StreamBuilder::new(Endian::Big).finished_round().unknown(99, b"odd").bytes();
    let mut reader = RecordReader::records(&stream[16..], Endian::Big, 16);
    let mut batch = reader.next_batch().unwrap().unwrap();
    assert!(batch.next_if(|_| false).is_none());
    assert_eq!(batch.advance_while(|_| false), Skipped::default());
    assert_eq!(batch.position(), 16);
    assert_eq!(batch.next_if(|_| true).unwrap().record_type(), RecordType::FINISHED_ROUND);
    assert_eq!(batch.next().unwrap().unwrap().record_type(), RecordType(99));
    assert!(batch.next_if(|_| panic!("there is none")).is_none());
}

#[test]
fn no_question_goes_past_a_payload() {
    let stream = StreamBuilder::new(Endian::Little).tracing_data(b"eightbyt").finished_round().bytes();
    let mut reader = RecordReader::records(&stream[16..], Endian::Little, 16);
    let mut batch = reader.next_batch().unwrap().unwrap();
    assert_eq!(batch.advance_while(|_| true), Skipped::default());
    assert_eq!(batch.next_if(|_| true).unwrap().record_type(), RecordType::TRACING_DATA);
    assert_eq!((batch.payload(), batch.position()), (8, 32));
    assert!(batch.next_if(|_| true).is_none());
    assert_eq!((batch.advance_while(|_| true), batch.position()), (Skipped::default(), 32));
    assert_eq!(reader.next_payload().unwrap(), Some(&b"eightbyt"[..]));
}

#[test]
fn a_stream_longer_than_any_buffer_is_the_same_in_pieces() {
    let large = vec![0x77; 65527];
    let mut builder = StreamBuilder::new(Endian::Little);
    for number in 0..40 {
        builder = builder.unknown(100 + number, &large[..large.len() - number as usize * 1000]);
    }
    let stream = builder.tracing_data(&vec![0x11; 3 << 20]).unknown(99, &large).finished_round().bytes();
    let (items, end) = drained(&stream[..]);
    assert!(end.is_none());
    assert_eq!(items.len(), 40 + 4);
    assert_eq!(items[41], Item::Payload(vec![0x11; 3 << 20]));
    assert_same_in_pieces(&stream, &[65536]);
    assert_same_in_pieces(&stream, &[1_000_003, 1, 4099]);
    assert_same_in_pieces(&stream[..stream.len() - 9], &[usize::MAX, 777_777]);
}
