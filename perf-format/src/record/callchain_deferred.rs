//! CALLCHAIN_DEFERRED: the user part of a call chain, written when the thread went back to user mode.

use crate::codec::{Array, layout};

layout! {
    /// `PERF_RECORD_CALLCHAIN_DEFERRED`, `struct perf_record_callchain_deferred` (Linux 6.19).
    pub struct CallchainDeferred<'a> {
        /// The cookie with which the sample's chain ends, after its `PERF_CONTEXT_USER_DEFERRED`.
        pub cookie: u64 as Hex,
        /// The addresses, innermost first.
        pub ips: Array<'a, u64> as Chain,
    }
}
