//! Code that no table covers and that is known by its instructions: signal trampolines, and stubs that have nothing on the
//! stack but their return address.
//!
//! Behind a trampoline the kernel's frame on the stack has all registers of what was interrupted. musl has no table for its
//! own, and the vdso of newer kernels for aarch64 none. Linkers other than GNU's write no tables for procedure linkage
//! tables, and some none for the small functions with which x86-32 finds its own address.

use crate::architecture::Architecture;
use crate::module::Module;
use crate::rule::{ComplexRule, Rule, SimpleRule, ValueRule};
use crate::stack::StackMemory;

/// `mov $15, %rax; syscall`: `rt_sigreturn` of x86-64.
const X86_64: &[u8] = &[0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05];
/// `mov x8, #139; svc #0`: `rt_sigreturn` of aarch64, whose instructions are little-endian always.
const AARCH64: &[u8] = &[0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4];

/// Where the kernel puts the registers of x86-64 from the stack pointer on: `uc_mcontext` of `struct ucontext` is at 40,
/// and `struct sigcontext` begins with r8. The numbers are DWARF's, in its order.
const X86_64_ORDER: [u8; 17] = [8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7, 16];
const X86_64_AT: i64 = 40;

/// What the kernel puts at the end of a signal's frame on a stack of x86-32, for debuggers that know a frame by it: `pop %eax;
/// mov $119, %eax; int $0x80` (`sigreturn`) behind `struct sigframe_ia32`, and `mov $173, %eax; int $0x80` (`rt_sigreturn`)
/// and a zero behind `struct rt_sigframe_ia32`. Each with its distance from where the handler's return leaves the stack
/// pointer, and that of `struct sigcontext_32`. A handler really returns into the vdso.
const X86_ON_STACK: [(u64, u64, i64); 2] =
    [(0x80cd_0000_0077_b858, 720, 4), (0x0080_cd00_0000_adb8, 256, 160)];
/// Where `struct sigcontext_32` has the registers, by DWARF's numbers: edi, esi, ebp, esp, ebx, edx, ecx, eax, and eip.
const X86_ORDER: [(u8, i64); 9] =
    [(7, 16), (6, 20), (5, 24), (4, 28), (3, 32), (2, 36), (1, 40), (0, 44), (8, 56)];

/// `struct rt_sigframe` of aarch64 has `siginfo` (128 bytes) in front of `ucontext`, whose `uc_mcontext` is at 176: there
/// stand the fault's address, x0 to x30, sp and pc.
const AARCH64_AT: i64 = 128 + 176 + 8;

/// The instructions of a procedure linkage table's entry of aarch64, each as a mask and its bits: `bti c`, `adrp x16`, `ldr
/// x17, [x16, N]`, `add x16, x16, N`, `autia1716`, `br x17`. And `ret`.
const AARCH64_STUB: [(u32, u32); 7] = [
    (u32::MAX, 0xd503_245f),
    (0x9f00_001f, 0x9000_0010),
    (0xffc0_03ff, 0xf940_0211),
    (0xff80_03ff, 0x9100_0210),
    (u32::MAX, 0xd503_219f),
    (u32::MAX, 0xd61f_0220),
    (u32::MAX, 0xd65f_03c0),
];

