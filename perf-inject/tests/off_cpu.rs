//! `--off-cpu` and `--sched-stat`: which samples come, of what, and where they stand.

#[path = "off_cpu/beside.rs"]
mod beside;
mod dumped;
#[path = "off_cpu/laws.rs"]
mod laws;
#[path = "off_cpu/odd.rs"]
mod odd;

use std::io::Cursor;

use insta::{allow_duplicates, assert_snapshot};
use perf_format::attr::SampleType;
use perf_format::record::{CpuMode, HeaderFeature, Misc, RawRecord};
use perf_format::testing::sched::{SchedEvent, SchedStream, event_desc};
use perf_format::testing::{At, OwnedRecord, Pieces, StreamBuilder, attr, records, swapped};
use perf_format::{Endian, PerfFile, PipeStream, Preamble, Record, RecordType, Sample};
use perf_inject::{DsoSelection, OffCpuOptions, OffCpuSummary, Plan, Run, RunReport};
use perf_session::build_id::{Chain, NoFiles, Recorded};
use perf_session::testing::Named;
use perf_session::{Error, Repipe, Session};

use SchedEvent::{CpuClock, ProcessExit, StatSleep, Switch, Waking};
use dumped::dumped;

const ALL: &[SchedEvent] = &[Switch, Waking, ProcessExit, CpuClock];
const ORDERS: [Endian; 2] = [Endian::Little, Endian::Big];
const USER: u64 = 512_u64.wrapping_neg();
const OFF_CPU: Plan = plan(OffCpuOptions { min_sleep: 0, open_sleeps: false });
const MERGE: Plan = Plan { sched_stat: true, ..Plan::NOTHING };

/// Sleep, and runnable.
const S: u64 = 1;
const R: u64 = 0;

const fn plan(options: OffCpuOptions) -> Plan {
    Plan { off_cpu: Some(options), ..Plan::NOTHING }
}

fn sources() -> Chain {
    Chain(vec![Box::new(Recorded), Box::new(NoFiles), Box::new(Named)])
}

fn to_pipe(plan: Plan, stream: &[u8]) -> (Vec<u8>, RunReport, Option<String>) {
    let mut run = Run::new(plan, sources());
    let mut out = Vec::new();
    let ended = run.any_to_pipe(Cursor::new(stream), &mut out);
    (out, run.into_report(), ended.err().map(|error| error.to_string()))
}

fn to_file(plan: Plan, source: &[u8]) -> Vec<u8> {
    let mut run = Run::new(plan, sources());
    let mut out = Cursor::new(Vec::new());
    run.any_to_file(Cursor::new(source.to_vec()), &mut out).expect("written");
    out.into_inner()
}

fn injected(plan: Plan, stream: &[u8]) -> (Vec<u8>, OffCpuSummary) {
    let (out, report, error) = to_pipe(plan, stream);
    assert_eq!(error, None);
    (out, report.off_cpu.expect("a summary"))
}

/// An off-CPU sample: its event's name, thread, time, period, and chain.
type Shown = (String, u32, u64, u64, Vec<u64>);

/// The off-CPU samples of a stream, by a session that knows it from the stream alone.
fn off_cpu(stream: &[u8]) -> Vec<Shown> {
    let mut session = Session::new();
    let mut shown = Vec::new();
    for OwnedRecord { bytes, record_type, .. } in records(stream) {
        let endian = PipeStream::open(stream).expect("a stream").records().endian();
        let raw = RawRecord::first(&bytes, 0, endian).expect("whole");
        if !record_type.is_kernel() {
            session.update(&raw).expect("well-formed");
        }
        if record_type != RecordType::SAMPLE {
            continue;
        }
        let evsel = session.evlist.event_of(&raw).expect("an event");
        let sample = Sample::parse(&evsel.format, &raw).expect("as its event says");
        assert_eq!(sample.rest, b"", "nothing stands behind the fields");
        if evsel.name.starts_with(b"off-cpu:") {
            let (tid, chain) = (sample.tid.expect("a thread").tid, sample.callchain.expect("a chain"));
            let (time, period) = (sample.time.expect("a time"), sample.period.expect("a period"));
            shown.push((evsel.name.to_string(), tid, time, period, chain.iter().collect()));
        }
    }
    shown
}

