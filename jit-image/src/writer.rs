//! Writes an image: code as it comes, the rest at the end.

use std::io::{self, Seek, Write};

use perf_format::BuildId;
use sha1::{Digest as _, Sha1};

use crate::elf::{self, Parts};
use crate::error::ImageError;
use crate::frames::{self, Frames};
use crate::function::Function;
use crate::layout::{FUNCTION_OFFSET, TEXT_OFFSET};
use crate::lines::Lines;
use crate::output::SparseWriter;
use crate::symbols::Symbols;
use crate::target::Target;

/// An image that is being written. Code goes out as it comes; names, lines and unwinding information are kept until
/// the end.
#[derive(Debug)]
pub struct ImageWriter<W> {
    out: SparseWriter<W>,
    target: Target,
    /// Where functions begin, and end so far.
    text_start: u64,
    text_end: u64,
    frames_at: Option<u64>,
    symbols: Symbols,
    lines: Lines,
    frames: Frames,
    id: Sha1,
}

impl<W: Write + Seek> ImageWriter<W> {
    /// Begins an image of code for a machine, in an empty file, whose functions stand at [`TEXT_OFFSET`] or behind it.
    /// Writes may be small: a buffer is of use.
    #[must_use]
    pub fn new(out: W, target: Target) -> Self {
        Self::beginning_at(TEXT_OFFSET, out, target)
    }

    /// Begins an image of one function, whose [`Function::offset`] is [`FUNCTION_OFFSET`].
    #[must_use]
    pub fn of_function(out: W, target: Target) -> Self {
        Self::beginning_at(FUNCTION_OFFSET, out, target)
    }

    fn beginning_at(text_start: u64, out: W, target: Target) -> Self {
        let mut id = Sha1::new();
        id.update(target.endian.put_u32(1));
        id.update(target.machine.to_le_bytes());
        Self {
            out: SparseWriter::new(out),
            target,
            text_start,
            text_end: text_start,
            frames_at: None,
            symbols: Symbols::new(target),
            lines: Lines::new(target),
            frames: Frames::new(target),
            id,
        }
    }

    /// Puts the unwinding information at this offset in the image, or behind the code if that ends later. The table is
    /// there even if no function has unwinding information: libunwind goes by frame pointers where a table does not know
    /// an address, and gives up where there is no table.
    #[must_use]
    pub fn with_frames_at(mut self, offset: u64) -> Self {
        self.frames_at = Some(offset);
        self
    }

    /// Writes a function. Functions come in the order of their offsets.
    ///
    /// # Errors
    /// Where its place is taken or beyond the limits of the format, or the file cannot be written.
    pub fn add(&mut self, function: &Function<'_>) -> Result<(), ImageError> {
        let &Function { offset, code, .. } = function;
        if offset < self.text_end {
            return Err(ImageError::Offset { offset, end: self.text_end });
        }
        let end = offset.checked_add(code.len() as u64).filter(|end| self.target.has_offset(*end));
        let end = end.ok_or(ImageError::TooLarge)?;
        self.symbols.add(function)?;
        self.lines.add(function);
        self.frames.add(function);
        self.out.write_at(offset, code)?;
        self.id.update(code);
        self.text_end = end;
        Ok(())
    }

    /// Writes the rest: names, lines, unwinding information, headers.
    ///
    /// # Errors
    /// Where they are beyond the limits of the format, or the file cannot be written.
    pub fn finish(self) -> Result<Written, ImageError> {
        let Self { mut out, target, text_start, text_end, frames_at, symbols, lines, frames, mut id } = self;
        let text = text_start..text_end;
        let lines_left_out = lines.left_out();
        let at = elf::aligned(text_end.max(frames_at.unwrap_or(0)), frames::ALIGN)?;
        let (frames, without_unwinding) = frames.write(at, frames_at.is_some())?;

        let mut parts = Parts::new(target, &text);
        if let Some(frames) = frames {
            parts.add_frames(frames.frames, frames.table, at)?;
        }
        parts.add_lines(lines.write(&text)?)?;
        parts.add_symbols(symbols)?;
        for (name, data) in parts.contents() {
            id.update(name.as_bytes());
            id.update((data.len() as u64).to_le_bytes());
            id.update(data);
        }
        let build_id = BuildId::new(&id.finalize()).map_err(io::Error::other)?;
        let segment_end = parts.segment_end();
        parts.write(&mut out, build_id)?;
        Ok(Written { build_id, segment_end, without_unwinding, lines_left_out })
    }
}

/// Facts about the written image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// SHA-1 of the contents: the same functions in the same places have the same id.
    pub build_id: BuildId,
    /// The offset at which the executable segment ends: functions, then the unwinding information unless that stands apart.
    pub segment_end: u64,
    /// How many functions have no unwinding information in the image, since theirs could not be read or rewritten.
    pub without_unwinding: u64,
    /// Rows of line tables that were left out: out of order, outside their function, or without a file.
    pub lines_left_out: u64,
}
