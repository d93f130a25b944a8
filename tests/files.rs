//! `perftool inject` between files and pipes: every pairing, on every recording, judged by real perf and by the bytes.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Cursor;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::oracle::{Format, Perf};
use common::{oracle, perftool, run, stderr};
use insta::assert_snapshot;
use perf_format::attr::{Attr, SampleType};
use perf_format::record::CpuMode;
use perf_format::testing::{At, StreamBuilder, attr, swapped};
use perf_format::{Endian, Feature, FileHeader, FileHeaderWords, PerfFile, PipeStream, Preamble, Section};

fn inject(args: &[&str], input: &Path, output: &Path) -> Output {
    let mut command = perftool(&["inject"]);
    command.args(args).arg("-i").arg(input);
    if output.as_os_str() == "-" {
        return command.stdin(Stdio::null()).output().expect("it runs");
    }
    command.arg("-o").arg(output).stdin(Stdio::null()).output().expect("it runs")
}

/// Injects, and fails where that does. The recordings were not made on the machine that runs this.
fn injected(args: &[&str], input: &Path, output: &Path) -> Vec<u8> {
    let done = inject(&[args, &["--allow-changed"]].concat(), input, output);
    assert!(done.status.success(), "{}: {}", input.display(), stderr(&done));
    done.stdout
}

fn kept(name: &str) -> PathBuf {
    common::data().join(name)
}

fn recordings(extensions: &[&str]) -> Vec<PathBuf> {
    let entries = fs::read_dir(common::data()).expect("tests/data is there");
    let mut all: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    all.retain(|path| {
        path.extension().is_some_and(|end| extensions.iter().any(|extension| end == *extension))
    });
    all.sort();
    assert!(all.len() >= 2, "{all:?}");
    all
}

