//! The laws of the house, on made-up recordings in both byte orders. The codec's own (what is written reads back)
//! is held in perf-format's tests.

mod common;

use common::scenario::{Happening, Scenario, scenario, time};
use common::{Owned, Pieces, id_of, ids_in, inject, injected, process, records};
use perf_format::record::{CpuMode, Inode, MapFile, Misc, Mmap2, Record};
use perf_format::testing::{At, StreamBuilder, swapped};
use perf_format::{BuildId, Endian, RecordType};
use perf_session::Tool;
use proptest::prelude::*;

fn endian() -> impl Strategy<Value = Endian> {
    prop_oneof![Just(Endian::Little), Just(Endian::Big)]
}

/// Ways to cut a stream into reads: tiny, odd, around the size of a record, whole.
fn lengths() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![1usize..9, 20usize..200, Just(1 << 20)], 1..6)
}

/// Runs the loop with no tools.
fn plain(stream: &[u8]) -> common::Ran {
    let no_tools: &mut [&mut dyn Tool] = &mut [];
    process(stream, no_tools)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// Law 1: identity.
    #[test]
    fn without_tools_the_same_bytes_come_out(scenario in scenario(), endian in endian()) {
        let stream = scenario.stream(endian);
        let ran = plain(&stream);
        prop_assert_eq!(ran.error, None);
        prop_assert_eq!(ran.out, stream);
    }

    /// Law 2: chunking, for whole streams and for cut ones.
    #[test]
    fn any_split_into_reads_gives_the_same_output_and_error(
        scenario in scenario(), endian in endian(), lengths in lengths(), cut in any::<prop::sample::Index>(),
    ) {
        let stream = scenario.stream(endian);
        let cut = &stream[..=cut.index(stream.len())];
        for stream in [&stream[..], cut] {
            prop_assert_eq!(inject(Pieces::new(stream, &lengths)), inject(stream));
        }
    }

    /// Law 3: conservation.
    #[test]
    fn the_output_without_the_injected_records_is_the_input(scenario in scenario(), endian in endian()) {
        let stream = scenario.stream(endian);
        let ran = inject(&stream[..]);
        prop_assert_eq!(ran.error, None);
        let injected = injected(&stream, &ran.out);
        let bytes: usize = injected.iter().map(|record| record.bytes.len()).sum();
        prop_assert_eq!(ran.passed.injected, bytes as u64);
        prop_assert_eq!(ran.passed.written, ran.out.len() as u64);
    }

    /// Law 4, first half: the ids of all that is hit, once each. Where a map comes late over another, the id of the
    /// other may be there too; never that of what lies nowhere near a sample.
    #[test]
    fn what_the_samples_hit_gets_its_id(scenario in scenario(), endian in endian()) {
        let stream = scenario.stream(endian);
        let ids = ids_in(&injected(&stream, &inject(&stream[..]).out), endian);
        let mut names: Vec<String> = ids.iter().map(|(name, _)| name.clone()).collect();
        names.sort();
        for (name, id) in &ids {
            prop_assert_eq!(*id, id_of(name.as_bytes()));
            prop_assert_eq!(names.iter().filter(|other| *other == name).count(), 1, "{} once", name);
            prop_assert!(scenario.near().contains(name), "{} is nowhere near a sample", name);
        }
        for name in scenario.hit() {
            prop_assert!(names.contains(&name), "{} was hit; there are {:?}", name, names);
        }
    }

    /// In a stream that is in the order of time, nothing is injected but what is hit.
    #[test]
    fn in_order_nothing_but_what_is_hit_gets_an_id(mut scenario in scenario(), endian in endian()) {
        scenario.moments.iter_mut().for_each(|moment| moment.cpu = false);
        let stream = scenario.stream(endian);
        let mut names: Vec<String> =
            ids_in(&injected(&stream, &inject(&stream[..]).out), endian).into_iter().map(|(name, _)| name).collect();
        names.sort();
        prop_assert_eq!(names, scenario.hit());
    }

    /// Law 4, second half: in front of the first sample that hits it, or of the map or fork that explains it.
    #[test]
    fn an_id_stands_where_it_is_needed(scenario in scenario(), endian in endian()) {
        let stream = scenario.stream(endian);
        let out = records(&inject(&stream[..]).out);
        for pair in out.windows(2) {
            if pair[0].record_type == RecordType::BUILD_ID {
                let behind = pair[1].record_type;
                let needs = [RecordType::BUILD_ID, RecordType::SAMPLE, RecordType::MMAP2, RecordType::FORK];
                prop_assert!(needs.contains(&behind), "an id in front of {}", behind);
            }
        }
        prop_assert_eq!(late_ids(&scenario, endian), Vec::<String>::new());
    }

    /// Law 5: idempotence.
    #[test]
    fn injecting_twice_is_injecting_once(scenario in scenario(), endian in endian()) {
        let once = inject(&scenario.stream(endian)[..]).out;
        prop_assert_eq!(inject(&once[..]).out, once);
    }

    /// Law 7: mirror.
    #[test]
    fn a_swapped_stream_is_treated_as_its_twin(scenario in scenario(), endian in endian()) {
        let stream = scenario.stream(endian);
        let twin = swapped(&stream);
        prop_assert_eq!(&twin, &scenario.stream(endian.other()));
        prop_assert_eq!(inject(&twin[..]).out, swapped(&inject(&stream[..]).out));
    }

    /// Law 8: whatever the bytes, no panic and no hang, and what comes out is what went in.
    #[test]
    fn damaged_streams_end_in_an_error_or_pass(
        scenario in scenario(), endian in endian(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut stream = scenario.stream(endian);
        for (at, byte) in damage {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        let ran = plain(&stream);
        prop_assert!(stream.starts_with(&ran.out), "what comes out is the start of what went in");
        prop_assert!(ran.error.is_some() || ran.out.len() == stream.len());
        let with_ids = inject(&stream[..]);
        prop_assert_eq!(with_ids.error, ran.error);
        prop_assert_eq!(with_ids.out.len() as u64 - with_ids.passed.injected, ran.out.len() as u64);
    }

    /// Law 8, for bytes that were never a stream.
    #[test]
    fn any_bytes_end_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..400), endian in endian()) {
        let stream = [&perf_format::header::pipe_header(endian)[..], &body].concat();
        let ran = inject(&stream[..]);
        prop_assert!(ran.out.len() as u64 - ran.passed.injected <= stream.len() as u64);
        inject(&body[..]);
    }
}

