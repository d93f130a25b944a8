//! What it costs to look up an address among the maps of a process, and to add a map to them,
//! also where a parent has them too.

use divan::Bencher;
use divan::counter::ItemsCount;
use perf_session::dso::{DsoId, DsoKind, Dsos};
use perf_session::map::{Map, Maps};
use perf_session::round::Round;

/// Look-ups at a time.
const ASKED: u64 = 10_000;

const PAGE: u64 = 0x1000;

fn main() {
    divan::main();
}

fn dso() -> DsoId {
    Dsos::default().find_or_create(-1, DsoKind::File, "/usr/lib/libc.so.6".into())
}

/// So many maps, with a page between each and the next.
fn maps(count: u64) -> Maps {
    let mut maps = Maps::default();
    (0..count).for_each(|n| _ = maps.insert(map(n, dso()), Round::default()));
    maps
}

fn map(n: u64, dso: DsoId) -> Map {
    let start = 0x7f00_0000_0000 + 2 * PAGE * n;
    Map { start, end: start + PAGE, pgoff: 0, since: n, dso, prot: 5, flags: 2 }
}

/// Addresses all over the maps, in an order that no cache foresees.
fn addresses(count: u64) -> Vec<u64> {
    let scattered = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    (0..ASKED).map(|n| 0x7f00_0000_0000 + 2 * PAGE * (scattered(n) % count) + scattered(n) % PAGE).collect()
}

#[divan::bench(args = [1000, 100_000])]
fn find_an_address(bencher: Bencher<'_, '_>, count: u64) {
    let (maps, addresses) = (maps(count), addresses(count));
    bencher
        .counter(ItemsCount::new(ASKED))
        .bench(|| addresses.iter().filter(|addr| maps.find(**addr, Some(count)).is_some()).count());
}

/// Each on top of one that is there, as after a dlclose.
#[divan::bench(args = [1000, 100_000])]
fn map_over_another(bencher: Bencher<'_, '_>, count: u64) {
    let (mut maps, dso) = (maps(count), dso());
    let mut now = count;
    bencher.counter(ItemsCount::new(1_u64)).bench_local(|| {
        now += 1;
        maps.insert(Map { since: now, ..map(now % count, dso) }, Round::default())
    });
}

/// The first map of a child: until then it shares those of its parent.
#[divan::bench(args = [1000, 100_000])]
fn map_after_a_fork(bencher: Bencher<'_, '_>, count: u64) {
    let (maps, dso) = (maps(count), dso());
    bencher.counter(ItemsCount::new(1_u64)).with_inputs(|| maps.fork(Some(count))).bench_local_refs(
        |child| child.insert(Map { since: count, ..map(count / 2, dso) }, Round::default()),
    );
}