fn ask(perf: &Perf, args: &[&str], input: &Path) -> String {
    let mut command = perf.command();
    command.args(args).arg("-f").arg("-i").arg(input).stdin(Stdio::null());
    let output = command.output().expect("perf runs");
    assert!(output.status.success(), "{perf} {args:?} {}: {}", input.display(), stderr(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What the records say, in fields that perf shows of files and of pipes. Of a pipe's addresses it shows symbols
/// too, whatever it was asked for.
fn script(perf: &Perf, input: &Path) -> String {
    let lines = ask(perf, &["script", "-F", "comm,pid,tid,time,event,ip"], input);
    let lines = lines.lines().map(|line| match line.strip_prefix('\t') {
        Some(frame) => frame.split_whitespace().next().unwrap_or_default(),
        None => line.trim_end(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Fails with the first line that differs: all of them would fill pages.
fn assert_same_lines(got: &str, expected: &str, what: &str) {
    let (mut got_lines, mut expected_lines) = (got.lines(), expected.lines());
    for number in 1.. {
        match (got_lines.next(), expected_lines.next()) {
            (None, None) => break,
            (got, expected) => assert_eq!(got, expected, "{what}, line {number}"),
        }
    }
}

/// What perf says of the machine and the recording. What is of the file itself, and the marks of what a pipe never
/// says, are not compared.
fn features(perf: &Perf, input: &Path) -> Vec<String> {
    let of_the_file =
        ["captured on", "data offset", "data size", "feat offset", "missing features", "CACHE info"];
    let header = ask(perf, &["report", "--header-only"], input);
    let lines = header.lines().filter(|line| line.contains(':') || line.contains("info available"));
    lines.filter(|line| !of_the_file.iter().any(|what| line.contains(what))).map(str::to_owned).collect()
}

/// Ids as `buildid-list` tells them of what is hit.
fn ids(input: &Path) -> Vec<String> {
    let output = perftool(&["buildid-list", "-H", "-i"]).arg(input).output().expect("it runs");
    assert!(output.status.success(), "{}: {}", input.display(), stderr(&output));
    let mut lines: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn preamble(path: &Path) -> (Preamble, Vec<u8>) {
    let bytes = fs::read(path).expect("a file");
    let mut file = PerfFile::open(Cursor::new(&bytes[..])).expect("a file's header");
    let Section { offset, size } = file.header.words.data;
    let at = |offset: u64| usize::try_from(offset).expect("small");
    (file.preamble().expect("a preamble"), bytes[at(offset)..at(offset + size)].to_vec())
}

#[test]
fn in_every_pairing_the_records_and_the_features_are_what_they_were_and_the_ids_are_there() {
    let perfs = oracle::perfs("the pairings of files and pipes");
    let dir = tempfile::tempdir().expect("a directory");
    for input in recordings(&["pipe", "data"]) {
        let name = input.file_name().expect("a name").to_string_lossy().into_owned();
        let (file, pipe) = (dir.path().join(format!("{name}.file")), dir.path().join(format!("{name}.pipe")));
        injected(&["-b"], &input, &file);
        fs::write(&pipe, injected(&["-b"], &input, Path::new("-"))).expect("written");
        for perf in perfs.iter().filter(|perf| perf.reads(&name, Format::of(&name))) {
            let (said, told) = (script(perf, &input), features(perf, &input));
            let outputs = [(&file, Format::File), (&pipe, Format::Pipe)];
            for (output, _) in outputs.into_iter().filter(|(_, format)| perf.reads(&name, *format)) {
                let what = format!("{perf}, {}", output.display());
                assert_same_lines(&script(perf, output), &said, &what);
                assert_eq!(features(perf, output), told, "{what}");
            }
        }
        assert_eq!(ids(&file), ids(&pipe), "{name}");
        // Chains hit stacks, too, which are of no file.
        let mut without_id = ids(&file).into_iter().filter(|line| line.starts_with(' '));
        assert!(without_id.all(|line| line.ends_with(" [stack]")), "{name}: {:?}", ids(&file));
    }
}

#[test]
fn perf_lists_the_ids_of_a_file_that_came_from_a_pipe() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("file");
    injected(&["-b"], &kept("callchain.pipe"), &file);
    // Some perf lists in another order.
    let sorted = |listed: &str| listed.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    for perf in oracle::perfs("perf buildid-list on files") {
        let perfs = sorted(&ask(perf, &["buildid-list"], &file));
        assert_eq!(perfs, sorted(&String::from_utf8_lossy(&listed(&file))), "{perf}");
        assert!(perfs.len() >= 4, "{perf}: {perfs:?}");
        assert_eq!(ask(perf, &["evlist"], &file), "cpu-clock\n", "{perf}");
    }
}

fn listed(input: &Path) -> Vec<u8> {
    perftool(&["buildid-list", "-i"]).arg(input).output().expect("it runs").stdout
}

#[test]
fn from_file_to_file_nothing_changes_but_the_table_of_ids() {
    let dir = tempfile::tempdir().expect("a directory");
    let (once, twice) = (dir.path().join("once"), dir.path().join("twice"));
    for input in recordings(&["data"]) {
        injected(&[], &input, &once);
        assert!(fs::read(&once).expect("there") == fs::read(&input).expect("there"), "{}", input.display());
        injected(&["-b"], &input, &once);
        injected(&["-b"], &once, &twice);
        assert!(fs::read(&once).expect("there") == fs::read(&twice).expect("there"), "{}", input.display());
        let ((mut before, records), (mut after, same_records)) = (preamble(&input), preamble(&once));
        assert!(records == same_records, "{}", input.display());
        // perf 7 writes none where its maps carry the ids.
        let table =
            |preamble: &mut Preamble| preamble.features.remove(&Feature::BUILD_ID).unwrap_or_default();
        let (old, new) = (table(&mut before), table(&mut after));
        assert!(new.len() > 100 && new.starts_with(&old), "the table is extended");
        assert_eq!(before, after, "{}", input.display());
    }
}

#[test]
fn a_table_gains_what_the_samples_hit() {
    let dir = tempfile::tempdir().expect("a directory");
    let (bare, full) = (dir.path().join("bare"), dir.path().join("full"));
    injected(&[], &kept("callchain.pipe"), &bare);
    assert!(!preamble(&bare).0.features.contains_key(&Feature::BUILD_ID), "nothing was asked for");
    injected(&["-b"], &bare, &full);
    let names: Vec<String> =
        preamble(&full).0.build_ids().map(|entry| entry.expect("an entry").1.filename.to_string()).collect();
    assert!(names.contains(&"[kernel.kallsyms]".to_owned()) && names.len() >= 4, "{names:?}");
}

#[test]
fn ids_go_where_they_are_asked_to() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("file");
    let mut seen = BTreeMap::new();
    for places in ["header", "events", "header,events"] {
        injected(&["-b", "--buildid-to", places], &kept("callchain.pipe"), &file);
        let (preamble, records) = preamble(&file);
        let before = preamble_of_input().1.len();
        seen.insert(places, (preamble.features.contains_key(&Feature::BUILD_ID), records.len() > before));
        assert!(ids(&file).iter().all(|line| !line.starts_with(' ')), "{places}");
    }
    let expected = [("events", (false, true)), ("header", (true, false)), ("header,events", (true, true))];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected);
    let refused = inject(&["-b", "--buildid-to=header"], &kept("callchain.pipe"), Path::new("-"));
    assert_snapshot!(format!("{}(exit {})", stderr(&refused), refused.status.code().expect("a code")));
    let wrong = inject(&["-b", "--buildid-to=table"], &kept("callchain.pipe"), Path::new("-"));
    assert_eq!(wrong.status.code(), Some(129));
}

/// What the file of a recording without ids has in it.
fn preamble_of_input() -> (Preamble, Vec<u8>) {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("file");
    injected(&[], &kept("callchain.pipe"), &file);
    preamble(&file)
}

#[test]
fn compressed_records_are_looked_into_and_pass_or_come_out_plain() {
    let dir = tempfile::tempdir().expect("a directory");
    let (packed, plain, pipe) =
        (dir.path().join("packed"), dir.path().join("plain"), dir.path().join("pipe"));
    injected(&["-b"], &kept("compressed.pipe"), &packed);
    injected(&["-b", "--decompress"], &kept("compressed.pipe"), &plain);
    fs::write(&pipe, injected(&["-b", "--decompress"], &kept("compressed.pipe"), Path::new("-")))
        .expect("written");
    assert!(preamble(&packed).0.features.contains_key(&Feature::COMPRESSED));
    assert!(!preamble(&plain).0.features.contains_key(&Feature::COMPRESSED));
    let types: Vec<u32> = perf_format::testing::records(&fs::read(&pipe).expect("there"))
        .iter()
        .map(|record| record.record_type.0)
        .collect();
    assert!(!types.contains(&81) && types.contains(&9) && types.contains(&67), "{types:?}");
    assert_eq!(ids(&packed).len(), 4);
    assert_eq!((ids(&plain), ids(&pipe)), (ids(&packed), ids(&packed)));
    // From a plain file there is no way back, and nothing to do.
    let again = dir.path().join("again");
    injected(&["-b", "--decompress"], &plain, &again);
    assert!(fs::read(&again).expect("there") == fs::read(&plain).expect("there"));
    for perf in oracle::perfs("perf script on what was compressed") {
        assert_same_lines(&script(perf, &plain), &script(perf, &packed), &format!("plain, {perf}"));
        assert_same_lines(&script(perf, &pipe), &script(perf, &packed), &format!("pipe, {perf}"));
        assert!(script(perf, &plain).lines().count() > 100, "{perf}");
    }
}

#[test]
fn a_piece_that_does_not_inflate_is_a_warning_and_passes() {
    let dir = tempfile::tempdir().expect("a directory");
    let (input, output) = (dir.path().join("in"), dir.path().join("out"));
    let mut stream = fs::read(kept("compressed.pipe")).expect("a recording");
    let at = perf_format::testing::records(&stream)
        .iter()
        .take_while(|record| record.record_type.0 != 81)
        .map(|record| record.bytes.len() + record.payload.len())
        .sum::<usize>()
        + 16;
    stream[at + 8] ^= 0xff;
    fs::write(&input, &stream).expect("written");
    let passed = inject(&["-b"], &input, Path::new("-"));
    assert!(passed.stdout == stream);
    assert_snapshot!(format!("{}(exit {})", stderr(&passed), passed.status.code().expect("a code")));
    let refused = inject(&["--decompress"], &input, &output);
    let said = stderr(&refused).replace(&*dir.path().to_string_lossy(), "DIR");
    assert_snapshot!(
        "a_piece_that_does_not_inflate_cannot_come_out_plain",
        format!("{said}(exit {})", refused.status.code().expect("a code"))
    );
    // A stream may be all that there is of a recording: what was whole is kept.
    assert!(!preamble(&output).1.is_empty());
}

#[test]
fn a_directory_is_a_recording_and_comes_out_as_one() {
    let perfs = oracle::perfs("a recording in a directory");
    let Some(recorder) = perfs.first() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let (input, output) = (dir.path().join("in"), dir.path().join("out"));
    let mut record = Command::new(&recorder.program);
    record.args(["record", "-q", "-e", "cpu-clock", "-F", "2000", "-a", "--threads", "-o"]).arg(&input);
    record.args(["--", "sh", "-c", "seq 60000 | sort -r | cksum"]).stdin(Stdio::null());
    let recorded = record.output().expect("perf runs");
    if !recorded.status.success() {
        return oracle::cannot_record(&stderr(&recorded));
    }
    // Twice: into nothing, and over a recording that is there.
    for _ in 0..2 {
        injected(&["-b"], &input, &output);
        for perf in perfs {
            assert_same_lines(
                &script(perf, &output),
                &script(perf, &input),
                &format!("the directory, {perf}"),
            );
        }
        // Those that perf could not read may have been added.
        let had: Vec<String> = ids(&input).into_iter().filter(|line| !line.starts_with(' ')).collect();
        assert!(had.len() >= 3 && had.iter().all(|line| ids(&output).contains(line)), "{had:?}");
    }
    injected(&["-b"], &input, &input);
    assert_same_lines(&script(recorder, &output), &script(recorder, &input), "the directory");
    let names = |path: &Path| {
        let mut names: Vec<_> = fs::read_dir(path)
            .expect("a directory")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(&input), names(&output));
    assert_eq!(names(dir.path()), ["in", "out"], "nothing else is left");
    assert_eq!(fs::metadata(&output).expect("there").permissions().mode() & 0o777, 0o700);
    for (input, output) in [(&input, Path::new("-")), (&input, &dir.path().join("in/data.0"))] {
        assert_eq!(inject(&["-b"], input, output).status.code(), Some(1), "{}", output.display());
    }
    // Its other files would stay compressed, or be, and nothing say so.
    for args in [&["--decompress"][..], &["-b", "--buildid-to=events"]] {
        assert_eq!(inject(args, &input, &output).status.code(), Some(1), "{args:?}");
    }
}

#[test]
fn an_output_takes_its_name_when_it_is_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = dir.path().join("out");
    // Nothing in the target's place where the input is no recording, or is cut.
    let cut = dir.path().join("cut");
    let whole = fs::read(kept("plain.data")).expect("a recording");
    fs::write(&cut, &whole[..5003]).expect("written");
    fs::write(&output, "what was there").expect("written");
    for input in [&cut, Path::new(env!("CARGO_BIN_EXE_perftool"))] {
        let refused = inject(&["-b"], input, &output);
        assert_eq!(refused.status.code(), Some(1));
        assert_eq!(fs::read(&output).expect("there"), b"what was there");
    }
    fs::remove_file(&output).expect("it was there");
    injected(&["-b"], &kept("plain.data"), &output);
    assert_eq!(fs::metadata(&output).expect("there").permissions().mode() & 0o777, 0o600);
    // Onto its own input, also through a link.
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&output, &link).expect("a link");
    let expected = fs::read(&output).expect("there");
    injected(&["-b"], &output, &output);
    injected(&["-b"], &output, &link);
    assert!(fs::read(&output).expect("there") == expected);
    assert!(fs::symlink_metadata(&link).expect("there").file_type().is_symlink());
    let left: Vec<_> = fs::read_dir(dir.path())
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn what_stands_in_the_way_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let inside = dir.path().join("no/such");
    let mut all = String::new();
    for output in [dir.path(), &inside, Path::new("/proc/nothing")] {
        let refused = inject(&["-b"], &kept("plain.data"), output);
        all += &format!("{}(exit {})\n", stderr(&refused), refused.status.code().expect("a code"));
    }
    let all = all.replace(&*dir.path().to_string_lossy(), "DIR");
    assert_snapshot!(all);
}

#[test]
fn a_fifo_and_a_device_are_written_to_as_a_pipe() {
    let dir = tempfile::tempdir().expect("a directory");
    let fifo = dir.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).expect("a FIFO");
    let expected = injected(&["-b"], &kept("callchain.pipe"), Path::new("-"));
    let got = std::thread::scope(|scope| {
        let reader = scope.spawn(|| fs::read(&fifo).expect("somebody writes it"));
        injected(&["-b"], &kept("callchain.pipe"), &fifo);
        reader.join().expect("it read")
    });
    assert!(got == expected);
    assert!(fs::metadata(&fifo).expect("there").file_type().is_fifo());
    injected(&["-b"], &kept("callchain.data"), Path::new("/dev/null"));
    assert!(fs::metadata("/dev/null").expect("there").file_type().is_char_device());
}

#[test]
fn a_disk_that_fills_up_leaves_nothing_behind() {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "CI runs as root");
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let script = "mount -t tmpfs -o size=16k none \"$1\" || exit 9; \"$2\" inject -b -i \"$3\" -o \"$1/out\"; echo $?; ls -A \"$1\"";
    for input in ["callchain.pipe", "callchain.data"] {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "sh", "-c", script, "sh"]).arg(dir.path());
        let output =
            unshare.arg(env!("CARGO_BIN_EXE_perftool")).arg(kept(input)).output().expect("unshare runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n", "{input}: {}", stderr(&output));
        assert!(stderr(&output).contains("No space left on device"), "{}", stderr(&output));
    }
}

