//! `perftool buildid-list`: perf's text, every kind of input, JSON, and what is said of damage.

mod common;

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use bstr::ByteSlice as _;
use common::oracle::Perf;
use common::{chains, oracle, perftool, run, stderr};
use insta::assert_snapshot;
use perf_format::record::{BuildIdRecord, CpuMode, MapFile, Misc, Record, SizedBuildId};
use perf_format::testing::{At, StreamBuilder};
use perf_format::{BuildId, Endian};
use perf_session::testing::Elf;

fn list(args: &[&str], input: &Path) -> Output {
    perftool(&["buildid-list"]).args(args).arg("-i").arg(input).output().expect("it runs")
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("text")
}

/// What was printed, what was said, and how it ended.
fn told(output: Output, dir: &Path) -> String {
    let code = output.status.code().expect("an exit code");
    let said = stderr(&output).replace(&*dir.to_string_lossy(), "DIR");
    format!("{}{said}(exit {code})\n", text(output.stdout))
}

/// All recordings that are kept, pipes and files.
fn recordings() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(common::data())
        .expect("tests/data is there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pipe" || extension == "data"))
        .collect();
    all.sort();
    all
}

/// What a perf prints, with the vdso's own name in the place of its temporary file's; `None` where it fails.
fn perfs(perf: &Perf, args: &[&str], input: &Path) -> Option<String> {
    let mut command = perf.command();
    command.arg("buildid-list").args(args).arg("-f").arg("-i").arg(input);
    let output = command.stdin(Stdio::null()).output().expect("perf runs");
    let said = stderr(&output);
    let failed = !output.status.success()
        || ["failed", "unexpected", "not set"].iter().any(|word| said.contains(word));
    let printed = text(output.stdout);
    let is_renamed = printed.contains(" /tmp/perf-vdso.so-");
    let mut lines: Vec<String> = printed
        .lines()
        .map(|line| match line.split_once(" /tmp/perf-vdso.so-") {
            Some((id, _)) => format!("{id} [vdso]\n"),
            None => format!("{line}\n"),
        })
        .collect();
    if is_renamed {
        // Under its own name it stands elsewhere.
        sort_by_name(&mut lines);
    }
    (!failed).then(|| lines.concat())
}

/// The name in a line of a list.
fn name(line: &str) -> &str {
    line.get(41..).expect("40 columns of id, a space, the name").trim_end()
}

fn sort_by_name(lines: &mut [String]) {
    lines.sort_by(|a, b| name(a).cmp(name(b)));
}

/// Whether a perf shows samples of a recording as they were recorded. From 7 on it unwinds the stacks that are in some
/// with the files of this machine, whose ids it takes then.
fn is_shown_as_recorded(perf: &Perf, input: &Path) -> bool {
    perf.major() < 7 || input.file_name().is_none_or(|name| name != "dwarf.pipe")
}

/// Compares a list with that of a perf of any version: those of before 7 look at no call chain, and
/// 6.1 lists DSOs as they came up. So both are sorted, and what more is listed is what call chains hit.
fn assert_lists_what_perf_and_chains_do(args: &[&str], input: &Path, perfs: &str) {
    let what = format!("{} {args:?}", input.display());
    let output = list(args, input);
    assert!(output.status.success(), "{what}: {}", stderr(&output));
    let lines = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        sort_by_name(&mut lines);
        lines
    };
    let (ours, perfs) = (lines(&text(output.stdout)), lines(perfs));
    // A table is listed as it is.
    let is_table = args.is_empty() && list(&["--json"], input).stdout.contains_str("\"place\": \"header\"");
    // Recordings in directories are made without chains here.
    let has_chains = !is_table && !input.is_dir();
    let by_chains = if has_chains { chains::hit(&plain(input)) } else { BTreeSet::new() };
    let names = |lines: &[String]| lines.iter().map(|line| name(line).to_owned()).collect::<BTreeSet<_>>();
    let more: BTreeSet<_> = by_chains.difference(&names(&perfs)).cloned().collect();
    let (extra, same): (Vec<_>, Vec<_>) = ours.into_iter().partition(|line| more.contains(name(line)));
    assert_eq!(same, perfs, "{what}, but for what chains alone hit: {more:?}");
    assert_eq!(names(&extra), more, "{what}");
}

