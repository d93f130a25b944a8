//! The programs in `examples/`, on the recordings of the workspace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use perf_format::testing::swapped;
use perf_session::{AddressSpace, SessionReader};

fn recording(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(name)
}

/// The stream that an example writes. Cargo builds it with the tests, in a folder beside theirs.
fn example(name: &str, input: &Path, args: &[&str]) -> Vec<u8> {
    let test = std::env::current_exe().expect("a path");
    let program = test.ancestors().nth(2).expect("a folder").join("examples").join(name);
    let ran = Command::new(&program).arg(input).args(args).output().unwrap_or_else(|error| {
        panic!("{}: {error}; `cargo test` of the whole package builds it", program.display());
    });
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{name} {}: {errors}", input.display());
    ran.stdout
}

/// The samples of a stream: their processes and threads, and the threads' names.
fn samples(stream: &[u8]) -> Vec<(i32, i32, String)> {
    let mut reader = SessionReader::from_stream(stream).expect("perf data");
    let mut samples = Vec::new();
    while let Some(record) = reader.next().expect("whole") {
        if record.sample().expect("a sample's fields").is_some() {
            let name = record.comm().map_or_else(String::new, |comm| comm.to_string());
            samples.push((record.pid().expect("a process"), record.tid().expect("a thread"), name));
        }
    }
    samples
}

/// The recordings that are tried: pipes, files, compressed ones, and twins in the other byte order.
fn inputs(dir: &Path) -> Vec<PathBuf> {
    let twin = dir.join("twin");
    fs::write(&twin, swapped(&fs::read(recording("callchain.pipe")).expect("a recording"))).expect("written");
    let names = ["callchain.pipe", "compressed.pipe", "plain.data", "newest-compressed.data"];
    names.iter().map(|name| recording(name)).chain([twin]).collect()
}

#[test]
fn of_one_process_all_samples_stay_and_of_others_none() {
    let dir = tempfile::tempdir().expect("a folder");
    for input in inputs(dir.path()) {
        let of_nobody = example("onlypid", &input, &["-1"]);
        assert_eq!(samples(&of_nobody), [], "{}: no process is that of the kernel's maps", input.display());
        let mut reader = SessionReader::from_stream(&of_nobody[..]).expect("perf data");
        while reader.next().expect("whole").is_some() {}
        let kernel = reader.session().machines.host().maps(AddressSpace::Kernel).expect("an address space");
        assert_eq!(kernel.iter().count(), 1, "{}: the kernel's map", input.display());
        let mut reader = SessionReader::open(&input).expect("perf data");
        let mut pids = Vec::new();
        while let Some(record) = reader.next().expect("whole") {
            if record.sample().expect("a sample's fields").is_some() {
                pids.push(record.pid().expect("a process"));
            }
        }
        let only = pids[pids.len() / 2];
        let kept = samples(&example("onlypid", &input, &[&only.to_string()]));
        assert_eq!(kept.len(), pids.iter().filter(|pid| **pid == only).count(), "{}", input.display());
        assert!(kept.iter().all(|(pid, ..)| *pid == only) && kept.len() < pids.len(), "{}", input.display());
    }
}

#[test]
fn a_thread_has_the_name_that_it_is_given_from_its_first_sample_on() {
    let dir = tempfile::tempdir().expect("a folder");
    for input in inputs(dir.path()) {
        let before = samples(&example("addcomm", &input, &["0", "nobody"]));
        let (_, tid, _) = before[before.len() / 2];
        let after = samples(&example("addcomm", &input, &[&tid.to_string(), "renamed"]));
        assert_eq!(after.len(), before.len(), "{}", input.display());
        let first = after.iter().find(|(_, other, _)| *other == tid).expect("a sample");
        assert_eq!(first.2, "renamed", "{}", input.display());
    }
}
