//! Each input through a pipe: `cat FILE | X | cat > /dev/null`, and the same with cat in the place of X.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::inputs::{Input, LARGE};
use super::programs::Program;
use super::report::{Bar, Row};
use super::rounds::{Contender, Timed, interleaved};
use super::{Bench, progress};

pub(super) const SECTION: &str = "cat FILE | X | cat > /dev/null";

/// What it takes in times of cat.
pub(super) const RATIO: &str = "x cat";

/// The most that a program may take on an input, in times of cat.
const BARS: &[(&str, &str, f64)] = &[
    ("samples", "perftool inject", 0.8),
    ("samples", "perftool inject -b", 1.0),
    ("callchains", "perftool inject -b", 1.5),
];

/// Measures an input, and for the samples with `--large` the longer ones as well.
pub(super) fn run(bench: &Bench, input: &Input) -> anyhow::Result<Vec<Row>> {
    let ours = [Program::perftool(bench, &[]), Program::perftool(bench, &["-b"])];
    let all = [&ours[..], &[Program::perf(&["-b"])]].concat();
    let mut rows = compare(bench, input, &all)?;
    if bench.large && input.name == "samples" {
        // perf would take minutes.
        rows.extend(compare(bench, &LARGE, &ours)?);
    }
    Ok(rows)
}

fn compare(bench: &Bench, input: &Input, programs: &[Program]) -> anyhow::Result<Vec<Row>> {
    let file = input.prepare(&bench.folder)?;
    let bytes = fs::metadata(&file).with_context(|| format!("cannot read {}", file.display()))?.len();
    progress(input.name);
    let mut contenders: Vec<_> = programs.iter().map(|program| contender(program, &file)).collect();
    let cat = Program::cat();
    let (base, timed) = interleaved(bench.rounds, &mut contender(&cat, &file), &mut contenders)?;
    let row = |program: &Program, timed: Option<Timed>| -> anyhow::Result<Row> {
        let bar = BARS.iter().find(|(of, by, _)| *of == input.name && *by == program.name);
        let figures = timed.map_or(Vec::new(), |timed| {
            let mb = bytes as f64 / 1e6;
            vec![("MB", mb), ("s", timed.seconds), ("MB/s", mb / timed.seconds), (RATIO, timed.ratio)]
        });
        let bar = bar.map(|(_, _, at_most)| Bar { figure: RATIO, at_most: *at_most });
        let idle = timed.is_some() && program.injects && program.adds(&file)? == 0;
        let (input, program) = (input.name.to_owned(), program.name.clone());
        Ok(Row { section: SECTION, input, program, figures, bar, note: idle.then_some("injects nothing") })
    };
    let rows = programs.iter().zip(timed).map(|(program, timed)| row(program, timed));
    std::iter::once(row(&cat, Some(base))).chain(rows).collect()
}

fn contender<'r>(program: &'r Program, file: &'r Path) -> Contender<'r> {
    let run = Box::new(|| program.through(file));
    Contender { name: program.name.clone(), rounds_at_most: program.rounds_at_most, run }
}
