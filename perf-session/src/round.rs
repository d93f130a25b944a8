//! Rounds: how long state is kept that out-of-order records may still look up.
//!
//! A producer empties one CPU's buffer after the other and then writes FINISHED_ROUND. Records of one round stand
//! in any order of time; what belongs together stands in the same round, or on the two sides of one mark. So what
//! is kept for two rounds is kept long enough.

/// The number of rounds after which no record looks anything up any more.
pub const ROUNDS_KEPT: u64 = 2;

/// A number that grows by one a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Round(pub u64);

impl Round {
    /// Whether a record in round `now` may still look up state of this round.
    #[must_use]
    pub fn is_recent(self, now: Self) -> bool {
        now.0.saturating_sub(self.0) < ROUNDS_KEPT
    }
}
