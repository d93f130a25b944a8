//! Tools of others ride every pairing of input and output: what they drop is gone and what they insert is there, for us and
//! for perf.

mod common;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Cursor, Read as _};
use std::path::Path;
use std::process::Stdio;

use common::data;
use common::oracle::{Format, Perf, perfs};
use perf_format::record::{Comm, Misc};
use perf_format::{PerfFile, PipeStream, Record, RecordType};
use perf_inject::{Plan, Run, RunReport};
use perf_session::build_id::Chain;
use perf_session::{Error, Event, Injection, RecordSet, Session, SessionReader, Tool, Verdict};

const RECORDINGS: [&str; 7] = [
    "callchain.pipe",
    "compressed.pipe",
    "forks.pipe",
    "newest-compressed.pipe",
    "callchain.data",
    "plain.data",
    "newest-compressed.data",
];

/// Drops every second sample.
#[derive(Default)]
struct Halve(u64);

impl Tool for Halve {
    fn wants(&self) -> RecordSet {
        RecordSet::of(&[RecordType::SAMPLE])
    }

    fn cuts(&self) -> RecordSet {
        self.wants()
    }

    fn event(&mut self, _: &Event<'_>, _: &mut Session, _: &mut Injection<'_>) -> Result<Verdict, Error> {
        self.0 += 1;
        Ok(if self.0.is_multiple_of(2) { Verdict::Drop } else { Verdict::Repipe })
    }
}

/// Gives each thread the name `added` before each of its samples.
#[derive(Default)]
struct Rename(u64);

impl Tool for Rename {
    fn wants(&self) -> RecordSet {
        RecordSet::of(&[RecordType::SAMPLE])
    }

    fn event(
        &mut self,
        event: &Event<'_>,
        session: &mut Session,
        inject: &mut Injection<'_>,
    ) -> Result<Verdict, Error> {
        let Some(evsel) = session.evlist.evsel(event.record) else { return Ok(Verdict::Repipe) };
        let (tid, trailer) = (evsel.format.tid(event.record), evsel.format.sample_id(event.record));
        let (tid, trailer) = (tid.expect("it is sampled"), trailer.expect("it is whole"));
        let comm = Comm { pid: tid.pid, tid: tid.tid, comm: "added".into() };
        inject.inject_with_sample_id(Misc::default(), &Record::Comm(comm), &trailer)?;
        self.0 += 1;
        Ok(Verdict::Repipe)
    }
}

/// What comes out of a run with a tool.
fn ran(plan: Plan, recording: &[u8], to: Format, tool: &mut dyn Tool) -> (Vec<u8>, RunReport) {
    let mut run = Run::new(plan, Chain(Vec::new())).with_tool(tool);
    let mut out = Cursor::new(Vec::new());
    let source = Cursor::new(recording);
    let ran = match to {
        Format::Pipe => run.any_to_pipe(source, &mut out),
        Format::File => run.any_to_file(source, &mut out),
    };
    ran.expect("whole");
    (out.into_inner(), run.into_report())
}

/// The records of a type and of all others, by their bytes, and the name of the thread of each sample.
fn read(recording: &[u8]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>, Vec<String>) {
    let (mut samples, mut others, mut comms) = (Vec::new(), Vec::new(), Vec::new());
    let mut reader = SessionReader::from_source(Cursor::new(recording)).expect("perf data");
    while let Some(record) = reader.next().expect("whole") {
        let bytes = record.record.bytes.to_vec();
        match record.record_type() {
            RecordType::SAMPLE => {
                comms.push(record.comm().map(ToString::to_string).unwrap_or_default());
                samples.push(bytes);
            }
            RecordType::HEADER_FEATURE => {}
            _ => others.push(bytes),
        }
    }
    (samples, others, comms)
}

