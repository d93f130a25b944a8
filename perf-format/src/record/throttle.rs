//! THROTTLE and UNTHROTTLE: an event was stopped for sampling too fast, or goes on.

use crate::codec::layout;

layout! {
    /// `PERF_RECORD_THROTTLE` and `PERF_RECORD_UNTHROTTLE`, `struct perf_record_throttle`.
    pub fixed struct Throttle {
        /// When, in ns of the recording's clock.
        pub time: u64 as Time,
        /// The event's id.
        pub id: u64 as EventId,
        /// The id of its stream.
        pub stream_id: u64 as EventId,
    }
}
