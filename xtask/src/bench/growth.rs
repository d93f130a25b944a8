//! `cargo xtask bench growth`: CPU time and peak memory at n, 2n and 4n of each shape of stream, and the exponent
//! with which they grow: 1 where twice as much takes twice as long, 2 where it takes four times as long.
//!
//! n is as large as it has to be for a time that can be measured. What takes too long or too much memory is stopped,
//! and nothing larger is run.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::memory::high_water_of;
use super::programs::spawn;
use super::report::{markdown, number};
use super::shapes::{Shape, shapes};
use super::{Bench, progress, usage};

/// The first n.
const FIRST: u64 = 25;

/// From one n to the next, as long as 4n takes too little time.
const STEP: u64 = 4;

/// The CPU time from which on it can be compared.
const MEASURABLE: Duration = Duration::from_millis(100);

/// A run that takes less is repeated: the least of so many is what it takes by itself.
const SHORT: Duration = Duration::from_secs(2);
const TRIES: usize = 3;

/// n is not made larger where 4n has more bytes than that.
const BYTES_AT_MOST: usize = 200 << 20;

/// What stops a run.
const TIME_LIMIT: Duration = Duration::from_secs(60);
const MEMORY_LIMIT: u64 = 4 << 30;

/// What is run, with the stream as standard input.
const COMMANDS: &[&[&str]] = &[&["inject", "-b"], &["buildid-list", "-i", "-"]];

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Done,
    /// It said no, with an error.
    Refused,
    OutOfTime,
    OutOfMemory,
}

#[derive(Debug, Clone, Copy)]
struct Run {
    end: End,
    cpu: Duration,
    /// In bytes.
    peak: u64,
}

impl Run {
    fn is_stopped(&self) -> bool {
        matches!(self.end, End::OutOfTime | End::OutOfMemory)
    }
}

/// A command's runs with a shape at n, 2n and 4n, or as far as they were not stopped.
struct Growth {
    n: u64,
    /// Bytes of the largest stream.
    bytes: usize,
    runs: Vec<Run>,
}

/// Measures these shapes, or all, and prints a table for each command.
pub(super) fn run(bench: &Bench, names: &[String]) -> anyhow::Result<()> {
    let wanted = |shape: &&Shape| names.is_empty() || names.iter().any(|name| name == shape.name);
    let path = bench.folder.join("growth.pipe");
    let mut tables = vec![Vec::new(); COMMANDS.len()];
    for shape in shapes().filter(wanted) {
        for (command, lines) in COMMANDS.iter().zip(&mut tables) {
            progress(&format!("{} with {}", command.join(" "), shape.name));
            let growth = measure(bench, command, shape, &path)
                .with_context(|| format!("cannot measure {}", shape.name))?;
            lines.push(growth.line(shape));
        }
    }
    fs::remove_file(path)?;
    for (command, lines) in COMMANDS.iter().zip(tables) {
        println!("\n### `perftool {} < FILE`\n", command.join(" "));
        let head = [
            "shape", "in it", "n", "MB at 4n", "s at n", "2n", "4n", "exponent", "MiB at n", "2n", "4n",
            "exponent", "",
        ];
        print!("{}", markdown(&head, &lines, 2));
    }
    Ok(())
}

fn measure(bench: &Bench, command: &[&str], shape: &Shape, path: &Path) -> anyhow::Result<Growth> {
    let once = |n| -> anyhow::Result<_> {
        let stream = (shape.make)(n);
        fs::write(path, &stream)?;
        Ok((stream.len(), least(bench, command, path)?))
    };
    let mut n = FIRST;
    let mut largest = once(4 * n)?;
    loop {
        let (bytes, run) = &largest;
        let grown = bytes.saturating_mul(usize::try_from(STEP)?);
        if run.end != End::Done || run.cpu >= MEASURABLE || grown > BYTES_AT_MOST {
            break;
        }
        // What was refused tells less than what was done before it in too little time.
        let next = once(4 * n * STEP)?;
        if next.1.end == End::Refused {
            break;
        }
        n *= STEP;
        largest = next;
    }
    let mut growth = Growth { n, bytes: largest.0, runs: Vec::new() };
    for n in [n, 2 * n] {
        let run = once(n)?.1;
        growth.runs.push(run);
        if run.is_stopped() {
            return Ok(growth);
        }
    }
    growth.runs.push(largest.1);
    Ok(growth)
}

/// The run that took least of a few, if they are short.
fn least(bench: &Bench, command: &[&str], path: &Path) -> anyhow::Result<Run> {
    let mut least = run_once(bench, command, path)?;
    for _ in 1..TRIES {
        if least.end != End::Done || least.cpu >= SHORT {
            break;
        }
        let again = run_once(bench, command, path)?;
        least.cpu = least.cpu.min(again.cpu);
        // It is looked at now and then, so that the highest is what was there.
        least.peak = least.peak.max(again.peak);
    }
    Ok(least)
}

