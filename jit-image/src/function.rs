//! The input of an image: a function, its lines, and how its frames are unwound.

use bstr::BStr;

/// A jitted function.
#[derive(Debug, Clone, Copy)]
pub struct Function<'a> {
    /// Its name, which is the symbol's; what stands behind a NUL in it is left out.
    pub name: &'a BStr,
    /// The address at which it ran, by which its lines and its unwinding information go.
    pub address: u64,
    /// Where it stands in the image, in bytes: the offset in the file and the address of its symbol are the same.
    /// [`PackedLayout::place`](crate::PackedLayout::place) gives one.
    pub offset: u64,
    /// Its machine code.
    pub code: &'a [u8],
    /// The source lines of its instructions, in the order of their addresses. Lines that are out of order or outside the
    /// function are left out.
    pub lines: &'a [LineRow<'a>],
    /// How its frames are unwound, if that is known.
    pub unwinding: Option<UnwindInfo<'a>>,
}

/// A row of a line table: the instructions from an address on come from a line.
#[derive(Debug, Clone, Copy)]
pub struct LineRow<'a> {
    /// The address at which the first of them ran.
    pub address: u64,
    /// The line's number; 0 for none.
    pub line: u32,
    /// Tells blocks of one line apart (DWARF's discriminator).
    pub discriminator: u32,
    /// The file's name, up to the first NUL. A line without one is left out.
    pub file: &'a BStr,
}

/// Unwinding information as a jitdump has it, for where it would stand in memory: behind the function, whose size is
/// rounded up to eight bytes for that.
#[derive(Debug, Clone, Copy)]
pub struct UnwindInfo<'a> {
    /// `.eh_frame`, then `.eh_frame_hdr`.
    pub frames: &'a [u8],
    /// Bytes of `.eh_frame_hdr`, which is not read: the image has one of its own.
    pub header_size: u64,
}
