//! MMAP: an address range of a process, or of the kernel, and what is mapped there.

use bstr::BStr;

use crate::codec::layout;

layout! {
    /// `PERF_RECORD_MMAP`, `struct perf_record_mmap`. For the kernel's image pid is -1 and `pgoff` is the address
    /// of the symbol that the name ends with (`[kernel.kallsyms]_text`).
    pub struct Mmap<'a> {
        /// Process (thread group); `u32::MAX` for the kernel.
        pub pid: u32 as Pid,
        /// Thread.
        pub tid: u32 as Tid,
        /// First address.
        pub start: u64 as Address,
        /// Length in bytes.
        pub len: u64 as Hex,
        /// Offset in the file, in bytes.
        pub pgoff: u64 as Hex,
        /// The file's path, or a name in brackets.
        pub filename: &'a BStr,
    }
}
