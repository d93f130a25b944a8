//! The recordings that are measured with: how each is made, and kept.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::{grow, made, progress};
use crate::run;

/// What an input is grown to.
const MB_200: u64 = 200_000_000;
const GB_2: u64 = 2_000_000_000;

/// Four programs in a pipeline, for a few seconds.
const PIPELINE: &str = "seq 3000000 | sort -r | gzip | wc -c > /dev/null";

/// A recording in pipe format.
pub(super) struct Input {
    pub(super) name: &'static str,
    source: Source,
}

enum Source {
    /// `perf record OPTIONS -o - -- sh -c SCRIPT`, and so many bytes of it by repetition, or what it is.
    Recorded { options: &'static str, script: &'static str, grown_to: Option<u64> },
    /// No recording, but a stream like one.
    Made(fn() -> Vec<u8>),
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
    recorded("samples", SAMPLES, PIPELINE, Some(MB_200)),
    recorded("callchains", "-F 20000 -e cpu-clock -g", PIPELINE, Some(MB_200)),
    recorded("dwarf", "-F 1000 -e cpu-clock --call-graph dwarf", PIPELINE, Some(MB_200)),
    recorded("tracepoints", "-e sched:*", PIPELINE, Some(MB_200)),
    recorded(
        "forks",
        "-F 5000 -e cpu-clock",
        "i=0; while [ $i -lt 5000 ]; do /bin/true; i=$((i + 1)); done",
        Some(MB_200),
    ),
    Input { name: "mmaps", source: Source::Made(made::mmaps) },
    // A compressed stream is one from its start to its end: it cannot be repeated. So it is long.
    recorded(
        "zstd",
        "-F 20000 -e cpu-clock -g -z",
        "for i in 1 2 3 4; do seq 3000000 | sort -r | gzip | wc -c; done > /dev/null",
        None,
    ),
];

const SAMPLES: &str = "-F 20000 -e cpu-clock";

/// The samples once more, for `--large`.
pub(super) const LARGE: Input = recorded("samples-large", SAMPLES, PIPELINE, Some(GB_2));

impl Input {
    /// Where it is. It is made if it is not there.
    pub(super) fn prepare(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let path = folder.join(format!("{}.pipe", self.name));
        if !path.exists() {
            progress(&format!("making {}", path.display()));
            // Under another name until it is whole: what has its name is used again.
            let part = folder.join(format!("{}.part", self.name));
            self.make(&part).with_context(|| format!("cannot make {}", path.display()))?;
            fs::rename(part, &path)?;
        }
        Ok(path)
    }

    fn make(&self, path: &Path) -> anyhow::Result<()> {
        match self.source {
            Source::Recorded { options, script, grown_to: None } => record(options, script, path),
            Source::Recorded { options, script, grown_to: Some(bytes) } => {
                let short = path.with_extension("recorded");
                record(options, script, &short)?;
                grow::grow(&fs::read(&short)?, &mut File::create(path)?, bytes)?;
                Ok(fs::remove_file(short)?)
            }
            Source::Made(make) => Ok(fs::write(path, make())?),
        }
    }
}

/// Records a script into a pipe's stream.
pub(crate) fn record(options: &str, script: &str, path: &Path) -> anyhow::Result<()> {
    let mut perf = Command::new("perf");
    perf.args(["record", "-q", "-o", "-"]).args(options.split_whitespace());
    perf.args(["--", "sh", "-c", script]).stdout(File::create(path)?);
    run::run(perf).context("recording takes Linux with perf, and for tracepoints root")
}
