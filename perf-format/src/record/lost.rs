//! LOST: records that did not fit in a ring buffer.

use crate::codec::layout;

layout! {
    /// `PERF_RECORD_LOST`, `struct perf_record_lost`.
    pub fixed struct Lost {
        /// The event's id.
        pub id: u64 as EventId,
        /// Records lost.
        pub lost: u64,
    }
}
