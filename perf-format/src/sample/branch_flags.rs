//! The bit-fields of a branch in a branch stack.

use std::fmt;

use crate::Endian;
use crate::codec::{Codec, Decoder, Encoder, Fixed, Problem};

/// The bit-fields of `struct perf_branch_entry`. What the CPU does not tell is 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct BranchFlags(u64);

/// Bits of each bit-field, in their order; the last is reserved.
const WIDTHS: [u32; 10] = [1, 1, 1, 1, 16, 4, 2, 4, 3, 31];

impl BranchFlags {
    /// Flags whose fields are numbered as a little-endian compiler allocates them, from bit 0 on.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The word, with its fields where a little-endian compiler puts them.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    fn field(self, number: usize) -> u64 {
        let shift: u32 = WIDTHS.iter().take(number).sum();
        let width = WIDTHS.get(number).copied().unwrap_or_default();
        self.0 >> shift & ((1 << width) - 1)
    }

    /// Whether the target was mispredicted.
    #[must_use]
    pub fn is_mispredicted(self) -> bool {
        self.field(0) != 0
    }

    /// Whether the target was predicted. Where this and [`is_mispredicted`](Self::is_mispredicted) are false, the CPU does not
    /// tell.
    #[must_use]
    pub fn is_predicted(self) -> bool {
        self.field(1) != 0
    }

    /// Whether it is in a hardware transaction.
    #[must_use]
    pub fn is_in_transaction(self) -> bool {
        self.field(2) != 0
    }

    /// Whether it is the abort of a hardware transaction.
    #[must_use]
    pub fn is_abort(self) -> bool {
        self.field(3) != 0
    }

    /// Cycles since the branch before.
    #[must_use]
    pub fn cycles(self) -> u16 {
        u16::try_from(self.field(4)).unwrap_or_default()
    }

    /// The kind of branch.
    #[must_use]
    pub fn kind(self) -> BranchKind {
        BranchKind::of(self.field(5), self.field(7))
    }

    /// How speculation went.
    #[must_use]
    pub fn speculation(self) -> BranchSpeculation {
        match self.field(6) {
            1 => BranchSpeculation::WrongPath,
            2 => BranchSpeculation::NotSpeculative,
            3 => BranchSpeculation::CorrectPath,
            _ => BranchSpeculation::Unknown,
        }
    }

    /// The privilege level that the branch was taken at.
    #[must_use]
    pub fn privilege(self) -> BranchPrivilege {
        match self.field(8) {
            1 => BranchPrivilege::User,
            2 => BranchPrivilege::Kernel,
            3 => BranchPrivilege::Hypervisor,
            _ => BranchPrivilege::Unknown,
        }
    }

    /// The fields in the order in which a compiler of the other byte order allocates them: from the other end of the word, each
    /// with its own bits as they are.
    fn mirrored(word: u64, from_low: bool) -> u64 {
        let (mut low, mut high, mut out) = (0, u64::BITS, 0);
        for width in WIDTHS {
            high -= width;
            let (from, to) = if from_low { (low, high) } else { (high, low) };
            out |= (word >> from & ((1 << width) - 1)) << to;
            low += width;
        }
        out
    }
}

impl Codec<'_> for BranchFlags {
    fn decode(d: &mut Decoder<'_>) -> Result<Self, Problem> {
        let word = d.get()?;
        Ok(Self(match d.endian() {
            Endian::Little => word,
            Endian::Big => Self::mirrored(word, false),
        }))
    }

    fn encode(&self, e: &mut Encoder<'_>) {
        e.put(&match e.endian() {
            Endian::Little => self.0,
            Endian::Big => Self::mirrored(self.0, true),
        });
    }
}

impl Fixed for BranchFlags {
    const SIZE: usize = 8;
}

impl fmt::Debug for BranchFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BranchFlags")
            .field("is_mispredicted", &self.is_mispredicted())
            .field("is_predicted", &self.is_predicted())
            .field("is_in_transaction", &self.is_in_transaction())
            .field("is_abort", &self.is_abort())
            .field("cycles", &self.cycles())
            .field("kind", &self.kind())
            .field("speculation", &self.speculation())
            .field("privilege", &self.privilege())
            .finish()
    }
}

macro_rules! kinds {
    ($($number:literal $variant:ident $text:literal $what:literal;)*; $($more:literal $other:ident $name:literal $why:literal;)*) => {
        /// The kind of a branch, `PERF_BR_*`; displayed as perf names it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum BranchKind {
            /// It is not known.
            Unknown,
            $(#[doc = concat!($what, ".")] $variant,)*
            $(#[doc = concat!($why, ".")] $other,)*
            /// A value of `new_type` that is not known here.
            Other(u8),
        }

        impl BranchKind {
            fn of(kind: u64, new_kind: u64) -> Self {
                match (kind, new_kind) {
                    $(($number, _) => Self::$variant,)*
                    $((15, $more) => Self::$other,)*
                    (15, other) => Self::Other(u8::try_from(other).unwrap_or(u8::MAX)),
                    _ => Self::Unknown,
                }
            }
        }

        impl fmt::Display for BranchKind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self {
                    $(Self::$variant => $text,)*
                    $(Self::$other => $name,)*
                    Self::Unknown | Self::Other(_) => "N/A",
                })
            }
        }
    };
}

