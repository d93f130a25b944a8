//! The lines of a function, as a CODE_DEBUG_INFO record has them.

use bstr::{BStr, ByteSlice as _};

use super::record::DebugInfo;
use crate::Error;
use crate::codec::{Decoder, FieldError, Problem};
use crate::misc::Misc;

/// The fewest bytes of an entry: three numbers, and the NUL behind an empty name.
pub(super) const ENTRY_AT_LEAST: usize = 8 + 4 + 4 + 1;

/// The name that stands for that of the entry before.
const SAME_FILE: &[u8] = b"\xff";

/// An entry of the table of lines: from `addr` on, the code is of this line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Address of the first byte.
    pub addr: u64,
    /// The line, from 1 on.
    pub line: u32,
    /// Distinguishes several pieces of code on that line.
    pub discriminator: u32,
    /// The source file.
    pub file: &'a BStr,
}

impl DebugInfo {
    /// The lines out of the bytes of [`entries`](Self::entries), in their order. A name that stands for that of the
    /// entry before is that name.
    ///
    /// # Errors
    /// [`Error::Structure`] with the offset of the entry that cannot be read.
    pub fn lines<'b>(&self, bytes: &'b [u8]) -> Result<Vec<Line<'b>>, Error> {
        let mut d = Decoder::new(bytes, 0, self.endian, Misc::default());
        // Each takes seventeen bytes at least, so that a false count ends soon.
        let mut lines = Vec::new();
        let mut file_before = None;
        for _ in 0..self.nr_entry {
            let into = bytes.len() - d.rest().len();
            let line = line(&mut d, file_before).map_err(|error| {
                Error::structure("jitdump line entry", self.entries.offset.saturating_add(into as u64), error)
            })?;
            file_before = Some(line.file);
            lines.push(line);
        }
        Ok(lines)
    }
}

fn line<'b>(d: &mut Decoder<'b>, file_before: Option<&'b BStr>) -> Result<Line<'b>, FieldError> {
    let (addr, line, discriminator) = (d.field("addr")?, d.field("lineno")?, d.field("discrim")?);
    let wrong = |problem| FieldError { field: "name", problem };
    let len = d.rest().find_byte(0).ok_or(wrong(Problem::NoNul))?;
    let name = d.take(len).map_err(wrong)?;
    d.take(1).map_err(wrong)?;
    let file =
        if name == SAME_FILE { file_before.ok_or(wrong(Problem::Unexpected))? } else { name.as_bstr() };
    Ok(Line { addr, line, discriminator, file })
}
