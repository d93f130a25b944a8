//! CGROUP: the path of a cgroup id.

use bstr::BStr;

use crate::codec::layout;

layout! {
    /// `PERF_RECORD_CGROUP`, `struct perf_record_cgroup`.
    pub struct Cgroup<'a> {
        /// The id that samples carry.
        pub id: u64 as Cgroup,
        /// Its path in the cgroup file system.
        pub path: &'a BStr,
    }
}