fn blocked(tid: u32, time: u64, period: u64, chain: &[u64]) -> Shown {
    ("off-cpu:blocked".to_owned(), tid, time, period, chain.to_vec())
}

fn runnable(tid: u32, time: u64, period: u64, chain: &[u64]) -> Shown {
    ("off-cpu:runnable".to_owned(), tid, time, period, chain.to_vec())
}

fn at(tid: u32, time: u64) -> At {
    At::new(tid, time)
}

/// Thread 7 sleeps on CPU 0 at 100, is woken from CPU 1 at 160 and comes back there at 200. CPU 1's records come first.
fn across_cpus(endian: Endian) -> SchedStream {
    SchedStream::new(endian, ALL)
        .waking(1, at(8, 160), 7)
        .switch(1, at(8, 200), R, 7, &[USER, 0x80])
        .switch(0, at(7, 100), S, 0, &[USER, 0x70, 0x71])
        .clock(0, at(7, 90), &[USER, 0x70])
        .finished_round()
}

#[test]
fn a_sleep_is_a_sample_at_the_place_of_its_switch_and_what_follows_its_wakeup_is_another() {
    for endian in ORDERS {
        let stream = across_cpus(endian).finished_round().bytes();
        let (out, summary) = injected(OFF_CPU, &stream);
        let chain = [USER, 0x70, 0x71];
        assert_eq!(off_cpu(&out), [blocked(7, 200, 60, &chain), runnable(7, 200, 40, &chain)]);
        assert_eq!((summary.threads, summary.sleeps, summary.preempted), (1, 1, 0));
        assert_eq!((summary.blocked, summary.runnable, summary.open), (60, 40, 1));
    }
}

