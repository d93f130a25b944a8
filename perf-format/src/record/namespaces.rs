//! NAMESPACES: the namespaces that a thread is in.

use crate::codec::{Array, layout};

layout! {
    /// `PERF_RECORD_NAMESPACES`, `struct perf_record_namespaces`.
    pub struct Namespaces<'a> {
        /// Process (thread group).
        pub pid: u32 as Pid,
        /// Thread.
        pub tid: u32 as Tid,
        /// In this order: net, uts, ipc, pid, user, mnt, cgroup.
        pub link_info: Array<'a, NamespaceLink>,
    }
}

layout! {
    /// `struct perf_ns_link_info`: what identifies a namespace.
    pub fixed struct NamespaceLink {
        /// Device of the namespace's inode.
        pub dev: u64 as Inode,
        /// Its inode number.
        pub ino: u64 as Inode,
    }
}
