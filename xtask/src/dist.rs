//! `cargo xtask dist`: what people install. A static binary, with man pages and completions, in a tar.gz and in a .deb; both
//! are the same bytes in whichever folder they are made. With `--try` the .deb is installed in an empty root and tried
//! there; with `--check` all is made in a second folder and compared, besides.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::run;
use crate::workspace::Workspace;

mod build;
mod check;
mod deb;
mod files;
mod third_party;

/// The one machine that packages are made for, and tried on.
pub(crate) const TARGET: &str = "x86_64-unknown-linux-musl";

/// What of the packages is the same in each folder.
pub(crate) struct Release {
    /// The package of the binary, as cargo describes it.
    package: Value,
    version: String,
    /// The time of all that is in the packages, in seconds since 1970.
    epoch: String,
}

impl Release {
    fn of(workspace: &Workspace) -> anyhow::Result<Self> {
        let packages = workspace.metadata["packages"].as_array().into_iter().flatten();
        let is_binary = |target: &Value| target["name"] == "perftool" && target["kind"][0] == "bin";
        let has_binary =
            |package: &&Value| package["targets"].as_array().into_iter().flatten().any(is_binary);
        let package = packages.into_iter().find(has_binary).context("no package has the binary perftool")?;
        let version = package["version"].as_str().context("it has no version")?.to_owned();
        Ok(Self { package: package.clone(), version, epoch: epoch()? })
    }

    fn text(&self, field: &str) -> anyhow::Result<&str> {
        self.package[field].as_str().with_context(|| format!("Cargo.toml does not say {field}"))
    }
}

/// The time of the last commit, where SOURCE_DATE_EPOCH does not say another.
fn epoch() -> anyhow::Result<String> {
    if let Ok(epoch) = std::env::var("SOURCE_DATE_EPOCH") {
        return Ok(epoch);
    }
    let mut git = Command::new("git");
    git.args(["log", "-1", "--format=%ct"]);
    let epoch = run::output(git).context("outside of git SOURCE_DATE_EPOCH says the time of what is made")?;
    Ok(String::from_utf8(epoch)?.trim().to_owned())
}

pub(crate) fn run(workspace: &Workspace, args: &[String]) -> anyhow::Result<()> {
    let (is_tried, is_compared) = match args {
        [] => (false, false),
        [option] if option == "--try" => (true, false),
        [option] if option == "--check" => (true, true),
        _ => bail!("dist takes --try or --check, and nothing else"),
    };
    build::require_tools()?;
    let release = Release::of(workspace)?;
    let made = make(&release, &workspace.root, &workspace.target)?;
    let shown = |path: &Path| path.strip_prefix(&workspace.root).unwrap_or(path).display().to_string();
    for path in &made {
        println!("{}  {}", sha256(path)?, shown(path));
    }
    if is_compared {
        check::is_the_same_elsewhere(&release, &made)?;
    }
    if is_tried { check::does_what_the_readme_says(&made) } else { Ok(()) }
}

/// What is missing on this machine to make packages.
///
/// # Errors
/// Where anything is.
pub(crate) fn require_tools() -> anyhow::Result<()> {
    build::require_tools()
}

/// Makes the packages of the sources in a folder, and returns where they are.
fn make(release: &Release, source: &Path, target: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let binary = build::binary(release, source, target)?;
    let dist = target.join("packages");
    let stage = dist.join("stage");
    if stage.exists() {
        fs::remove_dir_all(&stage).context("cannot clear away what was staged before")?;
    }
    fs::create_dir_all(&stage)?;
    let files = files::collect(release, source, &binary, &stage)?;
    let mut made = vec![tarball(release, &files, &stage, &dist)?];
    if run::output(command("dpkg-deb", &["--version"])).is_ok() {
        made.push(deb::package(release, &files, &stage, &dist)?);
    } else {
        println!("== .deb: LEFT OUT, since dpkg-deb is not here: apt-get install dpkg");
    }
    Ok(made)
}

fn tarball(
    release: &Release,
    files: &[files::Shipped],
    stage: &Path,
    dist: &Path,
) -> anyhow::Result<PathBuf> {
    let name = format!("perftool-{}-x86_64-linux", release.version);
    let root = stage.join("tar").join(&name);
    for file in files {
        if let Some(path) = &file.in_tar {
            files::write(&root.join(path), &file.bytes, file.mode)?;
        }
    }
    files::open_directories(&root)?;
    let path = dist.join(format!("{name}.tar.gz"));
    let mtime = format!("--mtime=@{}", release.epoch);
    // What tells one machine, user or moment from another is left out.
    let mut tar =
        command("tar", &["--format=gnu", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", &mtime]);
    tar.args(["-I", "gzip -9n", "-cf"]).arg(&path).arg("-C").arg(stage.join("tar")).arg(&name);
    run::run(tar)?;
    Ok(path)
}

fn sha256(path: &Path) -> anyhow::Result<String> {
    let mut sum = Command::new("sha256sum");
    sum.arg(path);
    let line = String::from_utf8(run::output(sum)?)?;
    Ok(line.split_whitespace().next().unwrap_or_default().trim_start_matches('\\').to_owned())
}

/// A command with these arguments.
fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}
