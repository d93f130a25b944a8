//! Stacks that are unwound as they pass: a compiler's, in a pipe and from a file to a file, beside cat and cp, which look at
//! nothing, and beside the newest perf's own way where that perf is built.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context as _, ensure};

use perf_format::{CpuMode, PerfReader, RecordType, SampleFormat, sample};

use super::inputs::STACKS;
use super::memory::peaks;
use super::programs::Program;
use super::recording::{remove, unless_missing};
use super::report::{Bar, Row};
use super::rounds::{Timed, interleaved};
use super::{Bench, files, lists, pipes, progress};

const IN_A_PIPE: &str = "cat FILE | X | cat > /dev/null, stacks";
const OF_FILES: &str = "X -i FILE -o NEW, stacks";
const BESIDE_PERF: &str = "X -i FILE -o NEW, stacks, beside perf";
const MEMORY: &str = "cat FILE | X > /dev/null, stacks";

/// The option that it is about. perf has it from version 7 on, for files.
const CONVERT: &str = "--convert-callchain";
/// Neither a stored pipe nor a file that was made of one tells that it was recorded on this machine as it runs now.
const OF_THIS_MACHINE: &str = "--allow-changed";

/// The most that perftool may take in a pipe, in times of cat.
const AT_MOST: f64 = 1.5;
/// The same in times of perf's own way.
const OF_PERFS_TIME: f64 = 1.0 / 15.0;
/// The most memory that perftool may have of its own, in MiB.
const MIB_AT_MOST: f64 = 64.0;

const OWN: &str = "without files MiB";
const MIB: f64 = (1 << 20) as f64;

/// perf takes seconds, and stands in front of each run of ours.
const ROUNDS_OF_PERF: usize = 9;

pub(super) fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let pipe = match unless_missing(STACKS.pipe(bench))? {
        Ok(pipe) => pipe,
        Err(missing) => return Ok(vec![Row::left_out(IN_A_PIPE, STACKS.name, &missing)]),
    };
    let file = bench.file_of(&STACKS, "unwind.stacks.data", &[])?;
    let ours = Program::perftool(bench, &[CONVERT, OF_THIS_MACHINE]);
    let new = bench.folder.join("unwind.converted");
    ours.passes(&pipe, &mut File::create(&new)?)?;
    let converted = Converted::read(&new)?;
    let of_file = (files::convert(&ours, &file, &new).run)()?.map(|_| Converted::read(&new)).transpose()?;
    let of_file = of_file.context("the file was not converted")?;
    ensure!(
        of_file.frames == converted.frames,
        "the file has {} frames, the pipe {}",
        of_file.frames,
        converted.frames
    );
    remove(&new)?;
    let mut rows = in_a_pipe(bench, &pipe, &ours, &converted)?;
    rows.extend(of_files(bench, &file, &ours)?);
    rows.push(beside_perf(bench, &file, &ours)?);
    rows.push(memory(&pipe, &ours)?);
    Ok(rows)
}

/// What comes out.
struct Converted {
    bytes: u64,
    samples: u64,
    /// Those of user space, which were unwound.
    frames: u64,
}

impl Converted {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let mut reader = PerfReader::open(File::open(path)?)?;
        let event = reader.preamble().event_infos()?.into_iter().next().context("it has no event")?;
        let format = SampleFormat::new(&event.attr);
        let mut converted = Self { bytes: fs::metadata(path)?.len(), samples: 0, frames: 0 };
        while let Some(record) = reader.next_record()? {
            if record.record_type() != RecordType::SAMPLE {
                continue;
            }
            let chain = format.callchain(&record)?.context("a sample has no chain")?;
            let frames = sample::frames(chain, record.header.misc.cpumode());
            converted.samples += 1;
            converted.frames += frames.filter(|frame| frame.cpumode == CpuMode::User).count() as u64;
        }
        ensure!(converted.frames > 0, "no stack was unwound");
        Ok(converted)
    }
}

