//! The front door: whatever holds a recording, its records come in its order, compressed or not, and hostile bytes end
//! it with an error.

use std::fs;
use std::io::{Cursor, Read};
use std::path::Path;

use perf_format::record::Compressed2;
use perf_format::strategies::{config, endian, lengths};
use perf_format::testing::{At, Pieces, StreamBuilder, swapped};
use perf_format::{
    CpuMode, Endian, Error, Inflater, Misc, PerfReader, PipeFeatures, Preamble, Record, RecordReader,
    RecordType,
};
use proptest::prelude::*;
use zstd_safe::{CCtx, InBuffer, OutBuffer};

const ORDERS: [Endian; 2] = [Endian::Little, Endian::Big];

/// A record as it was given: where, and its bytes.
type Given = (u64, Vec<u8>);

fn recordings() -> Vec<(String, Vec<u8>)> {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data");
    let names = fs::read_dir(&kept).expect("it is kept").map(|entry| entry.expect("it is read").file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().expect("a name")).collect();
    names.retain(|name| name.ends_with(".data") || name.ends_with(".pipe"));
    names.sort();
    names.into_iter().map(|name| (name.clone(), fs::read(kept.join(name)).expect("it is read"))).collect()
}

/// The records up to the end or the first error.
fn records<S: Read>(reader: &mut PerfReader<S>) -> (Vec<Given>, Option<Error>) {
    let mut records = Vec::new();
    loop {
        match reader.next_record() {
            Ok(Some(record)) => records.push((record.offset, record.bytes.to_vec())),
            Ok(None) => return (records, None),
            Err(error) => return (records, Some(error)),
        }
    }
}

fn opened(bytes: &[u8]) -> PerfReader<Cursor<&[u8]>> {
    PerfReader::open(Cursor::new(bytes)).expect("a recording")
}

/// The same, by batches and the inflater.
fn by_batches(mut reader: RecordReader<impl Read>) -> Vec<Given> {
    let (mut records, mut inflater) = (Vec::new(), Inflater::default());
    while let Some(batch) = reader.next_batch().expect("whole records") {
        for record in batch.map(|record| record.expect("a whole record")) {
            if matches!(record.record_type(), RecordType::COMPRESSED | RecordType::COMPRESSED2) {
                let inside = inflater.inflate(&record, |inner| {
                    records.push((inner.offset, inner.bytes.to_vec()));
                    Ok::<_, Error>(())
                });
                inside.expect("it inflates");
            } else {
                records.push((record.offset, record.bytes.to_vec()));
            }
        }
    }
    records
}

#[test]
fn every_recording_is_read_as_batches_of_it_are() {
    for (name, bytes) in recordings() {
        let (_, by_hand) = opened(&bytes).into_parts();
        let by_hand = by_batches(by_hand);
        let mut reader = opened(&bytes);
        assert!(reader.problems().is_empty(), "{name}");
        assert_eq!(reader.file_header().is_some(), name.ends_with(".data"), "{name}");
        assert!(!reader.preamble().events.is_empty() && reader.preamble().features.len() > 9, "{name}");
        let (records, error) = records(&mut reader);
        assert!(error.is_none(), "{name}: {error:?}");
        assert!(records == by_hand, "{name}");
        assert!(
            records.iter().any(|(_, bytes)| bytes[0] == 9 && bytes[1..4] == [0; 3]),
            "{name} has samples"
        );
    }
}

#[test]
fn a_stream_that_cannot_seek_is_read_as_one_that_can() {
    for (name, bytes) in recordings().into_iter().filter(|(name, _)| name.ends_with(".pipe")) {
        let whole = records(&mut opened(&bytes)).0;
        let mut reader = PerfReader::open_stream(Pieces::new(&bytes, &[7, 4096, 100])).expect("a stream");
        assert_eq!(reader.preamble(), opened(&bytes).preamble(), "{name}");
        assert!(records(&mut reader).0 == whole, "{name}");
        if !name.contains("compressed") {
            let twin = swapped(&bytes);
            let twin = opened(&twin);
            assert_eq!(twin.endian(), Endian::Big, "{name}");
        }
    }
}

