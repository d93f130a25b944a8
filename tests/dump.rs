//! `perftool dump` and `perftool diff`: the recordings in tests/data as snapshots, damage, and exit codes.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use common::{data, perftool, pipe_recordings, run, stderr};
use insta::assert_snapshot;
use perf_format::PerfFile;
use perf_format::testing::swapped;
use serde_json::Value;

fn dump(args: &[&str], input: &Path) -> Output {
    perftool(&["dump"]).args(args).arg("-i").arg(input).output().expect("it runs")
}

fn text(output: Output) -> String {
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).expect("text")
}

fn recordings() -> Vec<PathBuf> {
    let entries =
        fs::read_dir(data()).expect("tests/data is there").map(|entry| entry.expect("an entry").path());
    let mut all: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "pipe" || extension == "data"))
        .collect();
    all.sort();
    all
}

fn name(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

/// The small ones, which are kept whole.
const SMALL: [&str; 4] =
    ["cgroups.pipe", "group.pipe", "namespaces.pipe", "newest-tracepoint-and-clock.data"];

#[test]
fn every_recording_dumps_and_the_small_ones_are_kept_whole() {
    let mut counts = String::new();
    for path in recordings() {
        let name = name(&path);
        let (as_text, as_json) = (text(dump(&[], &path)), text(dump(&["--json"], &path)));
        let mut by_type = BTreeMap::new();
        for (line, object) in as_text.lines().zip(as_json.lines()) {
            let object: Value =
                serde_json::from_str(object).unwrap_or_else(|error| panic!("{error}: {object}"));
            let word = object["record"].as_str().expect("a word").to_owned();
            assert!(line.split(' ').take(2).any(|other| other == word), "{name}: {line}");
            *by_type.entry(word).or_insert(0) += 1;
        }
        assert_eq!(as_text.lines().count(), as_json.lines().count(), "{name}");
        assert!(!as_text.contains(" error="), "{name}: all of it can be parsed");
        counts += &format!("{name}: {by_type:?}\n");
        if SMALL.contains(&&*name) {
            assert_snapshot!(format!("text_{name}"), as_text);
            assert_snapshot!(
                format!("stable_{name}"),
                text(dump(&["--stable", "--time-step=1000000"], &path))
            );
        }
        if name == "group.pipe" {
            assert_snapshot!(format!("json_{name}"), as_json);
        }
    }
    assert_snapshot!("counts", counts);
}

#[test]
fn the_twin_of_a_recording_in_the_other_byte_order_dumps_the_same_records() {
    for (name, stream) in pipe_recordings() {
        // What is compressed is not swapped.
        if name.contains("compressed") {
            continue;
        }
        // Of features, the swapper turns only texts round.
        let args = ["dump", "--events-only", "-i", "-"];
        let [ours, twins] = [&stream, &swapped(&stream)].map(|bytes| text(run(perftool(&args), bytes)));
        assert!(ours == twins, "{name}");
    }
}

#[test]
fn compressed_records_of_a_directory_go_on_in_each_file_by_themselves() {
    let first = data().join("newest-compressed.data");
    let file = PerfFile::open(fs::File::open(&first).expect("a recording")).expect("a file");
    let mut records = Vec::new();
    file.into_record_bytes().expect("records").read_to_end(&mut records).expect("read");
    let dir = tempfile::tempdir().expect("a directory");
    fs::copy(&first, dir.path().join("data")).expect("copied");
    for other in ["data.0", "data.1"] {
        fs::write(dir.path().join(other), &records).expect("written");
    }
    let samples = |input| text(dump(&["--events-only", "--no-offsets", "--types=SAMPLE"], input));
    let of_one = samples(&first);
    assert!(of_one.contains("SAMPLE "), "{of_one}");
    assert_eq!(samples(dir.path()), of_one.repeat(3));
}

#[test]
fn what_cannot_be_dumped_says_why_and_what_is_damaged_is_dumped_as_far_as_it_goes() {
    let dir = tempfile::tempdir().expect("a directory");
    let elf = dump(&[], Path::new(env!("CARGO_BIN_EXE_perftool")));
    assert_eq!(elf.status.code(), Some(1));
    assert!(stderr(&elf).contains("buildid-list"), "{}", stderr(&elf));
    let nothing = dump(&[], &dir.path().join("nothing"));
    assert_eq!(nothing.status.code(), Some(1));
    let stream = fs::read(data().join("group.pipe")).expect("it is kept");
    let cut = dir.path().join("cut");
    fs::write(&cut, &stream[..stream.len() - 30]).expect("written");
    let output = dump(&[], &cut);
    assert_eq!(output.status.code(), Some(1));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = printed.lines().last().expect("a line");
    assert!(last.starts_with("ERROR error=\"the input ends inside a record at offset 0x"), "{last}");
    assert!(stderr(&output).contains("to its end"), "{}", stderr(&output));
    // Bytes that are no record, and records behind them.
    let mut damaged = stream.clone();
    damaged.splice(stream.len() - 130..stream.len() - 130, [0; 40]);
    fs::write(&cut, &damaged).expect("written");
    assert_eq!(dump(&[], &cut).status.code(), Some(1));
    let output = dump(&["--recover"], &cut);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("bytes are lost"), "{}", stderr(&output));
}

