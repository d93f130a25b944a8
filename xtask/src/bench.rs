//! `cargo xtask bench`: how fast perftool is as a whole process, beside cat, cp and perf, on this machine. It records
//! what it measures with, once, and keeps it in target/bench. `cargo xtask bench growth` is how time and memory grow
//! with the input. Where a figure misses its bar, it fails when all is printed. What single functions cost is `cargo
//! bench`'s matter.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};

use crate::newest_perf::NewestPerf;
use crate::run;
use crate::workspace::{Workspace, cargo};
use inputs::{INPUTS, Input, SAMPLES, STACKS};
use programs::Program;
use report::Row;

mod delay;
mod dump;
mod files;
pub(crate) mod grow;
mod growth;
mod headline;
pub(crate) mod inputs;
mod jit;
mod lists;
mod made;
pub(crate) mod memory;
mod picture;
mod pipes;
mod programs;
mod read;
mod real;
mod recording;
mod report;
mod rounds;
mod shapes;
mod unwind;
mod usage;

/// A part of the benchmark that is no input's pipe: its name, and what measures it.
type Part = (&'static str, fn(&Bench) -> anyhow::Result<Vec<Row>>);

const PARTS: &[Part] = &[
    ("files", files::run),
    ("lists", lists::run),
    ("read", read::run),
    ("dump", dump::run),
    ("jit", jit::run),
    ("unwind", unwind::run),
    ("memory", memory::run),
    ("delay", delay::run),
];

/// The name that is none of these: how time and memory grow takes as long as all of them.
const GROWTH: &str = "growth";

/// Where `--picture` draws.
const PICTURE: &str = "docs/performance.svg";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    rounds: usize,
    large: bool,
    picture: bool,
    /// Whether inputs that are there are recorded anew.
    record: bool,
    /// The perf to compare with and to record with, if not that of the environment.
    perf: Option<PathBuf>,
    /// Whether it is to be measured how time and memory grow, and nothing else.
    growth: bool,
    /// Inputs and parts, or shapes of streams for `growth`; none are all.
    names: Vec<String>,
}

impl Options {
    fn parse(args: &[String]) -> anyhow::Result<Self> {
        let mut options = Self {
            rounds: 7,
            large: false,
            picture: false,
            record: false,
            perf: None,
            growth: false,
            names: Vec::new(),
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--large" => options.large = true,
                "--picture" => options.picture = true,
                "--record" => options.record = true,
                "--perf" => options.perf = Some(args.next().context("--perf takes a path")?.into()),
                "--rounds" => {
                    let rounds = args.next().and_then(|rounds| rounds.parse().ok());
                    options.rounds =
                        rounds.filter(|rounds| *rounds > 0).context("--rounds takes a number from 1 up")?;
                }
                GROWTH if options.names.is_empty() => options.growth = true,
                name => options.names.push(name.to_owned()),
            }
        }
        let known: Vec<_> = if options.growth { shapes::names().collect() } else { names().collect() };
        if let Some(other) = options.names.iter().find(|name| !known.contains(&name.as_str())) {
            let growth = if options.growth { "" } else { "; and growth" };
            bail!("{other} is no part of it; there are {}{growth}", known.join(", "));
        }
        let drawn = |input: &Input| options.wants(input.name);
        if options.picture && (options.growth || !INPUTS.iter().all(drawn)) {
            bail!("the picture shows all inputs: --picture goes without names");
        }
        Ok(options)
    }

    /// The perf that is asked for, by the option or in the environment, or that of the PATH.
    fn perf(&self, environment: Option<OsString>) -> anyhow::Result<PathBuf> {
        let perf = match (&self.perf, environment) {
            (Some(perf), _) => perf.clone(),
            (None, Some(perf)) if !perf.is_empty() => perf.into(),
            _ => "perf".into(),
        };
        // It is run in other directories too.
        if perf.components().count() > 1 { Ok(std::path::absolute(perf)?) } else { Ok(perf) }
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
    /// The perf to compare with.
    perf: PathBuf,
    /// The newest perf, where it is built: it can do what that of the PATH may not.
    newest_perf: Option<PathBuf>,
    /// Where the inputs are, and the outputs for as long as they are measured.
    folder: PathBuf,
    rounds: usize,
    /// Whether the recording of 2 GB is measured as well.
    large: bool,
}

impl Bench {
    /// The samples as a file, made if it is not there.
    fn file(&self, name: &str, options: &[&str]) -> anyhow::Result<PathBuf> {
        self.file_of(Input::of(SAMPLES)?, name, options)
    }

