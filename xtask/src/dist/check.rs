//! What `--check` and `--try` add: packages of a second folder are the same bytes; the .deb does in an empty root what the
//! README says, and leaves nothing when it is removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::{Release, command, make, sha256};
use crate::{demo, run, tidy};

/// Makes all of it in another folder, with a target directory of its own.
pub(super) fn is_the_same_elsewhere(release: &Release, made: &[PathBuf]) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    let elsewhere = folder.path().join("another/place");
    println!("== the same, made in {}", elsewhere.display());
    for file in tidy::files()? {
        super::files::write(&elsewhere.join(&file.path), &file.bytes, 0o644)?;
    }
    let again = make(release, &elsewhere, &elsewhere.join("target"))?;
    for (one, other) in made.iter().zip(&again) {
        let (sum, sum_elsewhere) = (sha256(one)?, sha256(other)?);
        println!("{sum_elsewhere}  {}", other.display());
        if sum != sum_elsewhere {
            bail!("{} and {} differ", one.display(), other.display());
        }
    }
    Ok(())
}

/// Installs the .deb in an empty root, runs the README's pipeline there, and removes it.
pub(super) fn does_what_the_readme_says(made: &[PathBuf]) -> anyhow::Result<()> {
    let Some(deb) = made.iter().find(|path| path.extension().is_some_and(|end| end == "deb")) else {
        return Ok(());
    };
    if !rustix::process::geteuid().is_root() {
        println!("== installation: LEFT OUT, since chroot and mount are root's");
        return Ok(());
    }
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    let root = Root { path: folder.path().join("root") };
    root.install(deb)?;
    root.runs_the_pipeline()?;
    root.remove()
}

/// A root directory with nothing in it but what the package brings.
struct Root {
    path: PathBuf,
}

impl Root {
    fn dpkg(&self, args: &[&str]) -> Command {
        let mut dpkg = Command::new("dpkg");
        dpkg.arg("--root").arg(&self.path).args(["--log=/dev/null"]).args(args);
        dpkg
    }

    fn install(&self, deb: &Path) -> anyhow::Result<()> {
        println!("== installation of {} in an empty root", deb.display());
        for folder in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "proc", "sys", "tmp"] {
            fs::create_dir_all(self.path.join(folder))?;
        }
        for list in ["status", "available"] {
            fs::write(self.path.join("var/lib/dpkg").join(list), "")?;
        }
        let mut install = self.dpkg(&["--install"]);
        install.arg(deb);
        run::run(install)?;
        // Compares the sums of what was installed.
        run::run(self.dpkg(&["--verify", "perftool"]))
    }

    fn remove(&self) -> anyhow::Result<()> {
        run::run(self.dpkg(&["--purge", "perftool"]))?;
        if self.path.join("usr").exists() {
            bail!("the package leaves files in usr when it is removed");
        }
        Ok(())
    }

    /// The program in this root, where nothing is mounted but the kernel's own files and the libraries that are recorded: their
    /// processes may have ended before their records come. The mounts end with it.
    fn perftool(&self, args: &[&str]) -> Command {
        const ENTER: &str = "mount -t proc proc \"$1/proc\" && mount -t sysfs sys \"$1/sys\" && \
                             mount --bind /usr/lib \"$1/usr/lib\" && \
                             root=$1 && shift && exec chroot \"$root\" /usr/bin/perftool \"$@\"";
        let mut perftool = command("unshare", &["--mount", "sh", "-c", ENTER, "sh"]);
        perftool.arg(&self.path).args(args);
        perftool
    }

    /// The README's pipeline, with perftool alone from the package.
    fn runs_the_pipeline(&self) -> anyhow::Result<()> {
        // Where the libraries are mounted.
        let libraries = self.path.join("usr/lib");
        fs::create_dir(&libraries)?;
        let ran = self.injects_in_a_pipeline();
        // The package has nothing there, so that nothing may be left.
        fs::remove_dir(&libraries)?;
        ran
    }

    fn injects_in_a_pipeline(&self) -> anyhow::Result<()> {
        run::run(self.perftool(&["--version"]))?;
        if !demo::can_record() {
            println!("== pipeline: LEFT OUT, since perf is not here or may not record");
            return Ok(());
        }
        println!("== perf record -o - -g CMD | perftool inject -b | perf report -i -");
        let passed = self.path.join("tmp/passed");
        let perf = ["record", "-q", "-e", "cpu-clock", "-g", "-o", "-", "--", "sh", "-c", demo::WORK];
        let mut record = command("perf", &perf).stdout(Stdio::piped()).spawn().context("cannot run perf")?;
        let mut inject = self.perftool(&["inject", "-b"]);
        inject.stdin(run::stdout_of(&mut record)?).stdout(Stdio::piped());
        let mut inject = inject.spawn().context("cannot run unshare")?;
        let mut tee = Command::new("tee");
        tee.arg(&passed).stdin(run::stdout_of(&mut inject)?).stdout(Stdio::piped());
        let mut tee = tee.spawn().context("cannot run tee")?;
        let mut report = command("perf", &["report", "-i", "-", "--stdio", "--no-children", "--sort=dso"]);
        let report = report.stdin(run::stdout_of(&mut tee)?).output().context("cannot run perf")?;
        for (name, child) in [("perf record", record), ("perftool", inject), ("tee", tee)] {
            demo::finish(name, child)?;
        }
        let report = String::from_utf8_lossy(&report.stdout).into_owned();
        if !report.contains("libc.so.6") {
            bail!("perf report does not say that samples hit libc:\n{report}");
        }
        let list = run::output(self.perftool(&["buildid-list", "-i", "/tmp/passed"]))?;
        let list = String::from_utf8(list)?;
        print!("{list}");
        let has_id = |name: &str| {
            list.lines()
                .any(|line| line.split_once(' ').is_some_and(|(id, of)| id.len() == 40 && of.ends_with(name)))
        };
        if !has_id("/libc.so.6") || !has_id("[kernel.kallsyms]") {
            bail!("libc or the kernel has no build-id");
        }
        Ok(())
    }
}
