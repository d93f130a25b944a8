//! STAT: one count of `perf stat record`.

use crate::codec::layout;

layout! {
    /// `PERF_RECORD_STAT`, `struct perf_record_stat`.
    pub fixed struct Stat {
        /// The event's id.
        pub id: u64 as EventId,
        /// The CPU.
        pub cpu: u32 as Cpu,
        /// The thread.
        pub thread: u32,
        /// The count.
        pub val: u64,
        /// Time enabled, in ns.
        pub ena: u64,
        /// Time running, in ns.
        pub run: u64,
    }
}
