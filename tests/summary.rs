//! `--summary`, and what `inject` says of ids that it does not give.

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use common::{perftool, run, stderr};
use insta::assert_snapshot;
use perf_format::record::{CpuMode, Inode, MapFile};
use perf_format::testing::{At, StreamBuilder};
use perf_format::{BuildId, Endian};
use perf_session::testing::Elf;

/// A stream whose samples hit a known file, one that carries its id, one below another root, one that is nowhere, and
/// one that another has replaced.
fn stream(replaced: &Path) -> Vec<u8> {
    let here = fs::metadata(replaced).expect("there");
    let (maj, min) = (rustix::fs::major(here.dev()), rustix::fs::minor(here.dev()));
    let inode = |ino| MapFile::Inode(Inode { maj, min, ino, ino_generation: 0 });
    let own = MapFile::BuildId(Some(BuildId::new(&[0xbb; 20]).expect("an id")));
    let map = |stream: StreamBuilder, n: u64, name: &str, file| {
        let pid = if name.ends_with("container") { 7 } else { 8 };
        let stream = stream.mapped(At::new(pid, n), n << 20, 0x1000, name, file);
        stream.sample(CpuMode::User, At::new(pid, 100 + n), (n << 20) + 0x10, &[])
    };
    let stream = common::recorded_here(StreamBuilder::with_callchains(Endian::Little));
    let stream = map(stream, 1, "/bin/known", inode(0));
    let stream = map(stream, 2, "/bin/carries-its-id", own);
    let stream = map(stream, 3, "/bin/in-a-container", inode(0));
    let stream = map(stream, 4, "/nowhere/at/all", inode(0));
    let stream = map(stream, 5, replaced.to_str().expect("text"), inode(here.ino() + 1));
    let id = BuildId::new(&[0xdd; 20]).expect("an id");
    let stream = stream.build_id(CpuMode::User, id, "/bin/by-record");
    map(map(stream, 6, "/bin/by-record", inode(0)), 7, "//anon", inode(0)).bytes()
}

#[test]
fn the_summary_says_what_came_from_where_and_what_did_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let replaced = dir.path().join("replaced");
    fs::write(&replaced, Elf::with_build_id(&[1; 20]).bytes()).expect("written");
    let root = dir.path().join("root/bin");
    fs::create_dir_all(&root).expect("made");
    fs::write(root.join("in-a-container"), Elf::with_build_id(&[0xcc; 20]).bytes()).expect("written");
    let known = format!("--known-build-ids={} /bin/known", "aa".repeat(20));
    let of_root = format!("--root=7={}", dir.path().join("root").display());
    let stream = stream(&replaced);
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r#"/[^\s"]*/replaced"#, "/DIR/replaced");
    settings.add_filter(r"inode \d+, recorded was \d+", "inode N, recorded was N+1");
    settings.add_filter(r"inode \d+, recorded \d+", "inode N, recorded N+1");
    // The name is as long as the temporary directory's.
    settings.add_filter(r"\d+ written|\d,\d+ read, \d,\d+ written|\d+ read, \d,\d+ written", "BYTES");
    settings.add_filter(r#""bytes":\{"read":\d+,"written":\d+,"#, r#""bytes":{"#);
    for (name, form) in [("table", "--summary"), ("json", "--summary=json")] {
        let output = run(perftool(&["inject", "-b", "-q", &known, &of_root, form]), &stream);
        assert!(output.status.success(), "{}", stderr(&output));
        settings.bind(|| assert_snapshot!(name, stderr(&output)));
    }
    // It is of the bytes that went in and came out.
    let output = run(perftool(&["inject", "-b", "-q", &known, &of_root, "--summary=json"]), &stream);
    let json: serde_json::Value = serde_json::from_slice(&output.stderr).expect("JSON");
    assert_eq!(json["bytes"]["written"], output.stdout.len());
    assert_eq!(json["bytes"]["injected"], output.stdout.len() - stream.len());
}

