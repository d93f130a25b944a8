//! COMPRESSED2: a piece of a compressed stream, with its true length.

use crate::codec::layout;

layout! {
    /// `PERF_RECORD_COMPRESSED2`, `struct perf_record_compressed2` (Linux 6.16).
    pub struct Compressed2<'a> {
        /// How many of the bytes behind it belong to the stream.
        pub data_size: u64,
        /// The bytes, with padding to a multiple of eight.
        pub data: &'a [u8],
    }
}