/// The DSOs whose id comes too late: behind a sample that hits them, with no map or fork behind the id, in the
/// sample's round or the next, that could be what explains the sample.
fn late_ids(scenario: &Scenario, endian: Endian) -> Vec<String> {
    let out = records(&inject(&scenario.stream(endian)[..]).out);
    let is = |record: &Owned, record_type| record.record_type == record_type;
    let id_places =
        out.iter().enumerate().filter(|(_, record)| is(record, RecordType::BUILD_ID)).map(|(at, _)| at);
    let late = |((name, _), id_at): &((String, BuildId), usize)| {
        let Some(first_hit) = first_hit(scenario, &out, name, endian).filter(|hit| hit < id_at) else {
            return false;
        };
        let mut rounds = 0;
        let asked_for = out.iter().enumerate().skip(first_hit).take_while(|(_, record)| {
            rounds += usize::from(is(record, RecordType::FINISHED_ROUND));
            rounds < 2
        });
        let mut behind = asked_for.filter(|(at, _)| at > id_at);
        !behind.any(|(_, record)| is(record, RecordType::MMAP2) || is(record, RecordType::FORK))
    };
    ids_in(&out, endian).into_iter().zip(id_places).filter(late).map(|((name, _), _)| name).collect()
}

/// Where in the output the first sample stands that hits a DSO: one that, as the only sample, hits it still.
fn first_hit(scenario: &Scenario, out: &[Owned], name: &str, endian: Endian) -> Option<usize> {
    let is_sample = |index: &usize| matches!(scenario.moments[*index].happening, Happening::Sample { .. });
    let hits_alone = |index: &usize| {
        let mut moments = scenario.moments.iter().enumerate();
        let alone = moments.by_ref().filter(|(other, _)| other == index || !is_sample(other));
        let alone = Scenario { moments: alone.map(|(_, moment)| moment.clone()).collect() };
        alone.hit().iter().any(|hit| hit == name)
    };
    let times: Vec<u64> =
        (0..scenario.moments.len()).filter(is_sample).filter(hits_alone).map(time).collect();
    out.iter().position(|record| {
        // Behind the header: the address, the thread, the time.
        let taken = endian.u64_at(&record.bytes, 24);
        record.record_type == RecordType::SAMPLE && taken.is_some_and(|time| times.contains(&time))
    })
}