/// A recording as a pipe's stream in which nothing is compressed.
fn plain(input: &Path) -> Vec<u8> {
    let mut inject = perftool(&["inject", "--decompress", "-i"]);
    let output = inject.arg(input).stdin(Stdio::null()).output().expect("it runs");
    assert!(output.status.success(), "{}: {}", input.display(), stderr(&output));
    output.stdout
}

#[test]
fn of_every_recording_that_is_listed_which_perf_lists_and_which_chains_hit() {
    for perf in oracle::perfs("perf buildid-list on the recordings") {
        let mut compared = 0;
        for path in recordings().into_iter().filter(|path| is_shown_as_recorded(perf, path)) {
            for args in [&[][..], &["-H"]] {
                if let Some(perfs) = perfs(perf, args, &path) {
                    compared += 1;
                    assert_lists_what_perf_and_chains_do(args, &path, &perfs);
                }
            }
        }
        assert!(compared >= 30, "{perf} reads most recordings; it did {compared}");
    }
}

#[test]
fn the_text_is_that_of_perf_7_to_the_byte_on_every_recording() {
    for perf in oracle::perfs_from_7_on("lists of the recordings, to the byte") {
        let mut compared = 0;
        for path in recordings().into_iter().filter(|path| is_shown_as_recorded(perf, path)) {
            for args in [&[][..], &["-H"]] {
                if let Some(perfs) = perfs(perf, args, &path) {
                    compared += 1;
                    assert_eq!(text(list(args, &path).stdout), perfs, "{perf}, {} {args:?}", path.display());
                }
            }
        }
        assert!(compared >= 30, "{perf} reads most recordings; it did {compared}");
    }
}

/// The files that a recording maps as two. A program that ran when perf began to record, and was started again later, is two
/// DSOs to perf from 7 on, since what it reads in /proc has no generation of the inode, and one of them may have no id. Here
/// it is one file.
fn files_of_two(recording: &Path) -> HashSet<String> {
    let mut dump = perftool(&["dump", "--json", "--events-only", "--types=MMAP2", "-i"]);
    let maps = text(dump.arg(recording).output().expect("it runs").stdout);
    let mut inodes = BTreeSet::new();
    for map in maps.lines() {
        let map: serde_json::Value = serde_json::from_str(map).expect("JSON");
        let fields = &map["fields"];
        let inode = [&fields["maj"], &fields["min"], &fields["ino"], &fields["ino_generation"]];
        inodes.insert((
            fields["filename"].as_str().unwrap_or_else(|| panic!("no name: {map}")).to_owned(),
            format!("{inode:?}"),
        ));
    }
    let mut seen = HashSet::new();
    inodes.into_iter().map(|(name, _)| name).filter(|name| !seen.insert(name.clone())).collect()
}

/// The lines of a list but those with these names.
fn without<'l>(list: &'l str, names: &HashSet<String>) -> Vec<&'l str> {
    list.lines().filter(|line| !names.contains(name(line))).collect()
}

