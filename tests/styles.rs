//! The styles of build-ids and the forms that they take, in files and pipes, with real perf as the reader.

mod common;

use std::fs;
use std::io::{Cursor, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use common::oracle::Perf;
use common::{oracle, perftool, run, stderr};
use perf_format::record::{CpuMode, Inode, MapFile, Misc};
use perf_format::testing::{At, StreamBuilder};
use perf_format::{Endian, RecordType};

fn stream() -> StreamBuilder {
    StreamBuilder::with_callchains(Endian::Little)
}

fn inode(ino: u64) -> MapFile {
    MapFile::Inode(Inode { maj: 8, min: 1, ino, ino_generation: 0 })
}

/// The ids of one name in each form that a file has.
fn forms(file: &Path, name: &str) -> (usize, usize, usize) {
    let json = perftool(&["buildid-list", "--json", "-i"]).arg(file).output().expect("it runs").stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    let dso =
        json["dsos"].as_array().expect("DSOs").iter().find(|dso| dso["name"] == name).expect("it is there");
    let sources = dso["sources"].as_array().expect("sources");
    let count = |place: &str| sources.iter().filter(|source| source["place"] == place).count();
    (count("header"), count("record"), count("mmap2"))
}

#[test]
fn one_pass_gives_any_set_of_forms_and_takes_none_away() {
    let dir = tempfile::tempdir().expect("a directory");
    let stream = stream()
        .mapped(At::new(1, 1), 0x1000, 0x1000, "/bin/a", inode(3))
        .sample(CpuMode::User, At::new(1, 2), 0x1800, &[])
        .finished_round()
        .bytes();
    let known = format!("--known-build-ids={} /bin/a", "ab".repeat(20));
    let inject = |args: &[&str], input: &[u8], name: &str| {
        let path = dir.path().join(name);
        let output =
            run(perftool(&[&["inject", &known, "-o", path.to_str().expect("text")], args].concat()), input);
        assert!(output.status.success(), "{}", stderr(&output));
        path
    };
    let one_by_one = [
        (&["-b"][..], (1, 0, 0)),
        (&["-b", "--buildid-to=events"], (0, 1, 0)),
        (&["-B"], (0, 0, 1)),
        (&["--mmap2-buildid-all"], (0, 0, 1)),
        (&["--mmap2-buildid-all", "-b"], (1, 0, 0)),
        (&["-B", "--buildid-all"], (1, 0, 0)),
        (&["--buildid-all", "--buildid-to=header,events"], (1, 1, 0)),
        (&["-b", "--buildid-to=header,events,mmap2"], (1, 1, 1)),
        (&["--buildid-all", "--buildid-to=mmap2,events,header"], (1, 1, 1)),
        (&["-B", "--buildid-to=header,mmap2"], (1, 0, 1)),
    ];
    for (args, expected) in one_by_one {
        assert_eq!(forms(&inject(args, &stream, "out"), "/bin/a"), expected, "{args:?}");
    }
    // One after the other, from file to file.
    let mut file = inject(&["-b"], &stream, "1");
    for (args, expected) in [
        (&["-b", "--buildid-to=events"][..], (1, 1, 0)),
        (&["--mmap2-buildid-all"], (1, 1, 1)),
        (&["-B"], (1, 1, 1)),
    ] {
        let next = file.with_extension("next");
        let mut command = perftool(&["inject", &known]);
        let done = command.args(args).arg("-i").arg(&file).arg("-o").arg(&next).output().expect("it runs");
        assert!(done.status.success(), "{}", stderr(&done));
        assert_eq!(forms(&next, "/bin/a"), expected, "{args:?}");
        file = next;
    }
}

#[test]
fn maps_inside_compressed_records_get_their_ids_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("out");
    for recording in ["compressed.pipe", "newest-compressed.pipe", "newest-compressed.data"] {
        let input = common::data().join(recording);
        for style in ["-B", "--mmap2-buildid-all"] {
            let mut inject = perftool(&["inject", "--allow-changed", style, "-i"]);
            let done = inject.arg(&input).arg("-o").arg(&out).output().expect("it runs");
            assert!(done.status.success(), "{recording}: {}", stderr(&done));
            let bytes = fs::read(&out).expect("written");
            let mut file = perf_format::PerfFile::open(Cursor::new(bytes)).expect("a file");
            assert!(!file.has(perf_format::Feature::COMPRESSED), "its records are plain");
            let mut reader = file.records().expect("records");
            let mut with_id = 0;
            while let Some(batch) = reader.next_batch().expect("whole") {
                for record in batch.map(|record| record.expect("whole")) {
                    with_id += usize::from(
                        record.misc().has(Misc::MMAP_BUILD_ID) && record.record_type() == RecordType::MMAP2,
                    );
                }
            }
            assert!(with_id >= 1, "{recording} {style}");
        }
    }
}

