//! The sources that describe the functions of a process while they are made: jitdumps and perf maps, which are found,
//! and read on as they grow. Their functions go into the process's [`Timeline`]; the large parts of a function are read
//! when it is written to an image.

use std::fmt;
use std::io;
use std::path::Path;

use bstr::BString;
use perf_format::jitdump::Line;
use perf_format::{Endian, Error};

use super::timeline::{JitFunction, SourceId, Timeline};

mod clock;
pub(super) mod find;
pub(super) mod jitdump;
pub(super) mod opened;
pub(super) mod perf_map;

/// A file that describes functions of a process.
pub(super) trait FunctionSource: fmt::Debug + Send {
    /// Where it was found.
    fn path(&self) -> &Path;

    /// The machine that its code is for, as ELF files number it, if the file has it.
    fn machine(&self) -> Option<u16>;

    /// The byte order of that machine.
    fn endian(&self) -> Endian;

    /// Reads on to the present end of the file. The functions in the timeline are of the source with this id; `now` is up
    /// to when the recording was read, in ns.
    ///
    /// # Errors
    /// Where the file cannot be read. What was read before that counts.
    fn read_on(&mut self, id: SourceId, timeline: &mut Timeline, now: u64) -> io::Result<()>;

    /// Notes where the file ends inside a record, when nothing more will be read.
    fn note_cut(&mut self) {}

    /// Why not all of its functions have names, as far as that is known by now.
    fn damage(&self) -> Option<String>;

    /// Reads what an image needs of a function of this source.
    ///
    /// # Errors
    /// Where it cannot be read.
    fn body(&mut self, function: &JitFunction) -> Result<Body, Error>;
}

/// The large parts of a function, which an image needs.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) name: BString,
    pub(super) code: Vec<u8>,
    /// The table of lines, as its source has it.
    pub(super) lines: Vec<u8>,
    /// By how many bytes all lines are later than their code.
    pub(super) lines_late_by: u64,
    /// `.eh_frame`, then `.eh_frame_hdr`.
    pub(super) frames: Vec<u8>,
    /// Bytes of `.eh_frame_hdr`.
    pub(super) header_size: u64,
}

impl Body {
    /// Its lines. Those of a table that cannot be read are left out.
    pub(super) fn lines(&self, function: &JitFunction) -> Vec<Line<'_>> {
        let lines = function.lines.as_ref().and_then(|lines| lines.lines(&self.lines).ok());
        let mut lines = lines.unwrap_or_default();
        for line in &mut lines {
            line.addr = line.addr.saturating_sub(self.lines_late_by);
        }
        lines
    }
}