#[test]
fn of_fresh_recordings_that_is_listed_which_perf_lists_and_which_chains_hit() {
    let Some(recorder) = oracle::recorder("fresh recordings") else { return };
    let from_7_on = oracle::perfs_from_7_on("lists of fresh recordings, to the byte");
    let dir = tempfile::tempdir().expect("a directory");
    let kinds: [&[&str]; 9] = [
        &[],
        &["-g"],
        &["-z"],
        &["--buildid-all"],
        &["--buildid-mmap"],
        &["-B"],
        &["-a", "-g"],
        &["--threads"],
        &["--threads", "-z"],
    ];
    for (number, kind) in kinds.into_iter().enumerate() {
        let path = dir.path().join(format!("{number}.data"));
        let mut record = Command::new(&recorder.program);
        record.args(["record", "-q", "-e", "cpu-clock", "-F", "4000"]).args(kind).arg("-o").arg(&path);
        record.args(["--", "sh", "-c", "ls -R /usr/share/doc >/dev/null; seq 40000 | sort -r | cksum"]);
        let recorded = record.stdin(Stdio::null()).output().expect("perf runs");
        if !recorded.status.success() {
            return oracle::cannot_record(&stderr(&recorded));
        }
        let two = files_of_two(&path);
        for args in [&[][..], &["-H"]] {
            let perfs_own = perfs(recorder, args, &path).expect("perf reads its own");
            assert_lists_what_perf_and_chains_do(args, &path, &perfs_own);
            // One that was built without zstd reads no compressed records.
            for (perf, perfs) in from_7_on.iter().filter_map(|perf| Some((perf, perfs(perf, args, &path)?))) {
                let ours = text(list(args, &path).stdout);
                let [ours, perfs] = [&ours, &perfs].map(|list| without(list, &two));
                assert_eq!(ours, perfs, "{perf}, {kind:?} {args:?}");
            }
        }
    }
}

#[test]
fn what_a_pipe_holds_is_listed_wherever_it_comes_from() {
    let path = common::data().join("build-id-mmap.pipe");
    let expected = text(list(&[], &path).stdout);
    assert_eq!(expected.lines().count(), 4, "{expected}");
    let stream = fs::read(&path).expect("a recording");
    // A pipe on standard input needs no name.
    assert_eq!(text(run(perftool(&["buildid-list"]), &stream).stdout), expected);
    assert_eq!(text(run(perftool(&["buildid-list", "-i", "-"]), &stream).stdout), expected);
    let from_file = perftool(&["buildid-list", "-i", "-"]).stdin(File::open(&path).expect("open")).output();
    assert_eq!(text(from_file.expect("it runs").stdout), expected);

    let dir = tempfile::tempdir().expect("a directory");
    let fifo = dir.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).expect("a FIFO");
    let both = [&["buildid-list"][..], &["buildid-list", "-i", fifo.to_str().expect("text")]];
    for (redirected, args) in [true, false].into_iter().zip(both) {
        std::thread::scope(|scope| {
            scope.spawn(|| fs::write(&fifo, &stream).expect("somebody reads it"));
            let mut command = perftool(args);
            if redirected {
                command.stdin(File::open(&fifo).expect("somebody writes it"));
            }
            assert_eq!(text(command.output().expect("it runs").stdout), expected);
        });
    }
}

#[test]
fn without_a_pipe_and_a_name_it_is_perf_data() {
    let dir = tempfile::tempdir().expect("a directory");
    let plain = common::data().join("plain.data");
    fs::copy(&plain, dir.path().join("perf.data")).expect("copied");
    let mut command = perftool(&["buildid-list"]);
    let output = command.current_dir(dir.path()).stdin(Stdio::null()).output().expect("it runs");
    assert_eq!(text(output.stdout), text(list(&[], &plain).stdout));
}

#[test]
fn an_object_file_is_its_id_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("object");
    for len in [1, 5, 8, 16, 20, 24, 32] {
        for sections in [true, false] {
            fs::write(&path, Elf { sections, ..Elf::with_build_id(&vec![0x5e; len]) }.bytes())
                .expect("written");
            assert_eq!(text(list(&[], &path).stdout), format!("{}\n", "5e".repeat(len.min(20))));
        }
    }
    for packed in ["module.ko", "module.ko.gz", "module.ko.xz", "module.ko.zst"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("perf-session/tests/data").join(packed);
        assert_eq!(text(list(&[], &path).stdout), format!("{}\n", "cd".repeat(20)), "{packed}");
    }
    fs::write(&path, Elf::new(object::Endianness::Little, true).bytes()).expect("written");
    assert_snapshot!(told(list(&[], &path), dir.path()));
}

