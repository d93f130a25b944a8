//! HEADER_FEATURE: a feature section of a file, as a record.

use crate::codec::layout;

layout! {
    /// `PERF_RECORD_HEADER_FEATURE`, `struct perf_record_header_feature`. Its size need not be a multiple of eight.
    pub struct HeaderFeature<'a> {
        /// The feature's number; [`crate::Feature`] names it.
        pub feat_id: u64,
        /// The section's bytes; none where the record marks the end of the features.
        pub data: &'a [u8],
    }
}
