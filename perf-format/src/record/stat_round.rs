//! STAT_ROUND: an interval of `perf stat record` ended.

use crate::codec::layout;

layout! {
    /// `PERF_RECORD_STAT_ROUND`, `struct perf_record_stat_round`.
    pub fixed struct StatRound {
        /// 0 an interval, 1 the last one.
        pub round_type: u64 as Number = "type",
        /// When, in ns.
        pub time: u64 as Time,
    }
}