    /// The records of an input as a file, made by `inject` with these options if it is not there.
    fn file_of(&self, input: &Input, name: &str, options: &[&str]) -> anyhow::Result<PathBuf> {
        let pipe = input.pipe(self)?;
        let path = self.folder.join(name);
        if !path.exists() {
            progress(&format!("making {}", path.display()));
            let mut convert = Program::perftool(self, options).command();
            convert.arg("-i").arg(pipe).arg("-o").arg(&path);
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
    run::run(cargo(&["build", "--quiet", "--release", "--package", "perftool-cli"]))?;
    let bench = Bench {
        perftool: workspace.target("release/perftool"),
        perf: options.perf(env::var_os("PERF"))?,
        newest_perf: NewestPerf::built(workspace),
        folder: workspace.target("bench"),
        rounds: options.rounds,
        large: options.large,
    };
    fs::create_dir_all(&bench.folder).with_context(|| format!("cannot make {}", bench.folder.display()))?;
    let machine = report::machine(&bench.perf);
    if options.growth {
        println!("{}", report::about(&machine));
        return growth::run(&bench, &options.names);
    }
    let mut rows = Vec::new();
    if options.record {
        let mut wanted = INPUTS.iter().chain([&STACKS]).filter(|input| options.wants(input.name));
        wanted.try_for_each(|input| input.remove(&bench.folder))?;
    }
    for input in INPUTS.iter().filter(|input| options.wants(input.name)) {
        rows.extend(pipes::run(&bench, input)?);
    }
    for (name, part) in PARTS.iter().filter(|(name, _)| options.wants(name)) {
        rows.extend(part(&bench).with_context(|| format!("cannot measure {name}"))?);
    }
    let recordings: Vec<_> =
        INPUTS.iter().chain([&STACKS]).flat_map(|input| input.made(&bench.folder)).collect();
    println!("{}", report::about(&machine));
    print!("{}{}{}", headline::table(&rows), report::tables(&rows), report::recordings(&recordings));
    let results = bench.folder.join("results.json");
    fs::write(&results, report::json(&rows, &recordings, &machine, bench.rounds)?)
        .with_context(|| format!("cannot write {}", results.display()))?;
    println!("\nThe figures are in {}", results.display());
    if options.picture {
        draw(Path::new(PICTURE), &rows)?;
    }
    let missed: Vec<_> = rows.iter().filter_map(Row::missed).collect();
    ensure!(missed.is_empty(), "bars are missed:\n  {}", missed.join("\n  "));
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
        let options = parse(&["--rounds", "3", SAMPLES, "--large", "delay", "--record"]).unwrap();
        assert_eq!((options.rounds, options.large, options.picture, options.record), (3, true, false, true));
        assert!(options.wants(SAMPLES) && options.wants("delay") && !options.wants("forks"));
        assert!(parse(&[]).unwrap().wants("forks"));
    }

    #[test]
    fn growth_is_asked_for_alone_or_with_shapes() {
        let options = parse(&["growth", "--perf", "a/perf", "forks-star"]).unwrap();
        assert!(options.growth && options.wants("forks-star") && !options.wants("dsos"));
        assert!(!parse(&[]).unwrap().growth);
        assert!(parse(&["growth", "build"]).unwrap_err().contains("there are dsos"));
        assert!(parse(&["build", "growth"]).is_err());
    }

    #[test]
    fn the_option_names_perf_before_the_environment_does() {
        let perf = |args: &[&str], environment: Option<&str>| {
            parse(args).unwrap().perf(environment.map(OsString::from)).unwrap()
        };
        assert_eq!(perf(&[], None), Path::new("perf"));
        assert_eq!(perf(&[], Some("")), Path::new("perf"));
        assert_eq!(perf(&[], Some("/opt/perf")), Path::new("/opt/perf"));
        assert_eq!(perf(&["--perf", "perf-7"], Some("/opt/perf")), Path::new("perf-7"));
        assert!(perf(&["--perf", "a/perf"], None).is_absolute());
        assert_eq!(parse(&["--perf"]).unwrap_err(), "--perf takes a path");
    }

    #[test]
    fn what_cannot_be_measured_is_an_error() {
        assert!(parse(&["sample"]).unwrap_err().contains("build, node"));
        for rounds in [&["--rounds"][..], &["--rounds", "0"], &["--rounds", "many"]] {
            assert_eq!(parse(rounds).unwrap_err(), "--rounds takes a number from 1 up");
        }
        assert!(parse(&["--picture", SAMPLES]).is_err());
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
