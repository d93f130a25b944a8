//! Recordings as text, beside what perf prints of their records: `perf script -D` and `perf report -D`.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use perf_format::PipeStream;

use super::inputs::{BUILD, Input, SAMPLES};
use super::programs::{self, Program};
use super::recording::unless_missing;
use super::report::{Bar, Row};
use super::rounds::{Contender, Timed, interleaved};
use super::{Bench, progress};

const SECTION: &str = "X -i FILE, as text";
const RATIO: &str = "x perftool dump";
const CPU_RATIO: &str = "x its CPU";
const SPEED: &str = "MB/s of CPU time";

/// The least that the text of a real recording may come to, in MB of input a second of CPU time: what other programs take
/// from the processors is not its matter.
const AT_LEAST: f64 = 200.0;

/// The least that perf may take, in times of perftool.
const PERF_AT_LEAST: f64 = 10.0;

/// So much of a stream perf dumps: it sorts all of it first, and takes 200 times as much memory.
const BYTES_FOR_PERF: u64 = 10_000_000;

pub(super) fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let perfs = ["script", "report"].map(|task| Program::perfs_dump(bench, task));
    let ours = [&["--json"][..], &["--stable"], &["--resolve"]].map(|options| Program::dump(bench, options));
    let build = Input::of(BUILD)?;
    let mut rows = match unless_missing(build.file(bench))? {
        Ok(file) => {
            let start = start_of(&build.pipe(bench)?, bench)?;
            let begun = format!("{BUILD}, its first {} MB", BYTES_FOR_PERF / 1_000_000);
            let mut of_build = compare(bench, BUILD, &file, &ours)?;
            of_build.iter_mut().take(1).for_each(|text| text.bar = Some(Bar::at_least(SPEED, AT_LEAST)));
            let mut of_perf = compare(bench, &begun, &start, &perfs)?;
            of_perf.iter_mut().skip(1).for_each(|perf| perf.bar = Some(Bar::at_least(RATIO, PERF_AT_LEAST)));
            [of_build, of_perf].concat()
        }
        Err(missing) => vec![Row::left_out(SECTION, BUILD, &missing)],
    };
    rows.extend(compare(bench, SAMPLES, &bench.file("samples-repeated.data", &[])?, &ours)?);
    Ok(rows)
}

/// The first records of a stream, made if they are not there.
fn start_of(pipe: &Path, bench: &Bench) -> anyhow::Result<PathBuf> {
    let path = bench.folder.join(format!("{BUILD}-start.pipe"));
    if !path.exists() {
        let mut records = PipeStream::open(File::open(pipe)?)?.records();
        let mut end = 0;
        while let Some(record) = records.next_record()?
            && record.offset <= BYTES_FOR_PERF
        {
            end = record.offset;
        }
        io::copy(&mut File::open(pipe)?.take(end), &mut File::create(&path)?)?;
    }
    Ok(path)
}

fn compare(bench: &Bench, input: &str, file: &Path, others: &[Program]) -> anyhow::Result<Vec<Row>> {
    let mb = fs::metadata(file)?.len() as f64 / 1e6;
    progress(&format!("dump: {input}"));
    let text = Program::dump(bench, &[]);
    let mut contenders: Vec<_> = others.iter().map(|program| dump(program, file)).collect();
    let (base, timed) = interleaved(bench.rounds, &mut dump(&text, file), &mut contenders)?;
    let row = |program: &Program, timed: Option<Timed>| {
        let figures = timed.map_or(Vec::new(), |timed| {
            let speed = (SPEED, mb / timed.cpu_seconds);
            [vec![("MB", mb), speed], timed.figures(RATIO, CPU_RATIO)].concat()
        });
        let (input, program) = (input.to_owned(), program.name.clone());
        Row { section: SECTION, input, program, figures, ..Row::default() }
    };
    let rest = others.iter().zip(timed).map(|(program, timed)| row(program, timed));
    Ok(std::iter::once(row(&text, Some(base))).chain(rest).collect())
}

fn dump<'r>(program: &'r Program, file: &'r Path) -> Contender<'r> {
    let run = move || {
        let mut dump = program.command();
        dump.arg("-i").arg(file);
        programs::timed(dump)
    };
    Contender { name: program.name.clone(), rounds_at_most: program.rounds_at_most, run: Box::new(run) }
}
