//! SWITCH_CPU_WIDE: a context switch, seen by a CPU.

use crate::codec::layout;

layout! {
    /// `PERF_RECORD_SWITCH_CPU_WIDE`, `struct perf_record_switch`. Misc bit 13 (`PERF_RECORD_MISC_SWITCH_OUT`) is set
    /// where the thread was switched out, and clear where it was switched in.
    pub fixed struct SwitchCpuWide {
        /// Process switched to or from; `u32::MAX` where it is not known.
        pub next_prev_pid: u32 as Pid,
        /// Thread switched to or from.
        pub next_prev_tid: u32 as Tid,
    }
}