#[test]
fn the_running_kernel_is_told() {
    let id = text(perftool(&["buildid-list", "-k"]).output().expect("it runs").stdout);
    assert_eq!(id.len(), 41, "{id}");
    let maps = text(perftool(&["buildid-list", "--kernel-maps"]).output().expect("it runs").stdout);
    let first = maps.lines().next().expect("a line");
    assert!(first.starts_with(id.trim_end()) && first.ends_with(" [kernel.kallsyms]"), "{first}");
    for perf in oracle::perfs("perf buildid-list -k and -m") {
        for option in ["-k", "-m"] {
            let perfs = perf.command().args(["buildid-list", option]).output().expect("perf runs");
            assert_eq!(
                text(perftool(&["buildid-list", option]).output().expect("it runs").stdout),
                text(perfs.stdout)
            );
        }
    }
}

#[test]
fn json_says_where_each_id_comes_from() {
    for name in ["plain.data", "callchain.data", "callchain.pipe", "build-id-mmap.pipe", "compressed.pipe"] {
        let output = list(&["--json"], &common::data().join(name));
        assert_eq!(stderr(&output), "");
        assert_snapshot!(format!("json_{name}"), text(output.stdout));
    }
}

/// A stream in which the places of an id do not agree, with a guest and a name that is no UTF-8.
fn contradictory() -> Vec<u8> {
    let id = |byte| BuildId::new(&[byte; 20]).expect("an id");
    let mapped = |byte| MapFile::BuildId(Some(id(byte)));
    let guest = BuildIdRecord {
        pid: 77,
        build_id: SizedBuildId(Some(id(9))),
        filename: "[guest.kernel.kallsyms.77]".into(),
    };
    let odd_name =
        BuildIdRecord { pid: -1, build_id: SizedBuildId(Some(id(5))), filename: b"/lib/\xff.so"[..].into() };
    StreamBuilder::with_callchains(Endian::Big)
        .record(Misc::of(CpuMode::GuestKernel), &Record::BuildId(guest))
        .record(Misc::of(CpuMode::User), &Record::BuildId(odd_name))
        .mapped(At::new(1, 10), 0x1000, 0x1000, "/lib/a.so", mapped(1))
        .build_id(CpuMode::User, id(2), "/lib/a.so")
        .mapped(At::new(1, 20), 0x8000, 0x1000, "/lib/a.so", mapped(1))
        .mmap2(At::new(1, 11), 0x2000, 0x1000, "/lib/b.so")
        .mmap2(At::new(1, 11), 0x4000, 0x1000, "/lib/unhit.so")
        .sample(CpuMode::User, At::new(1, 12), 0x2000, &[0x2000, 0x1000, 0x2004, 0x1008])
        .sample(CpuMode::User, At::new(1, 13), 0x2000, &[0x2000])
        .bytes()
}

#[test]
fn each_hit_is_counted_once_whatever_comes_behind_it() {
    let at = |pid, time| At::new(pid, time);
    let stream = StreamBuilder::with_callchains(Endian::Little)
        .mmap2(at(1, 10), 0x1000, 0x1000, "/lib/a.so")
        .sample(CpuMode::User, at(1, 20), 0x1000, &[0x1000, 0x1100])
        .fork(at(2, 30), 1)
        .sample(CpuMode::User, at(2, 40), 0x1000, &[0x1000, 0x5000])
        .exec(at(2, 50), "other")
        // Late: it is of before the samples, which stand in front of it.
        .mmap2(at(1, 15), 0x5000, 0x1000, "/lib/late.so")
        .finished_round()
        .exec(at(1, 60), "another")
        .finished_round();
    let document = run(perftool(&["buildid-list", "--json"]), &stream.bytes()).stdout;
    let document: serde_json::Value = serde_json::from_slice(&document).expect("JSON");
    let dsos = document["dsos"].as_array().expect("a list");
    let counts: Vec<_> = dsos
        .iter()
        .map(|dso| {
            let count = |by| dso["hits"][by].as_u64().expect("a number");
            (dso["name"].as_str().expect("a name"), count("ip"), count("callchain"))
        })
        .collect();
    assert_eq!(counts, [("/lib/a.so", 2, 2), ("/lib/late.so", 0, 1)]);
}

