//! Where threads are off CPU, in a recording with stacks: the samples that come have chains, as others.

use perf_format::testing::sched::SchedEvent::{CpuClock, StatSleep, Switch, Waking};
use perf_format::testing::sched::SchedStream;
use perf_format::testing::{At, StreamBuilder, UserStack};
use perf_format::{Endian, RecordType};
use perf_inject::{OffCpuOptions, Plan};

use crate::made::{KERNEL, USER, chains, convert, others, plan, run, samples, with_ids};

const OFF_CPU: Option<OffCpuOptions> = Some(OffCpuOptions { min_sleep: 0, open_sleeps: false });

/// Thread 7 sleeps from 100 to 200, in a function of `/bin/code` that another one called.
fn slept(endian: Endian) -> SchedStream {
    let mapped = |stream: StreamBuilder| stream.mmap2(At::new(7, 50), 0x10_0000, 0x10_0000, "/bin/code");
    SchedStream::with_stacks(endian, &[Switch, Waking, StatSleep, CpuClock])
        .with(mapped)
        .stack(UserStack::of_words(endian, 0x10_2000, &[0x10_3001, 0]))
        .switch(0, At::new(7, 100), 1, 8, &[KERNEL, 0xffff_ffff_8000_0000])
        .stack(UserStack::none(endian))
        .waking(0, At::new(8, 150), 7)
        .stat_sleep(0, At::new(8, 160), 7, 60)
        .switch(0, At::new(8, 200), 1, 7, &[KERNEL, 0xffff_ffff_8000_0010])
        .finished_round()
}

const PLACE: [u64; 5] = [KERNEL, 0xffff_ffff_8000_0000, USER, 0x10_2000, 0x10_3000];

#[test]
fn converting_and_following_threads_at_once_is_one_after_the_other() {
    for endian in [Endian::Little, Endian::Big] {
        let stream = slept(endian).finished_round().bytes();
        let converted = convert(&stream);
        for and in [Plan { off_cpu: OFF_CPU, ..Plan::NOTHING }, Plan { sched_stat: true, ..Plan::NOTHING }] {
            let after = run(and, &converted[..]);
            assert_eq!(after.error, None);
            for with in [plan(), with_ids()] {
                let at_once =
                    run(Plan { off_cpu: and.off_cpu, sched_stat: and.sched_stat, ..with }, &stream[..]);
                assert_eq!(at_once.error, None);
                assert_eq!(samples(&at_once.out), samples(&after.out));
                let is_id = |kind| kind == RecordType::BUILD_ID;
                let ids = others(&at_once.out).into_iter().filter(|record| is_id(record.record_type)).count();
                assert_eq!(ids, usize::from(with.build_ids.is_some()), "what the sleep hits has an id");
            }
        }
    }
}

#[test]
fn samples_of_times_off_cpu_have_the_chain_of_the_stack() {
    let stream = slept(Endian::Little).bytes();
    let off_cpu = run(Plan { off_cpu: OFF_CPU, ..plan() }, &stream[..]);
    let found = chains(&off_cpu.out);
    assert_eq!(found[4..], [PLACE, PLACE], "asleep, and waiting for a CPU");
    let merged = run(Plan { sched_stat: true, ..plan() }, &stream[..]);
    assert_eq!(chains(&merged.out).last().map(Vec::as_slice), Some(&PLACE[..]));
}

#[test]
fn without_converting_they_have_the_stack_itself() {
    let stream = slept(Endian::Little).bytes();
    let ran = run(Plan { off_cpu: OFF_CPU, ..Plan::NOTHING }, &stream[..]);
    assert_eq!(ran.error, None);
    let found = chains(&convert(&ran.out));
    assert_eq!(found[4..], [PLACE, PLACE]);
}
