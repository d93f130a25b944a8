//! The attrs of events, wherever a recording has them, and the events whose samples have no stacks.

use std::io::Cursor;

use perf_format::attr::{AttrFlags, SampleType};
use perf_format::feature::event_names;
use perf_format::record::HeaderFeature;
use perf_format::testing::features::Bytes;
use perf_format::testing::{At, StreamBuilder, UserStack, attr, callchain_attr, records, stack_attr};
use perf_format::{Attr, CpuMode, Endian, Feature, Misc, PerfFile, Preamble, Record, RecordType, Sample};
use perf_inject::{ConvertCallchain, Plan, Run};
use perf_session::build_id::Chain;

use crate::made::{FramelessCode, chains, convert, others, plan, raw, run, samples, with_options};
use crate::samples::{CHAIN, program, stack};

const ORDERS: [Endian; 2] = [Endian::Little, Endian::Big];

/// The sizes of `struct perf_event_attr` since Linux 2.6.31, one between two of them, and one that is not known yet.
const SIZES: [u32; 12] = [64, 72, 80, 96, 100, 104, 112, 120, 128, 136, 144, 160];

fn of_size(size: u32) -> Attr {
    let mut attr = stack_attr(1024);
    attr.fields.size = size;
    attr.tail = vec![0xee; usize::try_from(size.saturating_sub(144)).expect("small")];
    attr
}

/// An attr's bytes as they are to be: changed by hand, at the offsets of the C structure.
fn changed_by_hand(attr: &[u8], endian: Endian, keep_stacks: bool) -> Vec<u8> {
    let mut bytes = attr.to_vec();
    let mut change = |at: usize, change: &dyn Fn(u64) -> u64| {
        if let Some(word) = endian.u64_at(attr, at) {
            bytes[at..at + 8].copy_from_slice(&endian.put_u64(change(word)));
        }
    };
    let stacks = (SampleType::REGS_USER | SampleType::STACK_USER).bits();
    let removed = if keep_stacks { 0 } else { stacks };
    // sample_type; the flags, whose bits stand in one word.
    change(24, &|word| (word | SampleType::CALLCHAIN.bits()) & !removed);
    let flag = AttrFlags::EXCLUDE_CALLCHAIN_USER.bits();
    let flag = if endian == Endian::Big { reversed_in_bytes(flag) } else { flag };
    change(40, &|word| word & !flag);
    if !keep_stacks {
        // sample_regs_user, sample_stack_user.
        change(80, &|_| 0);
        if bytes.len() >= 92 {
            bytes[88..92].fill(0);
        }
    }
    bytes
}

/// The flags are bit-fields, which a machine of the other byte order fills from the other end.
fn reversed_in_bytes(flags: u64) -> u64 {
    flags.reverse_bits()
}

/// What EVENT_DESC has of these attrs, each with two ids.
fn event_desc(attrs: &[Vec<u8>], endian: Endian) -> Vec<u8> {
    let bytes = Bytes(endian);
    let count = u32::try_from(attrs.len()).expect("few");
    let size = u32::try_from(attrs[0].len()).expect("small");
    let mut desc = [bytes.u32(count), bytes.u32(size)].concat();
    for (attr, id) in attrs.iter().zip(5..) {
        desc.extend(attr);
        desc.extend(bytes.u32(2));
        desc.extend(bytes.text("cycles:u"));
        desc.extend([endian.put_u64(id), endian.put_u64(id + 10)].concat());
    }
    desc
}

/// A stream with an attr, and EVENT_DESC with the same.
fn described(attr: &Attr, endian: Endian) -> StreamBuilder {
    let desc = event_desc(&[attr.to_bytes(endian)], endian);
    let feature = HeaderFeature { feat_id: Feature::EVENT_DESC.0.into(), data: &desc };
    let stream = StreamBuilder::new(endian).attr(attr, &[5, 15]);
    stream.record(Misc::default(), &Record::HeaderFeature(feature))
}

