//! `cargo xtask libraries`: that others can build on the crates. Each is linted with each of its features alone, built
//! with the oldest Rust that it promises, and packed and built from its package; what is public in it is compared with
//! the list that is kept (`public_api.rs`).

use std::process::Command;

use anyhow::Context as _;

use crate::public_api;
use crate::run;
use crate::workspace::{Workspace, cargo};

/// The libraries, and the sets of features that somebody may build each with, besides all and the default ones.
pub(crate) const LIBRARIES: &[(&str, &[&str])] = &[
    ("perf-format", &["", "zstd"]),
    ("perf-session", &["", "build-id", "zstd"]),
    ("jit-image", &[]),
    ("perf-inject", &[]),
    ("perf-buildid-list", &[]),
];

/// The crate of the program, which is published, too.
const PROGRAM: &str = "perftool-cli";

pub(crate) fn run(workspace: &Workspace, _: &[String]) -> anyhow::Result<()> {
    features()?;
    oldest_rust(workspace)?;
    packages()?;
    public_api::run(workspace, &[])
}

/// Tests are built with all features of all crates, so that they do not show what is missing without one.
fn features() -> anyhow::Result<()> {
    for (name, sets) in LIBRARIES {
        for features in *sets {
            let lint = ["clippy", "--package", name, "--no-default-features", "--features", features];
            step(cargo(&[&lint[..], &["--", "-D", "warnings"]].concat()))?;
        }
        step(cargo(&["clippy", "--package", name, "--", "-D", "warnings"]))?;
    }
    Ok(())
}

/// Builds what is published with the Rust that `rust-version` promises, where rustup has it or can get it.
fn oldest_rust(workspace: &Workspace) -> anyhow::Result<()> {
    let packages = workspace.metadata["packages"].as_array().into_iter().flatten();
    let program = packages.clone().find(|package| package["name"] == PROGRAM);
    let version = program.and_then(|package| package["rust_version"].as_str()).context("no rust-version")?;
    let toolchain = |command: &str| {
        let mut rustup = Command::new("rustup");
        rustup.args(["run", version, "cargo", command]);
        rustup
    };
    if run::output(toolchain("--version")).is_err() {
        let mut install = Command::new("rustup");
        install.args(["toolchain", "install", version, "--profile", "minimal", "--no-self-update"]);
        if let Err(error) = run::output(install) {
            let reason = format!("{error:#}");
            let reason = reason.lines().next().unwrap_or_default();
            println!("== oldest Rust: LEFT OUT, since there is no Rust {version}: {reason}");
            return Ok(());
        }
    }
    let mut check = toolchain("check");
    for (name, _) in LIBRARIES.iter().chain([&(PROGRAM, &[][..])]) {
        check.args(["--package", name]);
    }
    // What another version compiled cannot be used.
    check.arg("--target-dir").arg(workspace.target(&format!("rust-{version}")));
    // The cargo that runs this names its own compiler and toolchain.
    for variable in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
        check.env_remove(variable);
    }
    step(check)
}

/// Packs each crate as it would be published, and builds it out of its package.
fn packages() -> anyhow::Result<()> {
    let mut package = cargo(&["package", "--workspace", "--allow-dirty", "--quiet"]);
    for unpublished in ["xtask", "perf-fuzz"] {
        package.args(["--exclude", unpublished]);
    }
    // Debugging information takes a third of the time, and nobody runs what is built here.
    package.env("CARGO_PROFILE_DEV_DEBUG", "0");
    step(package)
}

fn step(command: Command) -> anyhow::Result<()> {
    println!("== libraries: {}", run::line(&command));
    run::run(command)
}