fn in_a_pipe(bench: &Bench, pipe: &Path, ours: &Program, converted: &Converted) -> anyhow::Result<Vec<Row>> {
    progress("unwind, in a pipe");
    let cat = Program::cat();
    let programs = [ours.clone(), Program::perftool(bench, &[CONVERT, OF_THIS_MACHINE, "-b"])];
    let mut contenders = programs.each_ref().map(|program| pipes::contender(program, pipe));
    let (base, timed) = interleaved(bench.rounds, &mut pipes::contender(&cat, pipe), &mut contenders)?;
    let bytes = fs::metadata(pipe)?.len();
    let row = |program: &Program, timed: Option<Timed>, out: u64| {
        let sizes = vec![("MB", bytes as f64 / 1e6), ("MB out", out as f64 / 1e6)];
        let figures = timed.map_or(Vec::new(), |timed| {
            [sizes, timed.figures(pipes::RATIO, pipes::CPU_RATIO), nanoseconds(program, timed, converted)]
                .concat()
        });
        let bar = (program.name == ours.name).then_some(Bar::at_most(pipes::RATIO, AT_MOST));
        let note = (program.name == ours.name).then(|| {
            let Converted { samples, frames, .. } = converted;
            format!("{samples} samples, {frames} frames of user space")
        });
        let (input, program) = (STACKS.name.to_owned(), program.name.clone());
        Row { section: IN_A_PIPE, input, program, figures, bar, note, ..Row::default() }
    };
    let rows = programs.iter().zip(timed).map(|(program, timed)| row(program, timed, converted.bytes));
    Ok(std::iter::once(row(&cat, Some(base), bytes)).chain(rows).collect())
}

/// The CPU time of a program for each frame that was unwound, copying and all else in it.
fn nanoseconds(program: &Program, timed: Timed, converted: &Converted) -> Vec<(&'static str, f64)> {
    let a_frame = timed.cpu_seconds * 1e9 / converted.frames as f64;
    if program.name == "cat" { Vec::new() } else { vec![("CPU ns a frame", a_frame)] }
}

fn of_files(bench: &Bench, file: &Path, ours: &Program) -> anyhow::Result<Vec<Row>> {
    progress("unwind, from a file to a file");
    let new = bench.folder.join("new.data");
    let mut contenders = [files::convert(ours, file, &new)];
    let (base, timed) = interleaved(bench.rounds, &mut files::copy(file, &new), &mut contenders)?;
    remove(&new)?;
    let row = |program: &str, timed: Option<Timed>| {
        let figures = timed.map_or(Vec::new(), |timed| timed.figures(files::RATIO, files::CPU_RATIO));
        let (input, program) = (STACKS.name.to_owned(), program.to_owned());
        Row { section: OF_FILES, input, program, figures, ..Row::default() }
    };
    Ok(vec![row("cp", Some(base)), row(&ours.name, timed.into_iter().next().flatten())])
}

/// Our time in times of perf's, where one is here that can do it.
fn beside_perf(bench: &Bench, file: &Path, ours: &Program) -> anyhow::Result<Row> {
    progress("unwind, beside perf");
    let new = bench.folder.join("new.data");
    let perfs = [Some(&bench.perf), bench.newest_perf.as_ref()].into_iter().flatten();
    for perf in perfs.map(|perf| Program::perf_at(perf, &[CONVERT])) {
        if (files::convert(&perf, file, &new).run)()?.is_none() {
            continue;
        }
        let mut contenders = [files::convert(ours, file, &new)];
        let rounds = bench.rounds.min(ROUNDS_OF_PERF);
        let (base, timed) = interleaved(rounds, &mut files::convert(&perf, file, &new), &mut contenders)?;
        remove(&new)?;
        let timed = timed.into_iter().next().flatten();
        let figures = timed.map_or(Vec::new(), |timed| {
            [vec![("perf's s", base.seconds)], timed.figures(lists::RATIO, lists::CPU_RATIO)].concat()
        });
        let bar = Some(Bar::at_most(lists::RATIO, OF_PERFS_TIME));
        let (input, program) = (STACKS.name.to_owned(), ours.name.clone());
        return Ok(Row { section: BESIDE_PERF, input, program, figures, bar, ..Row::default() });
    }
    remove(&new)?;
    let why = format!("no perf here has {CONVERT}: `.ci/newest-perf target/newest-perf` builds one");
    Ok(Row::left_out(BESIDE_PERF, STACKS.name, &why))
}

fn memory(pipe: &Path, ours: &Program) -> anyhow::Result<Row> {
    progress("unwind, memory");
    let figures = peaks(ours, pipe)?.map_or(Vec::new(), |peaks| {
        vec![("peak MiB", peaks.all as f64 / MIB), (OWN, peaks.own as f64 / MIB)]
    });
    let bar = Some(Bar::at_most(OWN, MIB_AT_MOST));
    let (input, program) = (STACKS.name.to_owned(), ours.name.clone());
    Ok(Row { section: MEMORY, input, program, figures, bar, ..Row::default() })
}
