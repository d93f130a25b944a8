//! What is odd: numbers of threads that are used again or twice at once, times that go backwards, records that were lost,
//! and recordings that do not serve.

use perf_format::attr::SampleType;
use perf_format::record::{Lost, Misc};
use perf_format::testing::StreamBuilder;
use perf_format::testing::sched::SchedEvent::{CpuClock, StatSleep, Switch};
use perf_format::testing::sched::SchedStream;
use perf_format::{Endian, Record};

use crate::{
    ALL, MERGE, OFF_CPU, R, S, USER, across_cpus, at, blocked, injected, off_cpu, runnable, to_pipe,
};

#[test]
fn a_number_that_is_used_again_is_another_thread() {
    let stream = SchedStream::new(Endian::Little, ALL)
        .switch(0, at(7, 100), S, 8, &[USER, 0x70])
        .with(|stream| stream.exit(at(7, 120)))
        .switch(0, at(8, 160), S, 7, &[USER, 0x80])
        .bytes();
    let (out, summary) = injected(OFF_CPU, &stream);
    assert_eq!(off_cpu(&out), []);
    assert_eq!((summary.first_seen, summary.unseen), (1, 1));
}

#[test]
fn a_sleep_in_which_records_were_lost_is_counted_and_not_guessed() {
    let lost = |stream: StreamBuilder| {
        stream.traced(Misc::default(), &Record::Lost(Lost { id: 11, lost: 3 }), at(9, 150))
    };
    let stream = SchedStream::new(Endian::Little, ALL)
        .switch(0, at(7, 100), S, 8, &[USER, 0x70])
        .with(lost)
        .switch(0, at(8, 200), S, 7, &[USER, 0x80])
        .switch(0, at(7, 230), S, 8, &[USER, 0x71])
        .switch(0, at(8, 250), S, 7, &[USER, 0x81])
        .bytes();
    let (out, summary) = injected(OFF_CPU, &stream);
    let known = [blocked(8, 230, 30, &[USER, 0x80]), blocked(7, 250, 20, &[USER, 0x71])];
    assert_eq!(off_cpu(&out), known);
    assert_eq!(summary.lost, 1);
}

#[test]
fn what_cannot_be_paired_is_counted() {
    let stream = SchedStream::new(Endian::Little, ALL)
        .switch(0, at(7, 100), S, 8, &[])
        // Nothing said that it came back.
        .switch(1, at(7, 120), S, 9, &[])
        // No thread has this number.
        .switch(1, at(1 << 30, 130), S, 1 << 30, &[])
        .bytes();
    let (out, summary) = injected(OFF_CPU, &stream);
    assert_eq!(off_cpu(&out), []);
    assert_eq!((summary.unseen, summary.first_seen, summary.open), (1, 2, 1));
}

#[test]
fn a_recording_that_says_nothing_of_switches_or_cannot_have_more_events_is_refused() {
    let error = |plan, stream: &[u8]| to_pipe(plan, stream).2.unwrap_or_default();
    let clock = SchedStream::new(Endian::Little, &[CpuClock]).clock(0, at(7, 1), &[]).bytes();
    assert!(
        error(OFF_CPU, &clock).starts_with("the recording does not say when threads leave a CPU: record it")
    );
    let mut alone = Switch.attr();
    alone.fields.sample_type = alone.fields.sample_type.difference(SampleType::IDENTIFIER);
    let alone = StreamBuilder::new(Endian::Little).attr(&alone, &[1]).finished_round().bytes();
    assert!(error(OFF_CPU, &alone).contains("only event has no ids"));
    let once = across_cpus(Endian::Little).bytes();
    assert!(error(OFF_CPU, &to_pipe(OFF_CPU, &once).0).contains("off-CPU samples already"));
    assert!(error(MERGE, &once).starts_with("the recording has no event sched:sched_stat_*"));
    let stats = SchedStream::new(Endian::Little, &[StatSleep]).stat_sleep(0, at(1, 1), 1, 1).bytes();
    assert!(error(MERGE, &stats).starts_with("the recording has no event sched:sched_switch"));
    let without_format = StreamBuilder::new(Endian::Little).attr(&Switch.attr(), &[Switch.id()]);
    let named = perf_format::record::EventUpdate {
        id: Switch.id(),
        update: perf_format::record::Update::Name("sched:sched_switch".into()),
    };
    let without_format = without_format.record(Misc::default(), &Record::EventUpdate(named)).bytes();
    assert!(error(OFF_CPU, &without_format).contains("does not say which fields sched:sched_switch has"));
}

#[test]
fn a_switch_that_is_older_than_what_is_known_of_its_thread_is_counted_and_changes_nothing() {
    // More than two rounds late.
    let stream = SchedStream::new(Endian::Little, ALL)
        .switch(0, at(7, 100), S, 8, &[USER, 0x70])
        .finished_round()
        .clock(0, at(8, 110), &[])
        .finished_round()
        .clock(0, at(8, 120), &[])
        .finished_round()
        .switch(1, at(7, 90), S, 9, &[USER, 0x71])
        .switch(0, at(9, 95), S, 7, &[USER, 0x90])
        .switch(0, at(8, 150), R, 7, &[USER, 0x80])
        .bytes();
    let (out, summary) = injected(OFF_CPU, &stream);
    assert_eq!(off_cpu(&out), [blocked(7, 150, 50, &[USER, 0x70])]);
    assert_eq!(summary.backwards, 2);
}

