//! Build-ids that can be trusted, on real recordings of programs that change under them.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use common::oracle::Perf;
use common::{oracle, perftool, run, stderr};
use perf_format::record::{CpuMode, MapFile};
use perf_format::testing::{At, StreamBuilder, ids_in, injected};
use perf_format::{BuildId, Endian};
use perf_session::testing::Elf;

/// Records a program in pipe format; `None` where perf may not.
fn record(recorder: &Perf, program: &Path, args: &[&str]) -> Option<Vec<u8>> {
    let mut perf = Command::new(&recorder.program);
    perf.args(["record", "-q", "-e", "cpu-clock", "-F", "2000", "-o", "-", "--"]).arg(program).args(args);
    let output = perf.stdin(Stdio::null()).stderr(Stdio::piped()).output().expect("perf runs");
    if output.stdout.len() < 2000 {
        oracle::cannot_record(&stderr(&output));
        return None;
    }
    // The program wrote to the same standard output as perf: it must be one that says nothing.
    Some(output.stdout)
}

/// A copy of a program that works for a while and says nothing.
fn program(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("program");
    fs::copy("/usr/bin/sort", &path).expect("every Debian system has it");
    path
}

/// The ids that `inject -b` puts into a recording, and what it says.
fn inject(args: &[&str], stream: &[u8]) -> (Vec<(String, BuildId)>, String) {
    let output = run(perftool(&[&["inject", "-b"], args].concat()), stream);
    assert!(output.status.success(), "{}", stderr(&output));
    (ids_in(&injected(stream, &output.stdout), Endian::NATIVE), stderr(&output))
}

#[test]
fn a_program_that_was_rebuilt_after_it_was_recorded_gets_no_id() {
    let Some(recorder) = oracle::recorder("a recording of a program that is rebuilt") else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let path = program(dir.path());
    let name = path.to_str().expect("text").to_owned();
    let work = dir.path().join("work");
    fs::write(&work, "b\na\n".repeat(200_000)).expect("written");
    let args = [work.to_str().expect("text"), "-o", "/dev/null"];
    let Some(stream) = record(recorder, &path, &args) else { return };
    let id = |ids: &[(String, BuildId)]| ids.iter().find(|(other, _)| *other == name).map(|(_, id)| *id);
    let (ids, said) = inject(&[], &stream);
    let recorded = id(&ids).expect("the program as it was");
    assert_eq!(said, "");
    // As a linker does it: another file under the name.
    let new = dir.path().join("new");
    fs::write(&new, Elf::with_build_id(&[0x2e; 20]).bytes()).expect("written");
    fs::rename(&new, &path).expect("renamed");
    let (ids, said) = inject(&[], &stream);
    assert_eq!(id(&ids), None, "{said}");
    assert!(
        said.starts_with(&format!("perftool: warning: no build-id for {name}: another file is there now")),
        "{said}"
    );
    let (ids, said) = inject(&["--allow-changed"], &stream);
    assert_eq!((id(&ids).map(|id| id.to_string()), said.as_str()), (Some("2e".repeat(20)), ""));
    assert_ne!(recorded.to_string(), "2e".repeat(20));
}

#[test]
fn a_program_that_perf_linked_into_its_cache_since_keeps_its_id() {
    let Some(recorder) = oracle::recorder("a recording of a program that is recorded again") else { return };
    // The cache has to be on the file system of the program.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let path = program(dir.path());
    let name = path.to_str().expect("text").to_owned();
    let work = dir.path().join("work");
    fs::write(&work, "b\na\n".repeat(200_000)).expect("written");
    let args = [work.to_str().expect("text"), "-o", "/dev/null"];
    let Some(stream) = record(recorder, &path, &args) else { return };
    let mut again = Command::new(&recorder.program);
    again
        .env("HOME", dir.path())
        .args(["record", "-q", "-e", "cpu-clock", "-o"])
        .arg(dir.path().join("data"));
    let again = again.arg("--").arg(&path).args(args).output().expect("perf runs");
    assert!(again.status.success(), "{}", stderr(&again));
    assert!(dir.path().join(".debug").is_dir(), "perf keeps what it records");
    let has_id = |(ids, _): &(Vec<(String, BuildId)>, String)| ids.iter().any(|(other, _)| *other == name);
    let (lenient, strict) = (inject(&[], &stream), inject(&["--strict-ids"], &stream));
    assert!(has_id(&lenient), "{}", lenient.1);
    assert!(!has_id(&strict));
}

#[test]
fn what_is_listed_can_be_given_back_as_known() {
    let dir = tempfile::tempdir().expect("a directory");
    let list = dir.path().join("ids");
    let recording = common::data().join("callchain.data");
    let listed = perftool(&["buildid-list", "-i"]).arg(&recording).output().expect("it runs").stdout;
    fs::write(&list, &listed).expect("written");
    let known = format!("--known-build-ids=file://{}", list.display());
    let (bare, full) = (dir.path().join("bare"), dir.path().join("full"));
    let inject = |args: &[&str], input: &Path, output: &Path| {
        let mut command = perftool(&["inject"]);
        let done = command.args(args).arg("-i").arg(input).arg("-o").arg(output).output().expect("it runs");
        assert!(done.status.success(), "{}", stderr(&done));
    };
    // The same samples without a table, and then with the known one alone: nothing is asked of this machine.
    inject(&[], &common::data().join("callchain.pipe"), &bare);
    inject(&["-b", &known], &bare, &full);
    let hit = perftool(&["buildid-list", "-H", "-i"]).arg(&full).output().expect("it runs").stdout;
    let (hit, listed) = (String::from_utf8(hit).expect("text"), String::from_utf8(listed).expect("text"));
    assert!(hit.lines().count() >= 4, "{hit}");
    assert!(hit.lines().all(|line| listed.contains(line)), "{hit} is not of {listed}");
}

