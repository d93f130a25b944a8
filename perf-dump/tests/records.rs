//! A record of every type, and samples with every field, as text and as JSON, in either byte order.

use std::io::Cursor;

use bstr::ByteSlice as _;
use insta::assert_snapshot;
use perf_dump::{DumpOptions, Dumper, dump_text};
use perf_format::attr::{AttrFields, AttrFlags, BranchSampleType, ReadFormat, SampleType};
use perf_format::codec::{Array, Encoder, Fixed};
use perf_format::record::{CpuMode, HeaderFeature};
use perf_format::sample::{
    AuxData, Branch, BranchFlags, BranchStack, Cpu, DataSource, Raw, ReadValue, ReadValues, Regs, StackDump,
    Tid, WeightStruct,
};
use perf_format::testing::features::whole;
use perf_format::testing::{At, StreamBuilder, attr};
use perf_format::{Attr, Endian, Feature, Misc, Record, RecordType, Sample, SampleFormat};

#[path = "../../perf-format/tests/common/examples.rs"]
mod examples;

const ORDERS: [Endian; 2] = [Endian::Little, Endian::Big];

fn dumped(stream: &[u8], change: impl Fn(&mut DumpOptions)) -> String {
    let mut options = DumpOptions::default();
    change(&mut options);
    dump_text(stream, options).unwrap()
}

/// The same text from a stream in either byte order.
fn dumped_in_both(make: impl Fn(Endian) -> Vec<u8>, change: impl Fn(&mut DumpOptions)) -> String {
    let [little, big] = ORDERS.map(|endian| dumped(&make(endian), &change));
    assert_eq!(little, big);
    little
}

/// A record of every type but SAMPLE; those of the kernel with a trailer.
fn every_type(endian: Endian) -> Vec<u8> {
    let fields =
        SampleType::TID | SampleType::TIME | SampleType::ID | SampleType::STREAM_ID | SampleType::CPU;
    let mut event = attr(fields);
    event.fields.read_format = ReadFormat::TOTAL_TIME_ENABLED | ReadFormat::ID;
    let mut stream = StreamBuilder::new(endian).attr(&event, &[]).finished_round();
    for (record, _) in examples::examples(endian) {
        let misc = match record.record_type() {
            RecordType::SWITCH => Misc(Misc::SWITCH_OUT | Misc::SWITCH_OUT_PREEMPT),
            RecordType::COMM => Misc(Misc::COMM_EXEC),
            RecordType::MMAP | RecordType::MMAP2 => Misc::of(CpuMode::User),
            _ => Misc::default(),
        };
        stream = match record.record_type() {
            RecordType::SAMPLE => continue,
            RecordType::TRACING_DATA | RecordType::AUXTRACE => {
                stream.record(misc, &record).raw(b"24 bytes of a payload...")
            }
            of_kernel if of_kernel.is_kernel() => {
                stream.traced(misc, &record, At { pid: 7, tid: 8, time: 9 })
            }
            _ => stream.record(misc, &record),
        };
    }
    stream.unknown(63, &[0xab; 40]).unknown(99, b"12345678").bytes()
}

#[test]
fn a_record_of_every_type_has_all_of_its_fields() {
    let text = dumped_in_both(every_type, |_| {});
    for record_type in RecordType::ALL.iter().filter(|known| **known != RecordType::SAMPLE) {
        let name = format!(" {record_type} ");
        assert!(text.contains(&name) || text.contains(&format!(" {record_type}\n")), "{name} in {text}");
    }
    assert_snapshot!(text);
}

#[test]
fn json_has_the_same_names_and_each_line_is_one_object() {
    let json = dumped_in_both(every_type, |options| options.json = true);
    let text = dumped_in_both(every_type, |_| {});
    assert_eq!(json.lines().count(), text.lines().count());
    for line in json.lines() {
        let value: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(value["record"].is_string() && value["fields"].is_object(), "{line}");
    }
    assert_snapshot!(json);
}

fn array<T: Fixed>(endian: Endian, elements: &[T]) -> Array<'static, T> {
    let mut bytes = Vec::new();
    let mut e = Encoder::new(&mut bytes, endian, Misc::default());
    elements.iter().for_each(|element| e.put(element));
    Array::new(bytes.leak(), endian)
}

