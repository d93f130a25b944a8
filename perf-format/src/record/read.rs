//! READ: an inherited counter's value at the end of its thread.

use crate::codec::{Words, layout};

layout! {
    /// `PERF_RECORD_READ`, `struct perf_record_read`. The values are laid out by the attr's `read_format`
    /// ([`crate::sample::ReadValues`] reads them); [`crate::RawRecord::parse_before`] gives a view without the trailer.
    pub struct Read<'a> {
        /// Process (thread group).
        pub pid: u32 as Pid,
        /// Thread.
        pub tid: u32 as Tid,
        /// The words after it.
        pub values: Words<'a>,
    }
}
