//! Signal trampolines that no table covers: they are known by their instructions, and the kernel's frame on the stack has
//! all registers of what was interrupted. musl has no table for its own, and the vdso of newer kernels for aarch64 none.

use crate::architecture::Architecture;
use crate::module::Module;
use crate::rule::{ComplexRule, Rule, ValueRule};

/// `mov $15, %rax; syscall`: `rt_sigreturn` of x86-64.
const X86_64: &[u8] = &[0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05];
/// `mov x8, #139; svc #0`: `rt_sigreturn` of aarch64, whose instructions are little-endian always.
const AARCH64: &[u8] = &[0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4];

/// Where the kernel puts the registers of x86-64 from the stack pointer on: `uc_mcontext` of `struct ucontext` is at 40,
/// and `struct sigcontext` begins with r8. The numbers are DWARF's, in its order.
const X86_64_ORDER: [u8; 17] = [8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7, 16];
const X86_64_AT: i64 = 40;

/// `struct rt_sigframe` of aarch64 has `siginfo` (128 bytes) in front of `ucontext`, whose `uc_mcontext` is at 176: there
/// stand the fault's address, x0 to x30, sp and pc.
const AARCH64_AT: i64 = 128 + 176 + 8;

/// Whether a trampoline is at an address of a module.
pub(crate) fn is_at(module: &Module, address: u64) -> bool {
    let code = match module.architecture() {
        Architecture::X86_64 => X86_64,
        Architecture::Aarch64 => AARCH64,
        // The vdso has tables, and so has glibc.
        Architecture::X86 => return false,
    };
    module.constant_bytes(address, code.len()) == Some(code)
}

/// The rule of the trampoline.
pub(crate) fn rule(architecture: Architecture) -> Rule {
    let sp = architecture.sp();
    let (first, order) = match architecture {
        Architecture::Aarch64 => (AARCH64_AT, (0..33).collect()),
        Architecture::X86_64 | Architecture::X86 => (X86_64_AT, X86_64_ORDER.to_vec()),
    };
    let places = order.iter().zip(0..).map(|(number, at)| (*number, first + 8 * at));
    let at_sp = places.clone().find(|(number, _)| *number == sp).map_or(first, |(_, at)| at);
    let registers = places.map(|(number, at)| (number, ValueRule::At(sp, at))).collect();
    Rule::Complex(Box::new(ComplexRule { is_signal: true, cfa: ValueRule::At(sp, at_sp), registers }))
}
