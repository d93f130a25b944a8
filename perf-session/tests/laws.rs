//! The laws of the pipeline and of hits, on made-up recordings in both byte orders. The codec's own (what is written reads
//! back) is held in perf-format's tests, and that injecting twice is injecting once in perf-inject's.

use std::io::Read;

use perf_format::strategies::scenario::{Happening, Scenario, scenario, time};
use perf_format::strategies::{config, endian, lengths};
use perf_format::testing::{OwnedRecord, Pieces, ids_in, injected, records, swapped};
use perf_format::{BuildId, Endian, RecordType};
use perf_session::testing::{HitIds, Ran, id_of, process};
use proptest::prelude::*;

/// Runs the pipeline with no tools.
fn plain(stream: &[u8]) -> Ran {
    process(stream, &mut [])
}

/// Runs the pipeline with ids for what is hit.
fn inject(source: impl Read) -> Ran {
    process(source, &mut [&mut HitIds::default()])
}

proptest! {
    #![proptest_config(config(192, "laws"))]

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
    fn in_order_nothing_but_what_is_hit_gets_an_id(scenario in scenario(), endian in endian()) {
        let scenario = scenario.in_order();
        let stream = scenario.stream(endian);
        let mut names: Vec<String> =
            ids_in(&injected(&stream, &inject(&stream[..]).out), endian).into_iter().map(|(name, _)| name).collect();
        names.sort();
        // What an exec ended is remembered for two rounds at the least.
        let may_be_hit = scenario.hit_remembering(usize::MAX);
        prop_assert!(names.iter().all(|name| may_be_hit.contains(name)), "{:?} and not {:?}", names, may_be_hit);
        prop_assert!(scenario.hit().iter().all(|name| names.contains(name)));
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
    let is = |record: &OwnedRecord, record_type| record.record_type == record_type;
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
fn first_hit(scenario: &Scenario, out: &[OwnedRecord], name: &str, endian: Endian) -> Option<usize> {
    let is_sample = |index: &usize| matches!(scenario.moments[*index].happening, Happening::Sample { .. });
    // The others hit nothing then; the rounds that they end are ended all the same.
    let hits_alone = |index: &usize| {
        let mut alone = scenario.clone();
        for other in (0..alone.moments.len()).filter(|other| other != index).filter(is_sample) {
            let of_nothing = Happening::Sample { pid: 0, kernel: false, ip: 0, chain: Vec::new() };
            alone.moments[other].happening = of_nothing;
        }
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
