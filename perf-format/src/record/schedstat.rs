//! SCHEDSTAT_CPU and SCHEDSTAT_DOMAIN: the scheduler's counters.

use crate::codec::layout;

layout! {
    /// `PERF_RECORD_SCHEDSTAT_CPU`, `struct perf_record_schedstat_cpu` (Linux 7.0).
    pub struct SchedstatCpu<'a> {
        /// When, in ns.
        pub timestamp: u64 as Time,
        /// The CPU.
        pub cpu: u32 as Cpu,
        /// Version of the counters: 15, 16 or 17.
        pub version: u16,
        /// Padding.
        pub pad: [u8; 2] as Padding = "__pad",
        /// The counters, as the version lays them out; carried as they are.
        pub counters: &'a [u8],
    }
}

layout! {
    /// `PERF_RECORD_SCHEDSTAT_DOMAIN`, `struct perf_record_schedstat_domain` (Linux 7.0).
    pub struct SchedstatDomain<'a> {
        /// When, in ns.
        pub timestamp: u64 as Time,
        /// The CPU.
        pub cpu: u32 as Cpu,
        /// Version of the counters: 15, 16 or 17.
        pub version: u16,
        /// The scheduling domain.
        pub domain: u16,
        /// The counters, as the version lays them out; carried as they are.
        pub counters: &'a [u8],
    }
}
