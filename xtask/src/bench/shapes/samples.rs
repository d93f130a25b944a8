//! Shapes of samples: in places that nothing maps until later, with call chains into nowhere, in many rounds.

use perf_format::CpuMode;
use perf_format::testing::{At, StreamBuilder};

use super::{BASE, PAGE, PID, Shape, at, each, file, pid, plain, shape, stream};

pub(super) const SHAPES: &[Shape] = &[
    shape("pages-map", "samples in n pages (at most 32,000), then n maps of all memory", pages_map),
    shape("pages-fork", "samples in n pages (at most 32,000), then n forks of their process", pages_fork),
    shape(
        "pages-packed",
        "16 n samples and n maps of all memory, compressed to next to nothing",
        pages_packed,
    ),
    shape("chains", "n / 100 call chains of 1,000 addresses anywhere in user space", chains),
    shape("chains-anywhere", "n / 100 call chains of 1,000 addresses anywhere at all", chains_anywhere),
    shape("rounds", "n rounds with a map and a sample each, in 1,000 processes", rounds),
];

/// Where the samples are that nothing maps.
const NOWHERE: u64 = 0x10_0000;

/// Pages without an order of size: more than that many samples are too many to keep.
const PAGES: u64 = 32_000;

fn sampled(pages: u64, stream: StreamBuilder) -> StreamBuilder {
    each(0..pages, stream, |stream, i| stream.sample(CpuMode::User, at(5), NOWHERE + i * PAGE, &[]))
}

fn covered(maps: u64, stream: StreamBuilder) -> StreamBuilder {
    const LEN: u64 = 0x7fff_ffff_0000;
    each(0..maps, stream, |stream, i| stream.mmap2(at(6), PAGE, LEN, &file(i, 50)))
}

fn pages_map(n: u64) -> Vec<u8> {
    covered(n, sampled(n.min(PAGES), stream())).bytes()
}

fn pages_fork(n: u64) -> Vec<u8> {
    each(0..n, sampled(n.min(PAGES), stream()), |stream, _| stream.fork(At::new(PID, 6), 2)).bytes()
}

/// In COMPRESSED records, one after the other, as perf fills them.
fn pages_packed(n: u64) -> Vec<u8> {
    const COMPRESSED: u32 = 81;
    /// What a record has room for.
    const PIECE: usize = 65_504;
    let front = stream();
    let len = front.clone().bytes().len();
    let records = covered(n, sampled(16 * n, front.clone())).bytes().split_off(len);
    let mut packed = Vec::with_capacity(zstd_safe::compress_bound(records.len()));
    // It has room for the worst.
    let _ = zstd_safe::compress(&mut packed, &records, 9);
    packed.chunks(PIECE).fold(front, |stream, piece| stream.unknown(COMPRESSED, piece)).bytes()
}

fn chains(n: u64) -> Vec<u8> {
    scattered(n, 17)
}

fn chains_anywhere(n: u64) -> Vec<u8> {
    scattered(n, 0)
}

/// Addresses without order, but always the same, with so many bits less than 64.
fn scattered(n: u64, less: u32) -> Vec<u8> {
    let stream = StreamBuilder::with_callchains(perf_format::Endian::NATIVE);
    let one = |stream: StreamBuilder, i: u64| {
        let frame = |frame: u64| (i * 1000 + frame + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> less;
        stream.sample(CpuMode::User, at(i), PAGE, &(0..1000).map(frame).collect::<Vec<_>>())
    };
    each(0..n.div_ceil(100), stream, one).bytes()
}

fn rounds(n: u64) -> Vec<u8> {
    let one = |stream: StreamBuilder, i| {
        let at = At::new(PID + pid(i % 1000), i);
        let stream = stream.mmap2(at, BASE + (i % 7) * PAGE / 2, PAGE, &file(i, 50));
        stream.sample(CpuMode::User, at, BASE, &[]).finished_round()
    };
    each(0..n, super::empty().attr(&plain(), &[1]), one).bytes()
}
