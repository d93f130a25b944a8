//! BPF_EVENT: a BPF program was loaded or unloaded.

use crate::codec::layout;

layout! {
    /// `PERF_RECORD_BPF_EVENT`, `struct perf_record_bpf_event`.
    pub fixed struct BpfEvent {
        /// 1 loaded, 2 unloaded.
        pub event_type: u16 as Number = "type",
        /// Unused so far.
        pub flags: u16 as Hex,
        /// The program's id.
        pub id: u32,
        /// The program's tag.
        pub tag: [u8; 8],
    }
}
