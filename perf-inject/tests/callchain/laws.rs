//! The laws of converted stacks, over made-up recordings in both byte orders: what a stack leads to is a few return
//! addresses, whose frames are known from what happened in the order of time.

use std::collections::BTreeSet;

use perf_format::attr::SampleType;
use perf_format::sample::Tid;
use perf_format::strategies::scenario::{Happening, KERNEL, Moment, Scenario, scenario, time};
use perf_format::strategies::{config, endian, lengths};
use perf_format::testing::{
    At, OwnedRecord, Pieces, StreamBuilder, UserStack, callchain_attr, ids_in, injected, records, stack_attr,
    swapped,
};
use perf_format::{Array, CpuMode, Endian, RecordType, Sample, SampleFormat};
use perf_inject::{ConvertCallchain, Plan};
use perf_session::testing::{HitIds, process};
use proptest::prelude::*;

use crate::made::{self, Seen, USER, convert, endian_of, others, plan, run, samples, with_ids, with_options};

/// The recording with a stack in each sample, whose words are the addresses of its chain: each the address behind a
/// call, at which the scenario's chain has the call. Every third moment is a sample of another event, which has none.
fn with_stacks(scenario: &Scenario, endian: Endian) -> Vec<u8> {
    let (mut stacks, mut plain) = (stack_attr(256), callchain_attr());
    for attr in [&mut stacks, &mut plain] {
        attr.fields.sample_type |= SampleType::IDENTIFIER;
    }
    let formats = [SampleFormat::new(&stacks), SampleFormat::new(&plain)];
    let stream = StreamBuilder::new(endian).attr(&stacks, &[1]).attr(&plain, &[2]);
    scenario.stream_of(stream, |stream, at, happening| {
        let Happening::Sample { kernel, ip, chain, .. } = happening else { unreachable!("it is a sample") };
        let stack = UserStack::of_words(endian, *ip, &returns(chain)).padded_to(64);
        let chain: Vec<u64> = if *kernel { vec![made::KERNEL, KERNEL + 0x10] } else { Vec::new() };
        let has_stack = has_stack(at.time);
        let chain: Vec<u8> = chain.iter().flat_map(|word| endian.put_u64(*word)).collect();
        let sample = Sample {
            identifier: Some(if has_stack { 1 } else { 2 }),
            ip: Some(if *kernel { KERNEL + 0x10 } else { *ip }),
            tid: Some(Tid { pid: at.pid, tid: at.tid }),
            time: Some(at.time),
            period: Some(1),
            callchain: Some(Array::new(&chain, endian)),
            regs_user: has_stack.then(|| stack.regs()),
            stack_user: has_stack.then(|| stack.dump()),
            ..Sample::default()
        };
        let body = sample.to_bytes(&formats[usize::from(!has_stack)], endian);
        let mode = if *kernel { CpuMode::Kernel } else { CpuMode::User };
        stream.record(perf_format::Misc::of(mode), &perf_format::Record::Sample(&body))
    })
}

fn has_stack(time: u64) -> bool {
    !time.is_multiple_of(30)
}

/// The return addresses on a stack: behind each call, and none for the outermost function.
fn returns(chain: &[u64]) -> Vec<u64> {
    chain.iter().map(|addr| addr + 0x321).chain([0]).collect()
}

/// The frames of a sample that lie in code that is mapped, and one more, by what happened in the order of time: as far
/// as the stack is unwound by one who knows all that there is to know.
fn true_frames(scenario: &Scenario, at: usize) -> Vec<u64> {
    let Happening::Sample { pid, ip, chain, .. } = &scenario.moments[at].happening else { return Vec::new() };
    let maps = scenario.mapped(at, *pid, 0);
    let frames = std::iter::once(*ip).chain(returns(chain).into_iter().map(|addr| addr.wrapping_sub(1)));
    let mut known = Vec::new();
    for frame in frames.take(1 + chain.len()) {
        known.push(frame);
        let map = maps.iter().rev().find(|(start, end, _)| (*start..*end).contains(&frame));
        // Memory of no file has no tables.
        if map.is_none_or(|(_, _, name)| *name == "//anon") {
            break;
        }
    }
    known
}

