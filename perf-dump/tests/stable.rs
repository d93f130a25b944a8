//! Two runs of a program: what the rules of a stable dump promise to hide, and nothing else.

use insta::assert_snapshot;
use perf_dump::{DumpOptions, StableRules, dump_text};
use perf_format::attr::SampleType;
use perf_format::record::{CpuMode, Inode, MapFile};
use perf_format::testing::{At, StreamBuilder, attr};
use perf_format::{Endian, RecordType};

/// A run of a program by other pids, at other times and addresses, on another machine, with other ids.
fn run(seed: u32, endian: Endian) -> Vec<u8> {
    let sample_type = SampleType::IP
        | SampleType::TID
        | SampleType::TIME
        | SampleType::ID
        | SampleType::CALLCHAIN
        | SampleType::PERIOD;
    let (pid, base) = (100 * seed, 0x1000_0000 * u64::from(seed));
    let at = |time: u64| At::new(pid, 1_000_000 * u64::from(seed) + time);
    let child = |time: u64| At { pid: pid + seed, tid: pid + seed, ..at(time) };
    let file = |ino| {
        MapFile::Inode(Inode { maj: 8, min: 1, ino: ino + u64::from(seed), ino_generation: seed.into() })
    };
    let chain = [128_u64.wrapping_neg(), base + 0xf000_0010, 512_u64.wrapping_neg(), base + 0x20, 0x77];
    StreamBuilder::new(endian)
        .recorded_on(&format!("host{seed}"), &format!("6.{seed}"), "x86_64")
        .attr(&attr(sample_type), &[1, 50 * u64::from(seed)])
        .kernel(base + 0xf000_0000, 0x1000)
        .exec(at(1), "run")
        .mapped(at(2), base, 0x1000, "/build/run", file(77))
        .mapped(at(3), base + 0x4000, 0x1000, "//anon", file(0))
        .fork(child(4), pid)
        .sample(CpuMode::User, at(5), base + 0x10, &chain)
        .sample(CpuMode::User, child(6), base + 0x4010, &[])
        .exit(child(7))
        .bytes()
}

fn dumped(stream: &[u8], stable: Option<StableRules>) -> String {
    let mut options = DumpOptions::default();
    options.offsets = stable.is_none();
    options.stable = stable;
    dump_text(stream, options).unwrap()
}

#[test]
fn two_runs_are_the_same_text_in_either_byte_order() {
    let rules = || {
        let mut rules = StableRules::default();
        rules.strip_prefix = vec!["/build".into()];
        rules
    };
    let text = dumped(&run(3, Endian::Little), Some(rules()));
    assert_eq!(dumped(&run(5, Endian::Big), Some(rules())), text);
    assert_snapshot!(text);
}