/// How far up the return address is of an instruction that is about to run, in words: where it returns or jumps on, nothing
/// else is on the stack; where a procedure linkage table's entry has pushed its number, that is.
pub(crate) fn stub(module: &Module, address: u64) -> Option<Rule> {
    let architecture = module.architecture();
    let code = module.constant_bytes(address, 4)?;
    if architecture == Architecture::Aarch64 {
        let instruction = u32::from_le_bytes(code.try_into().ok()?);
        let is_known = |(mask, bits): &(u32, u32)| instruction & mask == *bits;
        // The return address is still in its register.
        return AARCH64_STUB
            .iter()
            .any(is_known)
            .then(|| Rule::Simple(SimpleRule::of_cfa(architecture.sp(), 0)));
    }
    let before = || module.constant_bytes(address.wrapping_sub(5), 5).unwrap_or_default();
    let behind = || module.constant_bytes(address.wrapping_add(5), 1).unwrap_or_default();
    let words = match code {
        // ret; jmp *ADDRESS, with bnd and behind endbr.
        [0xc3, ..] | [0xff, 0x25, ..] | [0xf2, 0xff, 0x25, _] | [0xf3, 0x0f, 0x1e, 0xfa | 0xfb] => 1,
        // mov (%esp), REGISTER; ret.
        [0x8b, modrm, 0x24, 0xc3] if modrm & 0xc7 == 0x04 && architecture == Architecture::X86 => 1,
        // jmp *OFFSET(%ebx), of position-independent code of x86-32.
        [0xff, 0xa3, ..] if architecture == Architecture::X86 => 1,
        // push NUMBER; jmp FIRST-ENTRY.
        [0x68, ..] if matches!(behind(), [0xe9]) => 1,
        [0xe9, ..] if matches!(before(), [0x68, ..]) => 2,
        _ => return None,
    };
    let word = architecture.word();
    let mut rule = SimpleRule::of_cfa(architecture.sp(), i32::from(word) * words);
    rule.push(architecture.return_address(), -i16::from(word))?;
    rule.has_return_address = true;
    Some(Rule::Simple(rule))
}

/// Whether a trampoline is at an address of a module.
pub(crate) fn is_trampoline(module: &Module, address: u64) -> bool {
    let code = match module.architecture() {
        Architecture::X86_64 => X86_64,
        Architecture::Aarch64 => AARCH64,
        // The vdso has tables, and so has glibc.
        Architecture::X86 => return false,
    };
    module.constant_bytes(address, code.len()) == Some(code)
}

/// Whether a trampoline stands in front of an address that nobody called: its instructions leave the stack as it is, so that
/// the frame is where it was until the kernel has taken it.
pub(crate) fn is_in_trampoline(module: &Module, address: u64) -> bool {
    // Each has two instructions.
    let (first, whole) = match module.architecture() {
        Architecture::X86_64 => (7, X86_64.len() as u64),
        Architecture::Aarch64 => (4, AARCH64.len() as u64),
        Architecture::X86 => return false,
    };
    [first, whole].iter().any(|len| is_trampoline(module, address.wrapping_sub(*len)))
}

/// The rule of a trampoline.
pub(crate) fn trampoline(architecture: Architecture) -> Rule {
    let sp = architecture.sp();
    let (first, order) = match architecture {
        Architecture::Aarch64 => (AARCH64_AT, (0..33).collect()),
        Architecture::X86_64 | Architecture::X86 => (X86_64_AT, X86_64_ORDER.to_vec()),
    };
    let places = order.iter().zip(0..).map(|(number, at)| (*number, first + 8 * at));
    Rule::Complex(Box::new(of_interrupted(sp, places)))
}

/// The rule of a trampoline of x86-32 in a vdso whose image is not here, if the kernel's frame is on the stack.
pub(crate) fn trampoline_by_stack(
    architecture: Architecture,
    stack: &StackMemory<'_>,
    sp: u64,
) -> Option<ComplexRule> {
    if architecture != Architecture::X86 {
        return None;
    }
    let stands = |(code, at, _): &&(u64, u64, i64)| stack.read(sp.wrapping_add(*at), 8) == Ok(*code);
    let (_, _, first) = X86_ON_STACK.iter().find(stands)?;
    Some(of_interrupted(architecture.sp(), X86_ORDER.iter().map(|(number, at)| (*number, first + at))))
}

/// The rule for registers that were saved in a frame, at distances from the stack pointer.
fn of_interrupted(sp: u8, places: impl Iterator<Item = (u8, i64)> + Clone) -> ComplexRule {
    let at_sp = places.clone().find(|(number, _)| *number == sp).map_or(0, |(_, at)| at);
    let registers = places.map(|(number, at)| (number, ValueRule::At(sp, at))).collect();
    ComplexRule { is_signal: true, cfa: ValueRule::At(sp, at_sp), registers }
}