/// The names that get an id in a stream.
fn named(stream: StreamBuilder) -> Vec<String> {
    let stream = stream.finished_round().bytes();
    let ran = inject(&stream[..]);
    assert_eq!(ran.error, None);
    ids_in(&injected(&stream, &ran.out), Endian::Little).into_iter().map(|(name, _)| name).collect()
}

fn stream() -> StreamBuilder {
    StreamBuilder::with_callchains(Endian::Little)
}

#[test]
fn a_round_in_which_thousands_execute_ends() {
    let many = (1..10_000_u32).fold(stream(), |stream, pid| {
        let at = |time| At::new(pid, time);
        stream.fork(at(10), 1).mmap2(at(11), 0x1000, 0x1000, "/old").exec(at(12), "new").mmap2(
            at(13),
            0x1000,
            0x1000,
            "/new",
        )
    });
    let hit = many.finished_round().sample(CpuMode::User, At::new(9_999, 20), 0x1000, &[]);
    assert_eq!(named(hit), ["/new"]);
}

#[test]
fn a_process_lives_on_when_one_of_its_threads_ends() {
    // What perf record starts has no FORK of its own.
    let thread = |time| At { pid: 7, tid: 8, time };
    let stream =
        stream().mmap2(At::new(7, 1), 0x1000, 0x1000, "/lib/late").fork(thread(2), 7).exit(thread(3));
    let later = stream.finished_round().finished_round().finished_round();
    assert_eq!(named(later.sample(CpuMode::User, At::new(7, 9), 0x1000, &[])), ["/lib/late"]);
}

#[test]
fn a_map_inside_a_page_is_found_though_the_page_was_another_s() {
    let sample = |stream: StreamBuilder, time, ip| stream.sample(CpuMode::User, At::new(1, time), ip, &[]);
    let map = |stream: StreamBuilder, time| stream.mmap2(At::new(1, time), 0x10080, 0x200, "/jitted.so");
    let anon = stream().mmap2(At::new(1, 1), 0x10000, 0x10000, "//anon");
    assert_eq!(named(sample(map(sample(anon.clone(), 2, 0x10100), 3), 4, 0x10100)), ["/jitted.so"]);
    assert_eq!(named(map(sample(anon.clone(), 5, 0x10100), 3)), ["/jitted.so"], "the map came late");
    assert_eq!(named(sample(map(sample(anon, 2, 0x10100), 3), 4, 0x10400)), [""; 0], "beside it is nothing");
}

#[test]
fn huge_pages_are_of_no_file_whatever_they_are_called() {
    let map = |flags| Mmap2 {
        pid: 1,
        tid: 1,
        start: 0x1000,
        len: 0x1000,
        pgoff: 0,
        file: MapFile::Inode(Inode::default()),
        prot: 5,
        flags,
        filename: "/mnt/huge/text".into(),
    };
    let at = At::new(1, 1);
    let mapped = |flags| stream().traced(Misc::of(CpuMode::User), &Record::Mmap2(map(flags)), at);
    let hit = |flags| named(mapped(flags).sample(CpuMode::User, At::new(1, 2), 0x1800, &[]));
    assert_eq!(hit(2), ["/mnt/huge/text"]);
    assert_eq!(hit(0x4_0002), [""; 0]);
}
