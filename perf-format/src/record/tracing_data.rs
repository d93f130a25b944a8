//! TRACING_DATA: announces the bytes of tracing data that follow the record. [`crate::tracing_data`] parses them.

use crate::codec::layout;

layout! {
    /// `PERF_RECORD_HEADER_TRACING_DATA`, `struct perf_record_header_tracing_data`.
    pub struct TracingDataRecord {
        /// Bytes that follow this record and are not counted in its size; a multiple of eight.
        pub size: u32,
        /// Padding, which old writers left out.
        pub pad: Option<u32> as Padding,
    }
}
