//! `perftool bundle` and `unbundle` on real recordings: real perf reads what comes out as it reads the recording at home.

mod common;

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::oracle::Perf;
use common::{oracle, perftool, stderr};
use flate2::Compression;
use flate2::write::GzEncoder;
use perf_session::SessionReader;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = "
#include <stdlib.h>
volatile unsigned sum;
__attribute__((noinline)) void leaf_of_the_bundle(unsigned n) { while (n--) sum += n * sum; }
__attribute__((noinline)) void caller_of_the_leaf(unsigned n) { leaf_of_the_bundle(n); sum++; }
int main(int argc, char **argv) { for (int i = 0; argc > 1 || i < 200; i++) { caller_of_the_leaf(1000000); free(malloc(100)); } }
";

/// A recording of a program with the ids of what it hits, in `perf.data`.
struct Recorded {
    dir: TempDir,
}

fn record(test: &str) -> Option<Recorded> {
    record_built(test, &[])
}

/// The same of a program that is built with these options.
fn record_built(test: &str, options: &[&str]) -> Option<Recorded> {
    let recorder = oracle::recorder(test)?;
    let dir = tempfile::tempdir().expect("a directory");
    let recorded = Recorded { dir };
    recorded.build_with("1", options);
    oracle::record_stream(recorder, &["-g"], &recorded.path("program"), &recorded.path("stream"))?;
    well(&recorded.perftool(&["inject", "-b", "-i", "stream", "-o", "perf.data"]));
    Some(recorded)
}

impl Recorded {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Builds the program, the same but for its build-id.
    fn build(&self, id: &str) {
        self.build_with(id, &[]);
    }

    fn build_with(&self, id: &str, options: &[&str]) {
        let source = self.path("program.c");
        fs::write(&source, PROGRAM).expect("written");
        let mut cc = Command::new("cc");
        cc.args(["-O1", "-g", "-fno-omit-frame-pointer", &format!("-Wl,--build-id=0x{}", id.repeat(40))]);
        cc.args(options).arg("-o");
        let built = cc.arg(self.path("program")).arg(source).output().expect("cc is where Rust links");
        assert!(built.status.success(), "{}", stderr(&built));
    }

    fn perftool(&self, args: &[&str]) -> Output {
        let mut command = perftool(args);
        command.current_dir(self.dir.path()).env("HOME", self.path("home"));
        command.stdin(Stdio::null()).output().expect("it runs")
    }

    /// The lines of a report, without its comments.
    fn report(&self, perf: &Perf, options: &str) -> Vec<String> {
        let line =
            format!("exec \"$0\" {options} --stdio --no-inline -g caller,0.5,callee --percent-limit 0");
        let mut sh = Command::new("sh");
        sh.args(["-c", &line]).arg(&perf.program).current_dir(self.dir.path());
        sh.env("HOME", "/nonexistent").env("DEBUGINFOD_URLS", "").stdin(Stdio::null());
        let output = sh.output().expect("a shell");
        assert!(output.status.success(), "{perf} {options}: {}", stderr(&output));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().filter(|line| !line.starts_with('#')).map(|line| line.trim_end().to_owned()).collect()
    }

    fn list(&self) -> Value {
        self.list_with(&[])
    }

    fn list_with(&self, options: &[&str]) -> Value {
        let output = self.perftool(&[&["bundle", "--list", "--json"], options].concat());
        serde_json::from_slice(&well(&output).stdout).expect("JSON")
    }

    /// The process that ran the program.
    fn pid(&self) -> u32 {
        let mut reader = SessionReader::open(self.path("perf.data")).expect("a recording");
        while let Some(record) = reader.next().expect("it is whole") {
            if let Some(tid) = record.sample().expect("it can be read").and_then(|sample| sample.tid) {
                return tid.pid;
            }
        }
        panic!("it has no sample");
    }
}

fn well(output: &Output) -> &Output {
    assert!(output.status.success(), "{}", stderr(output));
    output
}

/// What a list says of a file.
fn of<'v>(list: &'v Value, of: &str, name: &str) -> Option<&'v Value> {
    list[of].as_array().expect("a list").iter().find(|file| file["name"] == name)
}

fn names<'v>(list: &'v Value, of: &str) -> Vec<&'v str> {
    list[of].as_array().expect("a list").iter().map(|file| file["name"].as_str().expect("a name")).collect()
}