#[test]
fn a_recording_that_was_never_closed_is_kept_as_far_as_it_goes() {
    let dir = tempfile::tempdir().expect("a directory");
    let (input, output) = (dir.path().join("killed"), dir.path().join("out"));
    let whole = fs::read(kept("plain.data")).expect("a recording");
    let word = |at: usize| {
        usize::try_from(u64::from_le_bytes(whole[at..at + 8].try_into().expect("8"))).expect("small")
    };
    let (data, size) = (word(40), word(48));
    let mut all = String::new();
    for torn in [0, 3] {
        let mut killed = whole[..data + size - torn].to_vec();
        killed[48..56].fill(0);
        fs::write(&input, killed).expect("written");
        let done = inject(&["-b", "--allow-changed"], &input, &output);
        all += &format!("{}(exit {})\n", stderr(&done), done.status.code().expect("a code"));
        let (preamble, records) = preamble(&output);
        assert!(
            whole[data..].starts_with(&records) && size - records.len() <= if torn == 0 { 0 } else { 64 }
        );
        assert!(preamble.features.contains_key(&Feature::BUILD_ID));
        assert!(!injected(&["-b", "--allow-changed"], &input, Path::new("-")).is_empty());
    }
    assert_snapshot!(all);
}

#[test]
fn sections_that_overlap_or_lie_outside_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let (input, output) = (dir.path().join("bad"), dir.path().join("out"));
    let whole = fs::read(kept("plain.data")).expect("a recording");
    let mut all = String::new();
    for (what, at, value) in [
        ("records over the header", 40, 50_u64),
        ("records over the attrs", 40, 130),
        ("attrs over the header", 24, 8),
        ("attrs outside", 24, 1 << 40),
        ("records outside", 48, 1 << 40),
        ("attrs of no size", 16, 0),
        ("a feature table cut short", 48, whole.len() as u64 - 264 - 8),
    ] {
        let mut bad = whole.clone();
        bad[at..at + 8].copy_from_slice(&value.to_le_bytes());
        fs::write(&input, bad).expect("written");
        for to in [output.as_path(), Path::new("-")] {
            let refused = inject(&["-b"], &input, to);
            assert_eq!(refused.status.code(), Some(1), "{what}");
            if to == output {
                all += &format!("--- {what}\n{}", stderr(&refused));
            }
        }
        assert!(!output.exists(), "{what}");
    }
    assert_snapshot!(all.replace(&*dir.path().to_string_lossy(), "DIR"));
}

