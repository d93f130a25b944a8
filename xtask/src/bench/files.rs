//! From a file to a file, beside what cp takes for the same bytes.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::inputs::{BUILD, Input, SAMPLES};
use super::programs::{self, Program};
use super::recording::{remove, unless_missing};
use super::report::{Bar, Row};
use super::rounds::{Contender, Timed, interleaved};
use super::{Bench, progress};

pub(super) const SECTION: &str = "X -i FILE -o NEW";
pub(super) const RATIO: &str = "x cp";
pub(super) const CPU_RATIO: &str = "x cp's CPU";

/// The most that perftool may take, in times of cp.
const AT_MOST: f64 = 1.2;

/// The same with ids of a build, whose thousands of processes are looked through while one copies.
const BUILD_AT_MOST: f64 = 4.0;

pub(super) fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let mut rows = match unless_missing(Input::of(BUILD)?.file(bench))? {
        Ok(file) => compare(bench, BUILD, &file)?,
        Err(missing) => vec![Row::left_out(SECTION, BUILD, &missing)],
    };
    rows.extend(compare(bench, SAMPLES, &bench.file("samples-repeated.data", &[])?)?);
    Ok(rows)
}

fn compare(bench: &Bench, input: &str, file: &Path) -> anyhow::Result<Vec<Row>> {
    let new = bench.folder.join("new.data");
    let mb = fs::metadata(file)?.len() as f64 / 1e6;
    progress(&format!("files: {input}"));
    let programs =
        [Program::perftool(bench, &[]), Program::perftool(bench, &["-b"]), Program::perf(bench, &["-b"])];
    let mut contenders: Vec<_> = programs.iter().map(|program| convert(program, file, &new)).collect();
    let (base, timed) = interleaved(bench.rounds, &mut copy(file, &new), &mut contenders)?;
    remove(&new)?;
    let row = |name: &str, timed: Option<Timed>| {
        let figures = timed.map_or(Vec::new(), |timed| {
            [vec![("MB", mb), ("MB/s", mb / timed.seconds)], timed.figures(RATIO, CPU_RATIO)].concat()
        });
        let at_most = if input == BUILD && name.ends_with("-b") { BUILD_AT_MOST } else { AT_MOST };
        let bar = name.starts_with("perftool").then_some(Bar::at_most(RATIO, at_most));
        let (input, program) = (input.to_owned(), name.to_owned());
        Row { section: SECTION, input, program, figures, bar, ..Row::default() }
    };
    let rows = programs.iter().zip(timed).map(|(program, timed)| row(&program.name, timed));
    Ok(std::iter::once(row("cp", Some(base))).chain(rows).collect())
}

/// `cp FILE NEW`.
pub(super) fn copy<'r>(file: &'r Path, new: &'r Path) -> Contender<'r> {
    let run = move || {
        // Making room is no part of the time.
        remove(new)?;
        let mut cp = Command::new("cp");
        cp.arg(file).arg(new);
        programs::timed(cp)
    };
    Contender { name: "cp".to_owned(), rounds_at_most: usize::MAX, run: Box::new(run) }
}

/// `X -i FILE -o NEW`.
pub(super) fn convert<'r>(program: &'r Program, file: &'r Path, new: &'r Path) -> Contender<'r> {
    let run = move || {
        remove(new)?;
        let mut convert = program.command();
        convert.arg("-i").arg(file).arg("-o").arg(new);
        programs::timed(convert)
    };
    Contender { name: program.name.clone(), rounds_at_most: program.rounds_at_most, run: Box::new(run) }
}
