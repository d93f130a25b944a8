//! Real perf, as the judge of what comes out: it reads our output as it reads the input, and we find every id that
//! it finds.

mod common;

use std::collections::BTreeSet;
use std::process::{Command, Output, Stdio};

use common::oracle::{Format, Perf};
use common::{oracle, perftool, pipe_recordings, run, stderr};
use perf_format::testing::{ids_in, injected, records};
use perf_format::{Endian, RecordType};

fn ask(perf: &Perf, args: &[&str], input: &[u8]) -> Output {
    let mut command = perf.command();
    command.args(args);
    run(command, input)
}

/// The lines that `perf script` prints of a stream. Where symbols are to be found may differ with the ids that
/// are known, so it is asked for what the records say themselves.
fn script(perf: &Perf, stream: &[u8]) -> Vec<String> {
    let output = ask(perf, &["script", "-i", "-", "-F", "+pid,-sym,-symoff"], stream);
    let output = if output.status.success() { output } else { ask(perf, &["script", "-i", "-"], stream) };
    assert!(output.status.success(), "{perf} script: {}", stderr(&output));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// The ids that perf's own `inject -b` finds; `None` where it fails, as it does on tracepoints.
fn perfs_ids(perf: &Perf, stream: &[u8]) -> Option<BTreeSet<(String, String)>> {
    let output = ask(perf, &["inject", "-b"], stream);
    if !output.status.success() || output.stdout.len() < stream.len() {
        return None;
    }
    let ids = ids_in(&records(&output.stdout), Endian::NATIVE).into_iter();
    // It reads its own vdso from a temporary file and names it after that.
    Some(
        ids.filter(|(name, _)| !name.starts_with("/tmp/perf-vdso.so"))
            .map(|(name, id)| (name, id.to_string()))
            .collect(),
    )
}

/// What comes out for a recording that was made elsewhere: perf asks no file whether it is the recorded one.
fn our_output(stream: &[u8]) -> Vec<u8> {
    output_of(&["inject", "-b", "--allow-changed"], stream)
}

fn output_of(args: &[&str], stream: &[u8]) -> Vec<u8> {
    let output = run(perftool(args), stream);
    assert!(output.status.success(), "{}", stderr(&output));
    output.stdout
}

fn our_ids(out: &[u8]) -> BTreeSet<(String, String)> {
    ids_in(&records(out), Endian::NATIVE).into_iter().map(|(name, id)| (name, id.to_string())).collect()
}

#[test]
fn perf_script_prints_the_same_of_the_output_as_of_the_input() {
    for (name, stream) in pipe_recordings() {
        let out = our_output(&stream);
        let perfs = oracle::perfs("perf script on the recordings").iter();
        for perf in perfs.filter(|perf| perf.reads(&name, Format::Pipe)) {
            let lines = script(perf, &stream);
            assert!(!lines.is_empty() || name == "compressed.pipe", "{name}: {perf} reads it");
            assert_eq!(script(perf, &out), lines, "{name}, {perf}");
        }
    }
}

#[test]
fn every_id_that_perf_finds_is_found() {
    let recordings: Vec<_> = pipe_recordings()
        .into_iter()
        .map(|(name, stream)| (name, our_ids(&our_output(&stream)), stream))
        .collect();
    for perf in oracle::perfs("perf inject -b on the recordings") {
        let mut compared = 0;
        for (name, ours, stream) in &recordings {
            if let Some(perfs) = perfs_ids(perf, stream) {
                compared += usize::from(!perfs.is_empty());
                assert!(
                    ours.is_superset(&perfs),
                    "{name}, {perf}: {:?} are missing",
                    perfs.difference(ours).collect::<Vec<_>>()
                );
            }
        }
        assert!(compared >= 6, "{perf} finds ids in most recordings; it did in {compared}");
    }
}

#[test]
fn perf_lists_the_ids_that_were_injected() {
    let (_, stream) =
        pipe_recordings().into_iter().find(|(name, _)| name == "callchain.pipe").expect("it is kept");
    let out = our_output(&stream);
    let kernel =
        our_ids(&out).into_iter().find(|(name, _)| name == "[kernel.kallsyms]").expect("the kernel's id");
    for perf in oracle::perfs("perf buildid-list on the output") {
        let listed = ask(perf, &["buildid-list", "-i", "-"], &out);
        let listed = String::from_utf8(listed.stdout).expect("text");
        assert!(listed.contains(&format!("{} {}", kernel.1, kernel.0)), "{perf}: {listed}");
    }
}

/// A busy machine: forks, execs, short lives, shared libraries.
const WORK: &str = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do ls -R /usr/share/doc >/dev/null; seq 1 3000 | sort -r | cksum >/dev/null; done";

#[test]
fn a_fresh_recording_of_the_whole_machine_keeps_its_bytes_and_gains_its_ids() {
    let Some(recorder) = oracle::recorder("a fresh recording") else { return };
    let args =
        ["record", "-q", "-a", "-F", "20000", "-e", "cpu-clock", "-g", "-o", "-", "--", "sh", "-c", WORK];
    let recording =
        Command::new(&recorder.program).args(args).stdin(Stdio::null()).output().expect("perf runs");
    let (stream, said) = (recording.stdout, String::from_utf8_lossy(&recording.stderr));
    if stream.len() < 10_000 {
        return oracle::cannot_record(&said);
    }
    let out = output_of(&["inject", "-b"], &stream);
    let injected = injected(&stream, &out);
    assert!(injected.iter().all(|record| record.record_type == RecordType::BUILD_ID));
    let ours = our_ids(&out);
    assert!(ours.iter().any(|(name, _)| name == "[kernel.kallsyms]"), "the kernel was hit: {ours:?}");
    for perf in oracle::perfs("a fresh recording") {
        let perfs = perfs_ids(perf, &stream).expect("perf injects into a fresh recording");
        assert!(!perfs.is_empty());
        let missing: Vec<_> = perfs.difference(&ours).collect();
        assert!(missing.is_empty(), "{perf}: {missing:?} are missing");
        assert_eq!(script(perf, &out), script(perf, &stream), "{perf}");
    }
}

/// Functions that call each other and keep no frame pointer.
const CALLS: &str = "
volatile long sink;
__attribute__((noinline)) static long leaf(long n) { for (long i = 0; i < n; i++) sink += i * i; return sink; }
__attribute__((noinline)) static long middle(long n) { long r = leaf(n); sink++; return r + 1; }
__attribute__((noinline)) static long outer(long n) {
    long r = 0;
    for (int i = 0; i < 100; i++) { r += middle(n); sink++; }
    return r;
}
int main(void) { return outer(1000000) == 1; }
";

/// The addresses of each sample's chain, as `perf script` prints them.
fn printed_chains(perf: &Perf, stream: &[u8]) -> Vec<Vec<String>> {
    let output = ask(perf, &["script", "-i", "-", "--no-inline", "-F", "time,ip"], stream);
    assert!(output.status.success(), "{perf} script: {}", stderr(&output));
    let mut chains: Vec<Vec<String>> = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        match line.strip_prefix('\t') {
            Some(frame) => {
                let address = frame.split_whitespace().next().map(str::to_owned);
                chains.last_mut().expect("behind a time").extend(address);
            }
            None if line.is_empty() => {}
            None => chains.push(Vec::new()),
        }
    }
    chains
}