fn kernel_of(scenario: &Scenario, at: usize) -> Vec<u64> {
    match scenario.moments[at].happening {
        Happening::Sample { kernel: true, .. } => vec![made::KERNEL, KERNEL + 0x10],
        _ => Vec::new(),
    }
}

/// Samples by their moments.
fn by_moment(stream: &[u8]) -> Vec<(usize, Seen)> {
    let mut seen: Vec<_> = samples(stream)
        .into_iter()
        .map(|sample| {
            let at = (sample.time.expect("a time") - time(0)) / (time(1) - time(0));
            (usize::try_from(at).expect("a moment"), sample)
        })
        .collect();
    seen.sort_by_key(|(at, _)| *at);
    seen
}

/// The same recording in one round, so that nobody knows of a page that it is waited for in vain, and with tables for all
/// that is mapped, so that it makes no difference which of two maps at an address comes first. There is no noise in it: in
/// front of a payload, samples that wait go out.
fn in_one_round(mut scenario: Scenario) -> Scenario {
    for Moment { happening, round, noise, .. } in &mut scenario.moments {
        (*round, *noise) = (false, 0);
        if let Happening::Map { name, .. } = happening
            && name == "//anon"
        {
            "/lib/f.so".clone_into(name);
        }
    }
    scenario
}

/// The samples of the event without stacks.
fn plain_samples(stream: &[u8]) -> Vec<OwnedRecord> {
    let endian = endian_of(stream);
    let is_plain = |record: &OwnedRecord| {
        record.record_type == RecordType::SAMPLE && endian.u64_at(&record.bytes, 8) == Some(2)
    };
    records(stream).into_iter().filter(is_plain).collect()
}

/// What else is in a stream, in its order: all but samples of the event with stacks, and attrs.
fn unchanged(stream: &[u8]) -> Vec<OwnedRecord> {
    let endian = endian_of(stream);
    let is_changed = |record: &OwnedRecord| {
        record.record_type == RecordType::HEADER_ATTR
            || record.record_type == RecordType::SAMPLE && endian.u64_at(&record.bytes, 8) == Some(1)
    };
    records(stream).into_iter().filter(|record| !is_changed(record)).collect()
}

/// The times of the samples in front of each end of a round.
fn rounds(stream: &[u8]) -> Vec<BTreeSet<u64>> {
    let mut times = samples(stream).into_iter().map(|sample| sample.time.expect("a time"));
    let mut rounds = vec![BTreeSet::new()];
    for record in records(stream) {
        match record.record_type {
            RecordType::SAMPLE => {
                rounds.last_mut().expect("a round").extend(times.next());
            }
            RecordType::FINISHED_ROUND => rounds.push(BTreeSet::new()),
            _ => {}
        }
    }
    rounds
}