#[test]
fn attrs_of_every_size_go_from_pipe_to_file_and_back_in_either_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let (pipe, file) = (dir.path().join("pipe"), dir.path().join("file"));
    for endian in [Endian::Little, Endian::Big] {
        for size in Attr::SIZES.into_iter().chain([0, 152]) {
            let mut attr = attr(SampleType::IP | SampleType::TID | SampleType::TIME);
            attr.fields.size = u32::try_from(size).expect("small");
            attr.tail = vec![7; size.saturating_sub(144)];
            let stream = StreamBuilder::new(endian)
                .attr(&attr, &[5, 6])
                .mmap2(At::new(1, 1), 0x1000, 0x2000, "[vdso]")
                .sample(CpuMode::User, At::new(1, 2), 0x1800, &[])
                .finished_round();
            let stream = stream.bytes();
            fs::write(&pipe, &stream).expect("written");
            injected(&["-b", common::WITH_VDSO], &pipe, &file);
            let (preamble, records) = preamble(&file);
            assert_eq!(preamble.endian, endian);
            assert_eq!(preamble.events.len(), 1);
            assert_eq!(preamble.events[0].ids, [5, 6]);
            assert!(stream.ends_with(&records), "size {size}");
            assert_eq!(preamble.build_ids().count(), 1, "size {size}");
            // Back again: the attr, the records, and the id as a record.
            let back = run(perftool(&["inject", "-i", file.to_str().expect("text")]), b"").stdout;
            let of = |stream: &[u8], kind: u32| -> Vec<Vec<u8>> {
                let records = perf_format::testing::records(stream)
                    .into_iter()
                    .filter(|record| record.record_type.0 == kind);
                records.map(|record| record.bytes).collect()
            };
            for kind in [64, 10, 9, 68] {
                assert_eq!(of(&back, kind), of(&stream, kind), "size {size}, type {kind}");
            }
            assert_eq!(of(&back, 67).len(), 1, "size {size}");
        }
    }
}

