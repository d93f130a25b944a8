//! What was done about stacks: counts, why they ended, and where.

use std::collections::BTreeMap;
use std::fmt;

use bstr::BString;
use hashbrown::HashMap;
use perf_session::Session;
use perf_unwind::StopReason;

use super::code::CodeOfDsos;
use super::worker::{End, Outcome};

/// How the stacks of a recording were converted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallchainSummary {
    /// Samples with registers and a stack of user space.
    pub stacks: u64,
    /// Samples of such events that have none, as those of kernel threads.
    pub without_registers: u64,
    /// Samples that could not be read as their event lays them out.
    pub malformed: u64,
    /// How many stacks ended in each way.
    pub ends: BTreeMap<StackEnd, u64>,
    /// The DSOs at which most stacks stopped, at most ten, the worst first.
    pub worst: Vec<StoppedAt>,
    /// Frames that tables told.
    pub by_table: u64,
    /// Frames that frame pointers told.
    pub by_frame_pointer: u64,
    /// Frames of the kernel, as they were recorded.
    pub kernel: u64,
    /// Samples that waited for a map that came later in their round.
    pub waited: u64,
    /// Files whose tables were read.
    pub files: u64,
}

/// How a stack ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StackEnd {
    /// At a function that has no caller.
    Complete,
    /// With the recorded piece of stack: a larger one is recorded with `--call-graph dwarf,SIZE`.
    Cut,
    /// With as many entries as were asked for.
    MaxStack,
    /// In code that has no unwinding tables.
    NoTables,
    /// In a file that is not here, or is not the recorded one.
    NoFile,
    /// At an address at which nothing is mapped.
    Unmapped,
    /// In memory that is no part of the recorded stack.
    OtherMemory,
    /// With tables, registers or a stack that contradict each other.
    Inconsistent,
    /// It was of an architecture that is not unwound here.
    Architecture,
}

impl StackEnd {
    /// A word for programs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Cut => "cut",
            Self::MaxStack => "max-stack",
            Self::NoTables => "no-tables",
            Self::NoFile => "no-file",
            Self::Unmapped => "unmapped",
            Self::OtherMemory => "other-memory",
            Self::Inconsistent => "inconsistent",
            Self::Architecture => "architecture",
        }
    }
}

impl fmt::Display for StackEnd {
    /// What follows the number of the stacks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Complete => "to their end",
            Self::Cut => "to the end of what was recorded (--call-graph dwarf,SIZE records more)",
            Self::MaxStack => "to as many entries as --max-stack allows",
            Self::NoTables => "to code without unwinding tables",
            Self::NoFile => "to a file that is not here, or not the recorded one",
            Self::Unmapped => "to an address at which nothing is mapped",
            Self::OtherMemory => "to memory that is not of the recorded stack",
            Self::Inconsistent => "to where tables, registers and stack contradict each other",
            Self::Architecture => "of an architecture that is not unwound here",
        })
    }
}

/// A DSO at which stacks stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoppedAt {
    /// Its name.
    pub name: BString,
    /// In which way.
    pub end: StackEnd,
    /// Why its file was not used, if that is the reason.
    pub reason: Option<String>,
    /// How many stacks.
    pub stacks: u64,
}

/// How many DSOs are named.
const WORST: usize = 10;

/// The counts while they grow.
#[derive(Debug, Default)]
pub(super) struct Tally {
    summary: CallchainSummary,
    by_tag: HashMap<(u64, StackEnd), u64>,
}

impl Tally {
    pub(super) fn add(&mut self, outcome: &Outcome) {
        let summary = &mut self.summary;
        summary.by_table += outcome.by_table as u64;
        summary.by_frame_pointer += outcome.by_frame_pointer as u64;
        summary.kernel += outcome.kernel as u64;
        let (end, tag) = match outcome.end {
            End::NoRegisters => {
                summary.without_registers += 1;
                return;
            }
            End::Architecture => (StackEnd::Architecture, None),
            End::Stopped(stop) => end(stop),
        };
        summary.stacks += 1;
        *summary.ends.entry(end).or_default() += 1;
        if let Some(tag) = tag {
            *self.by_tag.entry((tag, end)).or_default() += 1;
        }
    }

    pub(super) fn malformed(&mut self) {
        self.summary.malformed += 1;
    }

    pub(super) fn waited(&mut self) {
        self.summary.waited += 1;
    }

    /// The summary, at the end.
    pub(super) fn summary(&self, code: &mut CodeOfDsos, session: &Session) -> CallchainSummary {
        let mut worst: Vec<StoppedAt> = self
            .by_tag
            .iter()
            .filter_map(|((tag, end), stacks)| {
                let (name, reason) = code.described(*tag, session)?;
                Some(StoppedAt { name, end: *end, reason, stacks: *stacks })
            })
            .collect();
        worst.sort_by(|a, b| b.stacks.cmp(&a.stacks).then_with(|| (&a.name, a.end).cmp(&(&b.name, b.end))));
        worst.truncate(WORST);
        CallchainSummary { worst, files: code.loaded() as u64, ..self.summary.clone() }
    }
}

fn end(stop: StopReason) -> (StackEnd, Option<u64>) {
    match stop {
        StopReason::EndOfStack => (StackEnd::Complete, None),
        StopReason::Cut => (StackEnd::Cut, None),
        StopReason::MaxFrames => (StackEnd::MaxStack, None),
        StopReason::NoTable { tag, .. } => (StackEnd::NoTables, Some(tag)),
        StopReason::Unusable { tag, .. } => (StackEnd::NoFile, Some(tag)),
        StopReason::Unmapped { .. } | StopReason::Unknown { .. } => (StackEnd::Unmapped, None),
        StopReason::OtherMemory { .. } => (StackEnd::OtherMemory, None),
        StopReason::BadTable { tag, .. } | StopReason::NotUp { tag, .. } => {
            (StackEnd::Inconsistent, Some(tag))
        }
        _ => (StackEnd::Inconsistent, None),
    }
}