/// A sample with every field, of an event whose attr has as much as it can, and one that is torn if that is asked for.
fn every_field(endian: Endian, is_torn: bool) -> Vec<u8> {
    let fields = AttrFields {
        kind: 4,
        size: 152,
        config: 0x1c2,
        sample_period_or_freq: 4000,
        sample_type: SampleType::from_bits_retain((1 << 25) - 1),
        read_format: ReadFormat::from_bits_retain(31),
        flags: AttrFlags::FREQ
            | AttrFlags::SAMPLE_ID_ALL
            | AttrFlags::PRECISE_IP_HIGH
            | AttrFlags::USE_CLOCKID
            | AttrFlags::from_bits_retain(1 << 60),
        wakeup: 1,
        config1: 3,
        config2: 4,
        branch_sample_type: BranchSampleType::ANY
            | BranchSampleType::HW_INDEX
            | BranchSampleType::COUNTERS
            | BranchSampleType::TYPE_SAVE,
        sample_regs_user: 0x180,
        sample_regs_intr: 0x3,
        sample_stack_user: 8192,
        sample_max_stack: 127,
        ..Default::default()
    };
    let event = Attr { fields, tail: b"whatever".to_vec() };
    let stream = StreamBuilder::new(endian).recorded_on("host", "6.1", "x86_64").attr(&event, &[100, 101]);
    let format = SampleFormat::new(&event);
    let chain = [128_u64.wrapping_neg(), 0xffff_ffff_8100_1234, 512_u64.wrapping_neg(), 0x40_1000, 0x40_2000];
    let branches = [
        Branch { from: 0x40_1000, to: 0x40_2000, flags: BranchFlags::from_bits(1 | 77 << 4 | 1 << 20) },
        Branch { from: 0x40_3000, to: 0x40_4000, flags: BranchFlags::from_bits(0) },
    ];
    let stack: Vec<u8> = (0..200).collect();
    let sample = Sample {
        identifier: Some(100),
        ip: Some(0x40_1000),
        tid: Some(Tid { pid: 7, tid: u32::MAX }),
        time: Some(12),
        addr: Some(0xdead_beef),
        id: Some(100),
        stream_id: Some(101),
        cpu: Some(Cpu { cpu: 3, reserved: 1 }),
        period: Some(1_000_000),
        read: Some(ReadValues {
            time_enabled: Some(1),
            time_running: Some(2),
            values: vec![
                ReadValue { value: 3, id: Some(100), lost: Some(0) },
                ReadValue { value: 4, id: Some(102), lost: Some(1) },
            ],
        }),
        callchain: Some(array(endian, &chain)),
        raw: Some(Raw(b"\x01\x02\x03\x04")),
        branch_stack: Some(BranchStack {
            hw_idx: Some(u64::MAX),
            entries: array(endian, &branches),
            counters: Some(array(endian, &[1u64, 2])),
        }),
        regs_user: Some(Regs { abi: 2, regs: array(endian, &[0x7fff_0000u64, 0x40_1000]), mask: 0b11 }),
        stack_user: Some(StackDump { bytes: &stack, dyn_size: Some(100) }),
        weight: Some(5),
        weight_struct: Some(WeightStruct { var1: 6, var2: 7, var3: 8 }),
        data_src: Some(DataSource(2 | 0x42 << 5 | 0x10 << 19 | 2 << 24 | 0x22 << 26 | 3 << 33 | 1 << 37)),
        transaction: Some(0x10),
        regs_intr: Some(Regs { abi: 0, regs: array(endian, &[0u64; 0]), mask: 0 }),
        phys_addr: Some(0x1000),
        cgroup: Some(9),
        data_page_size: Some(4096),
        code_page_size: Some(2 << 20),
        aux: Some(AuxData(b"aux")),
        rest: b"rest.",
    };
    let body = sample.to_bytes(&format, endian);
    let stream = stream.record(Misc(2 | Misc::EXACT_IP), &Record::Sample(&body));
    match is_torn {
        true => stream.record(Misc(0x8007), &Record::Sample(body.get(..60).unwrap())).bytes(),
        false => stream.bytes(),
    }
}

#[test]
fn a_sample_has_all_of_its_fields() {
    assert_snapshot!(dumped_in_both(|endian| every_field(endian, false), |_| {}));
    assert_snapshot!(dumped_in_both(|endian| every_field(endian, false), |options| options.json = true));
}

#[test]
fn a_sample_that_cannot_be_parsed_is_its_bytes_and_the_reason() {
    let torn = dumped(&every_field(Endian::Little, true), |_| {});
    assert_snapshot!(torn.lines().last().unwrap());
}

/// A stream with these features.
fn with_features(endian: Endian, features: impl IntoIterator<Item = (Feature, Vec<u8>)>) -> Vec<u8> {
    let stream = StreamBuilder::new(endian).attr(&attr(SampleType::TIME), &[1, 2]);
    let records = features.into_iter().fold(stream, |stream, (feature, data)| {
        let record = HeaderFeature { feat_id: feature.0.into(), data: &data };
        stream.record(Misc::default(), &Record::HeaderFeature(record))
    });
    records.finished_round().bytes()
}

#[test]
fn every_feature_has_all_that_it_says() {
    assert_snapshot!(dumped_in_both(|endian| with_features(endian, whole(endian)), |_| {}));
    assert_snapshot!(dumped_in_both(
        |endian| with_features(endian, whole(endian)),
        |options| options.json = true
    ));
}