#[test]
fn a_file_in_the_other_byte_order_comes_out_in_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let (pipe, file, again, back) =
        (dir.path().join("pipe"), dir.path().join("file"), dir.path().join("again"), dir.path().join("back"));
    for name in ["callchain.pipe", "two-events.pipe", "forks.pipe"] {
        let stream = fs::read(kept(name)).expect("a recording");
        fs::write(&pipe, swapped(&stream)).expect("written");
        injected(&["-b"], &pipe, &file);
        assert_eq!(preamble(&file).0.endian, Endian::NATIVE.other());
        injected(&["-b"], &file, &again);
        assert!(fs::read(&file).expect("there") == fs::read(&again).expect("there"), "{name}");
        fs::write(&back, injected(&[], &file, Path::new("-"))).expect("written");
        assert_eq!(ids(&back), ids(&file), "{name}");
        let native = dir.path().join("native");
        injected(&["-b"], &kept(name), &native);
        assert_eq!(ids(&file), ids(&native), "{name}: its twin has the same");
    }
}

#[test]
fn the_old_magic_is_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let (old, output) = (dir.path().join("old"), dir.path().join("out"));
    for input in recordings(&["data"]) {
        let mut bytes = fs::read(&input).expect("a recording");
        bytes[..8].copy_from_slice(b"PERFFILE");
        fs::write(&old, bytes).expect("written");
        injected(&[], &old, &output);
        assert!(
            fs::read(&output).expect("there") == fs::read(&input).expect("there"),
            "it comes out as of today"
        );
    }
    let mut stream = fs::read(kept("one-event.pipe")).expect("a recording");
    stream[..8].copy_from_slice(b"PERFFILE");
    fs::write(&old, &stream).expect("written");
    assert!(injected(&[], &old, Path::new("-")) == stream);
}

