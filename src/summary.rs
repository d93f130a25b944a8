//! The summary of a run on standard error: a table for a person, or JSON for a program.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use bstr::ByteSlice as _;
use perf_inject::jit::JitSummary;
use perf_inject::{IdSummary, NameSummary, OffCpuSummary, RunReport, SchedStatSummary};
use serde::Serialize;

use self::stacks::StackRows;
use crate::report::{json, one_line};

pub(crate) use self::stacks::advice;

mod stacks;

/// The form of the summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    Table,
    Json,
}

/// The shape of the JSON document. A change that takes something away gets another version.
#[derive(Debug, Serialize)]
struct Summary {
    version: u32,
    records: u64,
    samples: u64,
    bytes: Bytes,
    dsos: Option<Dsos>,
    names: Option<Names>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stacks: Option<StackRows>,
    jit: Vec<Jitted>,
    #[serde(skip_serializing_if = "Option::is_none")]
    off_cpu: Option<OffCpu>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sched_stat: Option<SchedStat>,
    odd_records: BTreeMap<String, u64>,
    lost: Option<Lost>,
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Bytes {
    read: u64,
    written: u64,
    injected: u64,
}

#[derive(Debug, Serialize)]
struct Dsos {
    asked: u64,
    already_there: u64,
    injected: BTreeMap<String, u64>,
    unproven: u64,
    unproven_files: Vec<Reasoned>,
    missing: Vec<Reasoned>,
}

#[derive(Debug, Serialize)]
struct Reasoned {
    name: String,
    reason: String,
}

/// What samples lie in. Of many a part is counted, and stands for the others.
#[derive(Debug, Serialize)]
struct Names {
    samples: u64,
    frames: u64,
    unnamed_samples: u64,
    unnamed: Vec<Unnamed>,
}

/// Samples that will have no name for one reason.
#[derive(Debug, Serialize)]
struct Unnamed {
    cause: &'static str,
    samples: u64,
    frames: u64,
    /// Where most of them are.
    most: String,
    #[serde(skip)]
    text: String,
}

impl Names {
    fn of(names: &NameSummary) -> Self {
        let unnamed = names.unnamed.iter().map(|unnamed| Unnamed {
            cause: unnamed.cause.word(),
            samples: unnamed.counted.samples,
            frames: unnamed.counted.frames,
            most: unnamed.most.to_str_lossy().into_owned(),
            text: unnamed.cause.to_string(),
        });
        Self {
            samples: names.samples,
            frames: names.frames,
            unnamed_samples: names.unnamed_samples(),
            unnamed: unnamed.collect(),
        }
    }
}

impl Summary {
    fn of(run_report: &RunReport, error: Option<&anyhow::Error>) -> Self {
        let passed = run_report.passed;
        let odd = run_report.session.anomalies.iter().map(|(name, odd)| (name.to_string(), odd.count));
        Self {
            version: 1,
            records: passed.records,
            samples: passed.samples,
            bytes: Bytes { read: passed.read, written: passed.written, injected: passed.injected },
            dsos: run_report.ids.as_ref().map(Dsos::of),
            names: run_report.names.as_ref().map(Names::of),
            stacks: run_report.callchains.as_ref().map(StackRows::of),
            jit: run_report.jit.iter().map(Jitted::of).collect(),
            off_cpu: run_report.off_cpu.map(OffCpu::of),
            sched_stat: run_report.sched_stat.map(SchedStat::of),
            odd_records: odd.collect(),
            lost: run_report.damage.map(Lost::of),
            error: error.map(|error| format!("{error:#}")),
        }
    }
}

impl Dsos {
    fn of(ids: &IdSummary) -> Self {
        let reasoned = |dsos: &[perf_inject::Reasoned]| {
            let each = dsos.iter().map(|dso| Reasoned {
                name: dso.name.to_str_lossy().into_owned(),
                reason: dso.reason.clone(),
            });
            each.collect()
        };
        Self {
            asked: ids.dsos,
            already_there: ids.there,
            injected: ids.injected.iter().map(|(origin, count)| (origin.to_string(), *count)).collect(),
            unproven: ids.unproven.len() as u64,
            unproven_files: reasoned(&ids.unproven),
            missing: reasoned(&ids.missing),
        }
    }
}

/// The jitted code of one process.
#[derive(Debug, Serialize)]
struct Jitted {
    pid: i32,
    path: Option<String>,
    missing: Option<String>,
    functions: u64,
    kept: u64,
    images: Vec<String>,
    samples: u64,
    named_before: u64,
    named_after: u64,
}

impl Jitted {
    fn of(jit: &JitSummary) -> Self {
        Self {
            pid: jit.pid,
            path: jit.path.as_ref().map(|path| path.display().to_string()),
            missing: jit.missing.clone(),
            functions: jit.functions,
            kept: jit.kept,
            images: jit.images.iter().map(|image| image.to_str_lossy().into_owned()).collect(),
            samples: jit.samples,
            named_before: jit.named_before,
            named_after: jit.named_after,
        }
    }
}

/// The time that threads were off CPU; times are in ns.
#[derive(Debug, Serialize)]
struct OffCpu {
    threads: u64,
    sleeps: u64,
    preempted: u64,
    blocked_ns: u64,
    runnable_ns: u64,
    short: u64,
    short_ns: u64,
    still_off: u64,
    unknown: Unknown,
}

/// The times off CPU that are not known, by the reason.
#[derive(Debug, Serialize)]
struct Unknown {
    left_before: u64,
    records_lost: u64,
    not_seen_back: u64,
    times_backwards: u64,
    no_memory: u64,
}

impl OffCpu {
    fn of(off_cpu: OffCpuSummary) -> Self {
        Self {
            threads: off_cpu.threads,
            sleeps: off_cpu.sleeps,
            preempted: off_cpu.preempted,
            blocked_ns: off_cpu.blocked,
            runnable_ns: off_cpu.runnable,
            short: off_cpu.short,
            short_ns: off_cpu.short_time,
            still_off: off_cpu.open,
            unknown: Unknown {
                left_before: off_cpu.first_seen,
                records_lost: off_cpu.lost,
                not_seen_back: off_cpu.unseen,
                times_backwards: off_cpu.backwards,
                no_memory: off_cpu.unshown,
            },
        }
    }

