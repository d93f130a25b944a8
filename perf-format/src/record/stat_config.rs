//! STAT_CONFIG: how `perf stat record` counted.

use crate::codec::{Array, layout};

layout! {
    /// `PERF_RECORD_STAT_CONFIG`, `struct perf_record_stat_config`.
    pub struct StatConfig<'a> {
        /// Settings.
        pub data: Array<'a, StatConfigTerm>,
    }
}

layout! {
    /// `struct perf_record_stat_config_entry`.
    pub fixed struct StatConfigTerm {
        /// 0 aggregation mode, 1 interval, 2 scale, 3 aggregation level.
        pub tag: u64,
        /// Its value.
        pub val: u64,
    }
}
