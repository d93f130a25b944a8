//! Tools: they see the records as they pass, and may inject others in front of them.

use perf_format::{Batch, Endian, Misc, RawRecord, Record};

use crate::change::MapChanges;
use crate::error::Error;
use crate::record_set::RecordSet;
use crate::session::Session;

/// A record that passes, after the session has taken it in.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Event<'e> {
    /// The record.
    pub record: &'e RawRecord<'e>,
    /// The changes of address spaces that it made.
    pub changes: &'e MapChanges,
}

/// A tool's decision about a record that it has seen. All but [`Verdict::Repipe`] are for the types of [`Tool::cuts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The record is repiped as it is, behind the records that the tool injects.
    Repipe,
    /// The record is repiped as it is, in front of the records that the tool injects.
    RepipeFirst,
    /// The record is dropped; the records that the tool injects take its place.
    Drop,
}

/// The records that a tool injects: in front of the record that it sees, or behind it with [`Verdict::RepipeFirst`].
#[derive(Debug)]
pub struct Injection<'i> {
    endian: Endian,
    bytes: &'i mut Vec<u8>,
}

impl<'i> Injection<'i> {
    /// An injection that appends records to `bytes`, in the given byte order: for drivers of tools.
    pub fn new(endian: Endian, bytes: &'i mut Vec<u8>) -> Self {
        Self { endian, bytes }
    }

    /// Injects a record without a `sample_id`, in the byte order of the stream: one of perf's own types (BUILD_ID).
    ///
    /// # Errors
    /// Where the record would not fit in a record's 65535 bytes.
    pub fn inject(&mut self, misc: Misc, record: &Record<'_>) -> Result<(), Error> {
        self.inject_with_sample_id(misc, record, &[])
    }

    /// Injects a record that ends with a `sample_id`, as those of the kernel do (COMM, MMAP2):
    /// [`SessionRecord::sample_id`](crate::SessionRecord::sample_id) has the bytes of the record that the tool sees.
    /// Readers find the time and the event of such a record in it, and misread one that lacks it.
    ///
    /// # Errors
    /// Where the record would not fit in a record's 65535 bytes.
    pub fn inject_with_sample_id(
        &mut self,
        misc: Misc,
        record: &Record<'_>,
        trailer: &[u8],
    ) -> Result<(), Error> {
        Ok(record.encode(misc, trailer, self.endian, self.bytes)?)
    }

    /// Injects the bytes of one or several whole records that are encoded already, in the byte order of the stream.
    pub fn inject_encoded(&mut self, records: &[u8]) {
        self.bytes.extend_from_slice(records);
    }

    /// The same where the bytes are still to be written: `write` appends whole records to what it is given, and leaves what is
    /// there.
    pub fn inject_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(self.bytes);
    }

    /// The byte order of the stream.
    #[must_use]
    pub fn endian(&self) -> Endian {
        self.endian
    }

    /// The bytes injected so far for this record.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes
    }
}

/// A tool, which sees records as they pass.
///
/// Records are pushed to tools: records of types that no tool wants are never parsed, and whole runs of them are passed
/// on with one write.
pub trait Tool {
    /// The types it wants to see. The session takes a record in before any tool sees it.
    fn wants(&self) -> RecordSet;

    /// The types at whose records it may cut the stream: give another verdict than [`Verdict::Repipe`]. Inside a compressed
    /// record nothing can be dropped, and nothing put behind anything. So where a tool cuts at any type but those of
    /// compressed records themselves, the pipeline replaces all of these by the records inside them: from the first
    /// one on, since they are one stream.
    fn cuts(&self) -> RecordSet {
        RecordSet::EMPTY
    }

    /// Sees a record of a type that it wants. Another verdict than [`Verdict::Repipe`] on a type that is not among those of
    /// [`Tool::cuts`] ends the run with [`Error::Uncut`].
    ///
    /// # Errors
    /// An error that ends the whole run; a record that is merely odd is noted in [`Session::anomalies`] instead.
    fn event(
        &mut self,
        event: &Event<'_>,
        session: &mut Session,
        inject: &mut Injection<'_>,
    ) -> Result<Verdict, Error>;

    /// Skips samples at the front of a batch that the tool injects nothing for, and returns how many; they pass as they
    /// are. It is called only where no other tool wants to see samples.
    fn skip_samples(&mut self, batch: &mut Batch<'_>, session: &Session) -> u64 {
        let _ = (batch, session);
        0
    }

    /// Called at the end of the stream; records that are injected here stand there.
    ///
    /// # Errors
    /// An error that ends the whole run.
    fn finish(&mut self, session: &mut Session, inject: &mut Injection<'_>) -> Result<(), Error> {
        let _ = (session, inject);
        Ok(())
    }
}
