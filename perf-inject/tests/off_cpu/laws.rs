//! The laws, over made-up schedules of a few threads on a few CPUs, of which it is known who was off CPU, and how long.

use std::collections::HashMap;

use perf_format::strategies::{config, endian, lengths};
use perf_format::testing::sched::SchedEvent::{CpuClock, ProcessExit, StatSleep, Switch, Waking};
use perf_format::testing::sched::SchedStream;
use perf_format::testing::{Pieces, records, swapped};
use perf_format::{Endian, PipeStream};
use perf_inject::{DsoSelection, OffCpuOptions, Plan, Run};
use perf_session::Repipe;
use proptest::prelude::*;

use crate::{
    MERGE, OFF_CPU, R, S, Shown, USER, at, blocked, injected, off_cpu, plan, runnable, sources, to_pipe,
};

const CPUS: usize = 3;

/// What the scheduler does next: on a CPU, to a thread; and whether a round ends behind it.
#[derive(Debug, Clone)]
struct Step {
    what: What,
    cpu: usize,
    tid: u32,
    ends_round: bool,
}

#[derive(Debug, Clone, Copy)]
enum What {
    /// The thread that runs goes to sleep, or is preempted, and the other one comes, if it can.
    Switch {
        state: u64,
    },
    /// The thread that runs wakes the other one.
    Wake,
    /// A statistic says how long the other one slept.
    Stat,
    Clock,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let what = prop_oneof![
        6 => prop_oneof![Just(S), Just(R), Just(0x100), Just(2)].prop_map(|state| What::Switch { state }),
        3 => Just(What::Wake),
        1 => Just(What::Stat),
        1 => Just(What::Clock),
    ];
    let step = (what, 0..CPUS, 0_u32..6, prop::bool::weighted(0.2));
    let step = step.prop_map(|(what, cpu, tid, ends_round)| Step { what, cpu, tid, ends_round });
    prop::collection::vec(step, 0..60)
}

/// A thread that is off CPU: since when, and whether and when it was woken.
#[derive(Debug)]
struct Off {
    since: u64,
    is_asleep: bool,
    woken: Option<u64>,
}

/// A stream, and the samples that `--off-cpu` adds to it.
#[derive(Debug)]
struct Scheduled {
    stream: Vec<u8>,
    off_cpu: Vec<Shown>,
}

type AddRecord = Box<dyn Fn(SchedStream) -> SchedStream>;

/// Lets the scheduler do its steps. In each round the records of one CPU stand behind those of the other, as perf record
/// writes them.
fn scheduled(steps: &[Step], endian: Endian) -> Scheduled {
    let mut stream = SchedStream::new(endian, &[Switch, Waking, ProcessExit, StatSleep, CpuClock]);
    let (mut running, mut off, mut seen) = ([0_u32; CPUS], HashMap::<u32, Off>::new(), Vec::new());
    let mut round: [Vec<AddRecord>; CPUS] = Default::default();
    for (number, Step { what, cpu, tid, ends_round }) in (0..).zip(steps) {
        let (time, by) = (1000 + 10 * number, running[*cpu]);
        let (cpu, tid, by_at) = (*cpu, *tid, at(by, time));
        let on = u32::try_from(cpu).expect("few");
        match *what {
            What::Switch { state } => {
                let next = if running.contains(&tid) { 0 } else { tid };
                let can_run = off.get(&next).is_none_or(|off| !off.is_asleep || off.woken.is_some());
                let next = if can_run { next } else { 0 };
                if next == by {
                    continue;
                }
                let place = chain(by, time);
                round[cpu].push(Box::new(move |stream| stream.switch(on, by_at, state, next, &place)));
                running[cpu] = next;
                if let Some(Off { since, is_asleep, woken }) = off.remove(&next) {
                    let woken = if is_asleep { woken.unwrap_or(time) } else { since };
                    let place = chain(next, since);
                    seen.extend((woken > since).then(|| blocked(next, time, woken - since, &place)));
                    seen.extend((time > woken).then(|| runnable(next, time, time - woken, &place)));
                }
                if by != 0 {
                    let is_asleep = state & 0xff != 0;
                    off.insert(by, Off { since: time, is_asleep, woken: None });
                }
            }
            What::Wake => {
                round[cpu].push(Box::new(move |stream| stream.waking(on, by_at, tid)));
                if let Some(off) = off.get_mut(&tid) {
                    off.woken.get_or_insert(time);
                }
            }
            What::Stat => round[cpu].push(Box::new(move |stream| stream.stat_sleep(on, by_at, tid, 5))),
            What::Clock => round[cpu].push(Box::new(move |stream| stream.clock(on, by_at, &[USER, 0x1]))),
        }
        if *ends_round {
            for record in round.iter_mut().flat_map(std::mem::take) {
                stream = record(stream);
            }
            stream = stream.finished_round();
        }
    }
    for record in round.into_iter().flatten() {
        stream = record(stream);
    }
    Scheduled { stream: stream.bytes(), off_cpu: seen }
}

/// Where a thread was at a time.
fn chain(tid: u32, time: u64) -> Vec<u64> {
    vec![USER, u64::from(tid) << 12, time]
}

proptest! {
    #![proptest_config(config(64, "off_cpu"))]

    #[test]
    fn each_time_off_cpu_is_as_long_as_it_was_and_where_it_was(steps in steps(), endian in endian()) {
        let Scheduled { stream, off_cpu: expected } = scheduled(&steps, endian);
        let (out, summary) = injected(OFF_CPU, &stream);
        let found = off_cpu(&out);
        let total = |name: &str| -> u64 {
            found.iter().filter(|(event, ..)| event.ends_with(name)).map(|(_, _, _, period, _)| period).sum()
        };
        prop_assert_eq!((summary.blocked, summary.runnable), (total("blocked"), total("runnable")));
        prop_assert_eq!((summary.lost, summary.unseen, summary.backwards, summary.unshown), (0, 0, 0, 0));
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn any_split_gives_the_same_and_the_twin_is_the_swapped_output(steps in steps(), lengths in lengths()) {
        let stream = scheduled(&steps, Endian::Little).stream;
        let open = plan(OffCpuOptions { min_sleep: 15, open_sleeps: true });
        let with_ids = Plan { build_ids: Some(DsoSelection::Hit), ..OFF_CPU };
        for plan in [OFF_CPU, open, with_ids, MERGE] {
            let (whole, _, error) = to_pipe(plan, &stream);
            prop_assert_eq!(error, None);
            let mut out = Vec::new();
            let mut records = PipeStream::open(Pieces::new(&stream, &lengths)).expect("a stream").records();
            Run::new(plan, sources()).pipe_to_pipe(&mut records, Repipe::To(&mut out)).expect("passes");
            prop_assert!(out == whole, "the same in pieces");
            prop_assert!(to_pipe(plan, &swapped(&stream)).0 == swapped(&whole), "the same of the twin");
        }
    }

    #[test]
    fn all_that_came_in_goes_out_in_its_order(steps in steps(), endian in endian()) {
        let stream = scheduled(&steps, endian).stream;
        let (out, _) = injected(OFF_CPU, &stream);
        let mut rest = records(&stream).into_iter().peekable();
        records(&out).into_iter().for_each(|record| drop(rest.next_if_eq(&record)));
        prop_assert_eq!(rest.next(), None);
    }
}
