//! A record with the session that has taken it in: its time, thread, event, stack and fields.

use bstr::{BStr, ByteSlice as _};
use perf_format::record::{Comm, Task};
use perf_format::sample::{Raw, Tid};
use perf_format::{EventFormat, FieldValue, RawRecord, RecordType, Sample, SampleFormat, SampleId};

use crate::error::Error;
use crate::evlist::Evsel;
use crate::session::Session;
use crate::stack::StackFrames;

/// A record, after the session has taken it in.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct SessionRecord<'r> {
    /// The record.
    pub record: RawRecord<'r>,
    /// What the records up to this one add up to.
    pub session: &'r Session,
}

impl Session {
    /// A record that the session has taken in, with what the session knows of it: for [tools](crate::Tool), which get
    /// the two apart.
    #[must_use]
    pub fn record<'r>(&'r self, record: &RawRecord<'r>) -> SessionRecord<'r> {
        SessionRecord { record: *record, session: self }
    }
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

    /// The event of the record. `None` where no event is known for it, and for records that are not the kernel's. Where all
    /// events lay out their records alike, a record without the id of any of them counts as the first event's.
    #[must_use]
    pub fn evsel(&self) -> Option<&'r Evsel> {
        if !self.record.record_type().is_kernel() {
            return None;
        }
        self.session.evlist.event_of(&self.record)
    }

    /// How the record is laid out: what its event says, or another one that lays it out alike.
    fn format(&self) -> Option<&'r SampleFormat> {
        if !self.record.record_type().is_kernel() {
            return None;
        }
        self.session.evlist.evsel(&self.record).map(|evsel| &evsel.format)
    }

    /// The fields of a sample; `None` for a record that is none, or of no known event.
    ///
    /// # Errors
    /// [`Error::Format`] where the record does not have the fields that its event's attr says.
    pub fn sample(&self) -> Result<Option<Sample<'r>>, Error> {
        let Some(format) = self.format().filter(|_| self.is_sample()) else { return Ok(None) };
        Ok(Some(Sample::parse(format, &self.record)?))
    }

    /// Whether the record is a sample, of whatever event.
    #[must_use]
    pub fn is_sample(&self) -> bool {
        self.record_type() == RecordType::SAMPLE
    }

    /// The process that the record is about: the one that COMM, MMAP and MMAP2 name (-1 is the kernel's), the child of a
    /// FORK, the one that EXIT ends; of other records the one that ran, as the `sample_id` or the sample says.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.task().map(|task| task.pid.cast_signed())
    }

    /// The thread that the record is about, in the same way.
    #[must_use]
    pub fn tid(&self) -> Option<i32> {
        self.task().map(|task| task.tid.cast_signed())
    }

    /// The CPU on which the kernel made the record; `None` for one that is not the kernel's, and where its event has no
    /// CPUs (`perf record` notes them with `-a`, `-C` or `--sample-cpu`).
    #[must_use]
    pub fn cpu(&self) -> Option<u32> {
        let format = self.format()?;
        let cpu = if self.is_sample() {
            Sample::parse(format, &self.record).ok()?.cpu
        } else {
            SampleId::parse(format, &self.record).ok()?.cpu
        };
        cpu.map(|cpu| cpu.cpu)
    }

    /// The bytes of the `sample_id` at the end of the record: its thread, time, event and CPU, as far as the event's attr
    /// has them. Of a sample, those that another record of its moment would end with. A tool that replaces a record, or
    /// adds one of the same moment, gives them to
    /// [`Injection::inject_with_sample_id`](crate::Injection::inject_with_sample_id). Empty where the recording's records
    /// end with none.
    #[must_use]
    pub fn sample_id(&self) -> Vec<u8> {
        self.format().and_then(|format| format.sample_id(&self.record)).unwrap_or_default()
    }

    /// The name of the record's thread at its time ([`Session::comm`]); `None` where it is not known, which perf shows as
    /// `:TID`.
    #[must_use]
    pub fn comm(&self) -> Option<&'r BStr> {
        self.session.comm(self.tid()?, self.time())
    }

    /// The stack of a sample, innermost frame first ([`Session::resolve`]); other records have none.
    ///
    /// # Errors
    /// [`Error::Format`] where the call chain does not fit in the record.
    pub fn frames(&self) -> Result<StackFrames<'r>, Error> {
        Ok(self.session.resolve(&self.record)?)
    }

    /// The fields of a tracepoint's sample, by their names. `None` for other records, and where the recording does not say
    /// which fields the tracepoint has.
    ///
    /// # Errors
    /// [`Error::Format`] where the record does not have the fields that its event's attr says.
    pub fn fields(&self) -> Result<Option<TracepointFields<'r>>, Error> {
        let Some(format) = self.evsel().and_then(|evsel| evsel.tracepoint.as_ref()) else { return Ok(None) };
        let raw = self.sample()?.and_then(|sample| sample.raw);
        Ok(raw.map(|Raw(raw)| TracepointFields { format, raw }))
    }

    fn task(&self) -> Option<Tid> {
        let record = &self.record;
        match record.record_type() {
            RecordType::SAMPLE => self.format()?.tid(record),
            RecordType::COMM | RecordType::MMAP | RecordType::MMAP2 => {
                // All three begin with both.
                let Comm { pid, tid, .. } = record.parse_as().ok()?;
                Some(Tid { pid, tid })
            }
            RecordType::FORK | RecordType::EXIT => {
                let Task { pid, tid, .. } = record.parse_as().ok()?;
                Some(Tid { pid, tid })
            }
            _ => self.format()?.trailer_tid(record),
        }
    }
}

/// The fields of one sample of a tracepoint.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct TracepointFields<'r> {
    /// The tracepoint's fields, and where they stand in `raw`.
    pub format: &'r EventFormat,
    /// The sample's RAW data.
    pub raw: &'r [u8],
}

impl<'r> TracepointFields<'r> {
    /// The value of a field; `None` where the tracepoint has none of this name, or the sample is too short for it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<FieldValue<'r>> {
        self.format.value(self.raw, name)
    }

    /// The names and values of all fields that the sample holds, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&'r BStr, FieldValue<'r>)> + use<'r> {
        let raw = self.raw;
        let fields = self.format.fields.iter();
        fields.filter_map(move |field| Some((field.name.as_bstr(), field.value(raw)?)))
    }
}
