//! `cargo xtask ci`: all that a change must pass, one step after the other up to the first that fails. Nothing is
//! installed here: a step whose tool is missing says so, and is left out. With `--newest-perf`, as .ci/run calls it, the
//! newest perf is built meanwhile, with packages that this installs.

use std::process::Command;

use anyhow::bail;

use crate::dist;
use crate::fuzz;
use crate::libraries;
use crate::newest_perf::{NewestPerf, PERFS};
use crate::run;
use crate::tidy;
use crate::workspace::{Workspace, cargo};

/// Seconds of fuzzing a target: to see that the targets still run, not to find what hours did not.
const FUZZ_SECONDS: u32 = 5;

pub(crate) fn run(workspace: &Workspace, args: &[String]) -> anyhow::Result<()> {
    let build = match args {
        [] => false,
        [option] if option == "--newest-perf" => true,
        _ => bail!("ci takes --newest-perf, and nothing else"),
    };
    let newest_perf = NewestPerf::start(workspace, build)?;
    let passed = before_tests(workspace);
    // What is half built would be built again the next time.
    let perfs = newest_perf.wait();
    passed?;
    let mut tests = cargo(&["test", "--workspace"]);
    match perfs {
        Ok(perfs) => {
            println!("== tests ask {}", perfs.display());
            tests.env(PERFS, perfs);
        }
        Err(reason) => println!("== newest perf: LEFT OUT, and the tests ask perf alone: {reason}"),
    }
    // Last, so that the results are the last that one reads.
    step("tests", tests)
}

fn before_tests(workspace: &Workspace) -> anyhow::Result<()> {
    step("format", cargo(&["fmt", "--all", "--check"]))?;
    // Workspaces of their own, but code all the same.
    for manifest in ["fuzz/Cargo.toml", "compare/Cargo.toml"] {
        step("format", cargo(&["fmt", "--manifest-path", manifest, "--check"]))?;
        // What our own libraries need is in their locks, too, and nothing else looks at those.
        step("lock", cargo(&["tree", "--quiet", "--locked", "--depth", "0", "--manifest-path", manifest]))?;
    }
    let lint = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    step("lints", cargo(&lint))?;
    let mut document = cargo(&["doc", "--workspace", "--no-deps"]);
    document.env("RUSTDOCFLAGS", "-D warnings");
    step("documentation", document)?;
    println!("== tidy: cargo xtask tidy");
    tidy::run(workspace, &[])?;
    libraries::run(workspace, &[])?;
    packages(workspace)?;
    dependencies()?;
    short_fuzz()?;
    step("tests, built", cargo(&["test", "--workspace", "--no-run"]))
}

/// What people install, made and tried.
fn packages(workspace: &Workspace) -> anyhow::Result<()> {
    if let Err(reason) = dist::require_tools() {
        println!("== packages: LEFT OUT: {reason}");
        return Ok(());
    }
    println!("== packages: cargo xtask dist --try");
    dist::run(workspace, &["--try".to_owned()])
}

/// Licences, doubles and origins of the dependencies, as deny.toml wants them.
fn dependencies() -> anyhow::Result<()> {
    if run::output(cargo(&["deny", "--version"])).is_err() {
        left_out("dependencies", "cargo-deny", "cargo install cargo-deny --version 0.20.2 --locked");
        return Ok(());
    }
    step("dependencies", cargo(&["deny", "check", "bans", "licenses", "sources"]))
}

/// A little fuzzing. What is kept in fuzz/corpus is replayed by the tests in any case.
fn short_fuzz() -> anyhow::Result<()> {
    if !fuzz::is_installed() {
        left_out("fuzz", "cargo-fuzz", fuzz::INSTALL);
        return Ok(());
    }
    println!("== fuzz: cargo xtask fuzz {FUZZ_SECONDS}");
    fuzz::fuzz(FUZZ_SECONDS, &fuzz::targets())
}

fn left_out(name: &str, tool: &str, install: &str) {
    println!("== {name}: LEFT OUT, since {tool} is not installed: {install}");
}

fn step(name: &str, command: Command) -> anyhow::Result<()> {
    let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
    println!("== {name}: cargo {}", args.join(" "));
    run::run(command)
}