#[test]
fn a_thread_that_runs_on_two_cpus_at_once_has_no_sleep_that_is_longer_than_the_time_between_its_switches() {
    let stream = SchedStream::new(Endian::Little, ALL)
        .switch(0, at(8, 100), S, 7, &[])
        .switch(1, at(9, 110), S, 7, &[])
        .switch(0, at(7, 120), S, 8, &[USER, 0x70])
        .switch(1, at(7, 130), S, 9, &[USER, 0x71])
        .switch(0, at(8, 150), S, 7, &[USER, 0x80])
        .bytes();
    let (out, summary) = injected(OFF_CPU, &stream);
    let expected = [blocked(8, 120, 20, &[]), blocked(9, 130, 20, &[]), blocked(7, 150, 20, &[USER, 0x71])];
    assert_eq!(off_cpu(&out), expected);
    assert_eq!(summary.unseen, 1);
}

#[test]
fn a_wakeup_of_a_thread_that_runs_or_was_preempted_or_is_unknown_says_nothing() {
    let stream = SchedStream::new(Endian::Little, ALL)
        .waking(0, at(8, 90), 7)
        .switch(0, at(7, 100), R, 8, &[USER, 0x70])
        .waking(0, at(8, 110), 7)
        .waking(0, at(8, 120), 1 << 31)
        .switch(0, at(8, 150), S, 7, &[USER, 0x80])
        .waking(0, at(7, 160), 7)
        .bytes();
    let (out, _) = injected(OFF_CPU, &stream);
    assert_eq!(off_cpu(&out), [runnable(7, 150, 50, &[USER, 0x70])]);
}

#[test]
fn a_thread_that_sleeps_behind_its_end_sleeps_all_the_same_until_it_is_dead() {
    let stream = SchedStream::new(Endian::Little, ALL)
        .process_exit(0, at(7, 90))
        .finished_round()
        // It closes its files.
        .switch(0, at(7, 100), S, 8, &[USER, 0x70])
        .finished_round()
        .clock(0, at(8, 120), &[])
        .finished_round()
        .finished_round()
        .switch(0, at(8, 150), S, 7, &[USER, 0x80])
        .switch(0, at(7, 160), 0x20, 9, &[USER, 0x71])
        // Another thread of this number.
        .switch(0, at(9, 170), S, 7, &[USER, 0x90])
        .bytes();
    let (out, summary) = injected(OFF_CPU, &stream);
    assert_eq!(off_cpu(&out), [blocked(7, 150, 50, &[USER, 0x70])]);
    assert_eq!(summary.first_seen, 3);
}

#[test]
fn formats_without_the_fields_and_samples_without_them_are_refused_with_their_names() {
    let error = |plan, stream: &[u8]| to_pipe(plan, stream).2.unwrap_or_default();
    for field in ["prev_pid", "prev_state", "next_pid"] {
        let stream = across_cpus(Endian::Little).bytes();
        let other: String = field.chars().map(|letter| if letter == '_' { '-' } else { letter }).collect();
        let stream = replaced(&stream, field.as_bytes(), other.as_bytes());
        assert_eq!(error(OFF_CPU, &stream), format!("samples of sched:sched_switch have no {field}"));
    }
    for (missing, what) in
        [(SampleType::TID, "thread"), (SampleType::TIME, "time"), (SampleType::RAW, "fields")]
    {
        let mut attr = Switch.attr();
        attr.fields.sample_type = attr.fields.sample_type.difference(missing);
        let formats = perf_format::testing::sched::tracing_data(&[Switch, StatSleep], Endian::Little);
        let stream = StreamBuilder::new(Endian::Little).attr(&attr, &[Switch.id()]).tracing_data(&formats);
        let stream = stream.finished_round().bytes();
        for plan in [OFF_CPU, MERGE] {
            let error = error(plan, &stream);
            // Where attrs alone are known yet, the event has no name.
            assert!(error.ends_with(&format!(" have no {what}")), "{error}");
        }
    }
}

#[test]
fn samples_that_are_too_short_for_their_fields_pass_and_bring_nothing() {
    let whole = across_cpus(Endian::Little).bytes();
    let fields = Switch.format().expect("a tracepoint");
    // The format says that its fields stand behind the data.
    let far = fields.replace("offset:24;", "offset:99;").replace("offset:56;", "offset:98;");
    let stream = replaced(&whole, fields.as_bytes(), far.as_bytes());
    let (out, summary) = injected(OFF_CPU, &stream);
    assert_eq!(off_cpu(&out), []);
    assert_eq!(summary, perf_inject::OffCpuSummary::default());
}

/// A stream with other bytes, as many, in the place of those.
fn replaced(stream: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = stream.windows(from.len()).position(|window| window == from).expect("it is there");
    [&stream[..at], to, &stream[at + from.len()..]].concat()
}
