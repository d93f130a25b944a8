//! THREAD_MAP: the threads that `perf stat` counts.

use crate::codec::{Array, layout};

layout! {
    /// `PERF_RECORD_THREAD_MAP`, `struct perf_record_thread_map`.
    pub struct ThreadMap<'a> {
        /// The threads.
        pub entries: Array<'a, ThreadMapEntry>,
    }
}

layout! {
    /// `struct perf_record_thread_map_entry`.
    pub fixed struct ThreadMapEntry {
        /// The thread, -1 for any.
        pub pid: u64 as Tid,
        /// Its name, filled up with NULs.
        pub comm: [u8; 16] as Text,
    }
}