fn run_once(bench: &Bench, command: &[&str], path: &Path) -> anyhow::Result<Run> {
    let mut perftool = Command::new(&bench.perftool);
    perftool.args(command).stdin(File::open(path)?).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let mut child = spawn(&mut perftool)?;
    let (mut peak, mut stopped) = (0, None);
    while !usage::has_ended(&child)? {
        peak = high_water_of(child.id()).unwrap_or(0).max(peak);
        stopped = match () {
            () if start.elapsed() >= TIME_LIMIT => Some(End::OutOfTime),
            () if peak >= MEMORY_LIMIT => Some(End::OutOfMemory),
            () => None,
        };
        if stopped.is_some() {
            child.kill()?;
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    let cpu = usage::cpu_at_end(&child)?;
    let is_done = child.wait()?.success();
    let end = stopped.unwrap_or(if is_done { End::Done } else { End::Refused });
    Ok(Run { end, cpu, peak })
}

impl Growth {
    /// A row of the table.
    fn line(&self, shape: &Shape) -> Vec<String> {
        let figures = |figure: fn(&Run) -> f64| {
            let cells: Vec<_> = (0..3).map(|at| self.cell(at, figure)).collect();
            let exponent = match self.runs[..] {
                [_, ref two, ref four] if !four.is_stopped() => exponent(figure(two), figure(four)),
                _ => None,
            };
            [cells, vec![exponent.map_or_else(|| "-".to_owned(), tenths)]].concat()
        };
        let time = figures(|run| run.cpu.as_secs_f64());
        let memory = figures(|run| run.peak as f64 / f64::from(1 << 20));
        let mb = number(self.bytes as f64 / 1e6);
        let front = vec![shape.name.to_owned(), shape.what.to_owned(), self.n.to_string(), mb];
        [front, time, memory, vec![self.said().to_owned()]].concat()
    }

    fn cell(&self, at: usize, figure: fn(&Run) -> f64) -> String {
        match self.runs.get(at) {
            // All that is known of it.
            Some(run) if run.is_stopped() => format!("> {}", number(figure(run))),
            Some(run) => number(figure(run)),
            None => "-".to_owned(),
        }
    }

    /// What else there is to say.
    fn said(&self) -> &'static str {
        match self.runs.iter().map(|run| run.end).find(|end| *end != End::Done) {
            Some(End::OutOfTime) => "stopped after 60 s",
            Some(End::OutOfMemory) => "stopped at 4 GiB",
            Some(End::Refused) => "refused",
            _ => "",
        }
    }
}

/// The power of n that it is as large as, if 2n and 4n take so much.
fn exponent(two: f64, four: f64) -> Option<f64> {
    (two > 0.0 && four > 0.0).then(|| (four / two).log2())
}

/// With one digit. What is a little less than 0 is 0, and not less.
fn tenths(value: f64) -> String {
    format!("{:.1}", (value * 10.0).round() / 10.0 + 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { name: "dots", what: "n dots", make: |_| Vec::new() };

    fn run(seconds: f64, mib: u64) -> Run {
        Run { end: End::Done, cpu: Duration::from_secs_f64(seconds), peak: mib << 20 }
    }

    fn line(runs: Vec<Run>) -> String {
        Growth { n: 1000, bytes: 2_500_000, runs }.line(&SHAPE).join(" | ")
    }

    #[test]
    fn the_exponent_is_that_of_the_last_doubling() {
        assert_eq!(exponent(1.0, 2.0), Some(1.0));
        assert_eq!(exponent(0.5, 2.0), Some(2.0));
        assert_eq!(exponent(3.0, 3.0), Some(0.0));
        assert_eq!(exponent(0.0, 3.0), None);
        assert_eq!([1.96, 0.04, -0.04, -1.0].map(tenths), ["2.0", "0.0", "0.0", "-1.0"]);
    }

    #[test]
    fn a_line_has_time_and_memory_and_the_exponent_of_each() {
        let line = line(vec![run(0.5, 4), run(1.0, 8), run(4.0, 16)]);
        assert_eq!(
            line,
            "dots | n dots | 1000 | 2.50 | 0.500 | 1.00 | 4.00 | 2.0 | 4.00 | 8.00 | 16.0 | 1.0 | "
        );
    }

    #[test]
    fn what_was_stopped_is_said_and_has_no_exponent() {
        let stopped = Run { end: End::OutOfTime, ..run(59.0, 8) };
        assert_eq!(
            line(vec![run(30.0, 4), stopped]),
            "dots | n dots | 1000 | 2.50 | 30.0 | > 59.0 | - | - | 4.00 | > 8.00 | - | - | stopped after 60 s"
        );
        let large = Run { end: End::OutOfMemory, ..run(7.0, 4096) };
        assert!(line(vec![run(1.0, 4), run(2.0, 8), large]).ends_with("> 4096 | - | stopped at 4 GiB"));
    }

    #[test]
    fn what_was_refused_is_measured_and_said() {
        let refused = Run { end: End::Refused, ..run(2.0, 8) };
        assert!(line(vec![run(0.5, 8), run(1.0, 8), refused]).ends_with("8.00 | 0.0 | refused"));
    }
}
