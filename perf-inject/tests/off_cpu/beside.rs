//! Beside tools that inject build-ids: both do all that each does alone.

use perf_format::RecordType;
use perf_format::testing::sched::SchedEvent::{StatSleep, Switch};
use perf_format::testing::sched::SchedStream;
use perf_format::testing::{OwnedRecord, StreamBuilder, records};
use perf_inject::{DsoSelection, IdsTo, Plan};

use crate::{ALL, MERGE, OFF_CPU, ORDERS, S, USER, at, off_cpu, to_pipe};

const MMAP2: Option<IdsTo> = Some(IdsTo { header: false, events: false, mmap2: true });

/// What else is injected: `-b`, `--buildid-all`, `-B`, `--mmap2-buildid-all`.
const OTHERS: [Plan; 4] = [
    Plan { build_ids: Some(DsoSelection::Hit), ..Plan::NOTHING },
    Plan { build_ids: Some(DsoSelection::Mapped), ..Plan::NOTHING },
    Plan { build_ids: Some(DsoSelection::Hit), drop_unused_maps: true, ids_to: MMAP2, ..Plan::NOTHING },
    Plan { build_ids: Some(DsoSelection::Mapped), ids_to: MMAP2, ..Plan::NOTHING },
];

fn libraries(stream: StreamBuilder) -> StreamBuilder {
    stream.mmap2(at(7, 50), 0x40_0000, 0x1000, "/lib/waits.so").mmap2(
        at(7, 50),
        0x50_0000,
        0x1000,
        "/lib/no.so",
    )
}

fn samples(stream: &[u8]) -> Vec<OwnedRecord> {
    records(stream).into_iter().filter(|record| record.record_type == RecordType::SAMPLE).collect()
}

/// The ids that stand in a stream, or the maps with theirs.
fn ids(stream: &[u8]) -> Vec<OwnedRecord> {
    let is_id = |record: &OwnedRecord| matches!(record.record_type, RecordType::BUILD_ID | RecordType::MMAP2);
    records(stream).into_iter().filter(is_id).collect()
}

fn well(plan: Plan, stream: &[u8]) -> Vec<u8> {
    let (out, _, error) = to_pipe(plan, stream);
    assert_eq!(error, None);
    out
}

#[test]
fn ids_and_off_cpu_samples_are_those_that_each_has_alone() {
    for endian in ORDERS {
        let stream = SchedStream::new(endian, ALL)
            .with(libraries)
            .switch(0, at(7, 100), S, 8, &[USER, 0x40_0010])
            .waking(1, at(9, 120), 7)
            .finished_round()
            .switch(0, at(8, 150), S, 7, &[])
            .finished_round()
            .bytes();
        let alone = well(OFF_CPU, &stream);
        assert_eq!(off_cpu(&alone).len(), 2);
        for other in OTHERS {
            let both = well(Plan { off_cpu: OFF_CPU.off_cpu, ..other }, &stream);
            assert_eq!(samples(&both), samples(&alone), "{other:?}");
            assert_eq!(ids(&both), ids(&well(other, &stream)), "{other:?}");
            // One tool after the other is both at once.
            assert_eq!(samples(&well(other, &alone)), samples(&both));
            assert_eq!(ids(&well(other, &alone)), ids(&both));
        }
    }
}

#[test]
fn merged_samples_hit_what_the_switches_hit_and_ids_go_to_that() {
    for endian in ORDERS {
        let stream = SchedStream::new(endian, &[Switch, StatSleep])
            .with(libraries)
            .switch(0, at(7, 100), S, 8, &[USER, 0x40_0010])
            .finished_round()
            .stat_sleep(0, at(8, 150), 7, 50)
            .finished_round()
            .bytes();
        let alone = well(MERGE, &stream);
        assert_eq!(samples(&alone).len(), 1);
        for other in OTHERS {
            let both = well(Plan { sched_stat: true, ..other }, &stream);
            assert_eq!(samples(&both), samples(&alone), "{other:?}");
            assert_eq!(ids(&both), ids(&well(other, &stream)), "{other:?}");
            assert_eq!(ids(&both), ids(&well(other, &alone)), "{other:?}");
        }
    }
}