#[test]
fn json_holds_what_does_not_agree() {
    let output = run(perftool(&["buildid-list", "--json"]), &contradictory());
    assert_snapshot!(text(output.stdout));
}

#[test]
fn lists_can_be_sorted_and_cut_to_what_is_missing() {
    let stream = contradictory();
    let told: Vec<String> =
        [&["--sort=name"][..], &["--sort=hits"], &["--sort=id"], &["--json", "--missing"]]
            .into_iter()
            .map(|args| {
                let output = run(perftool(&[&["buildid-list"], args].concat()), &stream);
                format!("--- {}\n{}", args.join(" "), String::from_utf8_lossy(&output.stdout))
            })
            .collect();
    assert_snapshot!(told.concat());
}

#[test]
fn what_a_file_with_a_table_lacks_is_listed_and_is_exit_1() {
    let dir = tempfile::tempdir().expect("a directory");
    let (input, file) = (dir.path().join("in"), dir.path().join("file"));
    let stream = StreamBuilder::with_callchains(Endian::Little)
        .mmap2(At::new(7, 1), 0x1000, 0x1000, "/nowhere/a")
        .mmap2(At::new(7, 1), 0x3000, 0x1000, "/nowhere/b")
        .mmap2(At::new(7, 1), 0x5000, 0x1000, "//anon");
    let stream = [0x1100, 0x3100, 0x5100]
        .into_iter()
        .fold(stream, |stream, ip| stream.sample(CpuMode::User, At::new(7, 2), ip, &[]));
    fs::write(&input, stream.bytes()).expect("written");
    let inject = |ids: &str| {
        let known = format!("--known-build-ids={ids}");
        let mut command = perftool(&["inject", "-b", &known]);
        let output = command.arg("-i").arg(&input).arg("-o").arg(&file).output().expect("it runs");
        assert!(output.status.success(), "{}", stderr(&output));
    };
    let missing = || {
        let output = perftool(&["buildid-list", "--missing", "-i"]).arg(&file).output().expect("it runs");
        let told = stderr(&output);
        (output.status.code(), String::from_utf8(output.stdout).expect("text"), told)
    };
    let (a, b) = (format!("{} /nowhere/a", "ab".repeat(20)), format!("{} /nowhere/b", "cd".repeat(20)));
    inject(&a);
    let told = "perftool: error: 1 DSO that samples hit has no build-id\n".to_owned();
    assert_eq!(missing(), (Some(1), format!("{:41}/nowhere/b\n", ""), told));
    // Anonymous memory has none and is not missing one.
    inject(&format!("{a},{b}"));
    assert_eq!(missing(), (Some(0), String::new(), String::new()));
}

#[test]
fn by_time_the_list_is_as_the_recording_names_them() {
    let recording = common::data().join("callchain.data");
    let recording = recording.to_str().expect("a name");
    let names = |args: &[&str]| -> Vec<String> {
        let output =
            perftool(&[&["buildid-list", "-i", recording], args].concat()).output().expect("it runs");
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines().map(|line| line[41..].to_owned()).collect()
    };
    let (by_time, by_name) = (names(&["--sort=time"]), names(&[]));
    assert_ne!(by_time, by_name);
    let mut sorted = by_time.clone();
    sorted.sort();
    assert_eq!(sorted, by_name);
    assert_eq!(by_time.first().map(String::as_str), Some("[kernel.kallsyms]"));
}

