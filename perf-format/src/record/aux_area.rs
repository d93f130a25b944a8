//! AUX: new data in an AUX area.

use crate::codec::layout;

layout! {
    /// `PERF_RECORD_AUX`, `struct perf_record_aux`.
    pub fixed struct Aux {
        /// Where the data starts in the AUX buffer, in bytes.
        pub aux_offset: u64 as Hex,
        /// Its length in bytes.
        pub aux_size: u64 as Hex,
        /// `PERF_AUX_FLAG_*`: 1 truncated, 2 overwrite, 4 partial, 8 collision, 0xff00 the PMU's format.
        pub flags: u64 as Hex,
    }
}
