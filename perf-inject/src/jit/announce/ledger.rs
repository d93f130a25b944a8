//! The code of a process that readers of the output know, and counts of its samples.

use hashbrown::HashSet;

use crate::jit::timeline::{LiveRangeId, Timeline, View};
use crate::limits::{DROPPED_AT_MOST, MISSED_AT_MOST};

/// Whether an address has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Naming {
    /// A file, in the recording as it was.
    pub(crate) before: bool,
    /// A file or a function.
    pub(crate) after: bool,
}

/// The state of a live range that was hit.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Announced {
    /// The time from which readers of the output know it as the process's own, in ns.
    pub(crate) at: Option<u64>,
    /// Whether it is in a file that the process maps, as V8's builtins are.
    pub(crate) in_file: bool,
}

/// Samples of a process, from when on it is known to have jitted code.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SampleCounts {
    pub(crate) all: u64,
    /// Those with a name in the recording as it was.
    pub(crate) named_before: u64,
    /// Those with a name in the output.
    pub(crate) named_after: u64,
}

/// The announcements to one process, and its samples.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// By live range, up to the last that was hit: every address of a sample is looked up here.
    of: Vec<Announced>,
    /// What was announced of the code that the process was born with: whose, and which live range.
    inherited: HashSet<(i32, LiveRangeId)>,
    /// Maps of memory that were left out, by where they start and since when, and those that a function may lie in
    /// wherever it does.
    dropped: HashSet<(u64, u64)>,
    cleared: HashSet<(u64, u64)>,
    /// Addresses that samples hit when no source described them yet, and the times.
    missed: Vec<(u64, u64)>,
    pub(crate) samples: SampleCounts,
}

impl Ledger {
    /// The state of a live range of the process.
    pub(crate) fn of(&self, range: LiveRangeId) -> Option<Announced> {
        self.of.get(range.index()).copied()
    }

    /// Notes that a live range was announced, as of a time in ns.
    pub(crate) fn announced(&mut self, range: LiveRangeId, at: u64) {
        self.change(range, |announced| announced.at = Some(at));
    }

    /// Notes whether a live range is in a file.
    pub(crate) fn note_file(&mut self, range: LiveRangeId, in_file: bool) {
        self.change(range, |announced| announced.in_file = in_file);
    }

    fn change(&mut self, range: LiveRangeId, change: impl FnOnce(&mut Announced)) {
        let index = range.index();
        if index >= self.of.len() {
            self.of.resize(index + 1, Announced::default());
        }
        if let Some(announced) = self.of.get_mut(index) {
            change(announced);
        }
    }

    /// Whether another process's live range was announced to this one.
    pub(crate) fn has_inherited(&self, owner: i32, range: LiveRangeId) -> bool {
        self.inherited.contains(&(owner, range))
    }

    /// Notes that another process's live range was announced to this one.
    pub(crate) fn announced_inherited(&mut self, owner: i32, range: LiveRangeId) {
        self.inherited.insert((owner, range));
    }

    /// Notes that a map of memory was left out.
    pub(crate) fn dropped(&mut self, start: u64, since: u64) {
        if self.dropped.len() < DROPPED_AT_MOST {
            self.dropped.insert((start, since));
        }
    }

    /// Whether a map of memory was left out.
    pub(crate) fn is_dropped(&self, start: u64, since: u64) -> bool {
        self.dropped.contains(&(start, since))
    }

    /// Whether a map of memory is to be made ready for functions, and is from now on.
    pub(crate) fn is_to_clear(&mut self, start: u64, since: u64) -> bool {
        let is_known = self.dropped.len() < DROPPED_AT_MOST && !self.is_dropped(start, since);
        is_known && self.cleared.len() < DROPPED_AT_MOST && self.cleared.insert((start, since))
    }

    /// Notes an address that no source describes yet, at a time in ns.
    pub(crate) fn miss(&mut self, addr: u64, time: u64) {
        if self.missed.len() < MISSED_AT_MOST {
            self.missed.push((addr, time));
        }
    }

    /// How many functions were described when samples of them had passed, of those that were noted.
    pub(crate) fn take_late(&mut self, timeline: &Timeline) -> usize {
        let Self { of, missed, .. } = self;
        let late = missed.drain(..).filter_map(|(addr, time)| timeline.find(addr, &View::own(time)));
        let is_announced =
            |id: &LiveRangeId| of.get(id.index()).is_some_and(|announced| announced.at.is_some());
        let mut late: Vec<_> = late.filter(|id| !is_announced(id)).collect();
        late.sort_unstable();
        late.dedup();
        late.len()
    }

    /// Counts so many samples.
    pub(crate) fn count(&mut self, naming: Naming, samples: u64) {
        self.samples.all += samples;
        self.samples.named_before += if naming.before { samples } else { 0 };
        self.samples.named_after += if naming.after { samples } else { 0 };
    }
}
