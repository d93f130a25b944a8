//! `cargo xtask ci`: all that a change must pass, one step after the other up to the first that fails.

use std::process::Command;

use crate::run;
use crate::tidy;
use crate::workspace::{Workspace, cargo};

pub(crate) fn run(workspace: &Workspace, _: &[String]) -> anyhow::Result<()> {
    step("format", cargo(&["fmt", "--all", "--check"]))?;
    let lint = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    step("lints", cargo(&lint))?;
    let mut document = cargo(&["doc", "--workspace", "--no-deps"]);
    document.env("RUSTDOCFLAGS", "-D warnings");
    step("documentation", document)?;
    println!("== tidy: cargo xtask tidy");
    tidy::run(workspace, &[])?;
    // Last, so that the results are the last that one reads.
    step("tests", cargo(&["test", "--workspace"]))
}

fn step(name: &str, command: Command) -> anyhow::Result<()> {
    let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
    println!("== {name}: cargo {}", args.join(" "));
    run::run(command)
}
