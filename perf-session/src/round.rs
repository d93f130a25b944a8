//! Rounds, which end with FINISHED_ROUND records: how long state is kept that out-of-order records may still look up.
//!
//! A producer empties one CPU's buffer after the other and then writes FINISHED_ROUND. Records of one round stand
//! in any order of time; what belongs together stands in the same round, or on the two sides of one mark. So what
//! is kept for two rounds is kept long enough.

/// The number of rounds after which no record looks anything up any more.
pub(crate) const ROUNDS_KEPT: u64 = 2;

/// The number of a round, from 0. A tool notes with its state the round in which that ended, and forgets the state when the
/// round is no longer [recent](Self::is_recent).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Round(pub u64);

impl Round {
    /// Whether a record of round `now` may still look up state of this round: for two rounds.
    #[must_use]
    pub fn is_recent(self, now: Self) -> bool {
        now.0.saturating_sub(self.0) < ROUNDS_KEPT
    }
}