    /// The rows of the table.
    fn rows(&self) -> Vec<String> {
        let [threads, sleeps, preempted, short, still_off] =
            [self.threads, self.sleeps, self.preempted, self.short, self.still_off].map(grouped);
        let mut rows = vec![
            format!("{threads} threads slept {sleeps} times, and were preempted {preempted} times"),
            format!("{} blocked, {} runnable", seconds(self.blocked_ns), seconds(self.runnable_ns)),
        ];
        if self.short > 0 {
            rows.push(format!("{short} shorter ones left out, {} in all", seconds(self.short_ns)));
        }
        if self.still_off > 0 {
            rows.push(format!("{still_off} threads still off CPU at the end"));
        }
        let Unknown { left_before, records_lost, not_seen_back, times_backwards, no_memory } = self.unknown;
        let unknown = [
            (left_before, "threads that left before the recording began, or began themselves"),
            (records_lost, "since records were lost"),
            (not_seen_back, "since nothing says when the thread came back"),
            (times_backwards, "since times go backwards"),
            (no_memory, "without a sample, for want of memory"),
        ];
        let unknown = unknown.iter().filter(|(count, _)| *count > 0);
        rows.extend(unknown.map(|(count, why)| format!("unknown: {} {why}", grouped(*count))));
        rows
    }
}

/// Samples of `sched_stat_*` that were merged with switches.
#[derive(Debug, Serialize)]
struct SchedStat {
    switches: u64,
    stats: u64,
    merged: u64,
    without_switch: u64,
    no_memory: u64,
}

impl SchedStat {
    fn of(merged: SchedStatSummary) -> Self {
        Self {
            switches: merged.switches,
            stats: merged.stats,
            merged: merged.merged,
            without_switch: merged.unswitched,
            no_memory: merged.unkept,
        }
    }
}

/// A time, to the millisecond.
fn seconds(ns: u64) -> String {
    format!("{}.{:03} s", grouped(ns / 1_000_000_000), ns / 1_000_000 % 1000)
}

/// What `--recover` left out.
#[derive(Debug, Serialize)]
struct Lost {
    bytes: u64,
    places: u64,
    first_offset: Option<u64>,
    mended_records: u64,
}

impl Lost {
    fn of(lost: perf_format::Damage) -> Self {
        let perf_format::Damage { bytes, places, first, mended } = lost;
        Self { bytes, places, first_offset: first, mended_records: mended }
    }
}

/// Writes the summary. `error` is the one that ended the run too soon.
pub(crate) fn write(form: Form, run_report: &RunReport, error: Option<&anyhow::Error>) {
    let summary = Summary::of(run_report, error);
    let text = match form {
        Form::Json => json(&serde_json::to_string(&summary).unwrap_or_default()) + "\n",
        Form::Table => table(&summary),
    };
    // Where it cannot be written, there is nowhere to report it.
    io::stderr().write_all(text.as_bytes()).ok();
}

fn table(summary: &Summary) -> String {
    let Summary {
        records,
        samples,
        bytes,
        dsos,
        names,
        stacks,
        jit,
        off_cpu,
        sched_stat,
        odd_records,
        lost,
        ..
    } = summary;
    let mut text = String::new();
    let mut row = |name: &str, what: String| text += &format!("{name:<12} {}\n", one_line(what));
    row("records", format!("{} read, {} of them samples", grouped(*records), grouped(*samples)));
    let Bytes { read, written, injected } = bytes;
    row("bytes", format!("{} read, {} written", grouped(*read), grouped(*written)));
    if *injected > 0 {
        row("", format!("{} of them injected", grouped(*injected)));
    }
    if let Some(dsos) = dsos {
        row("DSOs", grouped(dsos.asked));
        for (origin, count) in &dsos.injected {
            row("", format!("{} with an id from: {origin}", grouped(*count)));
        }
        if dsos.already_there > 0 {
            row("", format!("{} with an id that was already there", grouped(dsos.already_there)));
        }
        if dsos.unproven > 0 {
            let what = "of files that nothing proves to be the recorded ones";
            row("", format!("{} of the ids {what}:", grouped(dsos.unproven)));
        }
        for Reasoned { name, reason } in &dsos.unproven_files {
            row("", format!("  {name}: {reason}"));
        }
        if !dsos.missing.is_empty() {
            row("", format!("{} without an id:", grouped(dsos.missing.len() as u64)));
        }
        for Reasoned { name, reason } in &dsos.missing {
            row("", format!("  {name}: {reason}"));
        }
    }
    if let Some(Names { samples, unnamed_samples, unnamed, .. }) = names
        && *unnamed_samples > 0
    {
        let [of, without] = [*samples, *unnamed_samples].map(grouped);
        row("names", format!("{without} of {of} samples have no name to come:"));
        for Unnamed { samples, frames, most, text, .. } in unnamed {
            let [samples, frames] = [*samples, *frames].map(grouped);
            row("", format!("  {samples} (and {frames} frames) {text}, most in {most}"));
        }
    }
    for (name, what) in stacks.iter().flat_map(StackRows::rows) {
        row(name, what);
    }
    for process in jit {
        let Jitted { pid, path, missing, functions, kept, images, samples, named_before, named_after } =
            process;
        row("jitted code", format!("process {pid}: {}", path.as_deref().unwrap_or("no jitdump or perf map")));
        if let Some(missing) = missing {
            row("", missing.clone());
        }
        row(
            "",
            format!(
                "{} functions read, {} kept in {} images",
                grouped(*functions),
                grouped(*kept),
                images.len()
            ),
        );
        let [samples, before, after] = [samples, named_before, named_after].map(|count| grouped(*count));
        row("", format!("{samples} samples, {before} of them with a name before and {after} now"));
    }
    for (number, text) in off_cpu.iter().flat_map(OffCpu::rows).enumerate() {
        row(if number == 0 { "off CPU" } else { "" }, text);
    }
    if let Some(SchedStat { switches, stats, merged, without_switch, no_memory }) = sched_stat {
        let [switches, stats, merged] = [switches, stats, merged].map(|count| grouped(*count));
        row("sched stat", format!("{merged} of {stats} statistics put on {switches} switches"));
        if without_switch + no_memory > 0 {
            row("", format!("{} without a switch of their thread", grouped(without_switch + no_memory)));
        }
    }
    if let Some(Lost { bytes, places, .. }) = lost {
        row("lost", format!("{} bytes in {} places", grouped(*bytes), grouped(*places)));
    }
    for (name, count) in odd_records {
        row("odd records", format!("{} {name}", grouped(*count)));
    }
    text
}

/// A number with a comma between each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_grouped_by_three() {
        let grouped = [0, 999, 1000, 1_234_567].map(super::grouped);
        assert_eq!(grouped, ["0", "999", "1,000", "1,234,567"]);
    }
}
