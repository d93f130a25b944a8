//! AUX_OUTPUT_HW_ID: which number an event has in an AUX trace.

use crate::codec::layout;

layout! {
    /// `PERF_RECORD_AUX_OUTPUT_HW_ID`, `struct perf_record_aux_output_hw_id`.
    pub fixed struct AuxOutputHwId {
        /// The number.
        pub hw_id: u64,
    }
}
