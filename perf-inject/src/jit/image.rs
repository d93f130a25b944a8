//! An ELF image of jitted functions, with their names, line tables and unwinding information, for whoever reads a
//! recording after the process is gone. Where functions stand in it is said from outside, and so is the file.

use std::io::{self, Seek, SeekFrom, Write};

use bstr::BStr;
use perf_format::BuildId;
use sha1::{Digest as _, Sha1};

mod elf;
mod frames;
mod lines;
mod symbols;
mod target;

use elf::Parts;
use frames::Frames;
use lines::Lines;
use symbols::Symbols;
pub use target::Target;

/// The offset of the first function, in bytes: one page. Headers and the build-id's note stand before it however
/// many they are, so that it is known before any function is; and perf takes an executable segment to begin at a
/// page's start.
pub const TEXT_OFFSET: u64 = 0x1000;

/// What functions are aligned to, in bytes.
const TEXT_ALIGN: u64 = 16;

/// Where packed functions end at the most: behind them there is room for the rest even where offsets have four bytes.
const TEXT_END_AT_MOST: u64 = 1 << 31;

/// Bytes between functions from which on they are left to the file system: a hole smaller than its block saves
/// nothing.
const HOLE_FROM: u64 = 0x1000;

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
    pub lines: &'a [Line<'a>],
    /// How its frames are unwound, if that is known.
    pub unwinding: Option<Unwinding<'a>>,
}

/// From an address on, instructions come from a line.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// Where the first of them ran.
    pub address: u64,
    /// The line's number; 0 for none.
    pub line: u32,
    /// Tells apart blocks of one line.
    pub discriminator: u32,
    /// The file's name, up to the first NUL. A line without one is left out.
    pub file: &'a BStr,
}

/// Unwinding information as a jitdump has it, for where it would stand in memory: behind the function, whose size is
/// rounded up to eight bytes for that.
#[derive(Debug, Clone, Copy)]
pub struct Unwinding<'a> {
    /// `.eh_frame`, then `.eh_frame_hdr`.
    pub frames: &'a [u8],
    /// Bytes of `.eh_frame_hdr`, which is not read: the image has one of its own.
    pub header_size: u64,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// SHA-1 of the contents: the same functions in the same places have the same id.
    pub build_id: BuildId,
    /// Where the executable segment ends that begins at [`TEXT_OFFSET`]: functions, then the unwinding information unless
    /// that stands apart.
    pub segment_end: u64,
    /// Functions whose unwinding information cannot be read or said of the image, and that go without.
    pub without_unwinding: u64,
    /// Lines that were left out.
    pub lines_left_out: u64,
}

/// Why an image cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file cannot be written.
    #[error("writing the image failed")]
    Write(#[from] io::Error),
    /// Functions come in the order of their offsets, and do not overlap.
    #[error("no function can be at {offset:#x} of an image that is written up to {end:#x}")]
    Offset {
        /// Where it should have stood.
        offset: u64,
        /// Where it could have.
        end: u64,
    },
    /// An offset or a size has no room in its field.
    #[error("the image is too large for its format")]
    TooLarge,
    /// The tables of lines cannot be written.
    #[error("the lines cannot be written")]
    Lines(#[source] gimli::write::Error),
    /// The unwinding information cannot be written.
    #[error("the unwinding information cannot be written")]
    Frames(#[source] gimli::write::ConvertError),
}

/// Packs functions one behind the other.
#[derive(Debug, Clone)]
pub struct Layout {
    end: u64,
}

impl Default for Layout {
    fn default() -> Self {
        Self { end: TEXT_OFFSET }
    }
}

impl Layout {
    /// The offset of the next function, which has `size` bytes; none if there is no room left for it.
    pub fn place(&mut self, size: u64) -> Option<u64> {
        let offset = self.end.checked_next_multiple_of(TEXT_ALIGN)?;
        self.end = offset.checked_add(size).filter(|end| *end <= TEXT_END_AT_MOST)?;
        Some(offset)
    }
}

/// An image that is being written. Code goes out as it comes; names, lines and unwinding information are kept until
/// the end.
#[derive(Debug)]
pub struct Image<W> {
    out: Output<W>,
    target: Target,
    text_end: u64,
    frames_at: Option<u64>,
    symbols: Symbols,
    lines: Lines,
    frames: Frames,
    id: Sha1,
}

impl<W: Write + Seek> Image<W> {
    /// An image of code for a machine, in an empty file. Writes may be small: a buffer is of use.
    #[must_use]
    pub fn new(out: W, target: Target) -> Self {
        let mut id = Sha1::new();
        id.update(target.endian.put_u32(1));
        id.update(target.machine.to_le_bytes());
        Self {
            out: Output { out, at: 0 },
            target,
            text_end: TEXT_OFFSET,
            frames_at: None,
            symbols: Symbols::new(target),
            lines: Lines::new(target),
            frames: Frames::new(target),
            id,
        }
    }

    /// The same; unwinding information stands at this offset, or behind the code if that ends later. It does even if no
    /// function has any: libunwind goes by frame pointers where a table does not know an address, and gives up where
    /// there is no table.
    #[must_use]
    pub fn with_frames_at(mut self, offset: u64) -> Self {
        self.frames_at = Some(offset);
        self
    }

    /// Writes a function. Functions come in the order of their offsets.
    ///
    /// # Errors
    /// Where its place is taken or beyond what the format can say, or the file cannot be written.
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
    /// Where they have no room in what the format can say, or the file cannot be written.
    pub fn finish(self) -> Result<Written, ImageError> {
        let Self { mut out, target, text_end, frames_at, symbols, lines, frames, mut id } = self;
        let text = TEXT_OFFSET..text_end;
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
        let build_id = BuildId::from(<[u8; BuildId::MAX]>::from(id.finalize()));
        let segment_end = parts.segment_end();
        parts.write(&mut out, build_id)?;
        Ok(Written { build_id, segment_end, without_unwinding, lines_left_out })
    }
}

/// A file that is written from its start to its end, with holes, and its head last.
#[derive(Debug)]
struct Output<W> {
    out: W,
    /// How far it is written, in bytes from its start.
    at: u64,
}

impl<W: Write + Seek> Output<W> {
    /// Writes bytes behind what is written. Zeros in place of code that nobody kept are a hole; it is no matter where
    /// they end, since something follows in every image.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        const ZEROS: [u8; 64] = [0; 64];
        let are_zeros = || bytes.chunks(ZEROS.len()).all(|part| ZEROS.starts_with(part));
        if bytes.is_empty() || (bytes.len() as u64 >= HOLE_FROM && are_zeros()) {
            return Ok(());
        }
        if offset.saturating_sub(self.at) >= HOLE_FROM {
            self.out.seek(SeekFrom::Start(offset))?;
            self.at = offset;
        }
        while self.at < offset {
            let gap = usize::try_from(offset - self.at).unwrap_or(ZEROS.len()).min(ZEROS.len());
            self.out.write_all(ZEROS.get(..gap).unwrap_or_default())?;
            self.at += gap as u64;
        }
        self.out.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Writes the head, for which there is room.
    fn write_head(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(bytes)?;
        self.out.flush()
    }
}
