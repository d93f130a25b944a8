//! The project's chores: `cargo xtask` lists them, `cargo xtask NAME` does one.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a chore talks to whoever called it")]

use std::process::ExitCode;

use anyhow::{Context as _, bail};

use crate::workspace::Workspace;

mod bench;
mod ci;
mod demo;
mod dist;
mod fixtures;
mod fuzz;
mod libraries;
mod newest_perf;
mod public_api;
mod run;
mod soak;
mod tidy;
mod workspace;

/// A task is given the workspace and the arguments after its name.
type Task = fn(&Workspace, &[String]) -> anyhow::Result<()>;

/// Every task: its name, the arguments that it takes, the function, and what it does.
const TASKS: &[(&str, &str, Task, &str)] = &[
    (
        "ci",
        "[--newest-perf]",
        ci::run,
        "all that a change must pass: format, lints, documentation, tidy, dependencies, fuzz, tests",
    ),
    ("tidy", "", tidy::run, "the house rules that no compiler knows"),
    (
        "libraries",
        "",
        libraries::run,
        "that others can build on the crates: each feature alone, the oldest Rust, the packages, what is public",
    ),
    (
        "public-api",
        "[--update]",
        public_api::run,
        "compare what is public in each library with its public-api.txt",
    ),
    ("fixtures", "[FILE...]", fixtures::run, "record tests/data again with perf, or only these files of it"),
    (
        "fuzz",
        "SECONDS [TARGET...]",
        fuzz::run,
        "fuzz each target for so long, or only these; --seeds makes what they begin with again",
    ),
    (
        "bench",
        "[NAME...]",
        bench::run,
        "how fast perftool is beside cat, cp and perf, or these parts of it; growth [SHAPE...]: how time and memory \
         grow; --rounds N, --perf PATH, --record, --large, --picture",
    ),
    (
        "dist",
        "[--try | --check]",
        dist::run,
        "a static binary, man pages and completions in target/packages: tar.gz and .deb; --try installs and runs it, \
         --check makes all twice besides",
    ),
    ("soak", "GIGABYTES", soak::run, "a pipe as long as that through inject -b: the same bytes, flat memory"),
    ("demo", "", demo::run, "show in a few seconds what perftool does"),
];

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).collect();
    match task(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn task(args: &[String]) -> anyhow::Result<()> {
    let Some((name, args)) = args.split_first() else {
        print!("{}", help());
        return Ok(());
    };
    let Some((_, takes, task, _)) = TASKS.iter().find(|task| task.0 == name) else {
        bail!("no task is called {name}\n\n{}", help().trim_end());
    };
    if takes.is_empty() && !args.is_empty() {
        bail!("{name} takes no arguments");
    }
    let workspace = Workspace::read()?;
    // So that every path in here is one of the repository.
    std::env::set_current_dir(&workspace.root).context("cannot enter the workspace's root")?;
    task(&workspace, args)
}

fn help() -> String {
    let mut help = String::from("Usage: cargo xtask TASK\n\nTasks:\n");
    for (name, takes, _, what) in TASKS {
        help += &format!("  {:<20}  {what}\n", format!("{name} {takes}"));
    }
    help
}