kinds! {
    1 Conditional "COND" "A conditional jump";
    2 Unconditional "UNCOND" "A jump";
    3 Indirect "IND" "An indirect jump";
    4 Call "CALL" "A call";
    5 IndirectCall "IND_CALL" "An indirect call";
    6 Return "RET" "A return";
    7 Syscall "SYSCALL" "A system call";
    8 SyscallReturn "SYSRET" "The return from one";
    9 ConditionalCall "COND_CALL" "A conditional call";
    10 ConditionalReturn "COND_RET" "A conditional return";
    11 ExceptionReturn "ERET" "The return from an exception";
    12 Interrupt "IRQ" "An interrupt";
    13 SystemError "SERROR" "A system error";
    14 NotInTransaction "NO_TX" "One that is not in a transaction";
    ;
    0 AlignmentFault "FAULT_ALGN" "An alignment fault";
    1 DataFault "FAULT_DATA" "A data fault";
    2 InstructionFault "FAULT_INST" "An instruction fault";
    3 Arch1 "ARCH_1" "The architecture's first; arm64's FIQ";
    4 Arch2 "ARCH_2" "The architecture's second; arm64's halt for a debugger";
    5 Arch3 "ARCH_3" "The architecture's third; arm64's exit from a debugger";
    6 Arch4 "ARCH_4" "The architecture's fourth; arm64's instruction of a debugger";
    7 Arch5 "ARCH_5" "The architecture's fifth; arm64's data of a debugger";
}

/// How the speculation on a branch went, `PERF_BR_SPEC_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BranchSpeculation {
    /// It is not known.
    Unknown,
    /// Speculative, on the wrong path.
    WrongPath,
    /// Not speculative.
    NotSpeculative,
    /// Speculative, on the correct path.
    CorrectPath,
}

/// The privilege level that a branch was taken at, `PERF_BR_PRIV_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BranchPrivilege {
    /// It is not known.
    Unknown,
    /// A program.
    User,
    /// The kernel.
    Kernel,
    /// The hypervisor.
    Hypervisor,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::misc::Misc;

    fn decoded(bytes: [u8; 8], endian: Endian) -> BranchFlags {
        Decoder::new(&bytes, 0, endian, Misc::default()).get().unwrap()
    }

    /// mispred, predicted, in_tx, abort, cycles, type, spec, new_type, priv: what C stores for
    /// `{1, 0, 1, 0, 0x1234, 5, 3, 6, 2}`.
    #[test]
    fn the_fields_are_found_where_compilers_of_either_order_put_them() {
        let little: u64 = 1 | 1 << 2 | 0x1234 << 4 | 5 << 20 | 3 << 24 | 6 << 26 | 2 << 30;
        let big: u64 = 1 << 63 | 1 << 61 | 0x1234 << 44 | 5 << 40 | 3 << 38 | 6 << 34 | 2 << 31;
        for (bytes, endian) in [(little.to_le_bytes(), Endian::Little), (big.to_be_bytes(), Endian::Big)] {
            let flags = decoded(bytes, endian);
            assert!(flags.is_mispredicted() && !flags.is_predicted());
            assert!(flags.is_in_transaction() && !flags.is_abort());
            assert_eq!((flags.cycles(), flags.kind()), (0x1234, BranchKind::IndirectCall));
            assert_eq!(flags.speculation(), BranchSpeculation::CorrectPath);
            assert_eq!(flags.privilege(), BranchPrivilege::Kernel);
            assert_eq!(flags, BranchFlags::from_bits(little));
        }
    }

    #[test]
    fn every_word_is_written_as_it_was_read() {
        for endian in [Endian::Little, Endian::Big] {
            for word in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef_u64, 1 << 63, 1 << 40, 1 << 20] {
                let bytes = endian.put_u64(word);
                let mut out = Vec::new();
                Encoder::new(&mut out, endian, Misc::default()).put(&decoded(bytes, endian));
                assert_eq!(out, bytes);
            }
        }
    }

    #[test]
    fn a_kind_may_be_in_the_second_field() {
        let kind = |kind: u64, new_kind: u64| BranchFlags::from_bits(kind << 20 | new_kind << 26).kind();
        assert_eq!((kind(4, 1), kind(4, 1).to_string()), (BranchKind::Call, "CALL".to_owned()));
        assert_eq!((kind(15, 1), kind(15, 1).to_string()), (BranchKind::DataFault, "FAULT_DATA".to_owned()));
        assert_eq!((kind(15, 9), kind(0, 3)), (BranchKind::Other(9), BranchKind::Unknown));
    }
}
