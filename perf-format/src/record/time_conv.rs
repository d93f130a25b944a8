//! TIME_CONV: how a CPU's time-stamp counter becomes the recording's clock.

use crate::codec::layout;

layout! {
    /// `PERF_RECORD_TIME_CONV`, `struct perf_record_time_conv`.
    pub struct TimeConv {
        /// Shift of the multiplication.
        pub time_shift: u64,
        /// Multiplier.
        pub time_mult: u64,
        /// ns at counter 0.
        pub time_zero: u64,
        /// For counters that wrap; old writers left it out.
        pub wrap: Option<TimeConvWrap>,
    }
}

layout! {
    /// The later fields of `struct perf_record_time_conv`.
    pub fixed struct TimeConvWrap {
        /// The counter at the last wrap.
        pub time_cycles: u64,
        /// The mask of the counter's bits.
        pub time_mask: u64 as Hex,
        /// Whether `time_zero` is valid.
        pub cap_user_time_zero: u8,
        /// Whether the counter wraps.
        pub cap_user_time_short: u8,
        /// Padding.
        pub unused: [u8; 6] as Padding,
    }
}
