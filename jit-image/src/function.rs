//! The input of an image: a function, its lines, and how its frames are unwound.

use bstr::BStr;

/// A jitted function.
#[derive(Debug, Clone, Copy)]
pub struct Function<'a> {
    /// Its name, up to the first NUL.
    pub name: &'a BStr,
    /// Where it ran.
    pub address: u64,
    /// Where it stands in the image: both its offset in the file, in bytes, and its address there.
    pub offset: u64,
    /// Its instructions.
    pub code: &'a [u8],
    /// Where they come from, in the order of their addresses. Lines that are out of order or outside the function
    /// are left out.
    pub lines: &'a [LineRow<'a>],
    /// How its frames are unwound, if that is known.
    pub unwinding: Option<UnwindInfo<'a>>,
}

/// From an address on, instructions come from a line.
#[derive(Debug, Clone, Copy)]
pub struct LineRow<'a> {
    /// Where the first of them ran.
    pub address: u64,
    /// The line's number; 0 for none.
    pub line: u32,
    /// Distinguishes blocks of one line.
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