#[test]
fn all_that_is_mapped_gets_its_id_in_front_of_its_map() {
    let stream = StreamBuilder::with_callchains(Endian::Little)
        .mmap2(At::new(1, 0), 0x1000, 0x1000, "[vdso]")
        .mmap2(At::new(1, 0), 0x4000, 0x1000, "//anon")
        .mmap2(At::new(2, 0), 0x1000, 0x1000, "[vdso]")
        .bytes();
    for args in
        [&["inject", "--buildid-all"][..], &["inject", "-b", "--buildid-all"], &["inject", "--buildid-a"]]
    {
        let args = &[args, &[common::WITH_VDSO]].concat();
        let out = run(perftool(args), &stream).stdout;
        let types: Vec<u32> =
            perf_format::testing::records(&out).iter().map(|record| record.record_type.0).collect();
        assert_eq!(types, [64, 67, 10, 10, 10], "{args:?}");
    }
    assert!(run(perftool(&["inject", "-b"]), &stream).stdout == stream, "nothing is hit");
}

#[test]
fn known_ids_come_first_in_every_style_and_in_a_pipe_too() {
    let own = MapFile::BuildId(Some(BuildId::new(&[0xee; 20]).expect("an id")));
    let stream = |file| {
        let stream = StreamBuilder::with_callchains(Endian::Little);
        let stream = stream.mapped(At::new(1, 1), 0x1000, 0x1000, "/bin/a", file);
        stream.sample(CpuMode::User, At::new(1, 2), 0x1800, &[]).bytes()
    };
    let known = format!("--known-build-ids={} /bin/b,{} /bin/a", "01".repeat(20), "ab".repeat(20));
    for style in ["-b", "--buildid-all", "-B", "--mmap2-buildid-all"] {
        // An id in a map's own record is changed where that record is.
        let files = [MapFile::BuildId(None), own];
        for file in files.into_iter().take(if matches!(style, "-B" | "--mmap2-buildid-all") { 2 } else { 1 })
        {
            let output = run(perftool(&["inject", style, &known]), &stream(file));
            assert!(output.status.success(), "{}", stderr(&output));
            let listed = run(perftool(&["buildid-list"]), &output.stdout).stdout;
            let expected = format!("{} /bin/a\n", "ab".repeat(20));
            assert_eq!(String::from_utf8(listed).expect("text"), expected, "{style}");
        }
    }
}

#[test]
fn a_known_id_that_cannot_be_read_is_an_error_that_names_it() {
    let stream = StreamBuilder::with_callchains(Endian::Little).bytes();
    let refused = |list: &str| {
        let output = run(perftool(&["inject", "-b", &format!("--known-build-ids={list}")]), &stream);
        let code = if list.starts_with("file:") { 1 } else { 129 };
        assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0), "{list}");
        stderr(&output)
    };
    assert!(refused("abcd").contains("\"abcd\" is not an id, a blank and a name"));
    assert!(refused("01 /a,xyz /b").contains("\"xyz /b\" does not begin with a build-id"));
    assert!(refused("file:///nowhere/at/all").contains("No such file"));
}

#[test]
fn a_pipe_of_nobody_knows_which_boot_gets_neither_the_kernels_id_nor_the_vdsos() {
    // Where every x86-64 kernel without KASLR is, and elsewhere.
    for start in [0xffff_ffff_8100_0000, 0xffff_ffff_8100_0190] {
        let stream = StreamBuilder::with_callchains(Endian::Little)
            .kernel(start, 0x10_0000)
            .mmap2(At::new(7, 1), 0x7fff_0000_1000, 0x2000, "[vdso]")
            .sample(CpuMode::Kernel, At::new(7, 2), start + 0x10, &[])
            .sample(CpuMode::User, At::new(7, 3), 0x7fff_0000_1800, &[])
            .bytes();
        let (ids, said) = inject(&[], &stream);
        assert_eq!(ids, [], "{said}");
        assert!(said.starts_with("perftool: warning: no build-ids of this machine: "), "{said}");
    }
}

#[test]
fn that_no_file_can_be_opened_is_the_reason_where_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("stream");
    let stream = common::recorded_here(StreamBuilder::with_callchains(Endian::Little))
        .kernel(0xffff_ffff_8100_0000, 0x10_0000)
        .mmap2(At::new(7, 1), 0x1000, 0x1000, "/bin/sh")
        .sample(CpuMode::Kernel, At::new(7, 2), 0xffff_ffff_8100_0010, &[])
        .sample(CpuMode::User, At::new(7, 3), 0x1010, &[])
        .bytes();
    fs::write(&path, stream).expect("written");
    let mut reasons = String::new();
    for files in 4..12 {
        let script = format!("ulimit -n {files}; exec \"$0\" inject -b --summary -i \"$1\" -o -");
        let mut sh = Command::new("sh");
        sh.args(["-c", &script]).arg(perftool(&[]).get_program()).arg(&path);
        reasons += &stderr(&sh.output().expect("it runs"));
    }
    assert!(reasons.contains("Too many open files"), "{reasons}");
    for other in ["made with kernel", "made on", "not loaded"] {
        assert!(!reasons.contains(other), "{reasons}");
    }
}
