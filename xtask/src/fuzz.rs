//! `cargo xtask fuzz`: runs the targets of fuzz/ for so many seconds each, from the kept inputs of fuzz/corpus on.
//! What libFuzzer finds beyond them goes to fuzz/grown, which git does not keep, so that the next run goes on from
//! there; what breaks a law goes to fuzz/artifacts.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, bail};

use crate::run;
use crate::workspace::{Workspace, cargo};

/// How cargo-fuzz gets there.
pub(crate) const INSTALL: &str = "cargo install cargo-fuzz --version 0.13.2 --locked";

/// Limits of each input: its bytes, and the MiB and seconds that it may take. They are generous; what is beyond them
/// grew out of a length that nobody checked.
const LIMITS: [&str; 4] = ["-max_len=8192", "-rss_limit_mb=512", "-malloc_limit_mb=256", "-timeout=10"];

/// The sanitizer is here for its count of what is allocated. In code that is nowhere unsafe it need not remember who
/// allocated what, nor keep what was freed, which takes half of the time.
const SANITIZER: &str = "malloc_context_size=0:quarantine_size_mb=8:detect_stack_use_after_return=0";

pub(crate) fn run(workspace: &Workspace, args: &[String]) -> anyhow::Result<()> {
    match args.split_first() {
        Some((option, [])) if option == "--seeds" => write_seeds(&workspace.root),
        Some((seconds, targets)) => {
            let seconds = seconds.parse().with_context(|| format!("{seconds} is no number of seconds"))?;
            fuzz(seconds, &chosen(targets)?)
        }
        None => bail!("for how many seconds? Or --seeds, to make what fuzzing begins with again"),
    }
}

/// Whether cargo-fuzz is there.
pub(crate) fn is_installed() -> bool {
    run::output(cargo(&["fuzz", "--version"])).is_ok()
}

