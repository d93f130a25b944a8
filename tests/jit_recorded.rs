//! `--jit` on real recordings of a program that makes code as it runs (jitgen.c): perf itself says what the functions
//! are called, and binutils whether the images are sound.
#![cfg(target_arch = "x86_64")]

mod common;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::oracle::Perf;
use common::{oracle, perftool, stderr};
use object::{Object as _, ObjectSymbol as _, SymbolKind};
use tempfile::TempDir;

/// A recording of jitgen, and the directory with its dump.
struct Recorded {
    /// Who made it. Of others that inject is not asked: that of 7.3 crashes on jitdumps.
    recorder: &'static Perf,
    dir: TempDir,
    /// Its file.
    file: PathBuf,
}

/// Records jitgen, with these options of `perf record` and those of its own; `None` where perf may not.
fn record(test: &str, options: &[&str], jitgen: &[&str]) -> Option<Recorded> {
    let recorder = oracle::recorder(test)?;
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("recorded");
    for name in ["home", "dumps", "out"] {
        fs::create_dir(dir.path().join(name)).expect("made");
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/jitgen.c");
    let program = dir.path().join("jitgen");
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-fno-omit-frame-pointer", "-o"]).arg(&program).arg(source);
    let built = cc.output().expect("cc is where Rust links");
    assert!(built.status.success(), "{}", stderr(&built));
    let mut perf = Command::new(&recorder.program);
    perf.args(["record", "-q", "-k", "1", "-e", "cpu-clock:u", "-F", "4000"]).args(options);
    // It says nothing: standard output may be the recording.
    perf.args(["-o", if options.contains(&"-") { "-" } else { "recorded" }, "--"]);
    perf.arg(&program).args(jitgen).arg("dumps").current_dir(dir.path()).stdin(Stdio::null());
    if options.contains(&"-") {
        perf.stdout(File::create(&file).expect("a file"));
    }
    let output = perf.stderr(Stdio::piped()).output().expect("perf runs");
    let recorded = fs::metadata(&file).is_ok_and(|meta| meta.len() > 0);
    if !output.status.success() || !recorded {
        oracle::cannot_record(&stderr(&output));
        return None;
    }
    Some(Recorded { recorder, dir, file })
}

impl Recorded {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs a perf, as somebody who has no build-ids cached.
    fn ask(&self, perf: &Perf, args: &[&str], input: &Path) -> Vec<u8> {
        let mut command = perf.command();
        command.args(args).args(["-i", "-"]).current_dir(self.dir.path());
        command.env("HOME", self.path("home"));
        // Of a pipe's stream in a file it knows nothing unless it comes through standard input.
        match fs::read(input).expect("there").get(8) {
            Some(16) => command.stdin(File::open(input).expect("there")),
            _ => command.arg("-i").arg(input).stdin(Stdio::null()),
        };
        let output = command.output().expect("perf runs");
        assert!(output.status.success(), "{perf} {args:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains("out of order"), "{perf} {args:?}: {}", stderr(&output));
        output.stdout
    }

    /// Perf's own way, in a file. It writes an image for each function beside the dump.
    fn by_perf(&self, input: &Path) -> PathBuf {
        let out = self.path("by-perf");
        self.ask(self.recorder, &["inject", "--jit", "-o", out.to_str().expect("text")], input);
        out
    }

    /// Our way, in a file; images are beside it.
    fn by_perftool(&self, args: &[&str]) -> PathBuf {
        let out = self.path("out/by-perftool");
        let mut command = perftool(&["inject", "--strict"]);
        command.args(args).arg("-i").arg(&self.file).arg("-o").arg(&out).stdin(Stdio::null());
        let output = command.output().expect("it runs");
        assert_eq!((output.status.code(), &*stderr(&output)), (Some(0), ""));
        out
    }

    /// A line for each sample with its thread and time, and one for each frame with its name. What perf cannot name it
    /// prints in different ways.
    fn names(&self, perf: &Perf, input: &Path) -> Vec<String> {
        let script = self.ask(perf, &["script", "--no-inline", "-F", "comm,tid,time,ip,sym"], input);
        let script = String::from_utf8_lossy(&script);
        let lines = script.lines().map(|line| match line.strip_prefix('\t') {
            // The address is one in a file, and files differ.
            Some(frame) => frame.trim_start().split_once(' ').map_or("", |(_, name)| name).to_owned(),
            None => line.trim_end().to_owned(),
        });
        lines.filter(|line| !line.is_empty()).collect()
    }

    /// The images that we wrote.
    fn images(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("out")).expect("a directory");
        let mut images: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        images.retain(|path| path.extension().is_some_and(|end| end == "so"));
        images.sort();
        images
    }
}

/// Fails with the first line that differs: all of them would fill pages.
#[track_caller]
fn assert_same(perf: &Perf, ours: &[String], perfs: &[String]) {
    let differs = ours.iter().zip(perfs).position(|(our, perfs)| our != perfs);
    let around = |lines: &[String]| {
        let at = differs.unwrap_or(0);
        lines.get(at.saturating_sub(5)..(at + 2).min(lines.len())).unwrap_or_default().join("\n")
    };
    assert_eq!(differs, None, "{perf}, ours:\n{}\nits own:\n{}", around(ours), around(perfs));
    assert_eq!(ours.len(), perfs.len(), "{perf}");
    let jitted = ours.iter().filter(|line| line.starts_with("jitted")).count();
    assert!(jitted > 300, "samples are in jitted code: {jitted}");
    assert!(ours.iter().any(|line| line.contains(" again(")), "some of it was made again");
}

const WITH_FRAME_POINTERS: &[&str] = &["-f", "-c", "10000"];

#[test]
fn perf_names_each_frame_as_it_does_in_its_own_output() {
    let test = "perf inject --jit beside ours, on a file";
    let Some(recorded) = record(test, &["-g"], WITH_FRAME_POINTERS) else { return };
    let by_perf = recorded.by_perf(&recorded.file);
    for perf in oracle::perfs(test) {
        let perfs = recorded.names(perf, &by_perf);
        let ours = |options: &[&str]| recorded.names(perf, &recorded.by_perftool(options));
        assert_same(perf, &ours(&["--jit=per-process"]), &perfs);
        assert_eq!(recorded.images().len(), 1);
        assert_same(perf, &ours(&["--jit"]), &perfs);
        assert_same(perf, &ours(&["--jit", "-b"]), &perfs);
        recorded.images().iter().for_each(|image| fs::remove_file(image).expect("removed"));
    }
}

#[test]
fn perf_names_each_frame_of_a_pipe_as_it_does_in_its_own_output() {
    let test = "perf inject --jit beside ours, on a pipe's stream";
    let Some(recorded) = record(test, &["-g", "-m", "4", "-o", "-"], WITH_FRAME_POINTERS) else { return };
    // And through to a reader that looks at the images when it wants to.
    let out = recorded.path("out/by-pipe");
    let mut command = perftool(&["inject", "--jit", "--strict", "--jit-dir"]);
    command.arg(recorded.path("out")).stdin(File::open(&recorded.file).expect("there"));
    let output = command.output().expect("it runs");
    assert_eq!((output.status.code(), &*stderr(&output)), (Some(0), ""));
    fs::write(&out, output.stdout).expect("written");
    let (by_perf, by_perftool) = (recorded.by_perf(&recorded.file), recorded.by_perftool(&["--jit"]));
    for perf in oracle::perfs(test) {
        let perfs = recorded.names(perf, &by_perf);
        assert_same(perf, &recorded.names(perf, &out), &perfs);
        assert_same(perf, &recorded.names(perf, &by_perftool), &perfs);
    }
}

#[test]
fn what_was_compressed_has_the_names_that_it_has_plain() {
    let test = "a compressed recording of jitted code";
    let Some(recorded) = record(test, &["-g", "-z"], WITH_FRAME_POINTERS) else { return };
    let plain = recorded.path("plain");
    let mut command = perftool(&["inject", "--decompress", "-i"]);
    let output = command.arg(&recorded.file).arg("-o").arg(&plain).output().expect("it runs");
    assert!(output.status.success(), "{}", stderr(&output));
    let (by_perf, by_perftool) = (recorded.by_perf(&plain), recorded.by_perftool(&["--jit"]));
    for perf in oracle::perfs(test) {
        assert_same(perf, &recorded.names(perf, &by_perftool), &recorded.names(perf, &by_perf));
    }
}

#[test]
fn readelf_finds_no_fault_and_addr2line_finds_file_and_line() {
    let test = "readelf and addr2line on images";
    if !oracle::are_here("binutils", &["readelf", "addr2line"], test) {
        return;
    }
    for stacks in [&["-g"][..], &["--call-graph", "dwarf,1024"]] {
        let Some(recorded) = record(test, stacks, WITH_FRAME_POINTERS) else { return };
        recorded.by_perftool(&["--jit"]);
        recorded.by_perftool(&["--jit=per-process"]);
        let images = recorded.images();
        let said: String = images.iter().map(|image| readelf(image)).collect();
        assert!(said.contains("made-1.jit") && said.contains("FDE"), "it has decoded both: {stacks:?}");
        let functions: usize = images.iter().map(|image| addr2line(image)).sum();
        assert!(functions > 50, "{functions}");
    }
}

/// What readelf says of an image. Fails where it finds fault with what it can decode.
fn readelf(image: &Path) -> String {
    let mut command = Command::new("readelf");
    command.args(["-aW", "--debug-dump=info,abbrev,line,decodedline,frames"]).arg(image).env("LC_ALL", "C");
    let output = command.output().expect("readelf runs");
    assert!(output.status.success());
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    let faults: Vec<_> =
        said.lines().filter(|line| line.contains("Warning") || line.contains("Error")).collect();
    assert_eq!(faults, [""; 0], "{}", image.display());
    said
}

/// How many functions are in an image. Fails where addr2line does not find the name, the file and the line of each.
fn addr2line(image: &Path) -> usize {
    let bytes = fs::read(image).expect("there");
    let file = object::File::parse(&*bytes).expect("an ELF file");
    let functions: Vec<_> = file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text).collect();
    let mut command = Command::new("addr2line");
    command.args(["-f", "-e"]).arg(image);
    command.args(functions.iter().map(|symbol| format!("{:#x}", symbol.address())));
    let output = command.output().expect("addr2line runs");
    let said = String::from_utf8(output.stdout).expect("text");
    let mut lines = said.lines();
    for symbol in &functions {
        let name = symbol.name().expect("text");
        let number = name["jitted_".len()..].split(' ').next().and_then(|number| number.parse::<u32>().ok());
        let number = number.expect("its name tells it");
        assert_eq!(lines.next(), Some(name));
        let place = format!("/src/made-{}.jit:{}", number % 7, number + 10);
        assert_eq!(lines.next(), Some(&*place), "{name}");
    }
    functions.len()
}

#[test]
fn user_stacks_are_unwound_at_least_as_often_as_in_perfs_own_output() {
    let test = "user stacks in jitted code";
    // Without frame pointers only the dump's tables tell.
    let Some(recorded) = record(test, &["--call-graph", "dwarf,4096"], &["-c", "10000"]) else { return };
    let whole = |perf, file: &Path| {
        let names = recorded.names(perf, file);
        let (mut time, mut whole) = ("", BTreeSet::new());
        for line in &names {
            if line.ends_with(':') {
                time = line;
            } else if line == "main" {
                whole.insert(time);
            }
        }
        whole.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let (by_perf, by_perftool) = (recorded.by_perf(&recorded.file), recorded.by_perftool(&["--jit"]));
    for perf in oracle::perfs(test) {
        let (perfs, ours) = (whole(perf, &by_perf).len(), whole(perf, &by_perftool).len());
        assert!(ours >= perfs && perfs > 0, "{ours} stacks reach main; in the output of {perf} {perfs}");
    }
}
