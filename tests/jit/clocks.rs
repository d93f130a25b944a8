//! The recording's clock and the dump's.

use perf_format::attr::SampleType;
use perf_format::jitdump::HeaderWords;
use perf_format::record::{CpuMode, Misc, Record, TimeConv, TimeConvWrap};
use perf_format::testing::{At, JitDumpBuilder, StreamBuilder, attr, callchain_attr, jit_header, records};
use perf_format::{Endian, RecordType};

use crate::made::{ARENA, Form, Lab, PID, code, dump_of, each, hit, monotonic, with_arena};

/// A recording whose clock nobody chose, an hour ahead of the dump's.
const AHEAD: u64 = 3_600_000_000_000;

fn of_another_clock(lab: &Lab, stream: StreamBuilder) -> Vec<u8> {
    let stream = stream.mmap2(At::new(PID, AHEAD + 10), ARENA, 0x1000, "//anon");
    let stream = stream.mmap2(At::new(PID, AHEAD + 20), 0x7e00_0000_0000, 0x1000, &lab.marker(PID));
    let stream = hit(stream, PID, AHEAD + 150, ARENA, &[]);
    hit(stream, PID, AHEAD + 250, ARENA, &[]).finished_round().bytes()
}

/// Begun at 20 ns, as the recording's mapping is: a function at 100, another in its place at 200.
fn dump(endian: Endian, flags: u64) -> JitDumpBuilder {
    let header = HeaderWords { timestamp: 20, flags, ..jit_header() };
    JitDumpBuilder::with_header(endian, &header)
        .load(At::new(PID, 100), ARENA, 1, b"first", &code("first"))
        .load(At::new(PID, 200), ARENA, 2, b"second", &code("second"))
}

#[test]
fn a_recording_of_another_clock_has_no_names_and_is_told_what_to_do() {
    each(|form, endian| {
        let mut realtime = monotonic(callchain_attr());
        realtime.fields.clockid = 0;
        for attr in [callchain_attr(), realtime] {
            let lab = Lab::new();
            lab.write_dump(PID, dump(endian, 0));
            let stream = of_another_clock(&lab, StreamBuilder::new(endian).attr(&attr, &[1]));
            let done = lab.run(form, &["--jit"], &stream).warned("record with -k 1");
            assert!(done.told.contains("--jit-clock=auto"), "{}", done.told);
            assert_eq!(done.at(AHEAD + 150), ["//anon"]);
            assert!(form != Form::Pipe || done.stream == stream);
            let strict = lab.run(form, &["--jit", "--strict"], &stream);
            assert_eq!(strict.code, Some(1), "{form:?} {endian:?}");
        }
    });
}

#[test]
fn one_event_of_another_clock_is_enough() {
    each(|form, endian| {
        let lab = Lab::new();
        lab.write_dump(PID, dump(endian, 0));
        let fields = SampleType::IDENTIFIER | callchain_attr().fields.sample_type;
        let stream =
            StreamBuilder::new(endian).attr(&attr(fields), &[1]).attr(&monotonic(attr(fields)), &[1]);
        let stream = with_arena(stream, PID);
        let stream = hit(lab.marked(stream, PID), PID, 150, ARENA, &[]).finished_round().bytes();
        lab.run(form, &["--jit"], &stream).warned("record with -k 1");
    });
}

#[test]
fn by_how_much_the_clocks_differ_can_be_estimated() {
    each(|form, endian| {
        let lab = Lab::new();
        lab.write_dump(PID, dump(endian, 0));
        let stream = of_another_clock(&lab, StreamBuilder::with_callchains(endian));
        let done = lab.run(form, &["--jit", "--jit-clock=auto"], &stream).well((form, endian));
        assert_eq!(done.at(AHEAD + 150), ["first+0x0"], "{form:?} {endian:?}");
        assert_eq!(done.at(AHEAD + 250), ["second+0x0"], "{form:?} {endian:?}");
    });
}