#[test]
fn perf_reports_the_same_of_a_bundle_where_the_program_is_gone() {
    let Some(recorded) = record("a bundle is read") else { return };
    let perfs = oracle::perfs("a bundle is read");
    let home: Vec<_> = perfs.iter().map(|perf| recorded.report(perf, "report -i perf.data")).collect();
    well(&recorded.perftool(&["bundle"]));
    let bytes = fs::read(recorded.path("perf.data.bundle.tar.zst")).expect("a bundle");
    well(&recorded.perftool(&["bundle", "-o", "again.tar.zst"]));
    assert!(
        bytes == fs::read(recorded.path("again.tar.zst")).expect("a bundle"),
        "other bytes the second time"
    );
    let output = recorded.perftool(&["unbundle", "perf.data.bundle.tar.zst", "it's here"]);
    let mode = fs::metadata(recorded.path("it's here")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "it is its user's alone");
    for perf in perfs {
        // It lists what is in a cache if the file itself is still there.
        let mut cache = perf.command();
        cache.args(["--buildid-dir", "it's here", "buildid-cache", "-l"]).current_dir(recorded.dir.path());
        let listed = cache.output().expect("perf runs");
        let listed = String::from_utf8_lossy(&well(&listed).stdout).into_owned();
        assert!(
            listed.contains(&format!("{} {}", "1".repeat(40), recorded.path("program").display())),
            "{listed}"
        );
    }
    fs::remove_file(recorded.path("program")).expect("removed");
    let line = String::from_utf8(well(&output).stdout.clone()).expect("text");
    let options = line.trim_end().strip_prefix("perf ").expect("a command of perf");
    assert!(options.starts_with(r"--buildid-dir 'it'\''s here' report -i "), "{line}");
    for (perf, home) in perfs.iter().zip(home) {
        let away = recorded.report(perf, options);
        assert!(away.iter().any(|line| line.contains("leaf_of_the_bundle")), "{perf}: {away:#?}");
        let (lost, bare): (Vec<_>, _) = (
            home.iter().filter(|line| !away.contains(line)).collect(),
            recorded.report(perf, "report -i perf.data"),
        );
        // Others may have names in addition: perf finds debug files in a cache that it does not look for elsewhere.
        let of_program = |line: &&&String| line.contains("program");
        assert_eq!(lost.iter().filter(of_program).count(), 0, "{perf}: {lost:#?}");
        assert!(
            !bare.iter().any(|line| line.contains("leaf_of_the_bundle")),
            "{perf} finds it without the bundle"
        );
    }
}

#[test]
fn perf_finds_a_program_without_a_build_id_by_its_name() {
    let Some(recorded) = record_built("a program has no build-id", &["-Wl,--build-id=none"]) else { return };
    let perfs = oracle::perfs("a program has no build-id");
    let home: Vec<_> = perfs.iter().map(|perf| recorded.report(perf, "report -i perf.data")).collect();
    well(&recorded.perftool(&["bundle", "--strict"]));
    let output = recorded.perftool(&["unbundle", "perf.data.bundle.tar.zst", "here"]);
    fs::remove_file(recorded.path("program")).expect("removed");
    let line = String::from_utf8(well(&output).stdout.clone()).expect("text");
    assert!(line.contains("--symfs here/.symfs"), "{line}");
    // With --symfs perf looks for builds there, and forgets --buildid-dir.
    assert!(recorded.path("here/.symfs/.debug/.build-id").is_dir());
    for (perf, home) in perfs.iter().zip(home) {
        let away = recorded.report(perf, line.trim_end().strip_prefix("perf ").expect("a command of perf"));
        assert!(away.iter().any(|line| line.contains("leaf_of_the_bundle")), "{perf}: {away:#?}");
        let lost: Vec<_> =
            home.iter().filter(|line| line.contains("program") && !away.contains(line)).collect();
        assert_eq!(lost, <[&String; 0]>::default(), "{perf}");
    }
}

