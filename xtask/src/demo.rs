//! `cargo xtask demo`: what perftool does, shown on a recording that passes through it as it is made, in a few
//! seconds and without anything to prepare.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};

use crate::run;
use crate::workspace::{Workspace, cargo};

/// About two seconds of work by several programs.
const WORK: &str = "for i in 1 2 3 4; do seq 300000 | sort -r | gzip -6 | wc -c; done > /dev/null";

/// What to show where perf is missing or may not record.
const REPLAY: &str = "tests/data/callchain.pipe";

pub(crate) fn run(workspace: &Workspace, _: &[String]) -> anyhow::Result<()> {
    println!("Building perftool.");
    run::run(cargo(&["build", "--quiet", "--release", "--package", "perftool"]))?;
    let demo = Demo::new(workspace)?;
    demo.pass()?;
    let before = demo.list("Before", &demo.input)?;
    let after = demo.list("After", &demo.output)?;
    demo.sum_up(before, after)?;
    demo.what_next();
    Ok(())
}

struct Demo {
    perftool: PathBuf,
    input: PathBuf,
    output: PathBuf,
    /// Whether perf can record here.
    live: bool,
}

impl Demo {
    fn new(workspace: &Workspace) -> anyhow::Result<Self> {
        let live = can_record();
        let folder = workspace.target("demo");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let input = if live { folder.join("before.pipe") } else { REPLAY.into() };
        Ok(Self {
            perftool: workspace.target("release/perftool"),
            input,
            output: folder.join("after.pipe"),
            live,
        })
    }

    /// Lets a recording pass through `perftool inject`.
    fn pass(&self) -> anyhow::Result<()> {
        let (perftool, input, output) =
            (self.perftool.display(), self.input.display(), self.output.display());
        if self.live {
            println!(
                "\nperf records a few busy programs, and perftool names their files' build-ids while they run:\n"
            );
            println!("  $ perf record -q -e cpu-clock -g -o - -- sh -c '{WORK}' \\");
            println!("      | tee {input} | {perftool} inject -b -v > {output}\n");
            self.record()
        } else {
            println!("\nperf is not here or may not record, so a recording of another day must do:\n");
            println!("  $ {perftool} inject -b -v < {input} > {output}\n");
            let input = fs::File::open(&self.input).with_context(|| format!("cannot read {input}"))?;
            finish("perftool", self.inject(input.into())?)
        }
    }

    fn record(&self) -> anyhow::Result<()> {
        let mut perf = Command::new("perf");
        perf.args(["record", "-q", "-e", "cpu-clock", "-g", "-o", "-", "--", "sh", "-c", WORK]);
        let mut perf = perf.stdout(Stdio::piped()).spawn().context("cannot run perf")?;
        let mut tee = Command::new("tee");
        tee.arg(&self.input).stdin(stdout_of(&mut perf)?).stdout(Stdio::piped());
        let mut tee = tee.spawn().context("cannot run tee")?;
        let perftool = self.inject(stdout_of(&mut tee)?)?;
        // Last in the pipe first: where it fails, the others fail for want of a reader.
        finish("perftool", perftool)?;
        finish("tee", tee)?;
        finish("perf", perf)
    }

    fn inject(&self, input: Stdio) -> anyhow::Result<Child> {
        let output = fs::File::create(&self.output)
            .with_context(|| format!("cannot write {}", self.output.display()))?;
        let mut perftool = Command::new(&self.perftool);
        perftool.args(["inject", "-b", "-v"]).stdin(input).stdout(output);
        perftool.spawn().context("cannot run perftool")
    }

    /// Lists the build-ids in a recording. Returns how many there are.
    fn list(&self, when: &str, recording: &Path) -> anyhow::Result<usize> {
        println!("\n{when} ({} buildid-list -i {}):\n", self.perftool.display(), recording.display());
        let mut perftool = Command::new(&self.perftool);
        perftool.args(["buildid-list", "-i"]).arg(recording);
        let list = String::from_utf8_lossy(&run::output(perftool)?).into_owned();
        list.lines().for_each(|line| println!("  {line}"));
        if list.is_empty() {
            println!("  no build-id at all");
        }
        Ok(list.lines().count())
    }

    fn sum_up(&self, ids_before: usize, ids_after: usize) -> anyhow::Result<()> {
        let before = fs::metadata(&self.input)?.len();
        let after = fs::metadata(&self.output)?.len();
        println!("\n{} build-ids came in {} bytes:", ids_after - ids_before, after - before);
        println!(
            "the recording had {before} bytes and now has {after}; all that was in it still is, as it was."
        );
        Ok(())
    }

    fn what_next(&self) {
        let (perftool, output) = (self.perftool.display(), self.output.display());
        println!("\nNow try:\n");
        println!("  perf report -i {output}");
        println!(
            "  perf record -e cpu-clock -g -o - -- ls -lR /usr | {perftool} inject -b | perf report -i -"
        );
        println!(
            "  perf record -e cpu-clock -a -o - -- sleep 2 | {perftool} inject -b | perf buildid-list -i -"
        );
    }
}

fn can_record() -> bool {
    let mut perf = Command::new("perf");
    perf.args(["record", "-e", "cpu-clock", "-o", "/dev/null", "true"]);
    perf.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    perf.status().is_ok_and(|status| status.success())
}

/// A child's standard output, for the next one in the pipe.
fn stdout_of(child: &mut Child) -> anyhow::Result<Stdio> {
    Ok(child.stdout.take().context("it has no standard output")?.into())
}

fn finish(name: &str, mut child: Child) -> anyhow::Result<()> {
    let status = child.wait().with_context(|| format!("cannot wait for {name}"))?;
    if !status.success() {
        bail!("{name}: {status}");
    }
    Ok(())
}
