//! Rounds: how long something is remembered that out-of-order records may still ask for.
//!
//! A producer empties one CPU's buffer after the other and then writes FINISHED_ROUND. Records of one round stand
//! in any order of time; what belongs together stands in the same round, or on the two sides of one mark. So what
//! is kept for two rounds is kept long enough.

/// After how many rounds nothing asks any more.
pub const ROUNDS_KEPT: u64 = 2;

/// A number that grows by one a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Round(pub u64);

impl Round {
    /// Whether something of this round is still asked for in round `now`.
    #[must_use]
    pub fn is_recent(self, now: Self) -> bool {
        now.0.saturating_sub(self.0) < ROUNDS_KEPT
    }
}
