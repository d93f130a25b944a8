//! ITRACE_START: instruction tracing began in a thread.

use crate::codec::layout;

layout! {
    /// `PERF_RECORD_ITRACE_START`, `struct perf_record_itrace_start`.
    pub fixed struct ItraceStart {
        /// Process (thread group).
        pub pid: u32 as Pid,
        /// Thread.
        pub tid: u32 as Tid,
    }
}