#[test]
fn a_feature_too_large_for_a_record_is_left_out_of_a_pipe_with_a_warning() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("large");
    let (mut preamble, records) = preamble(&kept("plain.data"));
    let words = [1_u32, 3, 70_000].map(u32::to_le_bytes).concat();
    preamble.features.insert(Feature::BPF_BTF, [words, vec![1; 70_000]].concat());
    let mut out = File::options().read(true).write(true).create_new(true).open(&path).expect("made");
    let before = preamble.write_before(&mut out).expect("written");
    std::io::Write::write_all(&mut out, &records).expect("written");
    preamble.write_behind(&mut out, before, records.len() as u64).expect("written");
    let done = inject(&[], &path, Path::new("-"));
    assert!(done.status.success());
    assert_eq!(
        stderr(&done),
        "perftool: warning: the BPF_BTF feature is left out: it does not fit in a record\n"
    );
    let file = dir.path().join("file");
    injected(&[], &path, &file);
    assert!(fs::read(&file).expect("there") == fs::read(&path).expect("there"), "in a file there is room");
}

#[test]
fn of_a_stream_that_is_cut_a_file_holds_what_was_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    let (cut, output) = (dir.path().join("cut"), dir.path().join("out"));
    let stream = fs::read(kept("callchain.pipe")).expect("a recording");
    fs::write(&cut, &stream[..9000]).expect("written");
    let done = inject(&["-b"], &cut, &output);
    assert_eq!(done.status.code(), Some(1));
    assert!(stderr(&done).contains("the input ends inside a record at offset 0x2308"), "{}", stderr(&done));
    let (preamble, records) = preamble(&output);
    assert!(stream[..0x2308].ends_with(&records) && records.len() > 2000);
    assert!(preamble.features.contains_key(&Feature::HOSTNAME));
    // And of a file that is cut, a pipe does.
    let whole = fs::read(kept("plain.data")).expect("a recording");
    fs::write(&cut, &whole[..5003]).expect("written");
    let done = inject(&[], &cut, Path::new("-"));
    assert_eq!(done.status.code(), Some(1));
    let passed: usize = perf_format::testing::records(&done.stdout)
        .iter()
        .filter(|record| record.record_type.is_kernel() || record.record_type.0 == 68)
        .count();
    assert!(passed > 50, "{passed}");
}

#[test]
fn attrs_that_share_their_ids_cannot_multiply_them() {
    // A thousand attrs, each with the same 64 KiB of ids: 64 MiB out of a file of 200 KiB.
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("shared");
    let (mut preamble, _) = preamble(&kept("plain.data"));
    let event = preamble.events[0].clone();
    preamble.events = (0..1000).map(|_| event.clone()).collect();
    preamble.events[0].ids = vec![1; 8192];
    let mut out = File::options().read(true).write(true).create_new(true).open(&path).expect("made");
    let before = preamble.write_before(&mut out).expect("written");
    preamble.write_behind(&mut out, before, 0).expect("written");
    let mut bytes = fs::read(&path).expect("there");
    let attrs =
        usize::try_from(u64::from_le_bytes(bytes[24..32].try_into().expect("8 bytes"))).expect("small");
    let entry = event.attr.len() + 16;
    for number in 1..1000 {
        let (first, place) = (attrs + event.attr.len(), attrs + number * entry + event.attr.len());
        bytes.copy_within(first..first + 16, place);
    }
    fs::write(&path, bytes).expect("written");
    let refused = inject(&["-b"], &path, &dir.path().join("out"));
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("is longer than any such section"), "{}", stderr(&refused));
}

