//! COMM: a thread's name, new or changed; with misc bit 13 the change is an exec.

use bstr::BStr;

use crate::codec::layout;

layout! {
    /// `PERF_RECORD_COMM`, `struct perf_record_comm`.
    pub struct Comm<'a> {
        /// Process (thread group).
        pub pid: u32 as Pid,
        /// Thread.
        pub tid: u32 as Tid,
        /// The name, at most 15 bytes.
        pub comm: &'a BStr,
    }
}