/// A change of the rules, and a text that is shown then.
type Shows = (fn(&mut StableRules), &'static str);

#[test]
fn each_rule_can_be_left_out_and_then_shows_what_it_hides() {
    let with = |change: fn(&mut StableRules)| {
        let mut rules = StableRules::default();
        change(&mut rules);
        dumped(&run(3, Endian::Little), Some(rules))
    };
    let all = with(|_| {});
    let shown: [Shows; 6] = [
        (|rules| rules.pids = false, " pid=300 "),
        (|rules| rules.times = false, "time=3000001"),
        (|rules| rules.addresses = false, "ip=0x30000010"),
        (|rules| rules.inodes = false, "ino=80"),
        (|rules| rules.ids = false, "ids=[1, 150]"),
        (|rules| rules.host = false, "host3"),
    ];
    for (change, text) in shown {
        assert!(!all.contains(text) && with(change).contains(text), "{text}");
    }
    assert!(with(|rules| rules.time_step = 2).contains("time=+4 "), "{}", with(|rules| rules.time_step = 2));
    let none = dumped(&run(3, Endian::Little), Some(StableRules::none()));
    let plain = dumped(&run(3, Endian::Little), None);
    let without_offset = |line: &str| match line.split_once(' ') {
        Some((offset, rest)) if offset.starts_with("0x") => rest.to_owned(),
        _ => line.to_owned(),
    };
    assert!(none.lines().eq(plain.lines().map(without_offset)));
}

#[test]
fn the_order_in_which_buffers_were_emptied_makes_no_difference() {
    let (one, other) = (|time| At::new(7, time), |time| At::new(8, time));
    let begun = || {
        let begun = StreamBuilder::with_callchains(Endian::Little).exec(one(1), "run");
        begun.mmap2(one(2), 0x1000, 0x1000, "/run").fork(other(3), 7)
    };
    // The child ran on another CPU, or on the same one, and its records were written in the same round or the next.
    let of_child = |stream: StreamBuilder| {
        stream.sample(CpuMode::User, other(4), 0x1010, &[]).exec(other(6), "child").exit(other(8))
    };
    let of_parent = |stream: StreamBuilder| {
        stream.sample(CpuMode::User, one(5), 0x1020, &[]).sample(CpuMode::User, one(7), 0x1030, &[])
    };
    let child_last = of_child(of_parent(begun())).finished_round().exit(one(9)).finished_round().bytes();
    let child_first = of_parent(of_child(begun())).finished_round().exit(one(9)).bytes();
    let text = dumped(&child_last, Some(StableRules::default()));
    assert_eq!(dumped(&child_first, Some(StableRules::default())), text);
    let words: Vec<_> = text.lines().skip(2).filter_map(|line| line.split(' ').next()).collect();
    let expected = ["COMM", "MMAP2", "FORK", "SAMPLE", "SAMPLE", "COMM", "SAMPLE", "EXIT", "EXIT"];
    assert_eq!(words, expected, "{text}");
    let mut rules = StableRules::default();
    rules.rounds = false;
    let unsorted = dumped(&child_last, Some(rules));
    assert_eq!(unsorted.matches("FINISHED_ROUND").count(), 2);
    assert!(unsorted.find("child").unwrap() > unsorted.rfind("SAMPLE").unwrap(), "{unsorted}");
}

/// What is at the addresses of samples.
fn resolved(stream: &[u8]) -> String {
    let mut options = DumpOptions::default();
    options.resolve = true;
    options.header = false;
    options.offsets = false;
    options.types = Some(vec![RecordType::SAMPLE]);
    options.fields = Some(["ip", "ip_at", "callchain_at"].map(str::to_owned).to_vec());
    dump_text(stream, options).unwrap()
}

#[test]
fn an_address_is_resolved_as_of_the_time_of_its_record() {
    let at = |time| At::new(7, time);
    let stream = StreamBuilder::with_callchains(Endian::Little)
        .mmap2(at(1), 0x1000, 0x1000, "/old")
        .mmap2(at(5), 0x1000, 0x1000, "/new")
        .sample(CpuMode::User, at(3), 0x1010, &[0x1010])
        .sample(CpuMode::User, at(6), 0x1010, &[0x1010, 0x9999])
        .bytes();
    let expected = "SAMPLE misc=USER ip=0x1010 ip_at=\"/old+0x10\" callchain_at=[\"/old+0x10\"]\n\
        SAMPLE misc=USER ip=0x1010 ip_at=\"/new+0x10\" callchain_at=[\"/new+0x10\", ?]\n";
    assert_eq!(resolved(&stream), expected);
}

#[test]
fn a_map_that_stands_behind_its_sample_in_the_round_is_found_and_one_of_the_next_round_is_not() {
    let at = |time| At::new(7, time);
    let sample = |stream: StreamBuilder, time| stream.sample(CpuMode::User, at(time), 0x1010, &[]);
    let mut stream = StreamBuilder::with_callchains(Endian::Little);
    for time in [1, 3, 5] {
        stream = sample(stream, time);
    }
    stream = stream.mmap2(at(4), 0x1000, 0x1000, "/new").mmap2(at(2), 0x1000, 0x1000, "/old");
    stream = sample(sample(stream, 3), 4).finished_round();
    // What was there a round ago is still known, and what comes later is not.
    for time in [3, 5, 7] {
        stream = sample(stream, time);
    }
    let stream = sample(stream.finished_round().mmap2(at(6), 0x1000, 0x1000, "/newest"), 7).bytes();
    let places = ["?", "/old", "/new", "/old", "/new", "/old", "/new", "/new", "/newest"];
    let found = resolved(&stream);
    let found: Vec<_> = found.lines().map(|line| line.split("ip_at=").nth(1).unwrap_or_default()).collect();
    let expected = places.map(|place| match place {
        "?" => "? callchain_at=[]".to_owned(),
        place => format!("\"{place}+0x10\" callchain_at=[]"),
    });
    assert_eq!(found, expected);
}

/// Recordings of random records: places as they are found with what was looked up last are those that are found one by one.
#[test]
fn each_sample_alone_is_resolved_as_among_all_others() {
    let mut state = 7_u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let files = ["/a", "/b", "//anon", "/c"];
    for _ in 0..12 {
        let mut records = Vec::new();
        for _ in 0..120 {
            let pid = 1 + u32::try_from(random(3)).unwrap();
            let (at, page) = (At::new(pid, random(40)), 0x1000 * (1 + random(4)));
            records.push((random(10), at, page, files[usize::try_from(random(4)).unwrap()]));
        }
        // All samples, or but one of them.
        let stream = |only: Option<usize>| {
            let mut stream = StreamBuilder::with_callchains(Endian::Little);
            for (number, (kind, at, page, file)) in records.iter().enumerate() {
                stream = match kind {
                    0..3 => stream.mmap2(*at, *page, 0x1000, file),
                    3 => stream.exec(*at, "run"),
                    4 => stream.fork(*at, 1 + (at.pid + 1) % 3),
                    5 => stream.finished_round(),
                    6 => stream.exit(*at),
                    _ if only.is_none_or(|only| only == number) => {
                        stream.sample(CpuMode::User, *at, *page + 0x10, &[0x1020, 0x2020, 0x3020])
                    }
                    _ => stream,
                };
            }
            stream.bytes()
        };
        let all = resolved(&stream(None));
        let alone: String = (0..records.len()).map(|number| resolved(&stream(Some(number)))).collect();
        assert_eq!(all, alone);
    }
}