#[test]
fn a_stream_whose_preamble_is_damaged_ends_in_a_file_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let (bad, output) = (dir.path().join("bad"), dir.path().join("out"));
    let stream = fs::read(kept("one-event.pipe")).expect("a recording");
    // The size of the record behind the attr.
    let second = 16 + perf_format::testing::records(&stream)[0].bytes.len();
    for (size, said) in [(0_u16, "has size 0"), (7, "has size 7"), (0xffff, "ends inside a record")] {
        let mut damaged = stream.clone();
        damaged[second + 6..second + 8].copy_from_slice(&size.to_le_bytes());
        fs::write(&bad, damaged).expect("written");
        let done = inject(&["-b"], &bad, &output);
        assert_eq!(done.status.code(), Some(1));
        assert!(stderr(&done).contains(said), "{}", stderr(&done));
        assert_eq!(preamble(&output).0.events.len(), 1, "the attr was whole");
    }
}

#[test]
fn of_recordings_behind_one_another_the_first_is_written_whole_and_the_second_said() {
    let dir = tempfile::tempdir().expect("a directory");
    let (both, out) = (dir.path().join("both"), dir.path().join("out"));
    let kept = |name: &str| fs::read(common::data().join(name)).expect("it is kept");
    for (first, second) in [
        ("plain.data", "plain.data"),
        ("plain.data", "callchain.pipe"),
        ("callchain.pipe", "callchain.pipe"),
        ("callchain.pipe", "plain.data"),
    ] {
        let alone = kept(first);
        fs::write(&both, [&alone[..], &kept(second)].concat()).expect("written");
        let what = format!("another recording begins at offset {:#x}\n", alone.len());
        let of = |args: &[&str], input: &Path| {
            let done = perftool(args).arg("-i").arg(input).stdin(Stdio::null()).output().expect("it runs");
            (done.status.code(), stderr(&done).contains(&what), done.stdout)
        };
        let path = common::data().join(first);
        assert_eq!(
            of(&["inject"], &both),
            (Some(1), true, of(&["inject"], &path).2),
            "{first} {second}: to a pipe"
        );
        let listed = of(&["buildid-list"], &path).2;
        assert_eq!(of(&["buildid-list"], &both), (Some(1), true, listed), "{first} {second}: listed");
        let written = |input| {
            let done = of(&["inject", "-o", out.to_str().expect("text")], input);
            (done.0, done.1, fs::read(&out).expect("written"))
        };
        assert_eq!(written(&both), (Some(1), true, written(&path).2), "{first} {second}: to a file");
        let said = run(perftool(&["inject"]), &fs::read(&both).expect("written"));
        assert!(said.status.code() == Some(1) && stderr(&said).contains(&what), "{}", stderr(&said));
    }
}

/// What perf 6.12 and 7.3 make of a pipe with `inject -b -i PIPE -o FILE`: the records are all of the pipe's, and ids and
/// attrs stand over the table of build-ids.
fn with_the_attrs_over_its_table(stream: &[u8]) -> Vec<u8> {
    let mut records = PipeStream::open(stream).expect("a pipe").records();
    let preamble = Preamble::read_from_pipe(&mut records).expect("an event");
    let [event] = &preamble.events[..] else { panic!("one event") };
    let data = &stream[16..];
    let table = 104 + data.len() as u64;
    let ids = Section { offset: table + 16, size: 8 * event.ids.len() as u64 };
    let attrs = Section { offset: ids.offset + ids.size, size: event.attr.len() as u64 + 16 };
    let words = FileHeaderWords {
        attr_size: attrs.size,
        attrs,
        data: Section { offset: 104, size: data.len() as u64 },
        ..FileHeaderWords::default()
    };
    let mut file = FileHeader::new(words, Endian::Little, [Feature::BUILD_ID]).to_bytes();
    file.extend_from_slice(data);
    let table = [table + 16, 0x200, event.ids[0], event.ids[1]];
    file.extend(table.iter().flat_map(|word| word.to_le_bytes()));
    file.extend_from_slice(&event.attr);
    file.extend([ids.offset, ids.size].iter().flat_map(|word| word.to_le_bytes()));
    file.resize(file.len() + 0x200, 0x5a);
    file
}

