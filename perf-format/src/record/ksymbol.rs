//! KSYMBOL: a symbol appeared in the kernel, or went: a BPF program, a trampoline.

use bstr::BStr;

use crate::codec::layout;

layout! {
    /// `PERF_RECORD_KSYMBOL`, `struct perf_record_ksymbol`.
    pub struct Ksymbol<'a> {
        /// First address.
        pub addr: u64 as Address,
        /// Length in bytes.
        pub len: u32 as Hex,
        /// `PERF_RECORD_KSYMBOL_TYPE_*`: 1 BPF program, 2 out of line code.
        pub ksym_type: u16,
        /// Bit 0: the symbol went.
        pub flags: u16 as Hex,
        /// The symbol.
        pub name: &'a BStr,
    }
}