#[test]
fn where_the_clock_is_the_same_nothing_is_estimated() {
    each(|form, endian| {
        let lab = Lab::new();
        lab.write_dump(PID, dump_of(endian, 100, &["a"]));
        let stream = hit(lab.recording(endian), PID, 90, ARENA, &[]);
        let stream = hit(stream, PID, 200, ARENA, &[]).finished_round().bytes();
        let done = lab.run(form, &["--jit", "--jit-clock=auto"], &stream).well((form, endian));
        assert_eq!((done.at(90), done.at(200)), (vec!["//anon".into()], vec!["a+0x0".into()]));
    });
}

/// With a counter of 10 cycles a ns that shows 1000 at 0 ns.
fn converted(lab: &Lab, endian: Endian, conversion: &TimeConv) -> Vec<u8> {
    let stream = StreamBuilder::with_callchains(endian);
    let stream = stream.record(Misc::default(), &Record::TimeConv(conversion.clone()));
    of_another_clock(lab, stream)
}

#[test]
fn times_of_the_processor_become_the_recordings() {
    each(|form, endian| {
        let plain = TimeConv { time_shift: 1, time_mult: 1, time_zero: AHEAD, wrap: None };
        let wrap = TimeConvWrap {
            time_cycles: 0,
            time_mask: u64::MAX,
            cap_user_time_zero: 1,
            cap_user_time_short: 0,
            unused: [0; 6],
        };
        let long = TimeConv { wrap: Some(wrap), ..plain.clone() };
        // The counter has 16 bits and went round: 2^16 cycles are 2^15 ns.
        let short = TimeConv {
            time_zero: AHEAD - 0x8000,
            wrap: Some(TimeConvWrap {
                time_cycles: 0x1_0000,
                time_mask: 0xffff,
                cap_user_time_short: 1,
                ..wrap
            }),
            ..plain.clone()
        };
        for conversion in [plain, long, short] {
            let lab = Lab::new();
            let header = HeaderWords { timestamp: 40, flags: 1, ..jit_header() };
            let dump = JitDumpBuilder::with_header(endian, &header)
                .load(At::new(PID, 200), ARENA, 1, b"first", &code("first"))
                .load(At::new(PID, 400), ARENA, 2, b"second", &code("second"));
            lab.write_dump(PID, dump);
            let stream = converted(&lab, endian, &conversion);
            let done = lab.run(form, &["--jit"], &stream).well((form, endian));
            assert_eq!(done.at(AHEAD + 150), ["first+0x0"], "{form:?} {endian:?} {conversion:?}");
            assert_eq!(done.at(AHEAD + 250), ["second+0x0"], "{form:?} {endian:?} {conversion:?}");
        }
    });
}

#[test]
fn times_of_the_processor_that_nothing_converts_are_a_warning() {
    each(|form, endian| {
        let lab = Lab::new();
        lab.write_dump(PID, dump(endian, 1));
        let stream = of_another_clock(&lab, StreamBuilder::with_callchains(endian));
        lab.run(form, &["--jit"], &stream).warned("TIME_CONV");
        let nothing = TimeConv { time_shift: 0, time_mult: 0, time_zero: 0, wrap: None };
        lab.run(form, &["--jit"], &converted(&lab, endian, &nothing)).warned("TIME_CONV");
    });
}

#[test]
fn a_function_is_told_at_the_time_at_which_it_was_made() {
    for endian in crate::made::ENDIANS {
        let lab = Lab::new();
        lab.write_dump(PID, dump_of(endian, 100, &["a"]));
        let stream = lab.recording(endian).mmap2(At::new(8, 50), 0x1000, 0x1000, "/nowhere");
        let stream = hit(stream, PID, 200, ARENA, &[]).finished_round().bytes();
        let done = lab.run(Form::Pipe, &["--jit"], &stream).well(endian);
        let mut maps = records(&done.stream).into_iter().filter(|of| of.record_type == RecordType::MMAP2);
        let told = maps.next_back().expect("a map").bytes;
        assert_eq!(endian.u64_at(&told, told.len() - 8), Some(100));
        let misc = endian.u32_at(&told, 4).expect("a header");
        let misc = if endian == Endian::Little { misc & 0xffff } else { misc >> 16 };
        assert_eq!(misc, u32::from(Misc::of(CpuMode::User).0));
    }
}
