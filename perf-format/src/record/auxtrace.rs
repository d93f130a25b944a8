//! AUXTRACE: announces the bytes of hardware trace that follow the record.

use crate::codec::layout;

layout! {
    /// `PERF_RECORD_AUXTRACE`, `struct perf_record_auxtrace`.
    pub fixed struct Auxtrace {
        /// Bytes of trace that follow this record and are not counted in its size; a multiple of eight.
        pub size: u64 as Hex,
        /// Where they stood in the AUX area.
        pub offset: u64 as Hex,
        /// Distinguishes overlapping pieces.
        pub reference: u64 as Hex,
        /// Index of the buffer.
        pub idx: u32,
        /// The thread traced, -1 for a CPU.
        pub tid: u32 as Tid,
        /// The CPU traced, -1 for a thread.
        pub cpu: u32 as Cpu,
        /// Reserved.
        pub reserved: u32 as Padding = "reserved__",
    }
}
