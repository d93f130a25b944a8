//! AUXTRACE_INFO: which hardware trace the recording holds.

use crate::codec::{Words, layout};

layout! {
    /// `PERF_RECORD_AUXTRACE_INFO`, `struct perf_record_auxtrace_info`.
    pub struct AuxtraceInfo<'a> {
        /// 1 Intel PT, 2 Intel BTS, 3 CoreSight, 4 Arm SPE, 5 s390 CPU-MSF, 6 HiSilicon PTT, 7 VPA DTL.
        pub trace_type: u32 as Number = "type",
        /// Reserved.
        pub reserved: u32 as Padding = "reserved__",
        /// The decoder's own data.
        pub priv_data: Words<'a> as Hex = "priv",
    }
}
