//! In a live pipeline: what came in has gone out before more comes, interrupts lose nothing, and memory does not
//! grow with the stream.

mod common;

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};

use common::perftool;
use common::running::{FOR_EVER, wait_until};
use perf_format::Endian;
use perf_format::record::CpuMode;
use perf_format::testing::{At, StreamBuilder, records};
use rustix::process::{Pid, Signal, kill_process};

/// A running `perftool inject`, its input, and its output as it comes.
struct Live {
    child: Child,
    stdin: ChildStdin,
    pieces: Receiver<Vec<u8>>,
    out: Vec<u8>,
}

impl Live {
    fn start(args: &[&str]) -> Self {
        let mut command = perftool(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("the program starts");
        let stdin = child.stdin.take().expect("a pipe");
        let mut stdout = child.stdout.take().expect("a pipe");
        let (sender, pieces) = channel();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(len @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..len].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { child, stdin, pieces, out: Vec::new() }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.stdin.write_all(bytes).expect("the program reads");
    }

    /// Waits until this many bytes have come out.
    fn wait_for(&mut self, len: usize) {
        while self.out.len() < len {
            let piece =
                self.pieces.recv_timeout(FOR_EVER).expect("what went in comes out before more goes in");
            self.out.extend(piece);
        }
    }

    fn interrupt(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("it runs");
    }

    /// Ends the input, and gives all of the output and the exit status.
    fn finish(mut self) -> (Vec<u8>, std::process::ExitStatus) {
        drop(self.stdin);
        self.out.extend(self.pieces.iter().flatten());
        (self.out, self.child.wait().expect("it ends"))
    }
}

/// A stream of a thousand samples.
fn stream() -> Vec<u8> {
    let mut stream =
        StreamBuilder::with_callchains(Endian::NATIVE).mmap2(At::new(1, 1), 0x1000, 0x8000, "/nowhere/a");
    for n in 0..1000 {
        stream = stream.sample(CpuMode::User, At::new(1, 2 + n), 0x1000 + n, &[0x2000, 0x3000]);
    }
    stream.finished_round().bytes()
}

/// Cuts a stream into parts at the edges of records.
fn parts(stream: &[u8], count: usize) -> Vec<&[u8]> {
    let mut edges = vec![16];
    edges.extend(records(stream).iter().scan(16, |at, record| {
        *at += record.bytes.len() + record.payload.len();
        Some(*at)
    }));
    let mut from = 0;
    let last = edges.len() - 1;
    let cut = |n| edges[last * n / count];
    (1..=count).map(|n| &stream[std::mem::replace(&mut from, cut(n))..cut(n)]).collect()
}

#[test]
fn all_of_each_part_comes_out_before_the_next_goes_in() {
    for args in [&["inject"][..], &["inject", "-b"]] {
        let stream = stream();
        let mut live = Live::start(args);
        let mut sent = 0;
        for part in parts(&stream, 10) {
            live.write(part);
            sent += part.len();
            live.wait_for(sent);
        }
        let (out, status) = live.finish();
        assert!(out == stream, "/nowhere/a has no id, so nothing was added");
        assert!(status.success());
    }
}

#[test]
fn a_payload_comes_out_as_it_comes_in() {
    let head = StreamBuilder::new(Endian::NATIVE).tracing_data(&[1; 32]).bytes();
    let mut live = Live::start(&["inject", "-b"]);
    live.write(&head[..head.len() - 20]);
    live.wait_for(head.len() - 20);
    live.write(&head[head.len() - 20..]);
    live.wait_for(head.len());
    assert!(live.finish().0 == head);
}

#[test]
fn an_interrupt_ends_nothing_while_the_producer_still_writes() {
    for signal in [Signal::INT, Signal::TERM] {
        let stream = stream();
        let mut live = Live::start(&["inject", "-b"]);
        let (first, rest) = stream.split_at(parts(&stream, 2)[0].len());
        live.write(first);
        live.wait_for(first.len());
        live.interrupt(signal);
        live.write(rest);
        let (out, status) = live.finish();
        assert!(out == stream, "nothing is lost");
        assert!(status.success(), "{status}");
    }
}

#[test]
fn a_second_interrupt_ends_the_program() {
    let mut live = Live::start(&["inject", "-b"]);
    live.write(&stream());
    live.wait_for(stream().len());
    // Two signals that are pending at once may be told as one: the second goes out until it is heard.
    let mut status = None;
    wait_until("the program ends", || {
        live.interrupt(Signal::INT);
        status = live.child.try_wait().expect("it runs or has ended");
        status.is_some()
    });
    assert_eq!(status.and_then(|status| status.signal()), Some(Signal::INT.as_raw()));
}

#[test]
fn when_the_reader_goes_the_program_ends_as_by_sigpipe() {
    let mut command = perftool(&["inject"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(&stream()[..4000]).ok();
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.signal(), Some(Signal::PIPE.as_raw()));
    assert_eq!(output.stderr, b"", "quietly");
}

/// The memory that is the program's own, in bytes: without the pages of its file, which are as many as have been run, and
/// more where it is not optimized.
fn own_memory(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("a kernel tells it");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number");
    kib * 1024
}

#[test]
fn memory_does_not_grow_with_the_stream() {
    // New processes, maps and unexplained addresses all the way, and no round for whole megabytes: all that is bounded
    // has reached its bound behind the first 16 MiB.
    let mut live = Live::start(&["inject", "-b"]);
    live.write(&StreamBuilder::with_callchains(Endian::NATIVE).bytes());
    let (mut in_16_mib, mut most) = (0, 0);
    let (mut written, mut n) = (0_u64, 0_u64);
    while written < 64 << 20 {
        let mut part = StreamBuilder::with_callchains(Endian::NATIVE);
        let head = part.clone().bytes().len();
        for _ in 0..200 {
            n += 1;
            let pid = 1000 + u32::try_from(n % 30_000).expect("small");
            let at = At::new(pid, n * 100);
            let name = format!("/nowhere/{}", n % 500);
            part = part.fork(at, 1).mmap2(at, 0x40_0000, 0x20_0000, &name).exec(at, "program");
            part = part.mmap2(at, 0x40_0000, 0x10_0000, &name);
            for k in 0..40 {
                let chain = [512_u64.wrapping_neg(), 0x40_0000 + k * 0x1000, n * 0x10_0000 + k];
                part = part.sample(CpuMode::User, At::new(pid, n * 100 + k), 0x40_0000 + k * 0x800, &chain);
            }
            part = part.exit(At::new(pid, n * 100 + 99));
        }
        if n.is_multiple_of(2000) {
            part = part.finished_round();
        }
        let bytes = part.bytes();
        live.write(&bytes[head..]);
        written += (bytes.len() - head) as u64;
        while let Ok(piece) = live.pieces.try_recv() {
            live.out.clear();
            drop(piece);
        }
        most = own_memory(&live.child).max(most);
        if written <= 16 << 20 {
            in_16_mib = most;
        }
    }
    assert!(most < 16 << 20, "{most} bytes after 64 MiB");
    assert!(most < in_16_mib + (4 << 20), "{in_16_mib} bytes after 16 MiB, {most} after 64 MiB");
    assert!(live.finish().1.success());
}