/// The names of the threads of all samples, as perf has them.
fn as_perf_reads(perf: &Perf, recording: &[u8], dir: &Path) -> Vec<String> {
    let path = dir.join("perf.data");
    fs::write(&path, recording).expect("written");
    let mut script = perf.command();
    script.args(["script", "-G", "-F", "comm", "-i"]).arg(&path).stdin(Stdio::null());
    let output = script.output().expect("it runs");
    assert!(output.status.success(), "{perf}: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("text");
    lines.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

fn recordings() -> impl Iterator<Item = (&'static str, Vec<u8>, Format)> {
    let read = |name| (name, fs::read(data().join(name)).expect("it is kept"));
    let recordings = RECORDINGS.into_iter().map(read);
    recordings.flat_map(|(name, bytes)| [Format::File, Format::Pipe].map(|to| (name, bytes.clone(), to)))
}

#[test]
fn what_a_tool_drops_is_gone_in_every_pairing_and_no_more() {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, recording, to) in recordings() {
        let (samples, others, _) = read(&recording);
        let (out, report) = ran(Plan::NOTHING, &recording, to, &mut Halve::default());
        let (kept, others_kept, _) = read(&out);
        assert_eq!(report.passed.injected, 0, "{name} to a {to:?}");
        assert_eq!(kept.len(), samples.len().div_ceil(2), "{name} to a {to:?}");
        let before: HashSet<_> = samples.into_iter().collect();
        assert!(kept.iter().all(|sample| before.contains(sample)), "{name} to a {to:?}");
        assert_eq!(others_kept, others, "{name} to a {to:?}");
        for perf in perfs("what a tool drops") {
            if perf.reads(name, to) {
                assert_eq!(
                    as_perf_reads(perf, &out, dir.path()).len(),
                    kept.len(),
                    "{perf}: {name} to a {to:?}"
                );
            }
        }
    }
}

#[test]
fn what_a_tool_inserts_is_there_in_every_pairing_and_nothing_else_is_changed() {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, recording, to) in recordings() {
        let (samples, others, _) = read(&recording);
        let mut tool = Rename::default();
        let (out, _) = ran(Plan::NOTHING, &recording, to, &mut tool);
        let (kept, with_added, comms) = read(&out);
        assert_eq!(tool.0, samples.len() as u64, "{name} to a {to:?}");
        assert_eq!(kept, samples, "{name} to a {to:?}");
        assert_eq!(with_added.len(), others.len() + samples.len(), "{name} to a {to:?}");
        assert!(comms.iter().all(|comm| comm == "added"), "{name} to a {to:?}");
        for perf in perfs("what a tool inserts") {
            if perf.reads(name, to) {
                let comms = as_perf_reads(perf, &out, dir.path());
                assert_eq!(comms, vec!["added"; samples.len()], "{perf}: {name} to a {to:?}");
            }
        }
    }
}

#[test]
fn tools_see_what_is_recovered_and_each_of_several_has_its_say() {
    for (name, mut recording, to) in recordings().filter(|(name, ..)| !name.contains("compressed")) {
        let (samples, ..) = read(&recording);
        // A size that no record can have, in the middle.
        let sample = &samples[samples.len() / 2];
        let at = recording.windows(sample.len()).position(|bytes| bytes == sample).expect("it is there");
        recording[at + 6..at + 8].fill(0);
        let (mut halve, mut rename) = (Halve::default(), Rename::default());
        let plan = Plan { recover: true, ..Plan::NOTHING };
        let mut run = Run::new(plan, Chain(Vec::new())).with_tool(&mut halve).with_tool(&mut rename);
        let mut out = Cursor::new(Vec::new());
        match to {
            Format::Pipe => run.any_to_pipe(Cursor::new(&recording), &mut out).expect("whole"),
            Format::File => continue,
        }
        let damage = run.into_report().damage.expect("it was looked for");
        assert_eq!((damage.places, damage.bytes), (1, sample.len() as u64), "{name}");
        assert_eq!((halve.0, rename.0), (samples.len() as u64 - 1, samples.len() as u64 - 1), "{name}");
        let (kept, _, comms) = read(&out.into_inner());
        assert_eq!(kept.len(), (samples.len() - 1).div_ceil(2), "{name}");
        assert!(comms.iter().all(|comm| comm == "added"), "{name}");
    }
}

#[test]
fn a_recording_of_several_files_takes_no_tools() {
    let mut file =
        PerfFile::open(File::open(data().join("plain.data")).expect("it is kept")).expect("a file");
    let mut others = [File::open(data().join("plain.data")).expect("it is kept")];
    let mut halve = Halve::default();
    let mut run = Run::new(Plan::NOTHING, Chain(Vec::new())).with_tool(&mut halve);
    let copy = |source: &mut File, len, out: &mut Cursor<Vec<u8>>| io::copy(&mut source.take(len), out);
    let ran = run.file_to_file(&mut file, None, &mut others, &mut Cursor::new(Vec::new()), copy);
    assert!(matches!(ran, Err(Error::Tool(_))));
}

#[test]
fn a_source_in_either_format_goes_to_a_pipe() {
    for name in ["plain.data", "forks.pipe"] {
        let mut out = Vec::new();
        let mut halve = Halve::default();
        let mut run = Run::new(Plan::NOTHING, Chain(Vec::new())).with_tool(&mut halve);
        run.any_to_pipe(File::open(data().join(name)).expect("it is kept"), &mut out).expect("whole");
        PipeStream::open(&out[..]).expect("a stream");
    }
}
