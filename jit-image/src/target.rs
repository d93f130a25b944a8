//! The machine that the code of an image is for, and the format that follows from it.

use gimli::{Encoding, Format, RunTimeEndian};
use object::Endianness;
use object::elf;
use perf_format::Endian;

/// The machine that code is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// ELF's number for it, `e_machine`; [`machine_of_arch`] knows those of `uname -m`.
    pub machine: u16,
    /// Its byte order.
    pub endian: Endian,
}

impl Target {
    /// Whether addresses have eight bytes. Where the machine's number leaves that open (MIPS, RISC-V) they have: a
    /// four-byte address fits.
    pub(crate) fn is_64(self) -> bool {
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

    pub(crate) fn machine(self) -> elf::Machine {
        elf::Machine(self.machine)
    }

    /// Whether an offset or an address has room in its field.
    pub(crate) fn has_offset(self, offset: u64) -> bool {
        self.is_64() || u32::try_from(offset).is_ok()
    }

    /// Bytes of an address.
    pub(crate) fn address_size(self) -> u8 {
        if self.is_64() { 8 } else { 4 }
    }

    /// What DWARF of a version looks like here; unwinding information has versions of its own.
    pub(crate) fn dwarf(self, version: u16) -> Encoding {
        Encoding { format: Format::Dwarf32, version, address_size: self.address_size() }
    }

    pub(crate) fn gimli_endian(self) -> RunTimeEndian {
        match self.endian {
            Endian::Little => RunTimeEndian::Little,
            Endian::Big => RunTimeEndian::Big,
        }
    }

    pub(crate) fn object_endian(self) -> Endianness {
        match self.endian {
            Endian::Little => Endianness::Little,
            Endian::Big => Endianness::Big,
        }
    }
}

/// The machine that `uname -m` names, as ELF files number it (`e_machine`); 0, that of no machine, where the name is not
/// known here.
#[must_use]
pub fn machine_of_arch(arch: &[u8]) -> u16 {
    let machine = match arch {
        b"x86_64" => elf::EM_X86_64,
        b"aarch64" => elf::EM_AARCH64,
        b"i386" | b"i586" | b"i686" => elf::EM_386,
        b"ppc64" | b"ppc64le" => elf::EM_PPC64,
        b"s390x" => elf::EM_S390,
        b"riscv64" | b"riscv32" => elf::EM_RISCV,
        b"loongarch64" => elf::EM_LOONGARCH,
        arch if arch.starts_with(b"arm") => elf::EM_ARM,
        _ => elf::EM_NONE,
    };
    machine.0
}