/// Builds a program that works for a moment in a function of this name; `None` where nothing compiles C.
fn noploop(dir: &Path) -> std::path::PathBuf {
    let source = dir.join("noploop.c");
    let text = "int noploop(void) { volatile int n = 0; while (n < 60000000) n++; return n; }\n\
                int main(void) { return noploop() == 0; }\n";
    fs::write(&source, text).expect("written");
    let program = dir.join("loop");
    let status = Command::new("cc").arg("-O1").arg("-o").arg(&program).arg(&source).status();
    assert!(status.expect("cc is here: Rust links with it").success());
    program
}

fn shell(perf: &Perf, dir: &Path, line: &str) -> String {
    let mut sh = Command::new("sh");
    let bin = Path::new(env!("CARGO_BIN_EXE_perftool"));
    sh.args(["-c", line]).current_dir(dir).env("P", bin).env("PERF", &perf.program).stdin(Stdio::null());
    String::from_utf8_lossy(&sh.output().expect("sh runs").stdout).into_owned()
}

/// What perf's own test of pipes runs, with this program in perf inject's place.
#[test]
fn in_each_pairing_and_style_perf_report_finds_the_symbol() {
    let perfs = oracle::perfs("the pairings of perf's pipe test");
    let Some(recorder) = perfs.first() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    noploop(dir.path());
    let record = "record -q -e task-clock:u -F 2000";
    let made = format!(
        "$PERF {record} -o - ./loop > x.pipe; $PERF {record} -g -o - ./loop > g.pipe; $PERF {record} -o x.data ./loop"
    );
    shell(recorder, dir.path(), &made);
    if fs::metadata(dir.path().join("x.data")).map_or(0, |meta| meta.len()) < 2000 {
        return oracle::cannot_record("task-clock:u");
    }
    let pairings = [
        "cat x.pipe | $P inject STYLE | $PERF report -i -",
        "cat g.pipe | $P inject STYLE | $PERF report -i -",
        "cat x.pipe | $P inject STYLE -o y.data; $PERF report -i y.data",
        "$P inject STYLE -i x.data | $PERF report -i -",
        "$P inject STYLE -i x.pipe | $PERF report -i -",
        "$P inject STYLE -i x.pipe -o z.data; $PERF report -i z.data",
    ];
    for perf in perfs {
        for style in ["-B", "-b", "--buildid-all", "--mmap2-buildid-all"] {
            for pairing in pairings {
                let said = shell(perf, dir.path(), &pairing.replace("STYLE", style));
                assert!(said.contains("noploop"), "{perf}, {style}: {pairing}\n{said}");
            }
            let live = format!("$PERF {record} -o - ./loop | $P inject {style} | $PERF report -i -");
            assert!(shell(perf, dir.path(), &live).contains("noploop"), "{perf}, {style}, live");
        }
    }
}