#[test]
fn ids_are_compared_with_the_files_here() {
    let dir = tempfile::tempdir().expect("a directory");
    let name = |file: &str| dir.path().join(file).into_os_string().into_string().expect("text");
    let id = |byte| BuildId::new(&[byte; 20]).expect("an id");
    // Of an id that is longer than records can hold they have the first 20 bytes.
    fs::write(name("same"), Elf::with_build_id(&[1; 32]).bytes()).expect("written");
    fs::write(name("rebuilt"), Elf::with_build_id(&[3; 20]).bytes()).expect("written");
    let stream = |files: &[(&str, u8)]| {
        let stream = StreamBuilder::with_callchains(Endian::Little);
        let stream = files
            .iter()
            .fold(stream, |stream, (file, byte)| stream.build_id(CpuMode::User, id(*byte), &name(file)));
        let stream = (0u64..).zip(files).fold(stream, |stream, (n, (file, _))| {
            stream.mmap2(At::new(1, 1), 0x1000 * (n + 1), 0x1000, &name(file))
        });
        let stream = (0u64..).zip(files).fold(stream, |stream, (n, _)| {
            stream.sample(CpuMode::User, At::new(1, 2), 0x1000 * (n + 1), &[])
        });
        stream.bytes()
    };
    let differing = stream(&[("same", 1), ("rebuilt", 2), ("gone", 4)]);
    let shown = |args: &[&str], stream: &[u8]| {
        let output = run(perftool(&[&["buildid-list", "--check"], args].concat()), stream);
        told(output, dir.path()).replace(&*dir.path().to_string_lossy(), "DIR")
    };
    assert_snapshot!(shown(&[], &differing));
    assert_snapshot!("ids_are_compared_json", shown(&["--json"], &differing));
    assert_snapshot!("ids_are_the_same", shown(&[], &stream(&[("same", 1), ("gone", 4)])));
}

#[test]
fn a_cut_recording_lists_what_it_holds_and_says_where_it_ended() {
    let dir = tempfile::tempdir().expect("a directory");
    let cut = |name: &str, len: usize| {
        let bytes = fs::read(common::data().join(name)).expect("a recording");
        let path = dir.path().join(format!("cut-{len}-{name}"));
        fs::write(&path, &bytes[..len]).expect("written");
        told(list(&[], &path), dir.path())
    };
    let told: Vec<String> =
        [("plain.data", 60), ("plain.data", 104), ("plain.data", 5000), ("callchain.pipe", 9000)]
            .into_iter()
            .map(|(name, len)| format!("--- {name}, {len} bytes\n{}", cut(name, len)))
            .collect();
    assert_snapshot!(told.concat());
}

#[test]
fn a_recording_that_was_never_closed_is_read_to_its_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("killed.data");
    let mut bytes = fs::read(common::data().join("plain.data")).expect("a recording");
    let data = usize::try_from(u64::from_le_bytes(bytes[40..48].try_into().expect("8"))).expect("small");
    let size = usize::try_from(u64::from_le_bytes(bytes[48..56].try_into().expect("8"))).expect("small");
    bytes.truncate(data + size);
    bytes[48..56].fill(0);
    fs::write(&path, bytes).expect("written");
    assert_snapshot!(told(list(&[], &path), dir.path()));
}

#[test]
fn sections_that_cannot_be_are_said_with_their_offset() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("bad.data");
    let whole = fs::read(common::data().join("plain.data")).expect("a recording");
    let word = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    let table = usize::try_from(word(&whole, 40) + word(&whole, 48)).expect("small");
    let ids = usize::try_from(word(&whole, table)).expect("small");
    let changes: [(&str, usize, Vec<u8>); 6] = [
        ("the table far outside", table, vec![0xff; 8]),
        ("the table longer than memory", table + 8, vec![0xff; 7]),
        ("an entry without an end to its name", ids + 36, vec![b'x'; 64]),
        ("an entry longer than the table", ids + 6, vec![0xff; 2]),
        ("an entry of no size", ids + 6, vec![0; 2]),
        ("attrs far outside", 24, vec![0xff; 7]),
    ];
    let mut all = String::new();
    for (what, at, bytes) in changes {
        let mut damaged = whole.clone();
        damaged[at..at + bytes.len()].copy_from_slice(&bytes);
        fs::write(&path, damaged).expect("written");
        let args: &[&str] = if what.starts_with("attrs") { &["-H"] } else { &[] };
        all += &format!("--- {what}\n{}", told(list(args, &path), dir.path()));
    }
    assert_snapshot!(all);
}

