//! FORK and EXIT: a thread begins or ends.

use crate::codec::layout;

layout! {
    /// `PERF_RECORD_FORK` and `PERF_RECORD_EXIT`, `struct perf_record_fork`.
    pub fixed struct Task {
        /// Process (thread group) of the thread.
        pub pid: u32 as Pid,
        /// Process of its parent.
        pub ppid: u32 as Pid,
        /// The thread.
        pub tid: u32 as Tid,
        /// Its parent thread.
        pub ptid: u32 as Tid,
        /// When, in ns of the recording's clock.
        pub time: u64 as Time,
    }
}