/// Runs each target for so many seconds, and says how it went.
pub(crate) fn fuzz(seconds: u32, targets: &[&'static str]) -> anyhow::Result<()> {
    if !is_installed() {
        bail!("cargo-fuzz is not installed: {INSTALL}");
    }
    run::run(cargo_fuzz("build", &[]))?;
    let mut ended = Vec::new();
    for target in targets {
        let this = run_target(target, seconds).with_context(|| format!("cannot fuzz {target}"))?;
        println!("{}", this.line());
        ended.push(this);
    }
    println!("\n{:14} {:>12} {:>9}  result", "target", "executions", "seconds");
    ended.iter().for_each(|this| println!("{}", this.line()));
    let crashed: Vec<_> = ended.iter().filter(|this| this.failed).collect();
    for Ended { target, crasher, .. } in &crashed {
        if let Some(crasher) = crasher {
            println!("\nWhat breaks {target}: {crasher}");
            println!("  smaller: RUSTC_BOOTSTRAP=1 cargo fuzz tmin {target} {crasher}");
            println!("  kept:    cp {crasher} fuzz/corpus/{target}/crash-WHAT");
        }
    }
    if !crashed.is_empty() {
        bail!("{} of {} targets crashed", crashed.len(), ended.len());
    }
    Ok(())
}

/// All targets.
pub(crate) fn targets() -> Vec<&'static str> {
    perf_fuzz::TARGETS.iter().map(|(name, _)| *name).collect()
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static str>> {
    if names.is_empty() {
        return Ok(targets());
    }
    let known = |name: &String| targets().into_iter().find(|target| target == name);
    let chosen = names.iter().map(|name| {
        known(name).with_context(|| format!("no target is called {name}; there are {}", targets().join(", ")))
    });
    chosen.collect()
}

/// `cargo fuzz` on the stable toolchain: the sanitizer, which counts what is allocated, is not stable yet.
fn cargo_fuzz(subcommand: &str, args: &[&str]) -> Command {
    let mut command = cargo(&["fuzz", subcommand]);
    command.args(args).envs([("RUSTC_BOOTSTRAP", "1"), ("ASAN_OPTIONS", SANITIZER)]);
    command
}

/// How the run of a target ended.
struct Ended {
    target: &'static str,
    executions: u64,
    seconds: u64,
    failed: bool,
    /// The input that it failed with.
    crasher: Option<String>,
}

impl Ended {
    fn line(&self) -> String {
        let Self { target, executions, seconds, .. } = self;
        let result = if self.failed { "CRASHED" } else { "ok" };
        format!("{target:14} {executions:>12} {seconds:>9}  {result}")
    }
}

fn run_target(target: &'static str, seconds: u32) -> anyhow::Result<Ended> {
    let (grown, kept) = (format!("fuzz/grown/{target}"), format!("fuzz/corpus/{target}"));
    fs::create_dir_all(&grown).with_context(|| format!("cannot make {grown}"))?;
    // New inputs go to the first folder.
    let mut command = cargo_fuzz("run", &[target, &grown, &kept, "--"]);
    command.arg(format!("-max_total_time={seconds}")).arg("-print_final_stats=1").args(LIMITS);
    println!("== {target}: {seconds} s, new inputs to {grown}");
    let output = command.stdin(Stdio::null()).stdout(Stdio::inherit()).stderr(Stdio::piped()).output();
    let Output { status, stderr, .. } = output.context("cannot run cargo fuzz")?;
    let messages = String::from_utf8_lossy(&stderr);
    if !status.success() {
        io::stderr().write_all(&stderr)?;
    }
    Ok(Ended {
        target,
        executions: stat(&messages, "stat::number_of_executed_units:").unwrap_or(0),
        seconds: seconds_of(&messages).unwrap_or(0),
        failed: !status.success(),
        crasher: crasher(&messages).map(str::to_owned),
    })
}

/// A number that libFuzzer tells at its end.
fn stat(messages: &str, name: &str) -> Option<u64> {
    messages.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
}

/// `Done 540 runs in 3 second(s)`.
fn seconds_of(messages: &str) -> Option<u64> {
    let done = messages.lines().find(|line| line.starts_with("Done "))?;
    done.split_whitespace().nth(4)?.parse().ok()
}

/// The file with the input that a target crashed on, from the root.
fn crasher(messages: &str) -> Option<&str> {
    let path = messages.lines().find_map(|line| line.split_once("Test unit written to "))?.1.trim();
    Some(path.find("fuzz/artifacts/").map_or(path, |at| &path[at..]))
}

/// Makes fuzz/corpus/TARGET/seed-NAME anew; crashers that are kept stay.
fn write_seeds(root: &Path) -> anyhow::Result<()> {
    let seeds = perf_fuzz::seeds::seeds(root).context("cannot read the recordings")?;
    for target in targets() {
        let folder = format!("fuzz/corpus/{target}");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {folder}"))?;
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("seed-")) {
                fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
    }
    for seed in &seeds {
        let path = format!("fuzz/corpus/{}/seed-{}", seed.target, seed.name);
        fs::write(&path, &seed.bytes).with_context(|| format!("cannot write {path}"))?;
    }
    let bytes: usize = seeds.iter().map(|seed| seed.bytes.len()).sum();
    println!("{} seeds, {bytes} bytes", seeds.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "#9 NEW cov: 3\n\
        artifact_prefix='/a/fuzz/artifacts/file/'; Test unit written to /a/fuzz/artifacts/file/crash-0a\n\
        Done 540 runs in 3 second(s)\n\
        stat::number_of_executed_units: 540\n";

    #[test]
    fn what_libfuzzer_says_is_understood() {
        assert_eq!(stat(SAID, "stat::number_of_executed_units:"), Some(540));
        assert_eq!(seconds_of(SAID), Some(3));
        assert_eq!(crasher(SAID), Some("fuzz/artifacts/file/crash-0a"));
        assert_eq!((seconds_of(""), crasher("")), (None, None));
    }

    #[test]
    fn targets_are_chosen_by_name() {
        assert_eq!(chosen(&[]).unwrap(), targets());
        assert_eq!(chosen(&["file".to_owned()]).unwrap(), ["file"]);
        assert!(
            chosen(&["fiel".to_owned()]).unwrap_err().to_string().starts_with("no target is called fiel")
        );
    }
}