/// A file with AUX data, a hardware trace, says so with a feature, and has its ids in a table.
#[test]
fn of_a_file_with_aux_data_all_that_is_mapped_is_in_the_table() {
    let dir = tempfile::tempdir().expect("a directory");
    let [plain, traced, out] = ["plain", "traced", "out"].map(|name| dir.path().join(name));
    let stream = stream()
        .mapped(At::new(1, 1), 0x1000, 0x1000, "/bin/a", inode(3))
        .mapped(At::new(1, 2), 0x3000, 0x1000, "/bin/b", inode(4))
        .mapped(At::new(1, 3), 0x5000, 0x1000, "/bin/c", inode(5))
        .sample(CpuMode::User, At::new(1, 4), 0x1800, &[])
        .finished_round()
        .bytes();
    let id = |digit: &str| digit.repeat(40);
    let known = ["a", "b", "c"].map(|name| format!("{} /bin/{name}", id(name))).join(",");
    // The first has its id in the table before.
    let first = format!("--known-build-ids={} /bin/a", id("a"));
    let done = run(perftool(&["inject", "-b", &first, "-o", plain.to_str().expect("text")]), &stream);
    assert!(done.status.success(), "{}", stderr(&done));
    let bytes = fs::read(&plain).expect("written");
    let mut file = perf_format::PerfFile::open(Cursor::new(&bytes[..])).expect("a file");
    let perf_format::Section { offset, size } = file.header.words.data;
    let at = |offset: u64| usize::try_from(offset).expect("small");
    let mut preamble = file.preamble().expect("a preamble");
    // An index without an entry.
    preamble.features.insert(perf_format::Feature::AUXTRACE, vec![0; 8]);
    let mut writer = fs::File::create(&traced).expect("made");
    let before = preamble.write_before(&mut writer).expect("written");
    writer.write_all(&bytes[at(offset)..at(offset + size)]).expect("written");
    preamble.write_behind(&mut writer, before, size).expect("written");
    for (input, expected) in [(&plain, vec!["/bin/a"]), (&traced, vec!["/bin/a", "/bin/b", "/bin/c"])] {
        let known = format!("--known-build-ids={known}");
        let mut inject = perftool(&["inject", "-b", &known, "-i"]);
        let done = inject.arg(input).arg("-o").arg(&out).output().expect("it runs");
        assert!(done.status.success(), "{}", stderr(&done));
        let list = perftool(&["buildid-list", "-i"]).arg(&out).output().expect("it runs").stdout;
        let list = String::from_utf8(list).expect("text");
        let names: Vec<_> = list.lines().filter_map(|line| line.split(' ').nth(1)).collect();
        assert_eq!(names, expected, "{list}");
    }
}

#[test]
fn ids_of_a_files_table_stand_once_in_the_pipe_that_is_made_of_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("file");
    let stream = stream()
        .mapped(At::new(1, 1), 0x1000, 0x1000, "/bin/a", inode(3))
        .mapped(At::new(1, 2), 0x3000, 0x1000, "/bin/b", inode(4))
        .sample(CpuMode::User, At::new(1, 3), 0x1800, &[])
        .sample(CpuMode::User, At::new(1, 4), 0x3800, &[])
        .finished_round()
        .bytes();
    let [a, b] = ["a", "b"].map(|name| format!("{} /bin/{name}", name.repeat(40)));
    let known = format!("--known-build-ids={a}");
    let done = run(perftool(&["inject", "-b", &known, "-o", file.to_str().expect("text")]), &stream);
    assert!(done.status.success(), "{}", stderr(&done));
    let known = format!("--known-build-ids={a},{b}");
    let done = perftool(&["inject", "-b", &known, "-i"]).arg(&file).output().expect("it runs");
    assert!(done.status.success(), "{}", stderr(&done));
    let ids = perf_format::testing::ids_in(&perf_format::testing::records(&done.stdout), Endian::Little);
    let names: Vec<_> = ids.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["/bin/a", "/bin/b"]);
}
