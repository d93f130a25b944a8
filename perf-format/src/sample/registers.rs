//! The names of registers: which bit of an attr's mask is which, architecture by architecture.

use crate::{Feature, Preamble};

/// An architecture, as far as it decides which registers a sample has: `enum perf_event_*_regs` of its
/// `asm/perf_regs.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Arch {
    /// 32-bit x86.
    X86,
    /// x86-64.
    X86_64,
    /// 32-bit arm.
    Arm,
    /// arm64.
    Arm64,
    /// LoongArch.
    LoongArch,
    /// MIPS.
    Mips,
    /// PowerPC, 32 and 64 bits.
    PowerPc,
    /// RISC-V, 32 and 64 bits.
    RiscV,
    /// s390 and s390x.
    S390,
}

impl Arch {
    /// The architecture that `uname -m` and the ARCH feature name: `x86_64`, `i686`, `aarch64`, `ppc64le`. `None` where it is
    /// not known here.
    #[must_use]
    pub fn parse(arch: &[u8]) -> Option<Self> {
        let starts = |prefix: &str| arch.starts_with(prefix.as_bytes());
        Some(match arch {
            b"arm64" => Self::Arm64,
            [b'i', b'3'..=b'6', b'8', b'6'] => Self::X86,
            _ if starts("x86_64") => Self::X86_64,
            b"x86" => Self::X86,
            _ if starts("aarch64") => Self::Arm64,
            _ if starts("arm") => Self::Arm,
            _ if starts("loongarch") => Self::LoongArch,
            _ if starts("mips") => Self::Mips,
            _ if starts("ppc") || starts("powerpc") => Self::PowerPc,
            _ if starts("riscv") => Self::RiscV,
            _ if starts("s390") => Self::S390,
            _ => return None,
        })
    }

    /// perf's name of the register with a number: that of its bit in a mask.
    #[must_use]
    pub fn register_name(self, number: u32) -> Option<&'static str> {
        let number = usize::try_from(number).ok()?;
        match (self, number) {
            // Each has two bits: it is two words wide.
            (Self::X86 | Self::X86_64, 32..64) => XMM.get((number - 32) / 2),
            (Self::X86, 16..) => None,
            (Self::X86 | Self::X86_64, _) => X86.get(number),
            (Self::Arm64, 46) => Some(&"vg"),
            (Self::Arm64, _) => ARM64.get(number),
            (Self::Arm, _) => ARM.get(number),
            (Self::LoongArch, _) => LOONGARCH.get(number),
            (Self::Mips, _) => MIPS.get(number),
            (Self::PowerPc, _) => POWERPC.get(number),
            (Self::RiscV, _) => RISCV.get(number),
            (Self::S390, _) => S390.get(number),
        }
        .copied()
    }

    /// The number of the register that perf gives a name, the lower one where it has two: its bit in a mask.
    #[must_use]
    pub fn register_number(self, name: &str) -> Option<u32> {
        (0..u64::BITS).find(|number| self.register_name(*number) == Some(name))
    }
}

impl Preamble {
    /// The architecture of the machine that recorded, by the ARCH feature; `None` where that is missing or not known here.
    #[must_use]
    pub fn arch(&self) -> Option<Arch> {
        let arch = self.feature(Feature::ARCH)?.ok()?;
        Arch::parse(arch.as_text()?)
    }
}

#[rustfmt::skip]
const X86: [&str; 24] = [
    "AX", "BX", "CX", "DX", "SI", "DI", "BP", "SP", "IP", "FLAGS", "CS", "SS", "DS", "ES", "FS", "GS",
    "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15",
];

#[rustfmt::skip]
const XMM: [&str; 16] = [
    "XMM0", "XMM1", "XMM2", "XMM3", "XMM4", "XMM5", "XMM6", "XMM7",
    "XMM8", "XMM9", "XMM10", "XMM11", "XMM12", "XMM13", "XMM14", "XMM15",
];

