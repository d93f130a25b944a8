//! LOST_SAMPLES: samples that hardware or a filter dropped.

use crate::codec::layout;

layout! {
    /// `PERF_RECORD_LOST_SAMPLES`, `struct perf_record_lost_samples`.
    pub fixed struct LostSamples {
        /// Samples lost.
        pub lost: u64,
    }
}
