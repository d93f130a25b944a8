//! The records of a dump: their layouts and their typed views.

use bstr::BStr;

use crate::Endian;
use crate::codec::{Codec, Decoder, Encoder, Fixed, Problem, layout};

/// The type of a record, `enum jit_record_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Id(pub u32);

impl Id {
    /// A function was made.
    pub const CODE_LOAD: Self = Self(0);
    /// A function is elsewhere now.
    pub const CODE_MOVE: Self = Self(1);
    /// The lines of the function that is made next.
    pub const CODE_DEBUG_INFO: Self = Self(2);
    /// The dump was ended.
    pub const CODE_CLOSE: Self = Self(3);
    /// The unwinding tables of the function that is made next.
    pub const CODE_UNWINDING_INFO: Self = Self(4);

    /// With what an error about such a record begins.
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::CODE_LOAD => "jitdump CODE_LOAD record",
            Self::CODE_MOVE => "jitdump CODE_MOVE record",
            Self::CODE_DEBUG_INFO => "jitdump CODE_DEBUG_INFO record",
            Self::CODE_CLOSE => "jitdump CODE_CLOSE record",
            Self::CODE_UNWINDING_INFO => "jitdump CODE_UNWINDING_INFO record",
            _ => "jitdump record",
        }
    }
}

impl Codec<'_> for Id {
    fn decode(d: &mut Decoder<'_>) -> Result<Self, Problem> {
        d.get().map(Self)
    }

    fn encode(&self, e: &mut Encoder<'_>) {
        e.put(&self.0);
    }
}

impl Fixed for Id {
    const SIZE: usize = u32::SIZE;
}

impl crate::visit::VisitField for Id {
    fn visit_as(&self, name: &'static str, kind: crate::FieldKind, v: &mut dyn crate::FieldVisitor) {
        self.0.visit_as(name, kind, v);
    }
}

layout! {
    /// The prefix of every record, `struct jr_prefix`.
    pub fixed struct Prefix {
        /// The record's type.
        pub id: Id,
        /// The record's size in bytes, these included.
        pub total_size: u32,
        /// The time, in the clock that the header declares.
        pub timestamp: u64,
    }
}

impl Prefix {
    /// The size, if a record can have it.
    pub(super) fn believed(&self) -> Option<usize> {
        let size = usize::try_from(self.total_size).ok()?;
        (size >= Self::SIZE && self.total_size <= super::RECORD_AT_MOST).then_some(size)
    }
}

layout! {
    /// The fixed part of a CODE_LOAD record.
    pub fixed struct LoadWords {
        /// Process.
        pub pid: u32,
        /// Thread.
        pub tid: u32,
        /// Address of the code's mapping; no reader uses it.
        pub vma: u64,
        /// Address of the code.
        pub code_addr: u64,
        /// Bytes of code.
        pub code_size: u64,
        /// A number that no other function of the process has.
        pub code_index: u64,
    }
}

layout! {
    /// A CODE_MOVE record: a function is elsewhere now.
    pub fixed struct Move {
        /// Process.
        pub pid: u32,
        /// Thread.
        pub tid: u32,
        /// Address of the code's mapping.
        pub vma: u64,
        /// Where the code was.
        pub old_code_addr: u64,
        /// Where it is.
        pub new_code_addr: u64,
        /// Bytes of code. Both places end inside the address space.
        pub code_size: u64,
        /// The function's number.
        pub code_index: u64,
    }
}

layout! {
    /// The fixed part of a CODE_DEBUG_INFO record.
    pub fixed struct DebugInfoWords {
        /// Address of the code.
        pub code_addr: u64,
        /// How many entries follow.
        pub nr_entry: u64,
    }
}

layout! {
    /// The fixed part of a CODE_UNWINDING_INFO record.
    pub fixed struct UnwindingWords {
        /// Bytes of both tables, which follow.
        pub unwinding_size: u64,
        /// Bytes of `.eh_frame_hdr`, the second of them.
        pub eh_frame_hdr_size: u64,
        /// Bytes that the process has mapped of them behind its code.
        pub mapped_size: u64,
    }
}

/// A range of bytes in a dump that were not read yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Extent {
    /// Bytes from the dump's start.
    pub offset: u64,
    /// How many bytes.
    pub len: usize,
}

/// A record of a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JitRecord<'a> {
    /// Where it starts, in bytes from the dump's start.
    pub offset: u64,
    /// All of its bytes.
    pub size: u32,
    /// The time, in the clock that the header declares.
    pub timestamp: u64,
    /// The record's content.
    pub kind: Kind<'a>,
}

/// The content of a record, by its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A function was made.
    Load(Load<'a>),
    /// A function is elsewhere now.
    Move(Move),
    /// The lines of the function that the next [`Load`] makes.
    DebugInfo(DebugInfo),
    /// The dump was ended.
    Close,
    /// The unwinding tables of the function that the next [`Load`] makes.
    Unwinding(Unwinding),
    /// A record of a type that is not known here; readers skip it.
    Unknown(Id),
}

/// A CODE_LOAD record: a function was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load<'a> {
    /// Process, as it knows itself.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// Address of the code's mapping; no reader uses it.
    pub vma: u64,
    /// Address of the code, which ends inside the address space.
    pub code_addr: u64,
    /// A number that no other function of the process has.
    pub code_index: u64,
    /// The function's name.
    pub name: &'a BStr,
    /// Where the name stands.
    pub name_at: Extent,
    /// Where the code stands; its length is the function's.
    pub code: Extent,
}

impl Load<'_> {
    /// Whether the function's code has a byte at this address.
    #[must_use]
    pub fn contains(&self, address: u64) -> bool {
        address.checked_sub(self.code_addr).is_some_and(|into| into < self.code.len as u64)
    }
}

/// A CODE_DEBUG_INFO record: the lines of the function that the next [`Load`] makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DebugInfo {
    /// Address of the code.
    pub code_addr: u64,
    /// How many lines there are: no more than have room.
    pub nr_entry: u64,
    /// Where they stand, for [`DebugInfo::lines`].
    pub entries: Extent,
    /// Their byte order.
    pub endian: Endian,
}

/// A CODE_UNWINDING_INFO record: the unwinding tables of the function that the next [`Load`] makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unwinding {
    /// Bytes that the process has mapped of them behind its code, 0 where it has none. It is the JIT's own figure, and
    /// is not checked.
    pub mapped_size: u64,
    /// Where `.eh_frame` stands.
    pub eh_frame: Extent,
    /// Where `.eh_frame_hdr` stands, right behind.
    pub eh_frame_hdr: Extent,
}
