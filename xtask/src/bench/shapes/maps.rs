//! Shapes of maps: many, in any order of addresses and of times, over and under each other.

use perf_format::record::{Inode, MapFile, Misc, Mmap2, Record};
use perf_format::testing::{At, StreamBuilder};
use perf_format::{BuildId, CpuMode};

use super::{
    ALL, BASE, MODULES, PAGE, PID, Shape, address, at, each, empty, file, pid, plain, shape, stream,
};

pub(super) const SHAPES: &[Shape] = &[
    shape("dsos", "n files, each mapped and sampled once", dsos),
    shape("maps-one", "n maps of 100 files in one process, then a sample in each tenth", one),
    shape("maps-backward", "n maps, from the highest and latest to the lowest and earliest", backward),
    shape("maps-same", "n maps at one address, each later", same),
    shape("maps-same-back", "n maps at one address, each earlier", same_back),
    shape("inodes", "one name with n inodes, each sampled", inodes),
    shape("split-maps", "n small maps over a large one, then large ones of before them", split),
    shape("overlap-old", "n small maps, then n large ones of before them, each under all", overlap_old),
    shape("modules", "n kernel modules, each sampled", modules),
    shape("module-ids", "n kernel modules, all with one id", module_ids),
    shape("guests", "n guests, each with a kernel and a module", guests),
    shape("processes", "n processes with one map and one sample each", processes),
];

fn dsos(n: u64) -> Vec<u8> {
    let one = |stream: StreamBuilder, i| {
        let stream = stream.mmap2(at(i + 1), address(i), PAGE, &file(i, u64::MAX));
        stream.sample(CpuMode::User, at(i + 1), address(i), &[])
    };
    each(0..n, stream(), one).bytes()
}

fn one(n: u64) -> Vec<u8> {
    let maps = each(0..n, stream(), |stream, i| stream.mmap2(at(i + 1), address(i), PAGE, &file(i, 100)));
    let tenths = (0..n).step_by(10);
    each(tenths, maps, |stream, i| stream.sample(CpuMode::User, at(n + 1), address(i), &[])).bytes()
}

fn backward(n: u64) -> Vec<u8> {
    each((0..n).rev(), stream(), |stream, i| stream.mmap2(at(i + 1), address(i), PAGE, &file(i, 100))).bytes()
}

fn same(n: u64) -> Vec<u8> {
    each(0..n, stream(), |stream, i| stream.mmap2(at(i + 1), BASE, PAGE, &file(i, 2))).bytes()
}

fn same_back(n: u64) -> Vec<u8> {
    each((0..n).rev(), stream(), |stream, i| stream.mmap2(at(i + 1), BASE, PAGE, &file(i, 2))).bytes()
}

fn inodes(n: u64) -> Vec<u8> {
    let one = |stream: StreamBuilder, i| {
        let inode = Inode { maj: 1, ino: i + 1, ..Inode::default() };
        let stream = stream.mapped(at(i + 1), address(i), PAGE, &file(0, 1), MapFile::Inode(inode));
        stream.sample(CpuMode::User, at(i + 1), address(i), &[])
    };
    each(0..n, stream(), one).bytes()
}

fn split(n: u64) -> Vec<u8> {
    let large = stream().mmap2(at(5), 0, ALL, &file(0, 4));
    let holes = each(0..n, large, |stream, i| stream.mmap2(at(6), address(2 * i), PAGE, &file(1, 4)));
    each(0..(n / 200).max(1), holes, |stream, _| stream.mmap2(at(4), 0, ALL, &file(2, 4))).bytes()
}

fn overlap_old(n: u64) -> Vec<u8> {
    let small = each(0..n, stream(), |stream, i| stream.mmap2(at(1000), address(2 * i), PAGE, &file(0, 4)));
    each(0..n, small, |stream, i| stream.mmap2(at(10 + i % 900), 0, ALL, &file(1, 4))).bytes()
}

fn modules(n: u64) -> Vec<u8> {
    let one = |stream: StreamBuilder, i| {
        let start = MODULES + i * PAGE;
        let file = MapFile::Inode(Inode::default());
        let stream = mapped(stream, CpuMode::Kernel, At::new(u32::MAX, 0), start, &format!("[m{i}]"), file);
        stream.sample(CpuMode::Kernel, at(i + 1), start, &[])
    };
    each(0..n, stream(), one).bytes()
}

fn module_ids(n: u64) -> Vec<u8> {
    let id = MapFile::BuildId(BuildId::new(&[7; BuildId::MAX]).ok());
    let one = |stream, i| {
        let at = At::new(u32::MAX, 0);
        mapped(stream, CpuMode::Kernel, at, MODULES + i * PAGE, &format!("[m{i}]"), id)
    };
    each(0..n, stream(), one).bytes()
}

fn guests(n: u64) -> Vec<u8> {
    let one = |stream, i| {
        let at = At::new(pid(i + 1), i);
        let file = MapFile::Inode(Inode::default());
        let kernel = format!("[guest.kernel.kallsyms.{}]", i + 1);
        let stream = mapped(stream, CpuMode::GuestKernel, at, 0xffff_ffff_8100_0000, &kernel, file);
        mapped(stream, CpuMode::GuestKernel, at, MODULES, &format!("[m{i}]"), file)
    };
    each(0..n, stream(), one).bytes()
}

fn processes(n: u64) -> Vec<u8> {
    let one = |stream: StreamBuilder, i| {
        let at = At::new(PID + pid(i), i);
        stream.mmap2(at, BASE, PAGE, &file(0, 1)).sample(CpuMode::User, at, BASE, &[])
    };
    each(0..n, empty().attr(&plain(), &[1]), one).bytes()
}

/// A page mapped in any mode.
fn mapped(
    stream: StreamBuilder,
    mode: CpuMode,
    at: At,
    start: u64,
    name: &str,
    file: MapFile,
) -> StreamBuilder {
    let (pid, tid) = (at.pid, at.tid);
    let map = Mmap2 { pid, tid, start, len: PAGE, pgoff: 0, file, prot: 5, flags: 2, filename: name.into() };
    stream.traced(Misc::of(mode), &Record::Mmap2(map), at)
}
