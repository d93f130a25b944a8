//! The most memory that a program ever had while a recording passed: VmHWM of its /proc/PID/status, looked at every
//! millisecond up to its end. The kernel keeps the peak, so only growth in the very last of them could be missed.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

use super::inputs::{INPUTS, LARGE, SAMPLES};
use super::programs::{Program, spawn};
use super::recording::unless_missing;
use super::report::{Bar, Row};
use super::{Bench, progress};
use crate::run;

const SECTION: &str = "cat FILE | X > /dev/null";
const PEAK: &str = "peak MiB";

/// The most that perftool may have, in MiB.
const AT_MOST: f64 = 16.0;

/// An input that is there to be large in memory: 100,000 maps have to be somewhere.
const NO_BAR: &str = "mmaps";

pub(super) fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let with_ids = Program::perftool(bench, &["-b"]);
    let mut rows = Vec::new();
    for input in INPUTS.iter().chain(bench.large.then_some(&LARGE)) {
        let file = match unless_missing(input.pipe(bench))? {
            Ok(file) => file,
            Err(missing) => {
                rows.push(Row::left_out(SECTION, input.name, &missing));
                continue;
            }
        };
        let mut programs = vec![with_ids.clone()];
        if input.name == SAMPLES {
            programs = vec![Program::cat(), Program::perftool(bench, &[]), with_ids.clone()];
            programs.push(Program::perf(bench, &["-b"]));
        }
        for program in programs {
            progress(&format!("memory: {} with {}", program.name, input.name));
            let peak = peak(&program, &file)?;
            let figures = peak.map_or(Vec::new(), |bytes| vec![(PEAK, bytes as f64 / f64::from(1 << 20))]);
            let ours = program.name.starts_with("perftool") && input.name != NO_BAR;
            let bar = ours.then_some(Bar::at_most(PEAK, AT_MOST));
            let input = input.name.to_owned();
            rows.push(Row { section: SECTION, input, program: program.name, figures, bar, ..Row::default() });
        }
    }
    Ok(rows)
}

/// The peak in bytes; `None` where the program fails.
fn peak(program: &Program, file: &Path) -> anyhow::Result<Option<u64>> {
    Ok(peaks(program, file)?.map(|peaks| peaks.all))
}

/// The most memory that a program had, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Peaks {
    pub(super) all: u64,
    /// Without what is mapped of files, which goes when others need the room. The kernel keeps no peak of it: what is held
    /// for less than a millisecond may be missed.
    pub(super) own: u64,
}

/// Both peaks; `None` where the program fails.
pub(super) fn peaks(program: &Program, file: &Path) -> anyhow::Result<Option<Peaks>> {
    let mut cat = Command::new("cat");
    let mut cat = spawn(cat.arg(file).stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let mut child = spawn(program.command().stdin(run::stdout_of(&mut cat)?))?;
    let mut peaks = Peaks::default();
    let ended = loop {
        // A process that has ended has no memory, and its status says nothing of it.
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        peaks.all = high_water(&status).unwrap_or(0).max(peaks.all);
        peaks.own = bytes_of(&status, "RssAnon:").unwrap_or(0).max(peaks.own);
        if let Some(ended) = child.try_wait().context("cannot wait for it")? {
            break ended;
        }
        thread::sleep(Duration::from_millis(1));
    };
    cat.wait()?;
    Ok(ended.success().then_some(peaks))
}

/// The most memory that a process ever had, in bytes, if it still runs.
pub(crate) fn high_water_of(pid: u32) -> Option<u64> {
    high_water(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

/// The peak of the resident set that a /proc/PID/status tells, in bytes.
fn high_water(status: &str) -> Option<u64> {
    bytes_of(status, "VmHWM:")
}

/// What a line of /proc/PID/status tells, in bytes.
fn bytes_of(status: &str, line: &str) -> Option<u64> {
    let line = status.lines().find_map(|other| other.strip_prefix(line))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_where_there_is_one() {
        assert_eq!(high_water("Name:\tcat\nVmHWM:\t    1234 kB\nVmRSS:\t 12 kB\n"), Some(1234 * 1024));
        assert_eq!(high_water("Name:\tcat\nState:\tZ (zombie)\n"), None);
    }
}