#[test]
fn the_chains_of_converted_stacks_are_those_that_perf_unwinds() {
    let Some(recorder) = oracle::recorder("stacks of a fresh recording") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let [source, program] = ["calls.c", "calls"].map(|name| folder.path().join(name));
    std::fs::write(&source, CALLS).expect("the source");
    let status =
        Command::new("cc").args(["-O2", "-fomit-frame-pointer", "-o"]).arg(&program).arg(&source).status();
    assert!(status.expect("CI installs cc").success());
    let args = ["record", "-q", "-F", "499", "-e", "cpu-clock", "--call-graph", "dwarf,2048", "-o", "-"];
    let mut record = Command::new(&recorder.program);
    let recording = record.args(args).arg("--").arg(&program).stdin(Stdio::null()).output();
    let recording = recording.expect("perf runs");
    if recording.stdout.len() < 10_000 {
        return oracle::cannot_record(&String::from_utf8_lossy(&recording.stderr));
    }
    let converted = output_of(&["inject", "--convert-callchain"], &recording.stdout);
    assert!(converted.len() < recording.stdout.len() / 2, "stacks are left out");
    for perf in oracle::perfs("stacks of a fresh recording") {
        let [expected, chains] = [&recording.stdout, &converted].map(|stream| printed_chains(perf, stream));
        assert_eq!(chains.len(), expected.len(), "{perf}: no sample is lost");
        assert!(chains.len() >= 10);
        // Where the loader is at work, unwinders differ in some frames.
        let same = chains.iter().zip(&expected).filter(|(ours, perfs)| ours == perfs).count();
        assert!(same * 10 >= chains.len() * 9, "{perf}: {same} of {} are the same", chains.len());
    }
}
