//! `cargo xtask libraries`: that others can build on the crates. Each is linted with each of its features alone, built
//! with the oldest Rust that it promises, and packed and built from its package; what is public in it is compared with
//! the list that is kept (`public_api.rs`).

use std::fs;
use std::process::Command;

use anyhow::Context as _;

use crate::public_api;
use crate::run;
use crate::workspace::{Workspace, cargo};

/// The libraries, and the sets of features that somebody may build each with, besides all and the default ones.
pub(crate) const LIBRARIES: &[(&str, &[&str])] = &[
    ("perf-format", &["", "zstd"]),
    ("perf-session", &["", "build-id", "zstd"]),
    ("perf-unwind", &["", "zstd"]),
    ("jit-image", &[]),
    ("perf-inject", &[]),
    ("perf-buildid-list", &[]),
    ("perf-dump", &[]),
    ("perf-bundle", &[]),
    ("debuginfod-client", &[]),
];

/// The crate of the program, which is published, too.
const PROGRAM: &str = "perftool-cli";

pub(crate) fn run(workspace: &Workspace, _: &[String]) -> anyhow::Result<()> {
    features()?;
    oldest_rust(workspace)?;
    packages(workspace)?;
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

/// Packs each crate as it would be published, and compiles what is in the packages. cargo's own verification is left out: it
/// keeps what it unpacked of an earlier package of the same version, and compiles that.
fn packages(workspace: &Workspace) -> anyhow::Result<()> {
    let mut package = cargo(&["package", "--workspace", "--allow-dirty", "--no-verify", "--quiet"]);
    for unpublished in ["xtask", "perf-fuzz"] {
        package.args(["--exclude", unpublished]);
    }
    step(package)?;
    let packed = workspace.target("package");
    let unpacked = packed.join("unpacked");
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked).context("cannot clear away what was unpacked before")?;
    }
    fs::create_dir_all(&unpacked)?;
    let (mut members, mut patches) = (String::new(), String::new());
    for name in LIBRARIES.iter().map(|(name, _)| *name).chain([PROGRAM]) {
        let folder = format!("{name}-{}", version_of(workspace, name)?);
        let mut unpack = Command::new("tar");
        // Files of a package are all of one time, by which cargo would take them for those that it compiled before.
        unpack.arg("-xmzf").arg(packed.join(format!("{folder}.crate"))).arg("-C").arg(&unpacked);
        run::run(unpack)?;
        members += &format!("{folder:?}, ");
        patches += &format!("{name} = {{ path = {folder:?} }}\n");
    }
    let manifest = unpacked.join("Cargo.toml");
    let workspace_of_packages =
        format!("[workspace]\nresolver = \"3\"\nmembers = [{members}]\n\n[patch.crates-io]\n{patches}");
    fs::write(&manifest, workspace_of_packages)?;
    fs::copy("Cargo.lock", unpacked.join("Cargo.lock"))?;
    let mut check = cargo(&["check", "--workspace", "--manifest-path"]);
    check.arg(&manifest).arg("--target-dir").arg(workspace.target.join("packages-checked"));
    step(check)
}

fn version_of(workspace: &Workspace, name: &str) -> anyhow::Result<String> {
    let mut packages = workspace.metadata["packages"].as_array().into_iter().flatten();
    let version =
        packages.find(|package| package["name"] == name).and_then(|found| found["version"].as_str());
    Ok(version.with_context(|| format!("no package is called {name}"))?.to_owned())
}

fn step(command: Command) -> anyhow::Result<()> {
    println!("== libraries: {}", run::line(&command));
    run::run(command)
}
