//! Reading all samples of a file with our libraries, beside linux-perf-data, which reads in the order of time alone. The
//! programs are those of compare/, and their sums have to be the same.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::bail;

use super::inputs::{BUILD, Input, SAMPLES};
use super::programs;
use super::recording::unless_missing;
use super::report::{Bar, Row};
use super::rounds::{Contender, interleaved};
use super::{Bench, progress};
use crate::run;
use crate::workspace::cargo;

const SECTION: &str = "reading a file";
const RATIO: &str = "x linux-perf-data";
const CPU_RATIO: &str = "x its CPU";
const COMPARE: &str = "compare/Cargo.toml";

/// The programs: the base first, and then its contenders, each with its arguments.
const BASE: (&str, &str, &[&str]) = ("linux-perf-data, in order", "linux_perf_data", &[]);
const OURS: [(&str, &str, &[&str]); 3] = [
    ("perf-session, in order", "perf_session", &[]),
    ("perf-session, unsorted", "perf_session", &["--unsorted"]),
    ("perf-format, unsorted", "perf_format", &[]),
];

pub(super) fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    run::run(cargo(&["build", "--quiet", "--release", "--manifest-path", COMPARE]))?;
    let mut rows = match unless_missing(Input::of(BUILD)?.file(bench))? {
        Ok(file) => compare(bench, BUILD, &file)?,
        Err(missing) => vec![Row::left_out(SECTION, BUILD, &missing)],
    };
    rows.extend(compare(bench, SAMPLES, &bench.file("samples-repeated.data", &[])?)?);
    Ok(rows)
}

fn compare(bench: &Bench, input: &str, file: &Path) -> anyhow::Result<Vec<Row>> {
    progress(&format!("read: {input}"));
    let command = |program: &str, args: &[&str]| {
        let mut command = Command::new(Path::new("compare/target/release").join(program));
        command.arg(file).args(args);
        command
    };
    let (name, program, args) = BASE;
    let sum = run::output(command(program, args))?;
    for (name, program, args) in OURS {
        if run::output(command(program, args))? != sum {
            bail!("{name} reads other samples of {} than linux-perf-data does", file.display());
        }
    }
    let contender = |(name, program, args): (&str, &'static str, &'static [&'static str])| Contender {
        name: name.to_owned(),
        rounds_at_most: usize::MAX,
        run: Box::new(move || {
            let mut read = command(program, args);
            read.stdout(std::process::Stdio::null());
            programs::timed(read)
        }),
    };
    let mut ours = OURS.map(contender);
    let (base, timed) = interleaved(bench.rounds, &mut contender((name, program, args)), &mut ours)?;
    let mb = fs::metadata(file)?.len() as f64 / 1e6;
    let names = [name].into_iter().chain(OURS.map(|(name, ..)| name));
    let rows = names.zip([Some(base)].into_iter().chain(timed)).enumerate().map(|(at, (name, timed))| {
        let figures =
            timed.map_or(Vec::new(), |timed| [vec![("MB", mb)], timed.figures(RATIO, CPU_RATIO)].concat());
        let bar = (at > 0).then_some(Bar::at_most(CPU_RATIO, 1.0));
        Row {
            section: SECTION,
            input: input.to_owned(),
            program: name.to_owned(),
            figures,
            bar,
            ..Row::default()
        }
    });
    Ok(rows.collect())
}
