//! TRACING_DATA: says how many bytes of tracing data follow. The bytes themselves are [`crate::tracing_data`].

use crate::codec::layout;

layout! {
    /// `PERF_RECORD_HEADER_TRACING_DATA`, `struct perf_record_header_tracing_data`.
    pub struct TracingDataRecord {
        /// Bytes that follow this record and are not counted in its size; a multiple of eight.
        pub size: u32,
        /// Padding, which old writers left out.
        pub pad: Option<u32>,
    }
}