#[test]
fn an_attr_of_any_size_is_changed_where_it_stands() {
    for endian in ORDERS {
        for size in SIZES {
            for keep_stacks in [false, true] {
                let attr = of_size(size);
                let stream = described(&attr, endian).bytes();
                let options = ConvertCallchain { keep_stacks, ..ConvertCallchain::default() };
                let ran = run(with_options(options), &stream[..]);
                assert_eq!(ran.error, None);
                let expected = changed_by_hand(&attr.to_bytes(endian), endian, keep_stacks);
                let [before, after] = [&stream, &ran.out].map(|stream| records(stream));
                assert_eq!(after.len(), 2);
                let len = usize::try_from(size).expect("small");
                assert_eq!(after[0].bytes[8..8 + len], expected[..], "{endian:?} {size}");
                assert_eq!(after[0].bytes[8 + len..], before[0].bytes[8 + len..], "its ids");
                // The feature's number, and how many events of which size.
                assert_eq!(after[1].bytes[..24], before[1].bytes[..24]);
                assert_eq!(after[1].bytes[24..24 + len], expected[..], "{endian:?} {size} in EVENT_DESC");
                assert_eq!(after[1].bytes[24 + len..], before[1].bytes[24 + len..]);
            }
        }
    }
}

/// A stream as a file.
fn as_file(stream: &[u8], plan: Plan) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    let mut run = Run::new(plan, Chain::default()).with_modules(Box::new(FramelessCode));
    run.any_to_file(Cursor::new(stream), &mut out).expect("it is whole");
    out.into_inner()
}

fn as_pipe(file: &[u8], plan: Plan) -> Vec<u8> {
    let mut out = Vec::new();
    let mut run = Run::new(plan, Chain::default()).with_modules(Box::new(FramelessCode));
    run.any_to_pipe(Cursor::new(file), &mut out).expect("it is whole");
    out
}

fn preamble(file: &[u8]) -> Preamble {
    PerfFile::open(Cursor::new(file)).expect("a file").preamble().expect("its preamble")
}

#[test]
fn the_table_of_a_file_and_its_event_desc_are_changed() {
    for endian in ORDERS {
        for size in SIZES {
            let attr = of_size(size);
            let stream =
                described(&attr, endian).recorded_on("host", "6.1", "x86_64").finished_round().bytes();
            let file = as_file(&stream, Plan::NOTHING);
            let expected = changed_by_hand(&attr.to_bytes(endian), endian, false);
            // From a pipe, and from a file.
            for converted in [as_file(&stream, plan()), as_file(&file, plan())] {
                let Preamble { events, features, .. } = preamble(&converted);
                assert_eq!(events.len(), 1);
                assert_eq!((&events[0].attr, &events[0].ids[..]), (&expected, &[5, 15][..]), "{size}");
                let desc = &features[&Feature::EVENT_DESC];
                let named = event_names(desc, endian);
                assert_eq!((named.len(), named[0].attr), (1, &expected[..]));
            }
        }
    }
}

#[test]
fn each_pairing_of_file_and_pipe_converts_the_same() {
    for endian in ORDERS {
        let stream = program(described(&stack_attr(1024), endian).recorded_on("host", "6.1", "x86_64"));
        let stream = stream.stack_sample(CpuMode::User, At::new(1, 20), 0x50_0010, &[], &stack(endian));
        let stream = stream.finished_round().bytes();
        let pipe = as_pipe(&stream, plan());
        assert_eq!(chains(&pipe), [CHAIN]);
        assert_eq!(pipe, convert(&stream));
        let file = as_file(&stream, Plan::NOTHING);
        let from_file = as_pipe(&file, plan());
        assert_eq!(chains(&from_file), [CHAIN]);
        let converted = as_file(&file, plan());
        assert_eq!(converted, as_file(&stream, plan()), "file to file is pipe to file");
        assert_eq!(as_pipe(&converted, Plan::NOTHING), from_file);
        assert_eq!(as_file(&converted, plan()), converted, "twice is once");
    }
}

