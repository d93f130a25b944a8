//! Shapes of processes: forks in every order, with much to pass on, and execs that end much.

use perf_format::CpuMode;
use perf_format::record::{Comm, Misc, Record, Task};
use perf_format::testing::{At, StreamBuilder};

use super::{BASE, PAGE, PID, Shape, address, at, each, file, pid, shape, stream};

pub(super) const SHAPES: &[Shape] = &[
    shape("forks-star", "n children of a process with 200 maps", star),
    shape("forks-deep", "n processes, each the child of the one before; the first has 200 maps", deep),
    shape("forks-exit", "n children of a process with 200 maps, each of which ends at once", exits),
    shape("fork-cow", "n maps, then n children, each of which maps one more", copy_on_write),
    shape(
        "fork-chain-late",
        "n forks, each the child of the one before, then n maps of before them",
        pass_on,
    ),
    shape("fork-chain-first", "n forks, children first, each with a map to pass on", children_first),
    shape("late-fork", "n maps, n children, then the fork of their parent before both", late_fork),
    shape("late-forks", "n maps, n children, then n forks of their parent before both", late_forks),
    shape("threads", "n threads of one process", threads),
    shape("execs", "n execs of one process, each with a map and a sample", execs),
    shape("execs-large", "n / 100 execs, each of which ends 300 maps", execs_large),
    shape("execs-backward", "n execs, each before the one before", execs_backward),
    shape("comms", "n processes that get a name", comms),
];

/// Children's pids, above all others.
fn child(n: u64) -> u32 {
    1000 + pid(n)
}

/// A process with so many maps of as many files.
fn parent(maps: u64, files: u64) -> StreamBuilder {
    each(0..maps, stream(), |stream, i| stream.mmap2(at(1), address(i), PAGE, &file(i, files)))
}

fn star(n: u64) -> Vec<u8> {
    each(0..n, parent(200, 200), |stream, i| stream.fork(At::new(child(i), i + 2), PID)).bytes()
}

fn deep(n: u64) -> Vec<u8> {
    each(0..n, parent(200, 200), |stream, i| stream.fork(At::new(PID + 1 + pid(i), i + 2), PID + pid(i)))
        .bytes()
}

fn exits(n: u64) -> Vec<u8> {
    let one =
        |stream: StreamBuilder, i| stream.fork(At::new(child(i), i + 2), PID).exit(At::new(child(i), i + 3));
    each(0..n, parent(200, 200), one).bytes()
}

fn copy_on_write(n: u64) -> Vec<u8> {
    let one = |stream: StreamBuilder, i| {
        let at = At::new(child(i), i + 2);
        stream.fork(at, PID).mmap2(at, PAGE, PAGE, &file(0, 1))
    };
    each(0..n, parent(n, 100), one).bytes()
}

fn pass_on(n: u64) -> Vec<u8> {
    let chain = each(0..n, stream(), |stream, i| stream.fork(At::new(PID + 1 + pid(i), 1000), PID + pid(i)));
    each(0..n, chain, |stream, i| stream.mmap2(at(10), address(i), PAGE, &file(0, 1))).bytes()
}

fn children_first(n: u64) -> Vec<u8> {
    let one = |stream: StreamBuilder, i| {
        let mapped = stream.mmap2(At::new(pid(i), 1000 + n + i), address(i), PAGE, &file(0, 1));
        mapped.fork(At::new(pid(i + 1), 1000 + i), pid(i))
    };
    each((1..=n).rev(), stream(), one).bytes()
}

fn late_fork(n: u64) -> Vec<u8> {
    late(n, 1)
}

fn late_forks(n: u64) -> Vec<u8> {
    late(n, n)
}

/// Process 2 is a child of the one with the maps, and has n children; that it is one is told last, so many times.
fn late(n: u64, forks: u64) -> Vec<u8> {
    let maps = each(0..n, stream(), |stream, i| stream.mmap2(at(10), address(i), PAGE, &file(0, 1)));
    let children = each(0..n, maps, |stream, i| stream.fork(At::new(child(i), 1000), 2));
    each(0..forks, children, |stream, _| stream.fork(At::new(2, 500), PID)).bytes()
}

fn threads(n: u64) -> Vec<u8> {
    let one = |stream: StreamBuilder, i| {
        let at = At { pid: PID, tid: PID + 1 + pid(i), time: i };
        let task = Task { pid: PID, ppid: PID, tid: at.tid, ptid: PID, time: i };
        stream.traced(Misc::default(), &Record::Fork(task), at)
    };
    each(0..n, stream(), one).bytes()
}

/// An exec, what it maps, and a sample in it.
fn exec(stream: StreamBuilder, time: u64, n: u64) -> StreamBuilder {
    let stream = stream.exec(at(time), "x").mmap2(at(time), BASE, PAGE, &file(n, 50));
    stream.sample(CpuMode::User, at(time), BASE, &[])
}

fn execs(n: u64) -> Vec<u8> {
    each(0..n, stream(), |stream, i| exec(stream, i + 1, i)).bytes()
}

fn execs_backward(n: u64) -> Vec<u8> {
    each(0..n, stream(), |stream, i| exec(stream, n - i, i)).bytes()
}

fn execs_large(n: u64) -> Vec<u8> {
    let one = |stream: StreamBuilder, i: u64| {
        let at = at(2 * i + 1);
        each(0..300, stream.exec(at, "x"), |stream, map| stream.mmap2(at, address(map), PAGE, &file(map, 50)))
    };
    each(0..n.div_ceil(100), stream(), one).bytes()
}

fn comms(n: u64) -> Vec<u8> {
    let one = |stream: StreamBuilder, i| {
        let at = At::new(pid(i), i);
        let name = format!("c{i}");
        let comm = Comm { pid: at.pid, tid: at.tid, comm: name.as_str().into() };
        stream.traced(Misc::default(), &Record::Comm(comm), at)
    };
    each(0..n, stream(), one).bytes()
}