proptest! {
    #![proptest_config(config(192, "callchain"))]

    /// However many threads the samples of a read are divided between.
    #[test]
    fn any_number_of_threads_writes_the_same(
        scenario in scenario(), endian in endian(), threads in 2..12_usize
    ) {
        // So that there are enough samples between two maps.
        let stream = with_stacks(&scenario, endian);
        let samples: Vec<u8> = records(&stream)
            .iter()
            .filter(|record| record.record_type == RecordType::SAMPLE)
            .flat_map(|record| record.bytes.iter().copied())
            .collect();
        let stream = [&stream[..], &samples, &samples, &samples].concat();
        let (one, many) = (run(plan(), &stream[..]), made::run_on(threads, plan(), &stream[..]));
        prop_assert_eq!(many.summary(), one.summary());
        prop_assert_eq!(many.out, one.out);
    }

    /// Law 3: all other records are there byte for byte, in their order; samples stay in their round.
    #[test]
    fn the_stream_minus_the_conversion_is_the_input(scenario in scenario(), endian in endian()) {
        let stream = with_stacks(&scenario, endian);
        let out = convert(&stream);
        prop_assert_eq!(unchanged(&out), unchanged(&stream));
        prop_assert_eq!(others(&out), others(&stream));
        prop_assert_eq!(plain_samples(&out), plain_samples(&stream));
        prop_assert_eq!(rounds(&out), rounds(&stream));
        prop_assert!(samples(&out).iter().all(|sample| !sample.has_stack));
    }

    /// In a stream that is in the order of time, chains are what was on the stacks.
    #[test]
    fn in_order_chains_are_the_true_ones(scenario in scenario(), endian in endian()) {
        let scenario = scenario.in_order();
        let out = convert(&with_stacks(&scenario, endian));
        for (at, sample) in by_moment(&out) {
            let kernel = kernel_of(&scenario, at);
            let expected = match has_stack(time(at)) {
                true => [&kernel[..], &[USER], &true_frames(&scenario, at)].concat(),
                false => kernel,
            };
            prop_assert_eq!(sample.chain, Some(expected), "at {}", time(at));
        }
    }

    /// Whatever the order within a round, no frame is missing that a reader would find who has sorted the records. There may
    /// be more: a map may lie there that an exec, which comes later in the stream, has ended.
    #[test]
    fn in_any_order_no_true_frame_is_missing(scenario in scenario(), endian in endian(), lengths in lengths()) {
        let scenario = in_one_round(scenario);
        let ran = run(plan(), Pieces::new(&with_stacks(&scenario, endian), &lengths));
        prop_assert_eq!(ran.error, None);
        for (at, sample) in by_moment(&ran.out).into_iter().filter(|(at, _)| has_stack(time(*at))) {
            let expected = [&kernel_of(&scenario, at)[..], &[USER], &true_frames(&scenario, at)].concat();
            let chain = sample.chain.expect("a chain");
            prop_assert!(chain.starts_with(&expected), "at {}: {:x?} {:x?}", time(at), chain, expected);
        }
    }

    /// Law 2.
    #[test]
    fn any_split_into_reads_gives_the_same(
        scenario in scenario(),
        endian in endian(),
        lengths in lengths(),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut stream = with_stacks(&scenario, endian);
        if is_cut {
            stream.truncate(16 + cut.index(stream.len() - 15));
        }
        for plan in [plan(), with_ids()] {
            let whole = run(plan, &stream[..]);
            let pieces = run(plan, Pieces::new(&stream, &lengths));
            prop_assert_eq!(&pieces.error, &whole.error);
            prop_assert!(pieces.out == whole.out);
            prop_assert_eq!(pieces.summary(), whole.summary());
            prop_assert_eq!(pieces.report.passed, whole.report.passed);
        }
    }

    /// An error loses nothing that came whole before it.
    #[test]
    fn what_came_whole_before_an_error_is_converted(
        scenario in scenario(),
        endian in endian(),
        cut in any::<prop::sample::Index>(),
    ) {
        let stream = with_stacks(&scenario, endian);
        let len = 16 + cut.index(stream.len() - 15);
        let mut end = 16;
        let mut whole = Vec::new();
        for record in records(&stream) {
            end += record.bytes.len() + record.payload.len();
            if end > len {
                break;
            }
            whole.push(record);
        }
        let is_whole = whole.iter().map(|record| record.bytes.len() + record.payload.len()).sum::<usize>() + 16;
        let ran = run(plan(), &stream[..len]);
        let expected = run(plan(), &stream[..is_whole]);
        prop_assert_eq!(&expected.error, &None);
        prop_assert_eq!(ran.error.is_none(), is_whole == len);
        prop_assert!(ran.out.starts_with(&expected.out) || is_whole != len);
        let times = |out: &[u8]| samples(out).iter().map(|sample| sample.time).collect::<BTreeSet<_>>();
        prop_assert_eq!(times(&expected.out).len(), whole.iter().filter(|record| record.record_type == RecordType::SAMPLE).count());
        prop_assert_eq!(ran.summary(), expected.summary());
    }

    /// Law 5.
    #[test]
    fn converting_twice_is_converting_once(scenario in scenario(), endian in endian()) {
        let stream = with_stacks(&scenario, endian);
        for keep_stacks in [false, true] {
            let plan = with_options(ConvertCallchain { keep_stacks, ..ConvertCallchain::default() });
            let once = run(plan, &stream[..]);
            let twice = run(plan, &once.out[..]);
            prop_assert_eq!((&once.error, &twice.error), (&None, &None));
            prop_assert!(twice.out == once.out);
        }
    }

    /// What was kept is converted as what was recorded.
    #[test]
    fn stacks_that_were_kept_are_converted_to_the_same(scenario in scenario(), endian in endian()) {
        let stream = with_stacks(&scenario.in_order(), endian);
        let kept = run(with_options(ConvertCallchain { keep_stacks: true, ..ConvertCallchain::default() }), &stream[..]);
        prop_assert!(convert(&kept.out) == convert(&stream));
    }

    /// Law 7. A stack's words are in the byte order of its machine, which the swapper cannot know: the twin is made anew.
    #[test]
    fn a_twin_is_converted_to_the_twin(scenario in scenario(), endian in endian()) {
        let (stream, twin) = (with_stacks(&scenario, endian), with_stacks(&scenario, endian.other()));
        let (ran, of_twin) = (run(plan(), &stream[..]), run(plan(), &twin[..]));
        prop_assert_eq!((&ran.error, &of_twin.error), (&None, &None));
        prop_assert!(of_twin.out == swapped(&ran.out));
        prop_assert_eq!(of_twin.summary(), ran.summary());
    }

    /// Law 4: with `-b` in the same pass, ids stand where the unwound frames hit, and are all that is added.
    #[test]
    fn ids_go_to_what_the_unwound_frames_hit(scenario in scenario(), endian in endian()) {
        let stream = with_stacks(&scenario, endian);
        let converted = convert(&stream);
        let ran = run(with_ids(), &stream[..]);
        prop_assert_eq!(ran.error, None);
        let least = process(&converted[..], &mut [&mut HitIds::default()]);
        prop_assert!(ran.out == least.out);
        let behind = Plan { convert_callchain: None, ..with_ids() };
        prop_assert!(run(behind, &converted[..]).out == ran.out, "in one pass as in two");
        let names = ids_in(&injected(&converted, &ran.out), endian).into_iter().map(|(name, _)| name);
        let mut names: Vec<_> = names.collect();
        names.sort();
        if scenario.moments.iter().all(|moment| !moment.cpu) {
            let mut hit = BTreeSet::new();
            for (at, _) in by_moment(&stream) {
                let Happening::Sample { pid, kernel, ip, .. } = &scenario.moments[at].happening else { continue };
                hit.extend(kernel.then(|| "[kernel.kallsyms]".to_owned()));
                let frames = match has_stack(time(at)) {
                    true => true_frames(&scenario, at),
                    false if *kernel => Vec::new(),
                    false => vec![*ip],
                };
                // A hit is looked up in the program before an exec, too, where there is nothing else.
                let maps = scenario.mapped(at, *pid, 2);
                for frame in frames {
                    let map = maps.iter().rev().find(|(start, end, _)| (*start..*end).contains(&frame));
                    hit.extend(map.map(|(_, _, name)| name.clone()).filter(|name| name != "//anon"));
                }
            }
            prop_assert_eq!(names, hit.into_iter().collect::<Vec<_>>());
        }
    }
}

/// A scenario's processes have times, so that the builder's trailers have them too.
#[test]
fn a_samples_moment_is_known_by_its_time() {
    let at = At::new(1, time(7));
    assert_eq!((at.time - time(0)) / (time(1) - time(0)), 7);
}
