//! What it costs to look up an address among the maps of a process, and to take in one more map, also where a parent
//! has the others too.

use divan::Bencher;
use divan::counter::ItemsCount;
use perf_format::testing::{At, StreamBuilder};
use perf_format::{Endian, Head, RecordReader};
use perf_session::machine::HOST;
use perf_session::{AddressSpace, Session};

/// Look-ups at a time.
const ASKED: u64 = 10_000;

const PAGE: u64 = 0x1000;
const PARENT: u32 = 7;

fn main() {
    divan::main();
}

fn start(n: u64) -> u64 {
    0x7f00_0000_0000 + 2 * PAGE * n
}

fn map(stream: StreamBuilder, pid: u32, n: u64, time: u64) -> StreamBuilder {
    stream.mmap2(At::new(pid, time), start(n), PAGE, "/usr/lib/libc.so.6")
}

/// Shows a session all records of a stream.
fn show(session: &mut Session, stream: &[u8]) {
    let mut source = stream;
    let head = Head::read(&mut source).expect("a pipe's header");
    let mut records = RecordReader::pipe(source, head);
    while let Some(batch) = records.next_batch().expect("whole records") {
        for record in batch {
            session.update(&record.expect("whole")).expect("made right");
        }
    }
}

/// A process with so many maps, with a page between each and the next.
fn session(count: u64) -> Session {
    let mut session = Session::new();
    let stream = StreamBuilder::with_callchains(Endian::NATIVE);
    show(&mut session, &(0..count).fold(stream, |stream, n| map(stream, PARENT, n, n)).bytes());
    session
}

/// A stream of one record alone, behind the attr that says how it is laid out.
fn one(record: impl FnOnce(StreamBuilder) -> StreamBuilder) -> Vec<u8> {
    record(StreamBuilder::with_callchains(Endian::NATIVE)).bytes()
}

#[divan::bench(args = [1000, 100_000])]
fn find_an_address(bencher: Bencher<'_, '_>, count: u64) {
    let session = session(count);
    // All over the maps, in an order that no cache foresees.
    let scattered = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let addresses: Vec<u64> = (0..ASKED).map(|n| start(scattered(n) % count) + scattered(n) % PAGE).collect();
    let is_mapped = |addr: &&u64| {
        let space = AddressSpace::Process(PARENT.cast_signed());
        session.map_at(HOST, space, **addr, Some(count)).is_some()
    };
    bencher.counter(ItemsCount::new(ASKED)).bench(|| addresses.iter().filter(is_mapped).count());
}

/// Each on top of one that is there, as after a dlclose.
#[divan::bench(args = [1000, 100_000])]
fn map_over_another(bencher: Bencher<'_, '_>, count: u64) {
    let mut session = session(count);
    let mut now = count;
    bencher
        .counter(ItemsCount::new(1_u64))
        .with_inputs(|| {
            now += 1;
            one(|stream| map(stream, PARENT, now % count, now))
        })
        .bench_local_values(|stream| show(&mut session, &stream));
}

/// A fork, and the first map of the child: until then it shares those of its parent.
#[divan::bench(args = [1000, 100_000])]
fn map_after_a_fork(bencher: Bencher<'_, '_>, count: u64) {
    let mut session = session(count);
    let mut child = PARENT;
    bencher
        .counter(ItemsCount::new(1_u64))
        .with_inputs(|| {
            child += 1;
            one(|stream| map(stream.fork(At::new(child, count), PARENT), child, count / 2, count))
        })
        .bench_local_values(|stream| show(&mut session, &stream));
}
