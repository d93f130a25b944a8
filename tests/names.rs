//! A word where there will be no names: what a user reads, and when nothing is said.

mod common;

use std::fs;

use common::{perftool, run, stderr};
use perf_format::record::{CpuMode, Inode, MapFile, Misc, Mmap2, Record};
use perf_format::testing::{At, StreamBuilder};
use perf_format::{Endian, RawRecord, RecordType};

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
            "in anonymous memory with code (of a JIT, or text that was moved?), most in process 7; let the runtime write a jitdump",
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
    // Whatever is injected.
    for args in
        [&["inject", "--strict"][..], &["inject", "--strict", "--buildid-all"], &["inject", "--strict", "-B"]]
    {
        assert_eq!(run(perftool(args), &stream).status.code(), Some(1), "{args:?}");
        let told = stderr(&run(perftool(&[&args[..1], &args[2..], &["--summary"]].concat()), &stream));
        let row = "200 (and 0 frames) in processes of which the recording has no maps, most in process 7";
        assert!(told.contains(row), "{args:?}: {told}");
    }
}

#[test]
fn that_it_was_recorded_elsewhere_is_said_once() {
    let stream = stream().mmap2(At::new(7, 1), 0x1000, 0x1000, "/bin/sh");
    let told = warning(&sampled(stream, 200, 7, CpuMode::User, 0x1100), &[]);
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.starts_with("perftool: warning: no build-ids of this machine: "), "{told}");
}

/// The maps of a stream, as (start, length, page offset, name).
fn maps(stream: &[u8]) -> Vec<(u64, u64, u64, String)> {
    let records = perf_format::testing::records(stream).into_iter();
    let maps = records.filter(|record| record.record_type == RecordType::MMAP2).map(|record| {
        let record = RawRecord::first(&record.bytes, 0, Endian::Little).expect("whole");
        let map = Mmap2::of_record(&record).expect("a map");
        (map.start, map.len, map.pgoff, map.filename.to_string())
    });
    maps.collect()
}

#[test]
fn text_that_was_moved_is_its_files_again() {
    let known = format!("--known-build-ids={} /p", "ab".repeat(20));
    let map = |stream: StreamBuilder, time, start, len, pgoff, name: &str| {
        let file = MapFile::Inode(Inode::default());
        let filename = name.into();
        let map = Mmap2 { pid: 7, tid: 7, start, len, pgoff, file, prot: 5, flags: 2, filename };
        stream.traced(Misc::of(CpuMode::User), &Record::Mmap2(map), At::new(7, time))
    };
    // Moved while it was recorded: the file's map stays.
    let stream = map(map(stream(), 1, 0x1000, 0x4000, 0, "/p"), 2, 0x2000, 0x1000, 0, "//anon");
    let stream = sampled(stream, 200, 7, CpuMode::User, 0x2100).bytes();
    let remapped = run(perftool(&["inject", "-b", "--remap-text", &known]), &stream);
    assert_eq!(stderr(&remapped), "");
    assert_eq!(maps(&remapped.stdout), [(0x1000, 0x4000, 0, "/p".to_owned())]);
    // Not where another program had the file before an exec.
    let executed = map(self::stream(), 1, 0x1000, 0x4000, 0, "/p").exec(At::new(7, 2), "q");
    let executed = map(executed, 3, 0x2000, 0x1000, 0, "//anon").bytes();
    assert_eq!(run(perftool(&["inject", "--remap-text"]), &executed).stdout, executed);
    // Moved before, as /proc/PID/maps shows it: between two parts of the file.
    let stream = [
        (0x1000, 0x1000, 0x1000, "/p"),
        (0x2000, 0x1000, 0, "//anon"),
        (0x3000, 0x2000, 0, "//anon"),
        (0x5000, 0x1000, 0x5000, "/p"),
        (0x8000, 0x1000, 0, "//anon"),
        (0x9000, 0x1000, 0x7000, "/p"),
    ]
    .into_iter()
    .fold(self::stream(), |stream, (start, len, pgoff, name)| map(stream, 1, start, len, pgoff, name));
    let stream = sampled(stream, 200, 7, CpuMode::User, 0x3100).bytes();
    let remapped = run(perftool(&["inject", "-b", "--remap-text", &known]), &stream);
    assert_eq!(stderr(&remapped), "");
    let moved = (0x2000, 0x3000, 0x2000, "/p".to_owned());
    let mut expected = maps(&stream);
    expected.insert(3, moved);
    assert_eq!(maps(&remapped.stdout), expected);
    // Twice is once.
    let again = run(perftool(&["inject", "-b", "--remap-text", &known]), &remapped.stdout);
    assert_eq!(again.stdout, remapped.stdout);
    // Without the option nothing moves, and it is said.
    let left = run(perftool(&["inject", "-b", &known]), &stream);
    assert_eq!(maps(&left.stdout), maps(&stream));
    assert!(stderr(&left).contains("in an anonymous copy of a file's text (for huge pages?), most in /p"));
}