#[test]
fn a_feature_that_is_cut_says_why_and_its_bytes() {
    for endian in ORDERS {
        for (feature, data) in whole(endian) {
            let cut = data.len() - 1;
            let text = dumped(&with_features(endian, [(feature, data[..cut].to_vec())]), |_| {});
            assert_eq!(text.lines().count(), 4, "{text}");
            let line = text.lines().nth(2).unwrap();
            assert!(line.contains("error=") || line.contains("data=") || line.contains("value="), "{line}");
        }
    }
}

#[test]
fn a_field_that_no_record_has_is_named_afterwards() {
    let stream = every_type(Endian::Little);
    let mut options = DumpOptions::default();
    options.fields = Some(["comm", "colour", "pid"].map(str::to_owned).to_vec());
    let mut dump = Dumper::open(Cursor::new(&stream), options).unwrap();
    assert_eq!(dump.missing_fields(), ["comm", "colour", "pid"]);
    dump.write(&mut std::io::sink()).unwrap();
    assert_eq!(dump.missing_fields(), ["colour"]);
}

#[test]
fn what_was_selected_alone_is_shown() {
    let only = |change: fn(&mut DumpOptions)| {
        dumped_in_both(every_type, |options| {
            options.header = false;
            change(options);
        })
        .replace(
            "ERROR error=\"COMPRESSED2 record at offset 0xa96 does not inflate: Data corruption detected\"\n",
            "",
        )
    };
    let mmaps = only(|options| options.types = Some(vec![RecordType::MMAP2, RecordType::MMAP]));
    assert_eq!(mmaps.lines().count(), 2, "{mmaps}");
    let fields = only(|options| {
        options.types = Some(vec![RecordType::COMM]);
        options.fields = Some(vec!["comm".to_owned(), "sample_id".to_owned()]);
        options.offsets = false;
    });
    assert_eq!(
        fields,
        "COMM misc=COMM_EXEC comm=\"kworker/0:1H\" sample_id={pid=7 tid=8 time=9 id=0 stream_id=0 cpu=0}\n"
    );
    let of_others = only(|options| options.pids = Some(vec![6]));
    assert_eq!(of_others, "");
    let later = only(|options| options.time = Some(perf_dump::TimeRange { from: Some(10), to: None }));
    assert_eq!(later, "");
    let header = dumped(&every_type(Endian::Little), |options| options.records = false);
    assert_eq!(header.lines().count(), 2, "{header}");
}

#[test]
fn a_line_is_cut_where_it_is_too_wide_and_says_how_much_is_missing() {
    let chain: Vec<u64> = (0..5000).collect();
    let at = At::new(7, 1);
    let stream = StreamBuilder::with_callchains(Endian::Little)
        .sample(CpuMode::User, at, 1, &chain)
        .exec(at, &"long".repeat(1000))
        .bytes();
    for json in [false, true] {
        let text = dumped(&stream, |options| {
            options.max_width = 300;
            options.json = json;
        });
        for line in text.lines().skip(2) {
            assert!(line.len() < 600, "{} bytes: {line}", line.len());
            assert!(line.contains("more"), "{line}");
        }
        let full = dumped(&stream, |options| {
            options.max_width = 300;
            options.full = true;
            options.json = json;
        });
        assert!(!full.contains("more") && full.contains("0x1387"), "{full}");
    }
    let text = dumped(&stream, |options| options.max_width = 300);
    assert!(text.contains(", ... 4,9"), "{text}");
}

#[test]
fn a_recording_that_ends_too_soon_is_dumped_as_far_as_it_goes() {
    let stream = every_field(Endian::Little, true);
    let whole = dumped(&stream, |_| {});
    for len in (16..stream.len()).step_by(11) {
        let mut dump = Dumper::open(Cursor::new(&stream[..len]), DumpOptions::default()).unwrap();
        let mut out = Vec::new();
        dump.write(&mut out).unwrap();
        let text = out.to_str().unwrap();
        let (last, before) =
            text.trim_end().rsplit_once('\n').map_or((text, ""), |(before, last)| (last, before));
        match dump.damage() {
            // What is cut off is of the preamble, or nothing.
            None => assert!(text.lines().all(|line| whole.contains(line)), "{text}"),
            Some(error) => assert_eq!(last, format!("ERROR error=\"{error}\""), "after {before}"),
        }
    }
}

#[test]
fn features_are_cut_where_their_lines_are_too_wide() {
    let stream = with_features(Endian::Little, whole(Endian::Little));
    for max_width in [1, 40, 90] {
        let text = dumped(&stream, |options| options.max_width = max_width);
        assert_eq!(text.lines().count(), dumped(&stream, |_| {}).lines().count(), "{text}");
        assert!(text.contains("CPU_DOMAIN_INFO"), "{text}");
    }
}
