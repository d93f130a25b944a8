//! The static binary: what it needs, and how it is built so that no path of this machine is in it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use super::{Release, TARGET, command};
use crate::run;
use crate::workspace::cargo;

/// The C compiler that the crate cc takes for the target, if this does not name another.
const CC: &str = "CC_x86_64_unknown_linux_musl";

/// Says what is missing, before anything is built.
pub(super) fn require_tools() -> anyhow::Result<()> {
    let target = sysroot()?.join("lib/rustlib").join(TARGET);
    if !target.is_dir() {
        bail!("this Rust cannot build for {TARGET}: rustup target add {TARGET}");
    }
    if env::var_os(CC).is_none() && run::output(command("musl-gcc", &["--version"])).is_err() {
        bail!(
            "musl-gcc is missing, which the C of zstd and ring needs: apt-get install musl-tools (or {CC} names another)"
        );
    }
    Ok(())
}

fn sysroot() -> anyhow::Result<PathBuf> {
    let sysroot = run::output(command("rustc", &["--print", "sysroot"]))?;
    Ok(String::from_utf8(sysroot)?.trim().into())
}

/// Builds the binary of the sources in a folder.
pub(super) fn binary(release: &Release, source: &Path, target: &Path) -> anyhow::Result<PathBuf> {
    // Each folder that differs from machine to machine, and what stands in its place. Of two that fit the last counts.
    let folders = [
        (sysroot()?, "/rust"),
        (cargo_home()?, "/cargo"),
        (source.to_owned(), "/perftool"),
        (target.to_owned(), "/target"),
    ];
    let path = |folder: &Path| folder.to_str().map(str::to_owned).context("a folder's name is not UTF-8");
    let (mut rust, mut c) = (Vec::new(), Vec::new());
    for (folder, instead) in &folders {
        let folder = path(folder)?;
        rust.push(format!("--remap-path-prefix={folder}={instead}"));
        c.push(format!("-ffile-prefix-map={folder}={instead}"));
    }
    let mut build: Command = cargo(&["build", "--locked", "--profile", "dist", "--target", TARGET]);
    build.args(["--package", release.text("name")?, "--bin", "perftool"]);
    build.arg("--manifest-path").arg(source.join("Cargo.toml")).arg("--target-dir").arg(target);
    build.env("CARGO_ENCODED_RUSTFLAGS", rust.join("\x1f"));
    build.env("CFLAGS_x86_64_unknown_linux_musl", c.join(" "));
    build.env("SOURCE_DATE_EPOCH", &release.epoch);
    run::run(build)?;
    Ok(target.join(TARGET).join("dist/perftool"))
}

/// Where cargo keeps the sources of dependencies.
fn cargo_home() -> anyhow::Result<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| Some(env::home_dir()?.join(".cargo"))).context("neither CARGO_HOME nor HOME is set")
}
