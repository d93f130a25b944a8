//! What the code of an image is for, and what that makes of its format.

use gimli::{Encoding, Format, RunTimeEndian};
use object::Endianness;
use object::elf;
use perf_format::Endian;

/// The machine that code is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// ELF's number for it, `e_machine`.
    pub machine: u16,
    /// Its byte order.
    pub endian: Endian,
}

impl Target {
    /// Whether addresses have eight bytes. Where the number does not tell (MIPS, RISC-V), they have: there is room in
    /// them for four.
    pub(super) fn is_64(self) -> bool {
        !matches!(
            self.machine(),
            elf::EM_386
                | elf::EM_IAMCU
                | elf::EM_ARM
                | elf::EM_PPC
                | elf::EM_SPARC
                | elf::EM_SPARC32PLUS
                | elf::EM_68K
                | elf::EM_PARISC
                | elf::EM_SH
                | elf::EM_XTENSA
                | elf::EM_CSKY
                | elf::EM_MICROBLAZE
                | elf::EM_OPENRISC
        )
    }

    pub(super) fn machine(self) -> elf::Machine {
        elf::Machine(self.machine)
    }

    /// Whether an offset or an address has room in its field.
    pub(super) fn has_offset(self, offset: u64) -> bool {
        self.is_64() || u32::try_from(offset).is_ok()
    }

    /// Bytes of an address.
    pub(super) fn address_size(self) -> u8 {
        if self.is_64() { 8 } else { 4 }
    }

    /// What DWARF of a version looks like here; unwinding information has versions of its own.
    pub(super) fn dwarf(self, version: u16) -> Encoding {
        Encoding { format: Format::Dwarf32, version, address_size: self.address_size() }
    }

    pub(super) fn gimli_endian(self) -> RunTimeEndian {
        match self.endian {
            Endian::Little => RunTimeEndian::Little,
            Endian::Big => RunTimeEndian::Big,
        }
    }

    pub(super) fn object_endian(self) -> Endianness {
        match self.endian {
            Endian::Little => Endianness::Little,
            Endian::Big => Endianness::Big,
        }
    }
}
