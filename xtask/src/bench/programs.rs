//! The programs that are measured, and pipelines of them.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::Context as _;

use super::rounds::Cost;
use super::{Bench, usage};
use crate::run;

/// perf takes seconds where the others take a tenth of one.
const PERF_ROUNDS: usize = 2;

/// A program and its options.
#[derive(Debug, Clone)]
pub(super) struct Program {
    /// As the tables have it.
    pub(super) name: String,
    words: Vec<OsString>,
    /// In how many rounds it runs at the most.
    pub(super) rounds_at_most: usize,
    /// Whether it is to add records.
    pub(super) injects: bool,
}

impl Program {
    pub(super) fn cat() -> Self {
        Self { name: "cat".to_owned(), words: vec!["cat".into()], rounds_at_most: usize::MAX, injects: false }
    }

    /// `perftool inject` with these options.
    pub(super) fn perftool(bench: &Bench, options: &[&str]) -> Self {
        Self::of(bench.perftool.clone().into(), "perftool", "inject", options, usize::MAX)
    }

    /// `perf inject` with these options.
    pub(super) fn perf(bench: &Bench, options: &[&str]) -> Self {
        Self::perf_at(&bench.perf, options)
    }

    /// `perf inject` of a perf that is named by its path, with these options.
    pub(super) fn perf_at(perf: &Path, options: &[&str]) -> Self {
        Self::of(perf.into(), "perf", "inject", options, PERF_ROUNDS)
    }

    /// `buildid-list` of perftool and of perf, with these options.
    pub(super) fn lists(bench: &Bench, options: &[&str]) -> (Self, Self) {
        let perftool =
            Self::of(bench.perftool.clone().into(), "perftool", "buildid-list", options, usize::MAX);
        (perftool, Self::of(bench.perf.clone().into(), "perf", "buildid-list", options, usize::MAX))
    }

    /// `perftool dump` with these options.
    pub(super) fn dump(bench: &Bench, options: &[&str]) -> Self {
        Self::of(bench.perftool.clone().into(), "perftool", "dump", options, usize::MAX)
    }

    /// What perf prints of records: `-D` of `script` or `report`.
    pub(super) fn perfs_dump(bench: &Bench, task: &str) -> Self {
        Self::of(bench.perf.clone().into(), "perf", task, &["-D"], usize::MAX)
    }

    fn of(file: OsString, name: &str, task: &str, options: &[&str], rounds_at_most: usize) -> Self {
        let name = [&[name, task], options].concat().join(" ");
        let words = std::iter::once(file).chain([task.into()]).chain(options.iter().map(OsString::from));
        Self { name, words: words.collect(), rounds_at_most, injects: options.contains(&"-b") }
    }

    /// A command that says nothing.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// What `cat FILE | X | cat > /dev/null` takes, and X in it; `None` where X fails.
    pub(super) fn through(&self, file: &Path) -> anyhow::Result<Option<Cost>> {
        let start = Instant::now();
        let mut first = Command::new("cat");
        let mut first = spawn(first.arg(file).stdin(Stdio::null()).stdout(Stdio::piped()))?;
        let mut middle = spawn(self.command().stdin(run::stdout_of(&mut first)?).stdout(Stdio::piped()))?;
        let mut last = Command::new("cat");
        let mut last = spawn(
            last.stdin(run::stdout_of(&mut middle)?).stdout(File::options().write(true).open("/dev/null")?),
        )?;
        let ended = last.wait()?;
        let cpu = usage::cpu_at_end(&middle)?;
        let all = [ended, middle.wait()?, first.wait()?];
        let cost = Cost { wall: start.elapsed(), cpu };
        Ok(all.iter().all(|status| status.success()).then_some(cost))
    }

    /// By how many bytes more comes out of it than went in.
    pub(super) fn adds(&self, file: &Path) -> anyhow::Result<u64> {
        let came = self.passes(file, &mut io::sink())?;
        Ok(came.saturating_sub(fs::metadata(file)?.len()))
    }

    /// Passes a file through it, and returns how many bytes came out.
    pub(super) fn passes(&self, file: &Path, to: &mut impl io::Write) -> anyhow::Result<u64> {
        let mut cat = Command::new("cat");
        let mut cat = spawn(cat.arg(file).stdin(Stdio::null()).stdout(Stdio::piped()))?;
        let mut child = spawn(self.command().stdin(run::stdout_of(&mut cat)?).stdout(Stdio::piped()))?;
        let mut out = child.stdout.take().context("it has no standard output")?;
        let came = io::copy(&mut out, to)?;
        child.wait()?;
        cat.wait()?;
        Ok(came)
    }
}

/// Starts a program.
pub(super) fn spawn(command: &mut Command) -> anyhow::Result<Child> {
    command.spawn().with_context(|| format!("cannot run {}", run::line(command)))
}

/// What one command takes; `None` where it fails.
pub(super) fn timed(mut command: Command) -> anyhow::Result<Option<Cost>> {
    let start = Instant::now();
    let mut child = spawn(&mut command)?;
    let cpu = usage::cpu_at_end(&child)?;
    let status = child.wait()?;
    let cost = Cost { wall: start.elapsed(), cpu };
    Ok(status.success().then_some(cost))
}
