//! A word where there will be no names: what a user reads, and when nothing is said.

mod common;

use std::fs;

use common::{perftool, run, stderr};
use perf_format::Endian;
use perf_format::record::CpuMode;
use perf_format::testing::{At, StreamBuilder};

const KERNEL: u64 = 0xffff_ffff_8000_0000;

fn stream() -> StreamBuilder {
    StreamBuilder::with_callchains(Endian::Little)
}

/// A stream with so many samples at an address.
fn sampled(stream: StreamBuilder, count: u64, pid: u32, cpumode: CpuMode, ip: u64) -> StreamBuilder {
    (0..count).fold(stream, |stream, at| stream.sample(cpumode, At::new(pid, 10 + at), ip, &[]))
}

fn warning(stream: &StreamBuilder, args: &[&str]) -> String {
    let output = run(perftool(&[&["inject", "-b"], args].concat()), &stream.clone().bytes());
    assert!(output.status.success(), "{}", stderr(&output));
    stderr(&output)
}

#[test]
fn the_likeliest_cause_is_named_and_what_helps() {
    let dir = tempfile::tempdir().expect("a directory");
    let (text, image) = (dir.path().join("text"), dir.path().join("noid"));
    fs::write(&text, "no image").expect("written");
    fs::write(&image, perf_session::testing::Elf::new(object::Endianness::Little, true).bytes())
        .expect("written");
    let mapped = |name: &str| {
        sampled(stream().mmap2(At::new(7, 1), 0x1000, 0x1000, name), 200, 7, CpuMode::User, 0x1100)
    };
    let no_id = image.to_str().expect("a name");
    let cases = [
        (
            mapped("/nowhere/p"),
            "in files that are not here to be read, most in /nowhere/p; inject while it is recorded",
        ),
        (mapped(no_id), "in files without a build-id, most in "),
        (
            mapped("//anon"),
            "in anonymous memory with code (of a JIT?), most in process 7; let the runtime write a jitdump",
        ),
        (
            sampled(stream(), 200, 7, CpuMode::User, 0x1100),
            "in processes of which the recording has no maps, most in process 7; record without --synth=no",
        ),
        (
            sampled(stream(), 200, 0, CpuMode::User, 0x1100),
            "in processes outside the recorder's container, which all have pid 0, most in process 0; record on the host",
        ),
        (
            sampled(stream(), 200, 7, CpuMode::Kernel, KERNEL),
            "in the kernel, of which the recording has no map, most in the kernel; record as root, or with kernel.kptr_restrict=0",
        ),
        (
            sampled(
                stream().mmap2(At::new(7, 1), 0x1000, 0x1000, "/p").mmap2(
                    At::new(7, 2),
                    0x1000,
                    0x1000,
                    "//anon",
                ),
                200,
                7,
                CpuMode::User,
                0x1100,
            ),
            "in an anonymous copy of a file's text (for huge pages?), most in /p; ",
        ),
    ];
    for (stream, cause) in &cases {
        let told = warning(stream, &["--allow-changed"]);
        let expected = format!("perftool: warning: 100 % of the samples have no name to come: {cause}");
        assert!(told.starts_with(&expected), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

#[test]
fn up_to_a_tenth_nothing_is_said_and_nothing_of_a_handful() {
    let mixed = |unnamed, named| {
        let stream = stream().mmap2(At::new(7, 1), 0x1000, 0x1000, "/nowhere/p").mmap2(
            At::new(7, 1),
            0x3000,
            0x1000,
            "/nowhere/named",
        );
        let stream = sampled(stream, unnamed, 7, CpuMode::User, 0x1100);
        sampled(stream, named, 7, CpuMode::User, 0x3100)
    };
    let known = format!("--known-build-ids={} /nowhere/named", "ab".repeat(20));
    assert_eq!(warning(&mixed(20, 180), &["--allow-changed", &known]), "");
    assert!(warning(&mixed(21, 179), &["--allow-changed", &known]).contains(": 10 % of the samples"));
    assert_eq!(warning(&mixed(99, 0), &["--allow-changed", &known]), "");
    assert_eq!(warning(&mixed(100, 0), &["--allow-changed", &known, "-q"]), "");
}

#[test]
fn strictly_it_is_an_error_when_all_has_been_written() {
    let stream = sampled(stream(), 200, 7, CpuMode::User, 0x1100).bytes();
    let output = run(perftool(&["inject", "-b", "--strict"]), &stream);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("perftool: error: 100 % of the samples have no name to come"));
    assert_eq!(output.stdout, stream);
    let output = run(perftool(&["inject", "--strict"]), &stream);
    assert!(output.status.success());
}

#[test]
fn that_it_was_recorded_elsewhere_is_said_once() {
    let stream = stream().mmap2(At::new(7, 1), 0x1000, 0x1000, "/bin/sh");
    let told = warning(&sampled(stream, 200, 7, CpuMode::User, 0x1100), &[]);
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.starts_with("perftool: warning: no build-ids of this machine: "), "{told}");
}