#[test]
fn a_file_whose_table_of_ids_is_overwritten_is_read_and_gets_a_new_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let [path, out, of_pipe] = ["damaged", "out", "of-pipe"].map(|name| dir.path().join(name));
    let pipe = kept("build-id-mmap.pipe");
    let stream = fs::read(&pipe).expect("it is kept");
    let damaged = with_the_attrs_over_its_table(&stream);
    fs::write(&path, &damaged).expect("written");
    let said = format!("damaged, and left out: the BUILD_ID section at offset {:#x}", 104 + stream.len());
    for args in [&["-b", "--allow-changed"][..], &["-b", "--allow-changed", "--recover"]] {
        let done = inject(args, &path, &out);
        assert!(done.status.success() && stderr(&done).contains(&said), "{}", stderr(&done));
        injected(&["-b"], &pipe, &of_pipe);
        let table = |path: &Path| {
            let mut file = PerfFile::open(File::open(path).expect("written")).expect("a file");
            file.feature_bytes(Feature::BUILD_ID).expect("whole").expect("a table").1
        };
        assert_eq!(table(&out), table(&of_pipe));
    }
    assert!(inject(&[], &path, Path::new("-")).status.success());
    assert!(inject(&[], &path, &out).status.success());
    let listed = |path: &Path| {
        let done =
            perftool(&["buildid-list", "-i"]).arg(path).stdin(Stdio::null()).output().expect("it runs");
        assert!(done.status.success(), "{}", stderr(&done));
        (done.stdout.clone(), stderr(&done))
    };
    let (list, said) = listed(&path);
    assert_eq!(list, listed(&pipe).0);
    // Without a style the new table has what the records say.
    let (of_out, nothing) = listed(&out);
    assert_eq!(nothing, "");
    let with_ids =
        list.split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b" ") && !line.is_empty());
    let of_out: Vec<_> = of_out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    assert_eq!(of_out, with_ids.collect::<Vec<_>>());
    assert!(
        said.contains("the table of build-ids is damaged, and the records are read in its place"),
        "{said}"
    );
}

#[test]
fn a_pipe_whose_header_is_missing_is_read_and_has_one_then() {
    let dir = tempfile::tempdir().expect("a directory");
    let [path, out] = ["headless", "out"].map(|name| dir.path().join(name));
    for path_of_whole in recordings(&["pipe"]) {
        let stream = fs::read(&path_of_whole).expect("it is kept");
        fs::write(&path, &stream[16..]).expect("written");
        for args in [&[][..], &["--recover"]] {
            let done = inject(args, &path, Path::new("-"));
            assert!(done.status.success() && done.stdout == stream, "{}", stderr(&done));
            assert!(stderr(&done).contains("the pipe's header is missing"), "{}", stderr(&done));
            let done = run(perftool(&[&["inject"], args].concat()), &stream[16..]);
            assert!(done.status.success() && done.stdout == stream, "{}", stderr(&done));
            injected(args, &path, &out);
            let made = fs::read(&out).expect("written");
            injected(&[], &path_of_whole, &out);
            assert!(made == fs::read(&out).expect("written"), "{}", path_of_whole.display());
        }
        let list = |input: &[u8]| run(perftool(&["buildid-list"]), input).stdout;
        assert!(list(&stream[16..]) == list(&stream), "{}", path_of_whole.display());
    }
}

#[test]
fn of_a_file_whose_attrs_stand_over_its_first_records_the_others_are_recovered() {
    let dir = tempfile::tempdir().expect("a directory");
    let [path, out] = ["damaged", "out"].map(|name| dir.path().join(name));
    // perf 6.1 writes a file of a pipe so.
    let stream = fs::read(kept("callchain.pipe")).expect("it is kept");
    let mut file = with_the_attrs_over_its_table(&stream);
    let attrs = PerfFile::open(Cursor::new(&file[..])).expect("a file").header.words.attrs;
    let at = usize::try_from(attrs.offset).expect("small");
    let attr = file[at..at + usize::try_from(attrs.size).expect("small")].to_vec();
    file[104..104 + attr.len()].copy_from_slice(&attr);
    file[24..32].copy_from_slice(&104_u64.to_le_bytes());
    fs::write(&path, &file).expect("written");
    let refused = inject(&[], &path, &out);
    assert!(stderr(&refused).contains("overlaps the attrs"), "{}", stderr(&refused));
    injected(&["--recover"], &path, &out);
    assert!(inject(&[], &out, Path::new("-")).status.success());
    assert!(fs::metadata(&out).expect("written").len() > stream.len() as u64 - 600);
}
