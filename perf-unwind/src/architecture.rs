//! The architectures that are unwound: how perf numbers their registers, how DWARF does, and which have a part in calls.

use object::elf::{EM_386, EM_AARCH64, EM_X86_64, Machine};

/// An architecture whose stacks are unwound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Architecture {
    /// Programs of 32 bits for x86, also on a kernel of 64 bits (`PERF_SAMPLE_REGS_ABI_32`).
    X86,
    /// x86-64.
    X86_64,
    /// 64-bit ARM.
    Aarch64,
}

/// The byte order of a stack's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// The lowest byte first.
    Little,
    /// The highest byte first.
    Big,
}

/// perf's bits (`enum perf_event_x86_regs`) in their order: the DWARF numbers of x86-64. Flags and segments have none that
/// tables speak of.
const X86_64: [Option<u8>; 24] = [
    Some(0),
    Some(3),
    Some(2),
    Some(1),
    Some(4),
    Some(5),
    Some(6),
    Some(7),
    Some(16),
    None,
    None,
    None,
    None,
    None,
    None,
    None,
    Some(8),
    Some(9),
    Some(10),
    Some(11),
    Some(12),
    Some(13),
    Some(14),
    Some(15),
];

/// The same bits, and the DWARF numbers of x86-32.
const X86: [Option<u8>; 9] =
    [Some(0), Some(3), Some(1), Some(2), Some(6), Some(7), Some(5), Some(4), Some(8)];

impl Architecture {
    /// The DWARF number of the register that has this bit in perf's masks (`sample_regs_user`; `enum
    /// perf_event_x86_regs`, `enum perf_event_arm_regs`). `None` for those that unwinding does not need.
    #[must_use]
    pub fn dwarf_of_perf(self, bit: u32) -> Option<u8> {
        let table: &[Option<u8>] = match self {
            Self::X86_64 => &X86_64,
            Self::X86 => &X86,
            // x0 to x29, lr, sp and pc have the same numbers.
            Self::Aarch64 => return u8::try_from(bit).ok().filter(|number| *number <= 32),
        };
        table.get(usize::try_from(bit).ok()?).copied().flatten()
    }

    /// The architecture of an ELF file, by its `e_machine` and whether it is of 64 bits.
    #[must_use]
    pub fn of_elf(machine: u16, is_64: bool) -> Option<Self> {
        match (Machine(machine), is_64) {
            (EM_386, false) => Some(Self::X86),
            (EM_X86_64, true) => Some(Self::X86_64),
            (EM_AARCH64, true) => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// The number under which the instruction's address is kept.
    pub(crate) fn pc(self) -> u8 {
        match self {
            Self::X86 => 8,
            Self::X86_64 => 16,
            Self::Aarch64 => 32,
        }
    }

    /// The number of the column of tables that has the return address: on x86 no register but the caller's address.
    pub(crate) fn return_address(self) -> u8 {
        match self {
            Self::X86 => 8,
            Self::X86_64 => 16,
            Self::Aarch64 => 30,
        }
    }

    /// The number of the stack pointer.
    pub(crate) fn sp(self) -> u8 {
        match self {
            Self::X86 => 4,
            Self::X86_64 => 7,
            Self::Aarch64 => 31,
        }
    }

    /// The number of the frame pointer.
    pub(crate) fn fp(self) -> u8 {
        match self {
            Self::X86 => 5,
            Self::X86_64 => 6,
            Self::Aarch64 => 29,
        }
    }

    /// How many bytes a word has.
    pub(crate) fn word(self) -> u8 {
        match self {
            Self::X86 => 4,
            Self::X86_64 | Self::Aarch64 => 8,
        }
    }

    /// The bits that an address has.
    pub(crate) fn mask(self) -> u64 {
        match self {
            Self::X86 => u32::MAX.into(),
            Self::X86_64 | Self::Aarch64 => u64::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_special_registers_have_the_bits_that_perf_gives_them() {
        for (architecture, bit_of_sp, bit_of_pc, bit_of_fp) in [
            (Architecture::X86, 7, 8, 6),
            (Architecture::X86_64, 7, 8, 6),
            (Architecture::Aarch64, 31, 32, 29),
        ] {
            assert_eq!(architecture.dwarf_of_perf(bit_of_sp), Some(architecture.sp()));
            assert_eq!(architecture.dwarf_of_perf(bit_of_pc), Some(architecture.pc()));
            assert_eq!(architecture.dwarf_of_perf(bit_of_fp), Some(architecture.fp()));
            assert_eq!(architecture.dwarf_of_perf(64), None);
        }
    }

    #[test]
    fn no_two_bits_are_one_register() {
        for architecture in [Architecture::X86, Architecture::X86_64, Architecture::Aarch64] {
            let mut numbers: Vec<_> = (0..64).filter_map(|bit| architecture.dwarf_of_perf(bit)).collect();
            let count = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), count, "{architecture:?}");
        }
    }
}