#[test]
fn a_file_without_seeking_is_refused_by_its_name() {
    let (_, file) = recordings().into_iter().find(|(name, _)| name == "plain.data").expect("it is kept");
    assert!(matches!(PerfReader::open_stream(&file[..]), Err(Error::NotPipe)));
}

/// A file of these records.
fn file(preamble: &Preamble, records: &[u8], size: u64) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    let before = preamble.write_before(&mut out).expect("it is written");
    std::io::Write::write_all(&mut out, records).expect("it is written");
    if size > 0 {
        preamble.write_behind(&mut out, before, size).expect("it is written");
        return out.into_inner();
    }
    // As a recorder leaves it that is killed: a header without the size of the data.
    preamble.write_behind(&mut out, before, records.len() as u64).expect("it is written");
    let mut bytes = out.into_inner();
    bytes.truncate(usize::try_from(before.data).expect("small") + records.len());
    bytes[48..56].fill(0);
    bytes
}

fn samples(endian: Endian, count: u64) -> Vec<u8> {
    let stream = StreamBuilder::with_callchains(endian);
    let head = stream.clone().bytes().len();
    let stream = (0..count).fold(stream, |stream, number| {
        stream.sample(CpuMode::User, At::new(7, number), 0x1000 + number, &[0x1000, 0x2000])
    });
    stream.bytes().split_off(head)
}

fn preamble(endian: Endian) -> Preamble {
    let stream = StreamBuilder::with_callchains(endian).recorded_on("host", "6.1", "x86_64").bytes();
    PerfReader::open_stream(&stream[..]).expect("a stream").preamble().clone()
}

#[test]
fn a_file_and_a_pipe_of_one_recording_say_the_same() {
    for endian in ORDERS {
        let (preamble, samples) = (preamble(endian), samples(endian, 9));
        let file = file(&preamble, &samples, samples.len() as u64);
        let pipe = preamble.to_pipe(PipeFeatures::Readable, |_, _| {}).expect("it fits");
        let pipe = [&pipe[..], &samples].concat();
        let bytes = |bytes: &[u8]| {
            records(&mut opened(bytes)).0.into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>()
        };
        assert_eq!(bytes(&file), bytes(&pipe));
        assert_eq!(bytes(&file).concat(), samples);
        assert_eq!(opened(&file).preamble().events, opened(&pipe).preamble().events);
        assert_eq!(opened(&file).preamble().features, opened(&pipe).preamble().features);
        assert_eq!(opened(&file).endian(), endian);
    }
}

#[test]
fn a_file_that_was_never_closed_is_read_to_its_end() {
    for endian in ORDERS {
        let samples = samples(endian, 9);
        let bytes = file(&preamble(endian), &samples, 0);
        let mut reader = opened(&bytes);
        assert_eq!((reader.preamble().events.len(), reader.preamble().features.len()), (1, 0));
        let (records, error) = records(&mut reader);
        assert_eq!((records.len(), error.is_none()), (9, true));
    }
}

#[test]
fn a_file_that_was_cut_says_so_and_gives_the_records_that_are_there() {
    let (preamble, samples) = (preamble(Endian::Little), samples(Endian::Little, 9));
    let mut bytes = file(&preamble, &samples, samples.len() as u64);
    let start = bytes.windows(samples.len()).position(|window| window == samples).expect("they are in it");
    bytes.truncate(start + samples.len() - 1);
    let mut reader = opened(&bytes);
    assert_eq!((reader.preamble().features.len(), reader.problems().len()), (0, 1));
    let (records, error) = records(&mut reader);
    assert_eq!(records.len(), 8);
    assert!(matches!(error, Some(Error::Truncated { .. })), "{error:?}");
    assert!(matches!(reader.next_record(), Err(Error::Truncated { .. })), "and it comes again");
}