#[test]
fn selections_are_taken_from_the_command_line() {
    let path = data().join("namespaces.pipe");
    let lines = |args: &[&str]| text(dump(args, &path)).lines().map(str::to_owned).collect::<Vec<_>>();
    let comms = lines(&["--types=PERF_RECORD_COMM,MMAP", "--events-only", "--no-offsets"]);
    assert!(comms.iter().all(|line| line.starts_with("COMM ") || line.starts_with("MMAP ")), "{comms:?}");
    assert!(lines(&["--header-only"]).iter().all(|line| !line.starts_with("0x")));
    let times =
        lines(&["--time=4180.8,4180.9", "--events-only", "--fields=time,sample_id", "--types=SAMPLE"]);
    assert!(!times.is_empty() && times.iter().all(|line| line.contains("time=41808")), "{times:?}");
    let of_one = lines(&["--pid=10", "--types=SAMPLE", "--events-only"]);
    assert!(!of_one.is_empty() && of_one.iter().all(|line| line.contains(" pid=10 ")), "{of_one:?}");
    for wrong in ["--types=NOTHING", "--time=1", "--time=x,", "--time=1.0000000001,", "--stable=colours"] {
        let output = dump(&[wrong], &path);
        assert_eq!(output.status.code(), Some(129), "{wrong}: {}", stderr(&output));
    }
}

#[test]
fn diff_ends_as_diff_does_and_a_dump_that_was_kept_stands_for_its_recording() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = data().join("newest.data");
    let diff = |args: &[&str], a: &Path, b: &Path| {
        let output = perftool(&["diff"]).args(args).arg(a).arg(b).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned(), stderr(&output))
    };
    for (name, args) in [("text", &[][..]), ("json", &["--json"])] {
        let kept = dir.path().join(name);
        fs::write(&kept, text(dump(args, &path))).expect("written");
        assert_eq!(diff(&[], &kept, &path), (Some(0), String::new(), String::new()), "{name}");
    }
    let (code, printed, said) = diff(&["--json"], &dir.path().join("text"), &path);
    assert_eq!((code, printed.as_str()), (Some(129), ""), "{said}");
    let other = data().join("newest-table.data");
    let (code, printed, said) = diff(&["--stat"], &path, &other);
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert!(printed.contains("the first difference is at line"), "{printed}");
    let (code, _, said) = diff(&[], &path, &dir.path().join("nothing"));
    assert_eq!(code, Some(2), "{said}");
}

#[test]
fn what_is_injected_is_all_that_differs() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut injected_ids = 0;
    for path in recordings().iter().filter(|path| !name(path).contains("compressed")) {
        let injected = dir.path().join("injected");
        let known = "--known-build-ids=abababababababababababababababababababab [vdso]";
        let output = perftool(&["inject", "-b", known, "-i"]).arg(path).output().expect("it runs");
        assert!(output.status.success(), "{}", stderr(&output));
        fs::write(&injected, &output.stdout).expect("written");
        let output = perftool(&["diff", "-U0"]).arg(path).arg(&injected).output().expect("it runs");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let differs =
            printed.lines().filter(|line| !["---", "+++", "@@ "].iter().any(|head| line.starts_with(head)));
        for line in differs {
            assert!(line.starts_with("+BUILD_ID "), "{}: {line}", path.display());
            injected_ids += 1;
        }
    }
    assert!(injected_ids > 5, "the vdso is hit in some: {injected_ids}");
}
