//! jitdump: the file in which a JIT compiler describes the functions that it made, so that they can be named after
//! their pages are gone.
//!
//! A dump is scanned once, for names and addresses; the large parts (code, lines, unwinding tables) are returned as an
//! [`Extent`] each, and can be read later, for the few functions that need them. The dump may still grow.
//!
//! ```
//! use perf_format::jitdump::{JitDump, Kind};
//!
//! # use perf_format::testing::{At, JitDumpBuilder};
//! # let dump = JitDumpBuilder::new(perf_format::Endian::Big).load(At::new(7, 1), 0x1000, 0, b"f", b"\x90\xc3").bytes();
//! # let file = std::io::Cursor::new(dump);
//! let mut dump = JitDump::open(file)?;
//! let mut hit = Vec::new();
//! while let Some(record) = dump.next_record()? {
//!     if let Kind::Load(load) = record.kind {
//!         if load.contains(0x1001) {
//!             hit.push((load.name.to_owned(), load.code));
//!         }
//!     }
//! }
//! for (name, code) in hit {
//!     println!("{name}: {:x?}", dump.bytes(code)?);
//! }
//! # Ok::<(), perf_format::Error>(())
//! ```

use std::io::{Read, Seek};

use crate::Error;
use crate::codec::{Decoder, Fixed as _};
use crate::limits::JIT_RECORD_AT_MOST;
use crate::misc::Misc;

mod header;
mod lines;
mod parse;
mod record;
mod window;

pub use header::{Header, HeaderWords, MAGIC};
pub use lines::Line;
use parse::WholeRecord;
pub use record::{
    DebugInfo, DebugInfoWords, Extent, Id, JitRecord, Kind, Load, LoadWords, Move, Prefix, Unwinding,
    UnwindingWords,
};
use window::Window;

/// The most bytes that a record is believed to have.
pub const RECORD_AT_MOST: u32 = JIT_RECORD_AT_MOST;

/// Reads a dump, a record at a time, from a source that may be growing: a file, `&File`, or a
/// [`Cursor`](std::io::Cursor).
///
/// It holds a window of 64 KiB on the source, and a larger one, never larger than a record, while a name is. The
/// source may be used in between: every read begins with a seek.
#[derive(Debug)]
pub struct JitDump<S> {
    window: Window<S>,
    header: Header,
    /// Where the next record starts.
    next: u64,
}

impl<S: Read + Seek> JitDump<S> {
    /// Reads the header. Where a dump is opened while it is begun, lend the source (`&File`), to try again.
    ///
    /// # Errors
    /// [`Error::HeaderTruncated`] where the header is not whole, or not yet; [`Error::NotJitDump`],
    /// [`Error::Structure`] with what is wrong in the header; [`Error::Io`].
    pub fn open(source: S) -> Result<Self, Error> {
        let mut window = Window::new(source);
        let header = Header::parse(window.there(0, HeaderWords::SIZE)?)?;
        Ok(Self { window, header, next: header.size.into() })
    }

    /// The dump's header.
    #[must_use]
    pub fn header(&self) -> Header {
        self.header
    }

    /// Where in the dump the next record starts, in bytes from its start.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.next
    }

    /// The next record; `None` while it is not whole. Where the dump has grown since, the next call returns more.
    ///
    /// # Errors
    /// [`Error::Structure`] with the offset of a record whose content does not fit its id; the next call returns the
    /// record behind it. The other errors are final, and each further call returns them again:
    /// [`Error::JitRecordSize`], behind which nothing can be found, and [`Error::Io`].
    pub fn next_record(&mut self) -> Result<Option<JitRecord<'_>>, Error> {
        let (offset, endian) = (self.next, self.header.endian);
        let Some(head) = self.window.get(offset, Prefix::SIZE)? else { return Ok(None) };
        let Ok(prefix) = Decoder::new(head, 0, endian, Misc::default()).get::<Prefix>() else {
            return Ok(None);
        };
        let Some(size) = prefix.believed() else {
            return Err(Error::JitRecordSize { offset, id: prefix.id.0, size: prefix.total_size });
        };
        let end = offset.saturating_add(prefix.total_size.into());
        if !self.window.reaches(end)? {
            return Ok(None);
        }
        let record = WholeRecord { offset, size, prefix, endian }.read(&mut self.window);
        // It is passed over whether it can be read or not; but not where the source failed, or lost it again.
        if matches!(record, Ok(Some(_)) | Err(Error::Structure { .. })) {
            self.next = end;
        }
        record
    }

    /// The bytes of a record that is not whole, at the present end: where it starts, how many bytes there are, and how many
    /// it has, if that much is there. `None` where the dump ends with a record.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn cut(&mut self) -> Result<Option<(u64, u64, Option<u32>)>, Error> {
        let (offset, endian) = (self.next, self.header.endian);
        let Some(there) = self.window.len()?.checked_sub(offset).filter(|there| *there > 0) else {
            return Ok(None);
        };
        let head = self.window.get(offset, Prefix::SIZE)?;
        let prefix = head.map(|head| Decoder::new(head, 0, endian, Misc::default()).get::<Prefix>());
        Ok(Some((offset, there, prefix.and_then(Result::ok).map(|prefix| prefix.total_size))))
    }

    /// Reads an extent that a record refers to: a function's code, its lines, its unwinding tables.
    ///
    /// # Errors
    /// [`Error::Truncated`] where the dump ends before it does; [`Error::Io`].
    pub fn bytes(&mut self, extent: Extent) -> Result<Vec<u8>, Error> {
        self.window.read(extent)
    }

    /// The source.
    pub fn into_inner(self) -> S {
        self.window.into_inner()
    }
}