/// Each piece of the stream as a compressed record; all are one zstd stream.
fn compressed(pieces: &[&[u8]], endian: Endian) -> Vec<Vec<u8>> {
    let mut context = CCtx::create();
    let mut number = 0;
    let mut record = |piece: &&[u8]| {
        let mut data = vec![0; CCtx::out_size() + piece.len()];
        let mut out = OutBuffer::around(&mut data[..]);
        let mut input = InBuffer::around(piece);
        context.compress_stream(&mut out, &mut input).expect("it compresses");
        assert_eq!(context.flush_stream(&mut out), Ok(0), "there is room");
        let len = out.pos();
        data.truncate(len);
        let mut bytes = Vec::new();
        number += 1;
        let record = match number % 2 {
            0 => Record::Compressed(&data),
            _ => Record::Compressed2(Compressed2 { data_size: len as u64, data: &data }),
        };
        record.encode(Misc::default(), &[], endian, &mut bytes).expect("it fits");
        bytes
    };
    pieces.iter().map(&mut record).collect()
}

#[test]
fn records_inside_compressed_ones_come_in_their_place() {
    for endian in ORDERS {
        // Many times the inflater's buffer, and torn wherever the pieces end.
        let inside = samples(endian, 20_000);
        let pieces: Vec<_> = inside.chunks(300_001).collect();
        let mut stream = StreamBuilder::with_callchains(endian);
        for piece in compressed(&pieces, endian) {
            stream = stream.raw(&piece).finished_round().tracing_data(&[0x55; 24]);
        }
        let stream = stream.bytes();
        let (records, error) = records(&mut opened(&stream));
        assert!(error.is_none(), "{error:?}");
        let of_type = |record_type: RecordType| {
            records.iter().filter(move |(_, bytes)| bytes[..4] == endian.put_u32(record_type.0))
        };
        let samples: Vec<u8> = of_type(RecordType::SAMPLE).flat_map(|(_, bytes)| bytes.clone()).collect();
        assert!(samples == inside);
        assert_eq!(of_type(RecordType::FINISHED_ROUND).count(), pieces.len());
        assert_eq!(of_type(RecordType::TRACING_DATA).count(), pieces.len());
        assert!(records.is_sorted_by_key(|(offset, _)| *offset), "each has the place of what it was in");
    }
}

#[test]
fn a_record_that_does_not_inflate_is_an_error_and_those_behind_it_are_read() {
    for endian in ORDERS {
        let inside = samples(endian, 9);
        let mut pieces = compressed(&[&inside, &inside, &inside], endian);
        for byte in &mut pieces[1][16..] {
            *byte = 0xff;
        }
        let stream = StreamBuilder::with_callchains(endian).raw(&pieces.concat()).finished_round().bytes();
        let mut reader = opened(&stream);
        let (first, error) = records(&mut reader);
        assert_eq!(first.len(), 9);
        assert!(matches!(error, Some(Error::Inflate { .. })), "{error:?}");
        // All pieces are one stream.
        assert!(matches!(reader.next_record(), Err(Error::Inflate { .. })));
        let round = reader.next_record().expect("a record").map(|record| record.record_type());
        assert_eq!(round, Some(RecordType::FINISHED_ROUND));
        assert!(reader.next_record().expect("the end").is_none());
    }
}

proptest! {
    #![proptest_config(config(192, "perf_reader"))]

    #[test]
    fn a_damaged_recording_is_read_to_an_end_or_an_error_however_its_bytes_come(
        endian in endian(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5),
        cut in any::<prop::sample::Index>(),
        lengths in lengths(),
    ) {
        let inside = samples(endian, 40);
        let pieces = compressed(&[&inside[..900], &inside[900..]], endian).concat();
        let stream = StreamBuilder::with_callchains(endian).raw(&pieces).tracing_data(&[1; 8]).finished_round();
        let mut bytes = stream.bytes();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + bytes.len() / 2);
        let (Ok(mut whole), Ok(mut in_pieces)) = (
            PerfReader::open_stream(&bytes[..]),
            PerfReader::open_stream(Pieces::new(&bytes, &lengths)),
        ) else { return Ok(()) };
        let (records_of_it, error) = records(&mut whole);
        let (again, error_again) = records(&mut in_pieces);
        prop_assert_eq!(records_of_it, again);
        prop_assert_eq!(error.map(|error| error.to_string()), error_again.map(|error| error.to_string()));
    }
}
