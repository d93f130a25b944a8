//! `cargo xtask demo`: what perftool does, shown on a recording that passes through it as it is made, in a few
//! seconds and without anything to prepare.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};

use crate::run;
use crate::workspace::{Workspace, cargo};

/// About two seconds of work by several programs.
pub(crate) const WORK: &str = "for i in 1 2 3 4 5; do seq 300000 | sort -r | gzip | wc -c; done > /dev/null";

/// What to show where perf is missing or may not record.
const REPLAY: &str = "tests/data/callchain.pipe";

pub(crate) fn run(workspace: &Workspace, _: &[String]) -> anyhow::Result<()> {
    println!("Building perftool.");
    run::run(cargo(&["build", "--quiet", "--release", "--package", "perftool-cli"]))?;
    let folder = workspace.target("demo");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let live = can_record();
    let demo = Demo {
        perftool: workspace.target("release/perftool"),
        before: if live { folder.join("before.pipe") } else { REPLAY.into() },
        after: folder.join("after.pipe"),
    };
    if live { demo.record() } else { demo.replay() }?;
    println!("\nThe files that samples hit, before:\n");
    demo.list(&demo.before)?;
    println!("\nAnd after:\n");
    demo.list(&demo.after)?;
    demo.sum_up()?;
    demo.what_next();
    Ok(())
}

/// The files of the demonstration.
struct Demo {
    perftool: PathBuf,
    before: PathBuf,
    after: PathBuf,
}

impl Demo {
    /// Lets a recording pass through perftool while it is made.
    fn record(&self) -> anyhow::Result<()> {
        println!("\nperf records a few busy programs, and perftool injects build-ids while they run:\n");
        println!("  $ perf record -q -e cpu-clock -g -o - -- sh -c '");
        println!("      {WORK}' \\");
        println!("      | tee {} \\", self.before.display());
        println!("      | {} inject -b -v > {}\n", self.perftool.display(), self.after.display());
        let mut perf = Command::new("perf");
        perf.args(["record", "-q", "-e", "cpu-clock", "-g", "-o", "-", "--", "sh", "-c", WORK]);
        let mut perf = perf.stdout(Stdio::piped()).spawn().context("cannot run perf")?;
        let mut tee = Command::new("tee");
        tee.arg(&self.before).stdin(run::stdout_of(&mut perf)?).stdout(Stdio::piped());
        let mut tee = tee.spawn().context("cannot run tee")?;
        let perftool = self.inject(run::stdout_of(&mut tee)?)?;
        // Last in the pipe first: where it fails, the others fail for want of a reader.
        finish("perftool", perftool)?;
        finish("tee", tee)?;
        finish("perf", perf)
    }

    /// Lets an old recording pass through perftool.
    fn replay(&self) -> anyhow::Result<()> {
        let (before, after) = (self.before.display(), self.after.display());
        println!(
            "\nperf is not here or may not record, so an old recording must do. Its files are looked up by"
        );
        println!("their names: the build-ids are those of this machine's files.\n");
        println!("  $ {} inject -b -v < {before} > {after}\n", self.perftool.display());
        let recording = File::open(&self.before).with_context(|| format!("cannot read {before}"))?;
        finish("perftool", self.inject(recording.into())?)
    }

    fn inject(&self, recording: Stdio) -> anyhow::Result<Child> {
        let after =
            File::create(&self.after).with_context(|| format!("cannot write {}", self.after.display()))?;
        let mut perftool = Command::new(&self.perftool);
        perftool.args(["inject", "-b", "-v"]).stdin(recording).stdout(after);
        perftool.spawn().context("cannot run perftool")
    }

    fn list(&self, recording: &Path) -> anyhow::Result<()> {
        let mut perftool = Command::new(&self.perftool);
        perftool.args(["buildid-list", "-i"]).arg(recording);
        println!("  $ {}", run::line(&perftool));
        String::from_utf8_lossy(&run::output(perftool)?).lines().for_each(|line| println!("  {line}"));
        Ok(())
    }

    fn sum_up(&self) -> anyhow::Result<()> {
        let (before, after) = (fs::metadata(&self.before)?.len(), fs::metadata(&self.after)?.len());
        println!("\nThe recording grew by {} bytes, from {before} to {after};", after.saturating_sub(before));
        println!("all that was in it is still there, byte for byte.");
        Ok(())
    }

    fn what_next(&self) {
        let (perftool, after) = (self.perftool.display(), self.after.display());
        println!("\nNow try:\n");
        println!("  perf report -i {after}");
        println!("  perf record -g -o - -- du -s /usr | {perftool} inject -b | perf report -i -");
        println!("  perf record -a -o - -- sleep 2 | {perftool} inject -b | perf buildid-list -i -");
    }
}

/// Whether perf is here, and may.
pub(crate) fn can_record() -> bool {
    let mut perf = Command::new("perf");
    perf.args(["record", "-e", "cpu-clock", "-o", "/dev/null", "true"]);
    perf.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    perf.status().is_ok_and(|status| status.success())
}

pub(crate) fn finish(name: &str, mut child: Child) -> anyhow::Result<()> {
    let status = child.wait().with_context(|| format!("cannot wait for {name}"))?;
    if !status.success() {
        bail!("{name}: {status}");
    }
    Ok(())
}
