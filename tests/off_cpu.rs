//! `--off-cpu` and `--sched-stat` as a user has them: options, errors and summaries.

mod common;

use common::{perftool, run, stderr};
use insta::assert_snapshot;
use perf_format::Endian;
use perf_format::testing::At;
use perf_format::testing::sched::{SchedEvent, SchedStream};

const USER: u64 = 512_u64.wrapping_neg();

/// Two threads, of which one sleeps for a second and is woken, and one is preempted.
fn stream() -> Vec<u8> {
    let (at, second) = (At::new, 1_000_000_000);
    SchedStream::new(Endian::Little, &[SchedEvent::Switch, SchedEvent::Waking, SchedEvent::CpuClock])
        .switch(0, at(7, second), 1, 8, &[USER, 0x70])
        .waking(0, at(8, 2 * second), 7)
        .switch(0, at(8, 2 * second + 5_000_000), 0, 7, &[USER, 0x80])
        .finished_round()
        .switch(0, at(7, 3 * second), 1, 8, &[USER, 0x71])
        .bytes()
}

#[test]
fn the_summary_says_how_long_threads_were_off_cpu_and_what_is_not_known() {
    for (name, args) in [
        ("table", &["--off-cpu", "--summary"][..]),
        ("json", &["--off-cpu", "--min-sleep=999ms", "--open-sleeps", "--summary=json"]),
    ] {
        let output = run(perftool(&[&["inject", "-q"], args].concat()), &stream());
        assert!(output.status.success(), "{}", stderr(&output));
        assert_snapshot!(name, stderr(&output));
    }
}

#[test]
fn a_recording_that_does_not_serve_is_refused_with_what_to_record() {
    let clock =
        SchedStream::new(Endian::Little, &[SchedEvent::CpuClock]).clock(0, At::new(7, 1), &[]).bytes();
    for (name, option) in [("no-switches", "--off-cpu"), ("no-statistics", "-s")] {
        let output = run(perftool(&["inject", option]), &clock);
        assert_eq!(output.status.code(), Some(1));
        assert_snapshot!(name, stderr(&output));
    }
}

#[test]
fn a_duration_has_a_unit() {
    for (duration, code) in
        [("10ms", 0), ("1.5s", 0), ("20us", 0), ("10", 129), ("-1s", 129), ("ms", 129), ("1h", 129)]
    {
        let option = format!("--min-sleep={duration}");
        let output = run(perftool(&["inject", "-q", "--off-cpu", &option]), &stream());
        assert_eq!(output.status.code(), Some(code), "{duration}: {}", stderr(&output));
    }
    for args in [&["--min-sleep=1s"][..], &["--open-sleeps"], &["--off-cpu", "-s"]] {
        let output = run(perftool(&[&["inject"], args].concat()), &stream());
        assert_eq!(output.status.code(), Some(129), "{args:?}");
    }
}

#[test]
fn the_summary_of_merged_statistics_says_how_many_had_a_switch() {
    let (at, stat) = (At::new, SchedEvent::StatSleep);
    let stream = SchedStream::new(Endian::Little, &[SchedEvent::Switch, stat])
        .switch(0, at(7, 100), 1, 8, &[USER, 0x70])
        .stat_sleep(0, at(8, 200), 7, 100)
        .stat_sleep(0, at(8, 210), 9, 5)
        .bytes();
    for (name, summary) in [("stat-table", "--summary"), ("stat-json", "--summary=json")] {
        let output = run(perftool(&["inject", "-q", "-s", summary]), &stream);
        assert!(output.status.success(), "{}", stderr(&output));
        assert_snapshot!(name, stderr(&output));
    }
}
