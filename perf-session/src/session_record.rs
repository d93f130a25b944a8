//! A record with the session that has taken it in: what a reader of recordings asks of a record.

use perf_format::record::{Comm, Task};
use perf_format::sample::Tid;
use perf_format::{RawRecord, RecordType, Sample};

use crate::error::Error;
use crate::evlist::Evsel;
use crate::session::Session;

/// A record, after the session has taken it in.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct SessionRecord<'r> {
    /// The record.
    pub record: RawRecord<'r>,
    /// What the records up to this one add up to.
    pub session: &'r Session,
}

impl<'r> SessionRecord<'r> {
    /// The type of the record.
    #[must_use]
    pub fn record_type(&self) -> RecordType {
        self.record.record_type()
    }

    /// The time of the record, in ns of the recording's clock; `None` for one that is not the kernel's, and where its event
    /// has no times.
    #[must_use]
    pub fn time(&self) -> Option<u64> {
        if !self.record.record_type().is_kernel() {
            return None;
        }
        self.session.evlist.time(&self.record)
    }

    /// The event of the record, or one that lays it out alike. `None` where no event is known for it, and for records that
    /// are not the kernel's.
    #[must_use]
    pub fn evsel(&self) -> Option<&'r Evsel> {
        if !self.record.record_type().is_kernel() {
            return None;
        }
        self.session.evlist.evsel(&self.record)
    }

    /// The fields of a sample; `None` for a record that is none, or of no known event.
    ///
    /// # Errors
    /// [`Error::Format`] where the record does not have the fields that its event's attr says.
    pub fn sample(&self) -> Result<Option<Sample<'r>>, Error> {
        let Some(evsel) = self.evsel().filter(|_| self.record_type() == RecordType::SAMPLE) else {
            return Ok(None);
        };
        Ok(Some(Sample::parse(&evsel.format, &self.record)?))
    }

    /// The process of the record, as the kernel noted it with the record; without such a note, the one that it is about
    /// (COMM, FORK, EXIT, MMAP, MMAP2).
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.task().map(|task| task.pid.cast_signed())
    }

    /// The thread of the record, in the same way.
    #[must_use]
    pub fn tid(&self) -> Option<i32> {
        self.task().map(|task| task.tid.cast_signed())
    }

    fn task(&self) -> Option<Tid> {
        let format = self.evsel().map(|evsel| &evsel.format);
        let record = &self.record;
        if record.record_type() == RecordType::SAMPLE {
            return format?.tid(record);
        }
        if let Some(tid) = format.and_then(|format| format.trailer_tid(record)) {
            return Some(tid);
        }
        match record.record_type() {
            RecordType::COMM | RecordType::MMAP | RecordType::MMAP2 => {
                // All three begin with both.
                let Comm { pid, tid, .. } = record.parse_as().ok()?;
                Some(Tid { pid, tid })
            }
            RecordType::FORK | RecordType::EXIT => {
                let Task { pid, tid, .. } = record.parse_as().ok()?;
                Some(Tid { pid, tid })
            }
            _ => None,
        }
    }
}
