//! The part of the summary on stacks that were converted into call chains.

use std::collections::BTreeMap;

use bstr::ByteSlice as _;
use perf_inject::callchain::{CallchainSummary, StackEnd};
use serde::Serialize;

use super::grouped;

/// How the stacks of samples were converted.
#[derive(Debug, Serialize)]
pub(super) struct StackRows {
    converted: u64,
    without_registers: u64,
    malformed: u64,
    waited_for_a_map: u64,
    ends: BTreeMap<&'static str, u64>,
    frames: Frames,
    files: u64,
    stopped_at: Vec<StoppedAt>,
    #[serde(skip)]
    rows: Vec<String>,
}

/// The frames of all of them, by what told them.
#[derive(Debug, Serialize)]
struct Frames {
    by_table: u64,
    by_frame_pointer: u64,
    kernel: u64,
}

/// A DSO at which stacks stopped.
#[derive(Debug, Serialize)]
struct StoppedAt {
    name: String,
    end: &'static str,
    reason: Option<String>,
    stacks: u64,
}

impl StackRows {
    pub(super) fn of(stacks: &CallchainSummary) -> Self {
        let stopped_at = stacks.worst.iter().map(|at| StoppedAt {
            name: at.name.to_str_lossy().into_owned(),
            end: at.end.word(),
            reason: at.reason.clone(),
            stacks: at.stacks,
        });
        let (by_table, by_frame_pointer) = (stacks.by_table, stacks.by_frame_pointer);
        Self {
            converted: stacks.stacks,
            without_registers: stacks.without_registers,
            malformed: stacks.malformed,
            waited_for_a_map: stacks.waited,
            ends: stacks.ends.iter().map(|(end, count)| (end.word(), *count)).collect(),
            frames: Frames { by_table, by_frame_pointer, kernel: stacks.kernel },
            files: stacks.files,
            stopped_at: stopped_at.collect(),
            rows: stacks.ends.iter().map(|(end, count)| format!("{} {end}", grouped(*count))).collect(),
        }
    }

    /// The rows of the table: a name and what stands beside it.
    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = vec![("stacks", format!("{} converted", grouped(self.converted)))];
        rows.extend(self.rows.iter().map(|row| ("", format!("  {row}"))));
        if self.without_registers > 0 {
            rows.push((
                "",
                format!("{} samples of processes without a user stack", grouped(self.without_registers)),
            ));
        }
        let Frames { by_table, by_frame_pointer, kernel } = &self.frames;
        let [by_table, by_frame_pointer, kernel] =
            [by_table, by_frame_pointer, kernel].map(|count| grouped(*count));
        rows.push(("frames", format!("{by_table} by tables of {} files", grouped(self.files))));
        rows.push(("", format!("{by_frame_pointer} by frame pointers, {kernel} of the kernel")));
        for StoppedAt { name, end, reason, stacks } in &self.stopped_at {
            let reason = reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
            rows.push(("", format!("{} stacks stopped in {name} ({end}){reason}", grouped(*stacks))));
        }
        rows
    }
}

/// What is worth a word where there is no summary.
pub(crate) fn advice(stacks: &CallchainSummary) -> Option<String> {
    if stacks.stacks + stacks.without_registers + stacks.malformed == 0 {
        return Some(
            "no sample has a stack to convert: perf record --call-graph dwarf records them".to_owned(),
        );
    }
    let ended = |end| stacks.ends.get(&end).copied().unwrap_or(0);
    // A few are always deeper than any size, or lead to a file that is gone.
    let is_worth_a_word = |end| ended(end) * 10 > stacks.stacks;
    let of_all = |end| format!("{} of {} stacks", grouped(ended(end)), grouped(stacks.stacks));
    if is_worth_a_word(StackEnd::NoFile) {
        let worst = stacks.worst.iter().find(|at| at.end == StackEnd::NoFile);
        let most = worst.map_or(String::new(), |at| {
            let reason = at.reason.as_deref().unwrap_or("it is not here");
            format!(", most in {} ({reason})", at.name)
        });
        return Some(format!(
            "{} end at a file that is not here, or not proven to be the recorded one{most}: convert while it is recorded; \
             --symfs names copies of the files, --allow-changed takes those that are here, --keep-stacks keeps the stacks",
            of_all(StackEnd::NoFile)
        ));
    }
    is_worth_a_word(StackEnd::Cut).then(|| {
        format!(
            "{} are cut, since less of them was recorded: --call-graph dwarf,SIZE records more",
            of_all(StackEnd::Cut)
        )
    })
}
