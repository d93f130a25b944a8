//! What the whole loop costs in memory, without a pipe: records read, the session kept up to date, samples looked up,
//! all of it written to nowhere.

use std::io;

use divan::Bencher;
use divan::counter::BytesCount;
use perf_format::attr::SampleType;
use perf_format::testing::{At, StreamBuilder, attr, callchain_attr};
use perf_format::{Attr, BuildId, CpuMode, Endian, PipeStream};
use perf_inject::{DsoSelection, IdsTo, Plan};
use perf_session::build_id::{BuildIdSource, Chain, FoundId, NoBuildId, Origin};
use perf_session::dso::Dso;
use perf_session::{Passed, Pipeline, Recording, Repipe, Session, Tool};

const SAMPLES: u64 = 100_000;
const SAMPLES_A_ROUND: u64 = 2000;

/// Processes, and the maps of each.
const PROCESSES: u64 = 4;
const MAPS: u64 = 20;

/// Bytes of a map.
const LEN: u64 = 0x20_0000;

/// Addresses in a chain.
const DEPTH: u64 = 20;

fn main() {
    divan::main();
}

/// Every DSO has an id, and no file is opened.
struct Any;

impl BuildIdSource for Any {
    fn build_id(&mut self, _: &Dso, _: &Recording) -> Result<Option<FoundId>, NoBuildId> {
        Ok(BuildId::new(&[7; BuildId::MAX]).ok().map(|id| FoundId::from(Origin::File, id)))
    }
}

/// Samples all over the maps of a few processes.
fn stream(attr: &Attr) -> Vec<u8> {
    let mut stream = StreamBuilder::new(Endian::NATIVE).attr(attr, &[1]);
    for (pid, map) in (0..PROCESSES).flat_map(|pid| (0..MAPS).map(move |map| (pid, map))) {
        stream = stream.mmap2(at(pid, 1), address(map), LEN, &format!("/usr/lib/{map}.so"));
    }
    let scattered = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let anywhere = |n: u64| address(scattered(n) % MAPS) + scattered(n + 1) % LEN;
    for n in 0..SAMPLES {
        // Callers are the same few places most of the time.
        let chain: Vec<u64> = (0..DEPTH).map(|frame| anywhere(frame + n % 50)).collect();
        stream = stream.sample(CpuMode::User, at(n % PROCESSES, 1000 + n), anywhere(n), &chain);
        if n % SAMPLES_A_ROUND == SAMPLES_A_ROUND - 1 {
            stream = stream.finished_round();
        }
    }
    stream.bytes()
}

fn at(process: u64, time: u64) -> At {
    At::new(u32::try_from(100 + process).expect("there are few"), time)
}

fn address(map: u64) -> u64 {
    0x7f00_0000_0000 + 2 * LEN * map
}

/// Lets the stream pass with these tools.
fn pass(stream: &[u8], tools: &mut [&mut dyn Tool]) -> Passed {
    let mut records = PipeStream::open(stream).expect("it starts with a header").records();
    let mut passed = Passed::default();
    Pipeline::new(tools)
        .run(&mut records, &mut Session::new(), Repipe::To(&mut io::sink()), &mut passed)
        .expect("it is whole");
    passed
}

fn with_ids(bencher: Bencher<'_, '_>, attr: &Attr) {
    let stream = stream(attr);
    bencher.counter(BytesCount::of_slice(&stream)).bench(|| {
        let to = IdsTo { header: false, events: true, mmap2: false };
        let plan = Plan { build_ids: Some(DsoSelection::Hit), ..Plan::NOTHING };
        let passed = pass(&stream, &mut plan.tools(Chain(vec![Box::new(Any)]), to).as_tools());
        assert!(passed.injected > 0, "all DSOs are hit");
        passed
    });
}

/// What plain `perf record` asks of a sample.
fn plain() -> Attr {
    attr(SampleType::IP | SampleType::TID | SampleType::TIME | SampleType::PERIOD)
}

#[divan::bench]
fn samples_without_tools(bencher: Bencher<'_, '_>) {
    let stream = stream(&plain());
    bencher.counter(BytesCount::of_slice(&stream)).bench(|| pass(&stream, &mut []));
}

#[divan::bench]
fn samples_with_build_ids(bencher: Bencher<'_, '_>) {
    with_ids(bencher, &plain());
}

#[divan::bench]
fn callchains_with_build_ids(bencher: Bencher<'_, '_>) {
    with_ids(bencher, &callchain_attr());
}
