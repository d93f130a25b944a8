//! The recordings that are measured with: how each is made, and kept. Real ones are as perf wrote them; repeated ones
//! are short recordings made long, which are the limit case: all that can be remembered of them is known early.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::real::{self, Real};
use super::recording::{perf_line, remove};
use super::{Bench, grow, made, progress};
use crate::run;

/// What an input is grown to.
const MB_200: u64 = 200_000_000;
const GB_2: u64 = 2_000_000_000;

/// Four programs in a pipeline, for a few seconds.
const PIPELINE: &str = "seq 3000000 | sort -r | gzip | wc -c > /dev/null";

const FORKS: &str = "i=0; while [ $i -lt 5000 ]; do /bin/true; i=$((i + 1)); done";

/// A recording in pipe format.
pub(super) struct Input {
    pub(super) name: &'static str,
    source: Source,
}

enum Source {
    /// Long enough as it is.
    Real(Real),
    /// `perf record OPTIONS -o - -- sh -c SCRIPT`, and so many bytes of it by repetition, or what it is.
    Recorded { options: &'static str, script: &'static str, grown_to: Option<u64> },
    /// No recording, but a stream like one.
    Made(fn() -> Vec<u8>),
}

const fn real(name: &'static str, real: Real) -> Input {
    Input { name, source: Source::Real(real) }
}

const fn recorded(
    name: &'static str,
    options: &'static str,
    script: &'static str,
    grown_to: Option<u64>,
) -> Input {
    Input { name, source: Source::Recorded { options, script, grown_to } }
}

pub(super) const INPUTS: &[Input] = &[
    real(BUILD, real::BUILD),
    real("node", real::NODE),
    real("busy", real::BUSY),
    real("idle", real::IDLE),
    // Far more side-band records than samples, and so short that starting a program is a part of its figures.
    recorded("forks", "-F 5000 -e cpu-clock", FORKS, None),
    // A compressed stream is one from its start to its end: it cannot be repeated. So it is long.
    recorded(
        "zstd",
        "-F 20000 -e cpu-clock -g -z",
        "for i in 1 2 3 4; do seq 3000000 | sort -r | gzip | wc -c; done > /dev/null",
        None,
    ),
    Input { name: "mmaps", source: Source::Made(made::mmaps) },
    recorded(SAMPLES, OF_SAMPLES, PIPELINE, Some(MB_200)),
    recorded("callchains-repeated", "-F 20000 -e cpu-clock -g", PIPELINE, Some(MB_200)),
    recorded("dwarf-repeated", "-F 1000 -e cpu-clock --call-graph dwarf", PIPELINE, Some(MB_200)),
    recorded("tracepoints-repeated", "-e sched:*", PIPELINE, Some(MB_200)),
    recorded("forks-repeated", "-F 5000 -e cpu-clock", FORKS, Some(MB_200)),
];

/// The build, which is a file as well.
pub(super) const BUILD: &str = "build";

/// The plainest of all, with which files, memory and delay are measured too.
pub(super) const SAMPLES: &str = "samples-repeated";

const OF_SAMPLES: &str = "-F 20000 -e cpu-clock";

/// The samples once more, for `--large`.
pub(super) const LARGE: Input = recorded("samples-repeated-large", OF_SAMPLES, PIPELINE, Some(GB_2));

/// Stacks, for the part that unwinds them and that has its name.
pub(super) const STACKS: Input = real("unwind", real::STACKS);

impl Input {
    pub(super) fn of(name: &str) -> anyhow::Result<&'static Self> {
        INPUTS.iter().find(|input| input.name == name).context("no input has this name")
    }

    fn path(&self, folder: &Path, end: &str) -> PathBuf {
        folder.join(format!("{}.{end}", self.name))
    }

    /// Where it is in pipe format. It is made if it is not there; [`Missing`](super::recording::Missing) where that takes another program.
    pub(super) fn pipe(&self, bench: &Bench) -> anyhow::Result<PathBuf> {
        self.prepare(bench, "pipe")
    }

    /// Where it is as a file, which is recorded anew: perf writes other things to a file.
    pub(super) fn file(&self, bench: &Bench) -> anyhow::Result<PathBuf> {
        self.prepare(bench, "data")
    }

    fn prepare(&self, bench: &Bench, end: &str) -> anyhow::Result<PathBuf> {
        let path = self.path(&bench.folder, end);
        if !path.exists() {
            progress(&format!("making {}", path.display()));
            // Under another name until it is whole: what has its name is used again.
            let part = self.path(&bench.folder, "part");
            let how =
                self.make(bench, &part, end).with_context(|| format!("cannot make {}", path.display()))?;
            fs::write(self.path(&bench.folder, &format!("{end}.how")), how)?;
            fs::rename(part, &path)?;
        }
        Ok(path)
    }

    /// Makes it, and returns how.
    fn make(&self, bench: &Bench, path: &Path, end: &str) -> anyhow::Result<String> {
        let is_file = end == "data";
        match &self.source {
            Source::Real(real) => real.record(&bench.perf, path, is_file),
            _ if is_file => anyhow::bail!("only a real recording is recorded as a file"),
            Source::Recorded { options, script, grown_to: None } => {
                record(&bench.perf, options, script, path)
            }
            Source::Recorded { options, script, grown_to: Some(bytes) } => {
                let short = path.with_extension("recorded");
                let how = record(&bench.perf, options, script, &short)?;
                grow::grow(&fs::read(&short)?, &mut File::create(path)?, *bytes)?;
                fs::remove_file(short)?;
                Ok(format!("{how}, repeated to {} MB", bytes / 1_000_000))
            }
            Source::Made(make) => {
                fs::write(path, make())?;
                Ok("made up".to_owned())
            }
        }
    }

    /// How it was made, of each form in which it is there: the file's name, its bytes, and the command.
    pub(super) fn made(&self, folder: &Path) -> Vec<(String, u64, String)> {
        let form = |end: &str| {
            let path = self.path(folder, end);
            let bytes = fs::metadata(&path).ok()?.len();
            let how = fs::read_to_string(self.path(folder, &format!("{end}.how"))).ok()?;
            Some((format!("{}.{end}", self.name), bytes, how))
        };
        ["pipe", "data"].into_iter().filter_map(form).collect()
    }

    /// Forgets it, and what was made of it, so that it is made anew.
    pub(super) fn remove(&self, folder: &Path) -> anyhow::Result<()> {
        for end in ["pipe", "data", "ids.data", "stacks.data"] {
            remove(&self.path(folder, end))?;
        }
        Ok(())
    }
}

/// Records a script into a pipe's stream, and returns the command.
pub(crate) fn record(perf: &Path, options: &str, script: &str, path: &Path) -> anyhow::Result<String> {
    let mut command = Command::new(perf);
    // A newer perf writes ids itself, and there would be nothing to inject.
    command.args(["record", "-q", "--no-buildid-mmap", "-o", "-"]).args(options.split_whitespace());
    command.args(["--", "sh", "-c", script]).stdout(File::create(path)?);
    let line = perf_line(&command);
    progress(&line);
    run::run(command).context("recording takes Linux with perf, and for tracepoints root")?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_recordings_say_so_in_their_names() {
        for input in INPUTS.iter().chain([&LARGE]) {
            let repeated = matches!(input.source, Source::Recorded { grown_to: Some(_), .. });
            assert_eq!(input.name.contains("-repeated"), repeated, "{}", input.name);
        }
    }
}