#[test]
fn a_bundle_goes_into_perfs_cache_where_it_is_asked_for() {
    let Some(recorded) = record("a bundle goes into the cache") else { return };
    well(&recorded.perftool(&["bundle", "--no-recording"]));
    fs::create_dir(recorded.path("home")).expect("made");
    let output = recorded.perftool(&["unbundle", "--into-cache", "perf.data.bundle.tar.zst"]);
    let line = String::from_utf8(well(&output).stdout.clone()).expect("text");
    assert!(line.starts_with("perf report"), "{line}");
    let link = recorded.path("home/.debug/.build-id/11").join("1".repeat(38));
    assert!(link.join("elf").is_file());
    assert!(!recorded.path("perf.data.bundle").exists(), "there is no recording to unpack");
}

#[test]
fn a_program_that_was_built_again_never_enters_and_its_absence_is_told() {
    let Some(recorded) = record("a program is built again") else { return };
    let program = recorded.path("program");
    let program = program.to_str().expect("text");
    assert!(names(&recorded.list(), "files").contains(&program));
    recorded.build("2");
    let list = recorded.list();
    assert!(!names(&list, "files").contains(&program));
    let missing = list["missing"].as_array().expect("a list");
    let missing = missing.iter().find(|missing| missing["name"] == program).expect("it is missing");
    assert_eq!(missing["build_id"], "1".repeat(40));
    assert!(missing["samples"].as_u64() > Some(10), "{missing}");
    assert!(missing["reason"].as_str().expect("text").contains(&"2".repeat(40)), "{missing}");
    let output = recorded.perftool(&["bundle", "--strict", "-o", "strict.tar.zst"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(recorded.path("strict.tar.zst").is_file(), "it is written all the same");
    let output = recorded.perftool(&["unbundle", "strict.tar.zst"]);
    assert!(stderr(well(&output)).contains("program is missing"), "{}", stderr(&output));
}

#[test]
fn a_file_is_found_by_its_build_id_in_a_debug_dir() {
    let Some(recorded) = record("a file is in a debug dir") else { return };
    well(&recorded.perftool(&["bundle", "--no-recording", "-o", "kept.tar.zst"]));
    well(&recorded.perftool(&["unbundle", "kept.tar.zst"]));
    fs::remove_file(recorded.path("program")).expect("removed");
    let output = recorded.perftool(&["bundle", "--list", "--debug-dir", "kept"]);
    let text = String::from_utf8_lossy(&well(&output).stdout).into_owned();
    let line = text.lines().find(|line| line.ends_with("/program")).expect("a line");
    assert!(line.contains("debug-dir"), "{text}");
}

#[test]
fn files_are_found_and_believed_as_ids_of_inject_are() {
    let Some(recorded) = record("files are found by options") else { return };
    let program = recorded.path("program");
    let program = program.to_str().expect("text");
    let origin = |options: &[&str]| {
        let list = recorded.list_with(options);
        of(&list, "files", program).map(|file| (file["source"].clone(), file["unproven"].clone()))
    };
    // Another name changes the file's ctime, so that nothing proves that it is the one that was mapped.
    fs::hard_link(program, recorded.path("other name")).expect("linked");
    let (_, unproven) = origin(&["-i", "stream"]).expect("it is taken all the same");
    assert!(unproven.is_string(), "{unproven}");
    assert_eq!(origin(&["-i", "stream", "--strict-ids"]), None);
    assert!(origin(&["-i", "perf.data", "--strict-ids"]).is_some(), "its id proves it");
    let known = |digit: &str| format!("--known-build-ids={} {program}", digit.repeat(40));
    assert!(origin(&["-i", "stream", "--strict-ids", &known("1")]).is_some());
    assert_eq!(origin(&["-i", "stream", &known("2")]), None);
    let root = recorded.path("root");
    let below = root.join(program.trim_start_matches('/'));
    fs::create_dir_all(below.parent().expect("a directory")).expect("made");
    fs::rename(program, &below).expect("moved");
    fs::remove_file(recorded.path("other name")).expect("removed");
    let root = format!("--root={}={}", recorded.pid(), root.display());
    assert_eq!(origin(&[]), None);
    assert_eq!(origin(&[&root]).expect("it is there").0, "root");
    assert_eq!(origin(&["--root=1=/nowhere-of-it", "--no-root"]), None);
    let output = recorded.perftool(&["bundle", "--list", "--root", "1=nowhere"]);
    assert!(stderr(&output).contains("cannot open --root nowhere"), "{}", stderr(&output));
}

#[test]
fn a_packed_recording_is_unpacked_in_its_bundle_and_one_that_is_cut_gets_none() {
    let Some(recorded) = record("a packed recording is bundled") else { return };
    for (name, format) in [("perf.data", "file format"), ("stream", "pipe format")] {
        let plain = fs::read(recorded.path(name)).expect("there");
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&plain).expect("memory");
        let packed = encoder.finish().expect("memory");
        fs::write(recorded.path("packed.gz"), &packed).expect("written");
        let output = recorded.perftool(&["bundle", "-i", "packed.gz", "--json"]);
        let manifest: Value = serde_json::from_slice(&well(&output).stdout).expect("JSON");
        assert_eq!(manifest["recording"][0]["packing"], "gzip", "{format}");
        assert_eq!(manifest["recording"][0]["size"], plain.len(), "{format}");
        well(&recorded.perftool(&["unbundle", "packed.gz.bundle.tar.zst", "out"]));
        assert!(fs::read(recorded.path("out/perf.data")).expect("there") == plain, "{format}");
        let list = well(&recorded.perftool(&["bundle", "-i", "packed.gz", "--list"])).stdout.clone();
        assert!(String::from_utf8_lossy(&list).contains("packed.gz (unpacked)"), "{format}");
        fs::remove_dir_all(recorded.path("out")).expect("removed");
        fs::write(recorded.path("packed.gz"), &packed[..packed.len() - 9]).expect("written");
        let output = recorded.perftool(&["bundle", "-i", "packed.gz", "-o", "cut.tar.zst"]);
        assert_eq!(output.status.code(), Some(1), "{format}: {}", stderr(&output));
        assert!(!recorded.path("cut.tar.zst").exists(), "{format}");
    }
}

/// What a container does: a root of its own, whose program is deleted while it runs. It runs until it is collected, or, where
/// that never happens, for longer than it could take.
const CONTAINER: &str = "
set -e
mount -t tmpfs none root || exit 77
cp program root/program
chroot root /program for-ever & ran=$!
sleep 0.1
rm root/program
for tick in $(seq 600); do
    [ -e store/program/*/elf ] && break
    sleep 0.1
done
kill $ran
";

#[test]
fn a_program_whose_root_is_gone_before_the_recording_ends_is_collected() {
    let Some(recorder) = oracle::recorder("a container's program is collected") else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let recorded = Recorded { dir };
    recorded.build_with("1", &["-static"]);
    fs::create_dir(recorded.path("root")).expect("made");
    let mut perf = Command::new(&recorder.program);
    // Small buffers are full soon.
    perf.args(["record", "-q", "-g", "-m", "16", "-e", "cpu-clock", "-F", "2000", "-o", "-", "--"]);
    perf.args(["unshare", "-m", "sh", "-c", CONTAINER]).current_dir(recorded.dir.path());
    let mut perf =
        perf.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("perf runs");
    let mut inject = perftool(&["inject", "-b", "--collect", "store", "-o", "perf.data"]);
    inject.current_dir(recorded.dir.path()).stdin(perf.stdout.take().expect("a pipe"));
    let injected = inject.output().expect("it runs");
    let recording = perf.wait_with_output().expect("perf ends");
    if !recording.status.success() {
        return oracle::cannot_set_up("a root of its own", &stderr(&recording));
    }
    well(&injected);
    assert!(!recorded.path("root/program").exists());
    let kept = recorded.path("store/program").join("1".repeat(40)).join("elf");
    assert!(fs::read(kept).expect("kept") == fs::read(recorded.path("program")).expect("there"));
    fs::remove_file(recorded.path("program")).expect("removed");
    for perf in oracle::perfs("a container's program is collected") {
        let named = |options: &str| {
            let lines = recorded.report(perf, options);
            lines.iter().any(|line| line.contains("leaf_of_the_bundle"))
        };
        assert!(named("--buildid-dir store report -i perf.data"), "{perf}");
        assert!(!named("--buildid-dir none report -i perf.data"), "{perf} finds it elsewhere");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn images_of_jitted_code_are_collected_and_bundled() {
    let Some(recorder) = oracle::recorder("jitted code is collected") else { return };
    let recorded = Recorded { dir: tempfile::tempdir().expect("a directory") };
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/jitgen.c");
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-fno-omit-frame-pointer", "-o"]).arg(recorded.path("jitgen")).arg(source);
    well(&cc.output().expect("cc is where Rust links"));
    fs::create_dir(recorded.path("dumps")).expect("made");
    let mut perf = Command::new(&recorder.program);
    perf.args(["record", "-q", "-k", "1", "-e", "cpu-clock:u", "-F", "4000", "-o", "-", "--"]);
    perf.arg(recorded.path("jitgen")).arg("dumps").current_dir(recorded.dir.path()).stdin(Stdio::null());
    perf.stdout(File::create(recorded.path("stream")).expect("a file"));
    let output = perf.stderr(Stdio::piped()).output().expect("perf runs");
    if !output.status.success() {
        return oracle::cannot_record(&stderr(&output));
    }
    well(&recorded.perftool(&[
        "inject",
        "-b",
        "--jit",
        "--collect",
        "store",
        "-i",
        "stream",
        "-o",
        "perf.data",
    ]));
    let list = recorded.list();
    let files = list["files"].as_array().expect("a list");
    let is_jitted = |file: &&Value| file["name"].as_str().is_some_and(|name| name.contains("/jitted-"));
    let images: Vec<_> = files.iter().filter(is_jitted).collect();
    assert!(!images.is_empty(), "{list:#}");
    for image in images {
        let (first, rest) = image["build_id"].as_str().expect("an id").split_at(2);
        let kept = recorded.path("store/.build-id").join(first).join(rest).join("elf");
        assert!(kept.is_file(), "{} of {image}", kept.display());
    }
}

#[test]
fn what_has_no_room_in_the_limit_is_said_and_the_stream_goes_on() {
    let Some(recorded) = record("a limit of what is collected") else { return };
    let stream = fs::read(recorded.path("stream")).expect("there");
    let mut inject = perftool(&["inject", "-b", "--collect", "store", "--collect-limit", "20K"]);
    inject.current_dir(recorded.dir.path());
    let limited = common::run(inject, &stream);
    let mut inject = perftool(&["inject", "-b"]);
    inject.current_dir(recorded.dir.path());
    assert!(well(&limited).stdout == common::run(inject, &stream).stdout, "another output");
    let said = stderr(&limited);
    let of_libc = said.lines().find(|line| line.contains("libc.so.6 is not collected")).expect("a line");
    assert!(of_libc.contains("and the limit leaves"), "{said}");
    assert!(recorded.path("store/.build-id/11").exists(), "the program has room: {said}");
}

#[test]
fn a_store_that_others_may_change_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let mode = fs::Permissions::from_mode(0o777);
    fs::create_dir(dir.path().join("store")).expect("made");
    fs::set_permissions(dir.path().join("store"), mode).expect("set");
    let mut inject = perftool(&["inject", "-b", "--collect", "store"]);
    inject.current_dir(dir.path());
    let stream = fs::read(common::data().join("callchain.pipe")).expect("there");
    let output = common::run(inject, &stream);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("others than you may change it"), "{}", stderr(&output));
}

/// Runs a script in the recorded directory that has a file system of this size mounted at `small`; `None` where nothing may
/// be mounted.
fn on_a_small_disk(recorded: &Recorded, size: &str, script: &str) -> Option<Output> {
    fs::create_dir_all(recorded.path("small")).expect("made");
    let script = format!("mount -t tmpfs -o size={size} none small || exit 77; {script}");
    let mut unshare = Command::new("unshare");
    unshare.args(["-m", "sh", "-c", &script, env!("CARGO_BIN_EXE_perftool")]).stdin(Stdio::null());
    let output = unshare.current_dir(recorded.dir.path()).output().expect("unshare runs");
    // unshare has an exit status of its own, and says so.
    if output.status.code() == Some(77) || stderr(&output).contains("unshare:") {
        oracle::cannot_set_up("a small disk", &stderr(&output));
        return None;
    }
    Some(output)
}

#[test]
fn a_disk_that_is_full_leaves_nothing_half_made() {
    let Some(recorded) = record("a disk is full") else { return };
    well(&recorded.perftool(&["bundle"]));
    for (run, what) in [
        ("unbundle perf.data.bundle.tar.zst small/out", "cannot unpack perf.data.bundle.tar.zst"),
        ("bundle -o small/b.tar.zst", "cannot write small/b.tar.zst"),
        ("bundle -o - > small/b.tar.zst; code=$?; rm small/b.tar.zst; (exit $code)", "cannot write -"),
    ] {
        let script = format!("\"$0\" {run}; code=$?; ls -A small; exit $code");
        let Some(output) = on_a_small_disk(&recorded, "64k", &script) else { return };
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{run}: {said}");
        assert!(output.stdout.is_empty(), "{run} leaves {}", String::from_utf8_lossy(&output.stdout));
        assert!(
            said.lines().any(|line| line.starts_with("perftool: error:") && line.contains(what)),
            "{said}"
        );
        assert_eq!(said.lines().filter(|line| line.contains("No space left")).count(), 1, "{said}");
    }
}

#[test]
fn a_store_whose_disk_is_full_holds_up_no_stream_and_has_whole_files_alone() {
    let Some(recorded) = record("a store's disk is full") else { return };
    let stream = common::run(
        {
            let mut inject = perftool(&["inject", "-b"]);
            inject.current_dir(recorded.dir.path());
            inject
        },
        &fs::read(recorded.path("stream")).expect("there"),
    );
    // There is room for the program, and none for libc.
    let script = "\"$0\" inject -b --collect small/store -i stream > out; code=$?
        cp -r small/store kept; find small -name '.new*'; exit $code";
    let Some(output) = on_a_small_disk(&recorded, "512k", script) else { return };
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(fs::read(recorded.path("out")).expect("there") == well(&stream).stdout, "another stream");
    let refused = said.lines().filter(|line| line.contains("is not collected: No space left"));
    assert!(refused.clone().any(|line| line.contains("libc.so.6 is")), "{said}");
    let last = said.lines().last().expect("a line");
    assert!(last.contains("cannot keep all files in --collect small/store: No space left"), "{said}");
    assert!(output.stdout.is_empty(), "{} is left", String::from_utf8_lossy(&output.stdout));
    let mut dirs = vec![recorded.path("kept")];
    let mut kept = Vec::new();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).expect("a directory") {
            let entry = entry.expect("an entry");
            match entry.file_type().expect("a type") {
                kind if kind.is_dir() => dirs.push(entry.path()),
                kind if kind.is_file() => kept.push(entry.path()),
                _ => assert!(fs::metadata(entry.path().join("elf")).is_ok_and(|elf| elf.is_file())),
            }
        }
    }
    assert!(!kept.is_empty(), "the program has room: {said}");
    for file in kept {
        let name = file.strip_prefix(recorded.path("kept")).expect("below it");
        let name = Path::new("/").join(name.ancestors().nth(2).expect("a name"));
        assert!(fs::read(&file).expect("there") == fs::read(&name).expect("there"), "{}", name.display());
    }
}

#[test]
fn what_cannot_be_bundled_is_said() {
    let dir = tempfile::tempdir().expect("a directory");
    let said = |args: &[&str]| {
        let mut command = perftool(args);
        let output = command.current_dir(dir.path()).stdin(Stdio::null()).output().expect("it runs");
        (output.status.code(), stderr(&output))
    };
    let plain = common::data().join("plain.data");
    let plain = plain.to_str().expect("text");
    for (code, what, args) in [
        (129, "a recording that has ended", &["bundle", "-i", "-"][..]),
        (129, "cannot be used with -o", &["bundle", "--list", "-i", plain, "-o", "x"]),
        (1, "cannot open perf.data", &["bundle"]),
        (1, "cannot open gone.tar.zst", &["unbundle", "gone.tar.zst"]),
        (129, "name the directory", &["unbundle", plain]),
        (1, "no bundle of perftool", &["unbundle", plain, "out"]),
        (1, "something is there already", &["unbundle", plain, "."]),
    ] {
        let (ended, message) = said(args);
        assert_eq!(ended, Some(code), "{args:?}: {message}");
        assert!(message.contains(what), "{args:?}: {message}");
    }
    let left: Vec<_> = fs::read_dir(Path::new(dir.path())).expect("there").collect();
    assert!(left.is_empty() || left.len() == 1, "{left:?}");
}

#[test]
fn a_reader_that_goes_ends_a_bundle_as_it_ends_any_filter() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = perftool(&["bundle", "-o", "-", "-i"]);
    command.arg(common::data().join("plain.data")).env("HOME", dir.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.signal(), Some(Signal::PIPE.as_raw()));
    assert!(!stderr(&output).contains("error"), "{}", stderr(&output));
}
