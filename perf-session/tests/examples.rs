//! The programs in `examples/`, on the recordings of the workspace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use perf_format::Endian;
use perf_format::testing::swapped;

use crate::forms::{compressed, directory, file_of};

mod forms;

fn recording(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(name)
}

/// What an example prints. Cargo builds it with the tests, in a folder beside theirs.
fn example(name: &str, input: &Path) -> String {
    let test = std::env::current_exe().expect("a path");
    let program = test.ancestors().nth(2).expect("a folder").join("examples").join(name);
    let ran = Command::new(&program).arg(input).output().unwrap_or_else(|error| {
        panic!("{}: {error}; `cargo test` of the whole package builds it", program.display());
    });
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{name} {}: {errors}", input.display());
    String::from_utf8(ran.stdout).expect("text")
}

/// Writes a recording in each form: `twin` is that of the other byte order.
fn make_forms(stream: &[u8], dir: &Path) {
    let put = |name: &str, bytes: &[u8]| fs::write(dir.join(name), bytes).expect("written");
    let mut packed = vec![0; zstd_safe::compress_bound(stream.len())];
    let len = zstd_safe::compress(packed.as_mut_slice(), stream, 1).expect("it fits");
    put("pipe", stream);
    put("file", &file_of(stream));
    put("compressed", &compressed(stream, Endian::Little, 4000));
    put("packed", &packed[..len]);
    put("twin", &swapped(stream));
    let in_directory = dir.join("directory");
    fs::create_dir(&in_directory).expect("made");
    directory(stream, &in_directory);
}

const FORMS: &[&str] = &["pipe", "file", "compressed", "packed", "directory", "twin"];

/// Each form's output is that of the pipe's stream, but for lines that the form itself makes different.
fn is_the_same_of_forms(in_forms: &[&str], name: &str, of: &str, is_of_form: fn(&str) -> bool) {
    let dir = tempfile::tempdir().expect("a folder");
    let stream = fs::read(recording(of)).expect("a recording");
    make_forms(&stream, dir.path());
    let mut outputs = in_forms.iter().map(|form| dir.path().join(form)).map(|form| {
        let output = example(name, &form);
        let lines = output.lines().filter(|line| !is_of_form(line)).map(str::to_owned);
        (form, lines.collect::<Vec<_>>())
    });
    let (_, first) = outputs.next().expect("a form");
    assert!(first.len() > 3, "{first:?}");
    for (form, lines) in outputs {
        assert_eq!(lines, first, "{}", form.display());
    }
}

#[test]
fn records_are_counted_in_whatever_form_they_are() {
    // What stands between the kernel's records is not in the directory that is made.
    let is_perfs = |line: &str| {
        ["SAMPLE", "MMAP2", "MMAP", "COMM", "FORK", "EXIT"]
            .iter()
            .all(|name| !line.ends_with(&format!(" {name}")))
    };
    is_the_same_of_forms(FORMS, "count", "callchain.pipe", is_perfs);
}

#[test]
fn counts_are_those_of_perf() {
    // `perf report --stats` of the file, without what it counts of itself.
    let counted = example("count", &recording("plain.data"));
    let expected = ["1 MMAP", "6 COMM", "5 EXIT", "4 FORK", "150 SAMPLE", "20 MMAP2", "2 FINISHED_ROUND"];
    let lines: Vec<_> = counted.lines().map(str::trim).take(expected.len()).collect();
    assert_eq!(lines, expected);
}

#[test]
fn stacks_are_folded_in_whatever_form_they_are() {
    is_the_same_of_forms(FORMS, "fold", "callchain.pipe", |_| false);
}

#[test]
fn a_folded_stack_is_there_for_each_sample() {
    let folded = example("fold", &recording("callchain.pipe"));
    let samples: u64 = folded
        .lines()
        .filter_map(|line| line.rsplit(' ').next())
        .map(|n| n.parse::<u64>().expect("a count"))
        .sum();
    let counted = example("count", &recording("callchain.pipe"));
    assert!(counted.contains(&format!("{samples} SAMPLE")), "{samples} in {counted}");
}

#[test]
fn switches_are_read_by_their_fields_in_whatever_form_they_are() {
    is_the_same_of_forms(FORMS, "sched", "tracepoint.pipe", |_| false);
}

#[test]
fn a_switch_is_that_of_perf_script() {
    let switches = example("sched", &recording("tracepoint.pipe"));
    // 3741.600903: sched:sched_switch: prev_comm=sh prev_pid=14329 ... ==> next_comm=sh next_pid=14331
    assert!(switches.contains("3741600903629 [001] sh:14329 -> sh:14331\n"), "{switches}");
}

#[test]
fn features_are_printed_in_whatever_form_the_recording_is() {
    // The twin's are left as they are; perf-format's own tests read features in either order.
    is_the_same_of_forms(
        &["pipe", "file", "compressed", "packed", "directory"],
        "features",
        "callchain.pipe",
        |_| false,
    );
}