#[test]
fn a_run_that_fails_has_its_summary_too() {
    let stream =
        StreamBuilder::with_callchains(Endian::Little).sample(CpuMode::User, At::new(7, 1), 1, &[]).bytes();
    let output = run(perftool(&["inject", "--summary=json"]), &stream[..stream.len() - 3]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    let json: serde_json::Value = serde_json::from_str(said.lines().next().expect("a line")).expect("JSON");
    assert_eq!((json["records"].as_u64(), json["dsos"].is_null()), (Some(1), true));
    assert!(json["error"].as_str().expect("a text").contains("ends inside a record"), "{said}");
}

#[test]
fn places_that_are_none_are_errors_that_name_them() {
    let stream = StreamBuilder::with_callchains(Endian::Little).bytes();
    let told = |option: &str| {
        let output = run(perftool(&["inject", "-b", option]), &stream);
        format!("{}exit {}\n", stderr(&output), output.status.code().unwrap_or(-1))
    };
    let options = [
        "--symfs=/nowhere",
        "--root=7=/nowhere",
        "--root=seven=/",
        "--root=7",
        "--debug-dir=/bin/sh",
        "--summary=xml",
    ];
    assert_snapshot!(options.map(told).concat());
}

#[test]
fn a_name_cannot_make_a_line_of_its_own() {
    let stream = StreamBuilder::with_callchains(Endian::Little);
    let name = "/nowhere/a\nperftool: error: \x1b[2J";
    let stream =
        stream.mmap2(At::new(7, 1), 0x1000, 0x1000, name).sample(CpuMode::User, At::new(7, 2), 0x1010, &[]);
    let output = run(perftool(&["inject", "-b", "-v", "--summary"]), &stream.bytes());
    assert!(output.status.success());
    let told = stderr(&output);
    assert!(told.contains(r"/nowhere/a\nperftool: error: \u{1b}[2J"), "{told}");
    assert!(told.lines().all(|line| !line.starts_with("perftool: error")), "{told}");
}

#[test]
fn refusals_are_said_once_for_each_file_and_counted_where_they_are_many() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut stream = common::recorded_here(StreamBuilder::with_callchains(Endian::Little));
    for n in 1..=25_u64 {
        let path = dir.path().join(n.to_string());
        fs::write(&path, Elf::with_build_id(&[1; 20]).bytes()).expect("written");
        let here = fs::metadata(&path).expect("there");
        let (maj, min) = (rustix::fs::major(here.dev()), rustix::fs::minor(here.dev()));
        let replaced = MapFile::Inode(Inode { maj, min, ino: here.ino() + 1, ino_generation: 0 });
        stream = stream.mapped(At::new(7, 1), n << 20, 0x1000, path.to_str().expect("text"), replaced);
        for time in [2, 3] {
            stream = stream.sample(CpuMode::User, At::new(7, time), (n << 20) + 0x10, &[]);
        }
    }
    let said = stderr(&run(perftool(&["inject", "-b"]), &stream.bytes()));
    let named: Vec<_> = said.lines().filter(|line| line.contains("another file is there now")).collect();
    assert_eq!(named.len(), 20, "{said}");
    let rest = "perftool: warning: no build-id for 5 more DSOs, for such reasons (--summary lists them)";
    assert_eq!(said.lines().last(), Some(rest), "{said}");
    assert_eq!(said.lines().count(), 21);
}

#[test]
fn that_a_recording_was_made_elsewhere_is_said_once() {
    let mut stream = StreamBuilder::with_callchains(Endian::Little).recorded_on("there", "5.15", "x86_64");
    for n in 1..=3_u64 {
        stream = stream.mmap2(At::new(7, 1), n << 20, 0x1000, &format!("/bin/{n}"));
        stream = stream.sample(CpuMode::User, At::new(7, 2), (n << 20) + 0x10, &[]);
    }
    let stream = stream.bytes();
    let output = run(perftool(&["inject", "-b", "--buildid-to=events"]), &stream);
    let expected = "perftool: warning: no build-ids of this machine: the recording was made with kernel 5.15; \
                    inject them there, or name a copy of its files (--symfs)\n";
    assert_eq!(stderr(&output), expected);
    assert_eq!(output.stdout, stream);
}
