//! Each input through a pipe: `cat FILE | X | cat > /dev/null`, and the same with cat in the place of X.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::inputs::{Input, LARGE, SAMPLES};
use super::programs::Program;
use super::recording::unless_missing;
use super::report::{Bar, Row};
use super::rounds::{Contender, Timed, interleaved};
use super::{Bench, progress};

pub(super) const SECTION: &str = "cat FILE | X | cat > /dev/null";

/// What it takes in times of cat, and its own CPU time in times of cat's in its place.
pub(super) const RATIO: &str = "x cat";
pub(super) const CPU_RATIO: &str = "x cat's CPU";

/// The most that a program may take on an input, in times of cat.
const BARS: &[(&str, &str, f64)] = &[
    ("build", "perftool inject -b", 1.5),
    ("node", "perftool inject -b", 1.5),
    ("forks", "perftool inject -b", 2.0),
    ("samples-repeated", "perftool inject", 0.8),
    ("samples-repeated", "perftool inject -b", 1.0),
    ("callchains-repeated", "perftool inject -b", 1.5),
];

/// What passes in hundredths of a second has more rounds: bytes, and how many times as many.
const SHORT: u64 = 20_000_000;
const SHORTS: usize = 5;

/// Measures an input, and for the samples with `--large` the longer ones as well.
pub(super) fn run(bench: &Bench, input: &Input) -> anyhow::Result<Vec<Row>> {
    let ours = [Program::perftool(bench, &[]), Program::perftool(bench, &["-b"])];
    let all = [&ours[..], &[Program::perf(bench, &["-b"])]].concat();
    let mut rows = match unless_missing(input.pipe(bench))? {
        Ok(file) => compare(bench, input, &file, &all)?,
        Err(missing) => vec![Row::left_out(SECTION, input.name, &missing)],
    };
    if bench.large && input.name == SAMPLES {
        // perf would take minutes.
        rows.extend(compare(bench, &LARGE, &LARGE.pipe(bench)?, &ours)?);
    }
    Ok(rows)
}

fn compare(bench: &Bench, input: &Input, file: &Path, programs: &[Program]) -> anyhow::Result<Vec<Row>> {
    let bytes = fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?.len();
    progress(input.name);
    let mut contenders: Vec<_> = programs.iter().map(|program| contender(program, file)).collect();
    let cat = Program::cat();
    let rounds = if bytes < SHORT { bench.rounds * SHORTS } else { bench.rounds };
    let (base, timed) = interleaved(rounds, &mut contender(&cat, file), &mut contenders)?;
    let row = |program: &Program, timed: Option<Timed>| -> anyhow::Result<Row> {
        let bar = BARS.iter().find(|(of, by, _)| *of == input.name && *by == program.name);
        let figures = timed.map_or(Vec::new(), |timed| {
            let mb = bytes as f64 / 1e6;
            [vec![("MB", mb), ("MB/s", mb / timed.seconds)], timed.figures(RATIO, CPU_RATIO)].concat()
        });
        let bar = bar.map(|(_, _, at_most)| Bar::at_most(RATIO, *at_most));
        let idle = timed.is_some() && program.injects && program.adds(file)? == 0;
        let note = idle.then(|| "injects nothing".to_owned());
        let (input, program) = (input.name.to_owned(), program.name.clone());
        Ok(Row { section: SECTION, input, program, figures, bar, note, ..Row::default() })
    };
    let rows = programs.iter().zip(timed).map(|(program, timed)| row(program, timed));
    std::iter::once(row(&cat, Some(base))).chain(rows).collect()
}

/// `cat FILE | X | cat > /dev/null`.
pub(super) fn contender<'r>(program: &'r Program, file: &'r Path) -> Contender<'r> {
    let run = Box::new(|| program.through(file));
    Contender { name: program.name.clone(), rounds_at_most: program.rounds_at_most, run }
}
