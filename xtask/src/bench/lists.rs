//! The lists of build-ids of a file, beside perf's: out of its table, and of what its samples hit.

use std::fs;
use std::path::Path;

use super::inputs::{BUILD, Input, SAMPLES};
use super::programs::{self, Program};
use super::recording::unless_missing;
use super::report::Row;
use super::rounds::{Contender, Timed, interleaved};
use super::{Bench, progress};

pub(super) const SECTION: &str = "X -i FILE";
pub(super) const RATIO: &str = "x perf";
pub(super) const CPU_RATIO: &str = "x perf's CPU";

pub(super) fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let mut rows = match unless_missing(Input::of(BUILD)?.file(bench))? {
        Ok(file) => compare(bench, BUILD, &file)?,
        Err(missing) => vec![Row::left_out(SECTION, BUILD, &missing)],
    };
    // With ids in its table: there would be nothing to list.
    rows.extend(compare(bench, SAMPLES, &bench.file("samples-repeated.ids.data", &["-b"])?)?);
    Ok(rows)
}

fn compare(bench: &Bench, input: &str, file: &Path) -> anyhow::Result<Vec<Row>> {
    let mb = fs::metadata(file)?.len() as f64 / 1e6;
    progress(&format!("lists: {input}"));
    let row = |program: &Program, timed: Option<Timed>| {
        let figures =
            timed.map_or(Vec::new(), |timed| [vec![("MB", mb)], timed.figures(RATIO, CPU_RATIO)].concat());
        let (input, program) = (input.to_owned(), program.name.clone());
        Row { section: SECTION, input, program, figures, ..Row::default() }
    };
    let mut rows = Vec::new();
    for options in [&[][..], &["-H"]] {
        let (perftool, perf) = Program::lists(bench, options);
        let mut ours = [list(&perftool, file)];
        let (base, timed) = interleaved(bench.rounds, &mut list(&perf, file), &mut ours)?;
        rows.extend([row(&perf, Some(base)), row(&perftool, timed.into_iter().next().flatten())]);
    }
    Ok(rows)
}

fn list<'r>(program: &'r Program, file: &'r Path) -> Contender<'r> {
    let run = move || {
        let mut list = program.command();
        list.arg("-i").arg(file);
        programs::timed(list)
    };
    Contender { name: program.name.clone(), rounds_at_most: program.rounds_at_most, run: Box::new(run) }
}