#[test]
fn of_two_events_the_one_without_stacks_stays_byte_for_byte() {
    for endian in ORDERS {
        let (mut with, mut without) = (stack_attr(1024), callchain_attr());
        for attr in [&mut with, &mut without] {
            attr.fields.sample_type |= SampleType::IDENTIFIER;
        }
        let of_id = |id: u64, stack: Option<&UserStack>, chain| {
            let sample = Sample {
                identifier: Some(id),
                ip: Some(0x50_0010),
                tid: Some(perf_format::sample::Tid { pid: 1, tid: 1 }),
                time: Some(20 + id),
                period: Some(id),
                callchain: Some(chain),
                regs_user: stack.map(UserStack::regs),
                stack_user: stack.map(UserStack::dump),
                ..Sample::default()
            };
            sample.to_bytes(&perf_format::SampleFormat::new(&with), endian)
        };
        let chain: Vec<u8> = [0xabc, 0xdef].iter().flat_map(|word| endian.put_u64(*word)).collect();
        let stack = stack(endian);
        let plain = of_id(2, None, perf_format::Array::new(&chain, endian));
        let stacked = of_id(1, Some(&stack), perf_format::Array::new(&[], endian));
        // Each of them may be the first, by whose layout ids are found.
        for events in [[(&with, 1), (&without, 2)], [(&without, 2), (&with, 1)]] {
            let start = events
                .iter()
                .fold(StreamBuilder::new(endian), |stream, (attr, id)| stream.attr(attr, &[*id]));
            let stream = program(start);
            let stream = [&plain, &stacked, &plain]
                .into_iter()
                .fold(stream, |stream, body| stream.record(Misc::of(CpuMode::User), &Record::Sample(body)));
            let stream = stream.bytes();
            let out = convert(&stream);
            assert_eq!(chains(&out), [&[0xabc, 0xdef][..], &CHAIN, &[0xabc, 0xdef]]);
            let [before, after] = [&stream, &out].map(|stream| records(stream));
            let same: Vec<bool> = before.iter().zip(&after).map(|(before, after)| before == after).collect();
            let is_converted = |record: &_| {
                let raw = raw(record, endian);
                match raw.parse() {
                    Ok(Record::HeaderAttr(event)) => event.attr == with,
                    _ => raw.record_type() == RecordType::SAMPLE && endian.u64_at(raw.bytes, 8) == Some(1),
                }
            };
            let expected: Vec<bool> = before.iter().map(|record| !is_converted(record)).collect();
            assert_eq!((same, before.len()), (expected, after.len()));
        }
    }
}

#[test]
fn a_recording_without_stacks_passes_as_it_is() {
    let stacks = SampleType::STACK_USER | SampleType::REGS_USER;
    let fields = SampleType::IP | SampleType::TID | SampleType::TIME;
    for endian in ORDERS {
        // Registers alone, and a stack alone, cannot be unwound.
        for field in [SampleType::empty(), SampleType::REGS_USER, SampleType::STACK_USER] {
            assert!(!field.contains(stacks));
            let attr = attr(fields | field);
            let stream = program(described(&attr, endian));
            let stream = stream.stack_sample(CpuMode::User, At::new(1, 20), 0x40_0010, &[], &stack(endian));
            let stream = stream.finished_round().bytes();
            let ran = run(plan(), &stream[..]);
            assert_eq!((ran.error.as_ref(), ran.summary().stacks), (None, 0));
            assert!(ran.out == stream, "{field:?}");
        }
    }
}

#[test]
fn a_sample_of_no_known_event_passes_as_it_is() {
    let endian = Endian::Little;
    let mut attr = stack_attr(1024);
    attr.fields.sample_type |= SampleType::IDENTIFIER;
    let mut weighted = attr.clone();
    weighted.fields.sample_type |= SampleType::WEIGHT;
    // The builder's samples have the id 1. Where all events are laid out alike, it makes no difference.
    let stream = program(StreamBuilder::new(endian).attr(&weighted, &[7]).attr(&attr, &[8]));
    let stream = stream.stack_sample(CpuMode::User, At::new(1, 20), 0x50_0010, &[], &stack(endian)).bytes();
    let ran = run(plan(), &stream[..]);
    assert_eq!(records(&ran.out).last(), records(&stream).last());
    assert_eq!((ran.error.as_ref(), ran.summary().stacks), (None, 0));
}

#[test]
fn an_attr_that_comes_later_counts_for_the_samples_behind_it() {
    let endian = Endian::Big;
    let mut attr = stack_attr(1024);
    attr.fields.sample_type |= SampleType::IDENTIFIER;
    let stream = program(StreamBuilder::new(endian).attr(&attr, &[1]));
    let stream = stream.stack_sample(CpuMode::User, At::new(1, 20), 0x50_0010, &[], &stack(endian));
    attr.fields.sample_type |= SampleType::WEIGHT;
    let stream = stream.attr(&attr, &[2]);
    let weighted = Sample {
        identifier: Some(2),
        ip: Some(0x50_0010),
        tid: Some(perf_format::sample::Tid { pid: 1, tid: 1 }),
        time: Some(30),
        period: Some(1),
        callchain: Some(perf_format::Array::new(&[], endian)),
        weight: Some(99),
        ..Sample::default()
    };
    let stack = stack(endian);
    let sample = Sample { regs_user: Some(stack.regs()), stack_user: Some(stack.dump()), ..weighted };
    let stream = stream.full_sample(CpuMode::User, &sample).bytes();
    let out = convert(&stream);
    assert_eq!(chains(&out), [CHAIN, CHAIN]);
    assert_eq!(samples(&out).iter().filter(|sample| sample.has_stack).count(), 0);
    assert_eq!(others(&out), others(&stream));
}
