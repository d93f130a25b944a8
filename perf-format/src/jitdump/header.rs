//! The header of a dump, `struct jitheader`.

use crate::codec::{Decoder, FieldError, Fixed as _, Layout as _, Problem, layout};
use crate::misc::Misc;
use crate::{Endian, Error};

/// The word that a dump starts with, in the order of the machine that made it: as characters, `JiTD` where the most
/// significant byte comes first.
pub const MAGIC: u32 = 0x4a69_5444;

/// The versions that are known. They differ in nothing that is read here.
const VERSIONS: std::ops::RangeInclusive<u32> = 1..=2;

/// The flag of timestamps that are the processor's (a TSC), not a clock's.
const ARCH_TIMESTAMP: u64 = 1;

layout! {
    /// The header as it stands.
    pub fixed struct HeaderWords {
        /// [`MAGIC`].
        pub magic: u32,
        /// 1 or 2.
        pub version: u32,
        /// The header's own size in bytes: 40, or more.
        pub total_size: u32,
        /// The machine that the code is for, as `e_machine` of an ELF file.
        pub elf_mach: u32,
        /// Not used.
        pub pad1: u32,
        /// The process.
        pub pid: u32,
        /// When the dump was begun.
        pub timestamp: u64,
        /// Bit 0: timestamps are the processor's.
        pub flags: u64,
    }
}

/// The header of a dump, parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The byte order of all numbers in the dump.
    pub endian: Endian,
    /// The format's version.
    pub version: u32,
    /// The header's size in bytes; records start behind it.
    pub size: u32,
    /// The machine that the code is for, as `e_machine` of an ELF file.
    pub elf_mach: u32,
    /// The process, as it knows itself: in its own pid namespace.
    pub pid: u32,
    /// When the dump was begun.
    pub timestamp: u64,
    /// Whether timestamps are the processor's (a TSC), to be converted as TIME_CONV says; otherwise they are ns of
    /// `CLOCK_MONOTONIC`.
    pub arch_timestamp: bool,
}

impl Header {
    /// Reads the header that `bytes` start with.
    ///
    /// # Errors
    /// Where the bytes are not those of a dump, too few, or not possible in a header of a known version.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let truncated = Error::HeaderTruncated { have: bytes.len(), need: HeaderWords::SIZE };
        let Some(magic) = bytes.first_chunk::<4>() else { return Err(truncated) };
        let endian = match u32::from_le_bytes(*magic) {
            MAGIC => Endian::Little,
            word if word == MAGIC.swap_bytes() => Endian::Big,
            _ => return Err(Error::NotJitDump { magic: magic.to_vec() }),
        };
        let mut d = Decoder::new(bytes, 0, endian, Misc::default());
        let words = HeaderWords::read(&mut d).map_err(|_| truncated)?;
        let wrong = |field, problem| Error::structure("jitdump header", 0, FieldError { field, problem });
        if !VERSIONS.contains(&words.version) {
            return Err(wrong("version", Problem::Value(words.version.into())));
        }
        if !usize::try_from(words.total_size).is_ok_and(|size| size >= HeaderWords::SIZE) {
            return Err(wrong("total_size", Problem::Size(words.total_size.into())));
        }
        if words.flags & !ARCH_TIMESTAMP != 0 {
            return Err(wrong("flags", Problem::Value(words.flags)));
        }
        let HeaderWords { version, total_size: size, elf_mach, pid, timestamp, flags, .. } = words;
        let arch_timestamp = flags & ARCH_TIMESTAMP != 0;
        Ok(Self { endian, version, size, elf_mach, pid, timestamp, arch_timestamp })
    }
}