#[test]
fn a_directory_is_a_recording_or_an_error() {
    let dir = tempfile::tempdir().expect("a directory");
    assert_snapshot!(told(list(&[], dir.path()), dir.path()));
    fs::copy(common::data().join("plain.data"), dir.path().join("data")).expect("copied");
    let expected = text(list(&[], &common::data().join("plain.data")).stdout);
    assert_eq!(text(list(&[], dir.path()).stdout), expected);
}

#[test]
fn a_file_in_the_other_byte_order_and_with_the_old_magic_is_read() {
    // The header of a 2.6.33 file, all sections empty, and a BUILD_ID table behind no records.
    for (endian, magic) in [
        (Endian::Little, b"PERFILE2"),
        (Endian::Big, b"2ELIFREP"),
        (Endian::Little, b"PERFFILE"),
        (Endian::Big, b"PERFFILE"),
    ] {
        let mut file = magic.to_vec();
        for word in [104, 64 + 16, 104, 0, 104, 0, 0, 0, (1 << 2) | (1 << 3), 0, 0, 0] {
            file.extend(endian.put_u64(word));
        }
        let mut table = Vec::new();
        let id = SizedBuildId(BuildId::new(&[0x2b; 20]).ok());
        let entry = BuildIdRecord { pid: -1, build_id: id, filename: "/bin/old".into() };
        Record::BuildId(entry).encode(Misc::of(CpuMode::User), &[], endian, &mut table).expect("small");
        table[..4].fill(0);
        for word in [104 + 32, table.len() as u64, 104 + 32 + table.len() as u64, 0] {
            file.extend(endian.put_u64(word));
        }
        file.extend(table);
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("old.data");
        fs::write(&path, file).expect("written");
        // A recording without records and one whose header was never completed look the same.
        let output = list(&[], &path);
        assert_eq!(text(output.stdout), format!("{} /bin/old\n", "2b".repeat(20)), "{endian:?} {magic:?}");
    }
}

#[test]
fn a_table_is_read_without_the_records() {
    // A terabyte of records that are not there: whoever reads them takes for ever.
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("huge.data");
    let whole = fs::read(common::data().join("plain.data")).expect("a recording");
    let word = |at: usize| u64::from_le_bytes(whole[at..at + 8].try_into().expect("8 bytes"));
    let (data, size, more) = (word(40), word(48), 1u64 << 40);
    let table = usize::try_from(data + size).expect("small");
    let file = File::create(&path).expect("made");
    let mut head = whole[..usize::try_from(data).expect("small")].to_vec();
    head[48..56].copy_from_slice(&(size + more).to_le_bytes());
    std::os::unix::fs::FileExt::write_all_at(&file, &head, 0).expect("written");
    let mut tail = whole[table..].to_vec();
    let features = (0..tail.len() / 16).take_while(|n| {
        let offset = u64::from_le_bytes(tail[n * 16..n * 16 + 8].try_into().expect("8 bytes"));
        offset >= data + size && offset < whole.len() as u64
    });
    for at in features.map(|n| n * 16).collect::<Vec<_>>() {
        let offset = u64::from_le_bytes(tail[at..at + 8].try_into().expect("8 bytes"));
        tail[at..at + 8].copy_from_slice(&(offset + more).to_le_bytes());
    }
    std::os::unix::fs::FileExt::write_all_at(&file, &tail, data + size + more).expect("written");
    assert!(file.metadata().expect("there").size() > more);
    let expected = text(list(&[], &common::data().join("plain.data")).stdout);
    assert_eq!(text(list(&[], &path).stdout), expected);
}