#[rustfmt::skip]
const ARM: [&str; 16] = [
    "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "fp", "ip", "sp", "lr", "pc",
];

#[rustfmt::skip]
const ARM64: [&str; 33] = [
    "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15",
    "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x29",
    "lr", "sp", "pc",
];

#[rustfmt::skip]
const LOONGARCH: [&str; 32] = [
    "PC", "%r1", "%r2", "%r3", "%r4", "%r5", "%r6", "%r7", "%r8", "%r9", "%r10", "%r11", "%r12", "%r13",
    "%r14", "%r15", "%r16", "%r17", "%r18", "%r19", "%r20", "%r21", "%r22", "%r23", "%r24", "%r25", "%r26",
    "%r27", "%r28", "%r29", "%r30", "%r31",
];

#[rustfmt::skip]
const MIPS: [&str; 32] = [
    "PC", "$1", "$2", "$3", "$4", "$5", "$6", "$7", "$8", "$9", "$10", "$11", "$12", "$13", "$14", "$15",
    "$16", "$17", "$18", "$19", "$20", "$21", "$22", "$23", "$24", "$25", "$26", "$27", "$28", "$29", "$30",
    "$31",
];

#[rustfmt::skip]
const POWERPC: [&str; 59] = [
    "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
    "r16", "r17", "r18", "r19", "r20", "r21", "r22", "r23", "r24", "r25", "r26", "r27", "r28", "r29", "r30",
    "r31", "nip", "msr", "orig_r3", "ctr", "link", "xer", "ccr", "softe", "trap", "dar", "dsisr", "sier",
    "mmcra", "mmcr0", "mmcr1", "mmcr2", "mmcr3", "sier2", "sier3", "pmc1", "pmc2", "pmc3", "pmc4", "pmc5",
    "pmc6", "sdar", "siar",
];

#[rustfmt::skip]
const RISCV: [&str; 32] = [
    "pc", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7",
    "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
];

#[rustfmt::skip]
const S390: [&str; 34] = [
    "R0", "R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15",
    "FP0", "FP1", "FP2", "FP3", "FP4", "FP5", "FP6", "FP7", "FP8", "FP9", "FP10", "FP11", "FP12", "FP13",
    "FP14", "FP15", "MASK", "PC",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_architecture_is_known_by_its_name_and_has_its_registers() {
        let named = |arch: &str, number| Arch::parse(arch.as_bytes()).unwrap().register_name(number);
        assert_eq!(named("x86_64", 8), Some("IP"));
        assert_eq!((named("x86_64", 23), named("i686", 23), named("x86_64", 24)), (Some("R15"), None, None));
        assert_eq!(
            [32, 33, 62, 63].map(|number| named("x86_64", number).unwrap()),
            ["XMM0", "XMM0", "XMM15", "XMM15"]
        );
        for arch in ["aarch64", "aarch64_be", "arm64"] {
            let names = [30, 31, 32, 33, 46].map(|number| named(arch, number));
            assert_eq!(names, [Some("lr"), Some("sp"), Some("pc"), None, Some("vg")], "{arch}");
        }
        assert_eq!(named("armv7l", 15), Some("pc"));
        assert_eq!(named("ppc64le", 32), Some("nip"));
        assert_eq!((named("s390x", 33), named("riscv64", 0)), (Some("PC"), Some("pc")));
        assert_eq!((named("loongarch64", 3), named("mips64", 29)), (Some("%r3"), Some("$29")));
        assert_eq!((Arch::parse(b"vax"), Arch::parse(b"")), (None, None));
        assert_eq!(Arch::Arm64.register_number("sp"), Some(31));
        assert_eq!((Arch::X86_64.register_number("XMM1"), Arch::X86.register_number("R8")), (Some(34), None));
        assert_eq!(Arch::RiscV.register_name(u32::MAX), None);
    }
}
