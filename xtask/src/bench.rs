//! `cargo xtask bench`: how fast perftool is as a whole process, beside cat, cp and perf, on this machine. It records
//! what it measures with, once, and keeps it in target/bench. What single functions cost is `cargo bench`'s matter.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::run;
use crate::workspace::{Workspace, cargo};
use inputs::{INPUTS, Input};
use programs::Program;
use report::Row;

mod delay;
mod files;
pub(crate) mod grow;
pub(crate) mod inputs;
mod jit;
mod lists;
mod made;
pub(crate) mod memory;
mod picture;
mod pipes;
mod programs;
mod report;
mod rounds;

/// A part of the benchmark that is no input's pipe: its name, and what measures it.
type Part = (&'static str, fn(&Bench) -> anyhow::Result<Vec<Row>>);

const PARTS: &[Part] = &[
    ("files", files::run),
    ("lists", lists::run),
    ("jit", jit::run),
    ("memory", memory::run),
    ("delay", delay::run),
];

/// Where `--picture` draws.
const PICTURE: &str = "docs/performance.svg";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    rounds: usize,
    large: bool,
    picture: bool,
    /// Inputs and parts; none are all.
    names: Vec<String>,
}

impl Options {
    fn parse(args: &[String]) -> anyhow::Result<Self> {
        let mut options = Self { rounds: 7, large: false, picture: false, names: Vec::new() };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--large" => options.large = true,
                "--picture" => options.picture = true,
                "--rounds" => {
                    let rounds = args.next().and_then(|rounds| rounds.parse().ok());
                    options.rounds =
                        rounds.filter(|rounds| *rounds > 0).context("--rounds takes a number from 1 up")?;
                }
                name if names().any(|known| known == name) => options.names.push(name.to_owned()),
                other => {
                    bail!("{other} is no part of it; there are {}", names().collect::<Vec<_>>().join(", "))
                }
            }
        }
        let drawn = |input: &Input| options.wants(input.name);
        if options.picture && !INPUTS.iter().all(drawn) {
            bail!("the picture shows all inputs: --picture goes without names");
        }
        Ok(options)
    }

    fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|wanted| wanted == name)
    }
}

/// All that can be asked for by its name.
fn names() -> impl Iterator<Item = &'static str> {
    INPUTS.iter().map(|input| input.name).chain(PARTS.iter().map(|(name, _)| *name))
}

/// What every measurement needs to know.
struct Bench {
    /// The release build.
    perftool: PathBuf,
    /// Where the inputs are, and the outputs for as long as they are measured.
    folder: PathBuf,
    rounds: usize,
    /// Whether the recording of 2 GB is measured as well.
    large: bool,
}

impl Bench {
    /// An input, made if it is not there.
    fn input(&self, name: &str) -> anyhow::Result<PathBuf> {
        let input = INPUTS.iter().find(|input| input.name == name).context("no input has this name")?;
        input.prepare(&self.folder)
    }

    /// The samples as a file, made if it is not there.
    fn file(&self, name: &str, options: &[&str]) -> anyhow::Result<PathBuf> {
        let path = self.folder.join(name);
        if !path.exists() {
            progress(&format!("making {}", path.display()));
            let mut convert = Program::perftool(self, options).command();
            convert.arg("-i").arg(self.input("samples")?).arg("-o").arg(&path);
            run::run(convert)?;
        }
        Ok(path)
    }
}

pub(crate) fn run(workspace: &Workspace, args: &[String]) -> anyhow::Result<()> {
    let options = Options::parse(args)?;
    if cfg!(debug_assertions) {
        // It feeds and reads as fast as it can: a slow harness would measure itself.
        let mut fast = cargo(&["run", "--quiet", "--release", "--package", "xtask", "--", "bench"]);
        fast.args(args);
        return run::run(fast);
    }
    run::run(cargo(&["build", "--quiet", "--release", "--package", "perftool"]))?;
    let bench = Bench {
        perftool: workspace.target("release/perftool"),
        folder: workspace.target("bench"),
        rounds: options.rounds,
        large: options.large,
    };
    fs::create_dir_all(&bench.folder).with_context(|| format!("cannot make {}", bench.folder.display()))?;
    let machine = report::machine();
    let mut rows = Vec::new();
    for input in INPUTS.iter().filter(|input| options.wants(input.name)) {
        rows.extend(pipes::run(&bench, input)?);
    }
    for (name, part) in PARTS.iter().filter(|(name, _)| options.wants(name)) {
        rows.extend(part(&bench).with_context(|| format!("cannot measure {name}"))?);
    }
    let of = |key: &str| machine[key].to_string().replace('"', "");
    println!("{}, {} processors, {}, load {}", of("processor"), of("processors"), of("perf"), of("load"));
    print!("{}", report::table(&rows));
    let results = bench.folder.join("results.json");
    fs::write(&results, report::json(&rows, &machine, bench.rounds)?)
        .with_context(|| format!("cannot write {}", results.display()))?;
    println!("\nThe figures are in {}", results.display());
    if options.picture {
        draw(Path::new(PICTURE), &rows)?;
    }
    Ok(())
}

fn draw(path: &Path, rows: &[Row]) -> anyhow::Result<()> {
    fs::write(path, picture::svg(rows)).with_context(|| format!("cannot write {}", path.display()))?;
    println!("The picture is in {}", path.display());
    Ok(())
}

/// Says what is being done, for whoever waits.
fn progress(what: &str) {
    eprintln!("bench: {what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options, String> {
        let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
        Options::parse(&args).map_err(|error| error.to_string())
    }

    #[test]
    fn options_and_names_are_told_apart() {
        let options = parse(&["--rounds", "3", "samples", "--large", "delay"]).unwrap();
        assert_eq!((options.rounds, options.large, options.picture), (3, true, false));
        assert!(options.wants("samples") && options.wants("delay") && !options.wants("forks"));
        assert!(parse(&[]).unwrap().wants("forks"));
    }

    #[test]
    fn what_cannot_be_measured_is_an_error() {
        assert!(parse(&["sample"]).unwrap_err().contains("samples, callchains"));
        for rounds in [&["--rounds"][..], &["--rounds", "0"], &["--rounds", "many"]] {
            assert_eq!(parse(rounds).unwrap_err(), "--rounds takes a number from 1 up");
        }
        assert!(parse(&["--picture", "samples"]).is_err());
        assert!(parse(&["--picture"]).unwrap().picture);
    }

    #[test]
    fn no_two_things_have_the_same_name() {
        let mut all: Vec<_> = names().collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), names().count());
    }
}