#[test]
fn a_sample_stands_in_front_of_the_end_of_the_round_behind_its_own() {
    let stream = across_cpus(Endian::Little).clock(0, at(7, 300), &[]).finished_round();
    let stream = stream.clock(0, at(7, 400), &[]).finished_round().bytes();
    let (out, _) = injected(OFF_CPU, &stream);
    assert_snapshot!(dumped(&out, &[RecordType::SAMPLE, RecordType::FINISHED_ROUND], &["event", "time"]), @r#"
    SAMPLE misc=USER event="sched:sched_waking" time=160
    SAMPLE misc=USER event="sched:sched_switch" time=200
    SAMPLE misc=USER event="sched:sched_switch" time=100
    SAMPLE misc=USER event="cpu-clock" time=90
    FINISHED_ROUND
    SAMPLE misc=USER event="cpu-clock" time=300
    SAMPLE misc=USER event="off-cpu:blocked" time=200
    SAMPLE misc=USER event="off-cpu:runnable" time=200
    FINISHED_ROUND
    SAMPLE misc=USER event="cpu-clock" time=400
    FINISHED_ROUND
    "#);
}

#[test]
fn all_that_came_in_goes_out_and_only_the_events_and_their_samples_are_new() {
    let stream = across_cpus(Endian::Little).bytes();
    let (out, _) = injected(OFF_CPU, &stream);
    let mut rest = records(&stream).into_iter().peekable();
    let added: Vec<_> =
        records(&out).into_iter().filter(|record| rest.next_if_eq(record).is_none()).collect();
    assert_eq!(rest.next(), None);
    let added: Vec<_> = added.iter().map(|record| record.record_type).collect();
    let (attr, name, sample) = (RecordType::HEADER_ATTR, RecordType::EVENT_UPDATE, RecordType::SAMPLE);
    assert_eq!(added, [attr, attr, name, name, sample, sample]);
}

#[test]
fn a_preempted_thread_is_runnable_alone_and_an_idle_cpu_is_no_thread() {
    let stream = SchedStream::new(Endian::Little, ALL)
        .switch(0, at(7, 100), R, 0, &[USER, 0x70])
        .switch(0, at(0, 150), R, 7, &[USER, 0x71])
        // Preempted in the kernel: R+.
        .switch(0, at(7, 200), 0x100, 8, &[USER, 0x72])
        .switch(0, at(8, 240), S, 7, &[USER, 0x80])
        .bytes();
    let (out, summary) = injected(OFF_CPU, &stream);
    assert_eq!(off_cpu(&out), [runnable(7, 150, 50, &[USER, 0x70]), runnable(7, 240, 40, &[USER, 0x72])]);
    assert_eq!((summary.sleeps, summary.preempted, summary.first_seen), (0, 2, 1));
}

#[test]
fn without_wakeups_all_of_a_sleep_is_blocked() {
    let stream = SchedStream::new(Endian::Little, &[Switch])
        .switch(0, at(7, 100), 2, 8, &[USER, 0x70])
        .switch(1, at(9, 150), S, 7, &[USER, 0x90])
        .bytes();
    let (out, _) = injected(OFF_CPU, &stream);
    assert_eq!(off_cpu(&out), [blocked(7, 150, 50, &[USER, 0x70])]);
}

#[test]
fn short_sleeps_are_left_out_and_counted() {
    let stream = SchedStream::new(Endian::Little, &[Switch])
        .switch(0, at(7, 100), S, 8, &[])
        .switch(0, at(8, 109), S, 7, &[])
        .switch(0, at(7, 200), S, 8, &[])
        .bytes();
    let (out, summary) = injected(plan(OffCpuOptions { min_sleep: 10, open_sleeps: false }), &stream);
    assert_eq!(off_cpu(&out), [blocked(8, 200, 91, &[])]);
    assert_eq!((summary.short, summary.short_time, summary.sleeps), (1, 9, 1));
}

#[test]
fn a_thread_that_stays_away_counts_only_if_asked_for_and_not_where_it_ended() {
    let stream = SchedStream::new(Endian::Little, ALL)
        .switch(0, at(7, 100), S, 8, &[USER, 0x70])
        .process_exit(0, at(8, 130))
        // Its last switch, dead.
        .switch(0, at(8, 140), 0x10, 9, &[USER, 0x80])
        .clock(0, at(9, 180), &[])
        .bytes();
    assert_eq!(off_cpu(&injected(OFF_CPU, &stream).0), []);
    let (out, summary) = injected(plan(OffCpuOptions { min_sleep: 0, open_sleeps: true }), &stream);
    assert_eq!(off_cpu(&out), [blocked(7, 180, 80, &[USER, 0x70])]);
    assert_eq!(summary.open, 1);
}

#[test]
fn switch_records_will_do_with_the_last_sample_for_the_place() {
    let places = SampleType::IP | SampleType::TID | SampleType::TIME | SampleType::CALLCHAIN;
    for id in [SampleType::ID, SampleType::IDENTIFIER] {
        let mut attr = attr(places | SampleType::PERIOD | id);
        attr.fields.kind = 1;
        attr.fields.flags |= perf_format::attr::AttrFlags::CONTEXT_SWITCH;
        let (out, preempted) = (Misc(Misc::SWITCH_OUT), Misc(Misc::SWITCH_OUT | Misc::SWITCH_OUT_PREEMPT));
        let switched = Record::Other(RecordType::SWITCH, &[]);
        let stream = StreamBuilder::new(Endian::Little)
            .attr(&attr, &[1])
            .sample(CpuMode::User, at(7, 90), 0x70, &[USER, 0x70])
            .traced(out, &switched, at(7, 100))
            .traced(Misc::default(), &switched, at(7, 150))
            .traced(preempted, &switched, at(7, 170))
            .traced(Misc::default(), &switched, at(7, 180))
            .bytes();
        let (out, summary) = injected(OFF_CPU, &stream);
        // Of the second stretch no place is known.
        assert_eq!(off_cpu(&out), [blocked(7, 150, 50, &[USER, 0x70]), runnable(7, 180, 10, &[])]);
        assert_eq!((summary.sleeps, summary.preempted), (1, 1));
    }
}

#[test]
fn the_ids_of_a_sleeps_chain_stand_in_front_of_its_sample() {
    let with_map = |stream: StreamBuilder| stream.mmap2(at(7, 50), 0x40_0000, 0x1000, "/lib/waits.so");
    let stream = |events| {
        SchedStream::new(Endian::Little, events)
            .with(with_map)
            .switch(0, at(7, 100), S, 8, &[USER, 0x40_0010])
            .finished_round()
    };
    let off_cpu = stream(ALL).switch(0, at(8, 150), S, 7, &[]).bytes();
    let merged = stream(&[Switch, StatSleep]).stat_sleep(0, at(8, 150), 7, 50).bytes();
    let with_ids = |plan, stream: &[u8]| {
        let (out, _, error) = to_pipe(Plan { build_ids: Some(DsoSelection::Hit), ..plan }, stream);
        assert_eq!(error, None);
        let types = [RecordType::BUILD_ID, RecordType::SAMPLE, RecordType::FINISHED_ROUND];
        dumped(&out, &types, &["filename", "event", "time"])
    };
    assert_snapshot!(with_ids(OFF_CPU, &off_cpu), @r#"
    BUILD_ID misc=USER|BUILD_ID_SIZE filename="/lib/waits.so"
    SAMPLE misc=USER event="sched:sched_switch" time=100
    FINISHED_ROUND
    SAMPLE misc=USER event="sched:sched_switch" time=150
    SAMPLE misc=USER event="off-cpu:blocked" time=150
    "#);
    assert_snapshot!(with_ids(MERGE, &merged), @r#"
    BUILD_ID misc=USER|BUILD_ID_SIZE filename="/lib/waits.so"
    FINISHED_ROUND
    SAMPLE misc=USER event="sched:sched_switch" time=150
    "#);
}

#[test]
fn a_stream_in_the_other_byte_order_is_treated_as_its_twin() {
    let stream = across_cpus(Endian::Little).finished_round().bytes();
    let (out, _) = injected(OFF_CPU, &stream);
    let (twin, _) = injected(OFF_CPU, &swapped(&stream));
    assert_eq!(twin, swapped(&out));
    let stats = slept(Endian::Little);
    assert_eq!(to_pipe(MERGE, &swapped(&stats)).0, swapped(&to_pipe(MERGE, &stats).0));
}

#[test]
fn any_split_into_reads_gives_the_same() {
    let stream = across_cpus(Endian::Little).finished_round().bytes();
    let (whole, _) = injected(OFF_CPU, &stream);
    for lengths in [vec![1], vec![7, 100], vec![40]] {
        let mut out = Vec::new();
        let mut records = PipeStream::open(Pieces::new(&stream, &lengths)).expect("a stream").records();
        Run::new(OFF_CPU, sources()).pipe_to_pipe(&mut records, Repipe::To(&mut out)).expect("passes");
        assert_eq!(out, whole);
    }
}

#[test]
fn files_have_the_events_in_their_header_and_all_pairings_give_the_same_samples() {
    for endian in ORDERS {
        let (_, desc) = event_desc(ALL, endian);
        let feature = Record::HeaderFeature(HeaderFeature { feat_id: 12, data: &desc });
        let plain = across_cpus(endian).bytes();
        // Behind the attrs, as perf record has it.
        let front: usize =
            16 + records(&plain).iter().take(ALL.len()).map(|record| record.bytes.len()).sum::<usize>();
        let mut stream = plain[..front].to_vec();
        // In the other byte order a file's features are found by the host name.
        stream.extend_from_slice(
            &StreamBuilder::new(endian).recorded_on("host", "6.1", "x86_64").bytes()[16..],
        );
        feature.encode(Misc::default(), &[], endian, &mut stream).expect("fits");
        stream.extend_from_slice(&plain[front..]);

        let (piped, _) = injected(OFF_CPU, &stream);
        let expected = off_cpu(&piped);
        assert_eq!(expected.len(), 2);
        let unchanged = to_file(Plan::NOTHING, &stream);
        let of_pipe = to_file(OFF_CPU, &stream);
        let of_file = to_file(OFF_CPU, &unchanged);
        let by_way_of_pipe = to_file(Plan::NOTHING, &piped);
        for file in [&of_pipe, &of_file, &by_way_of_pipe] {
            let preamble: Preamble = PerfFile::open(Cursor::new(file)).unwrap().preamble().unwrap();
            let names: Vec<_> = preamble.event_infos().unwrap().into_iter().map(|event| event.name).collect();
            assert_eq!(names[3..], ["cpu-clock", "off-cpu:blocked", "off-cpu:runnable"]);
            let (again, ..) = to_pipe(Plan::NOTHING, file);
            assert_eq!(off_cpu(&again), expected);
        }
        let (of_file, _) = injected(OFF_CPU, &unchanged);
        assert_eq!(off_cpu(&of_file), expected);
    }
}

/// Thread 7 sleeps twice, and thread 9 has no switch.
fn slept(endian: Endian) -> Vec<u8> {
    SchedStream::new(endian, &[Switch, ProcessExit, StatSleep, CpuClock])
        .switch(0, at(7, 100), S, 8, &[USER, 0x70])
        .stat_sleep(1, at(8, 160), 7, 55)
        .stat_sleep(1, at(8, 161), 9, 5)
        .clock(1, at(8, 170), &[USER, 0x80])
        .finished_round()
        .switch(0, at(7, 200), S, 8, &[USER, 0x71])
        .stat_sleep(1, at(8, 290), 7, 80)
        .process_exit(0, at(7, 300))
        .stat_sleep(1, at(8, 310), 7, 9)
        .finished_round()
        .bytes()
}

#[test]
fn a_stat_sample_brings_its_time_and_period_to_the_last_switch_of_its_thread() {
    for endian in ORDERS {
        let stream = slept(endian);
        let (out, report, error) = to_pipe(MERGE, &stream);
        assert_eq!(error, None);
        // The clock's sample passes in its place; the others are in order with the readers' view of time.
        let fields = ["event", "tid", "time", "period", "callchain"];
        allow_duplicates! {
            assert_snapshot!(dumped(&out, &[RecordType::SAMPLE], &fields), @r#"
            SAMPLE misc=USER event="cpu-clock" tid=8 time=170 period=250000 callchain=[USER, 0x80]
            SAMPLE misc=USER event="sched:sched_switch" tid=7 time=160 period=55 callchain=[USER, 0x70]
            SAMPLE misc=USER event="sched:sched_switch" tid=7 time=290 period=80 callchain=[USER, 0x71]
            "#);
        }
        let summary = report.sched_stat.expect("a summary");
        assert_eq!((summary.switches, summary.stats, summary.merged, summary.unswitched), (2, 4, 2, 2));
    }
}

#[test]
fn a_tool_that_ends_the_run_says_so_by_its_error() {
    let clock = SchedStream::new(Endian::Little, &[CpuClock]).bytes();
    let mut run = Run::new(OFF_CPU, sources());
    let ended = run.any_to_pipe(Cursor::new(&clock), &mut Vec::new());
    assert!(matches!(ended, Err(Error::Tool(_))));
}
