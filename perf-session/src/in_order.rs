//! Records in the order of time, which perf calls ordered events, for tools that repipe nothing. A record waits until a
//! round is over in which only later ones can still come.

use std::io::Read;

use perf_format::{Endian, Inflater, RawRecord, RecordReader, RecordType};

use crate::dispatch::{Dispatch, Injected, is_compressed};
use crate::error::Error;
use crate::limits::WAITING_AT_MOST;
use crate::session::Session;
use crate::sink::Passed;
use crate::tool::Tool;

/// Shows records to tools in the order of time.
pub struct InOrder<'t, 'u> {
    dispatch: Dispatch<'t, 'u>,
    /// The records that tools inject; they are dropped.
    injected: Injected,
    /// Whether FINISHED_ROUND holds for all readers: there is only one.
    by_rounds: bool,
    /// The first piece that did not inflate.
    missing: Option<perf_format::Error>,
    waiting: Waiting,
}

impl std::fmt::Debug for InOrder<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InOrder").field("waiting", &self.waiting.entries.len()).finish_non_exhaustive()
    }
}

/// Records that wait: their bytes as they came, and what they are sorted by.
#[derive(Debug, Default)]
struct Waiting {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
    /// The memory of records that were shown, for later ones: fresh memory costs as much as all the copying.
    spare: Due,
    /// The latest time of all that has come.
    newest: u64,
    /// The value of `newest` when the last round ended: after the next one, no earlier record can come.
    settled: u64,
}

/// Records that can be shown now, and the buffer in which they stand.
#[derive(Debug, Default)]
struct Due {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
}

/// A record that waits.
#[derive(Debug, Clone, Copy)]
struct Entry {
    time: u64,
    /// Where it stands in the input.
    offset: u64,
    /// Where it stands in the buffer.
    at: usize,
    /// How many bytes it has there.
    len: u16,
}

impl<'t, 'u> InOrder<'t, 'u> {
    /// A driver of these tools, in the order in which they see a record.
    pub fn new(tools: &'t mut [&'u mut dyn Tool]) -> Self {
        Self {
            dispatch: Dispatch::new(tools),
            injected: Injected::default(),
            by_rounds: true,
            missing: None,
            waiting: Waiting::default(),
        }
    }

    /// Reads records to their end, and shows them to the session and the tools in the order of time. Several
    /// readers are those of a directory, whose files were written side by side.
    ///
    /// # Errors
    /// [`Error::Format`] where a reader cannot read on; all that was read has then been shown. The error with which a
    /// tool ends the run.
    pub fn run<R: Read>(
        mut self,
        readers: &mut [RecordReader<R>],
        session: &mut Session,
        passed: &mut Passed,
    ) -> Result<(), Error> {
        let endian = readers.first().map_or(Endian::NATIVE, RecordReader::endian);
        self.by_rounds = readers.len() == 1;
        let read = match readers {
            [only] => self.read_to_the_end(only, session, passed),
            several => self.read_side_by_side(several, session, passed),
        };
        self.release(u64::MAX, endian, session)?;
        self.dispatch.finish(session, endian, &mut self.injected.before)?;
        read.and(self.missing.map_or(Ok(()), |error| Err(error.into())))
    }

    fn read_to_the_end<R: Read>(
        &mut self,
        reader: &mut RecordReader<R>,
        session: &mut Session,
        passed: &mut Passed,
    ) -> Result<(), Error> {
        let mut inflater = None;
        while self.read_batch(reader, &mut inflater, session, passed)? {}
        Ok(())
    }

    /// Reads on in whichever file has come least far in time, so that all wait for as little as can be.
    fn read_side_by_side<R: Read>(
        &mut self,
        readers: &mut [RecordReader<R>],
        session: &mut Session,
        passed: &mut Passed,
    ) -> Result<(), Error> {
        // Each file is compressed by itself.
        let mut files: Vec<_> = readers.iter_mut().map(|reader| (0, 0, reader, None)).collect();
        let mut first_error = Ok(());
        while let Some(index) = (0..files.len()).min_by_key(|index| files.get(*index).map(|file| file.0)) {
            let Some((newest, settled, reader, inflater)) = files.get_mut(index) else { break };
            let newest_of_all = std::mem::take(&mut self.waiting.newest);
            let endian = reader.endian();
            let read = self.read_batch(reader, inflater, session, passed);
            *settled = *newest;
            *newest = self.waiting.newest.max(*newest);
            self.waiting.newest = newest_of_all.max(*newest);
            if !matches!(read, Ok(true)) {
                files.swap_remove(index);
                first_error = first_error.and(read.map(|_| ()));
            }
            // Within a file records are out of order by less than what is read at a time.
            let settled = files.iter().map(|file| file.1).min();
            self.release(settled.unwrap_or(u64::MAX), endian, session)?;
        }
        first_error
    }

    /// Reads once; whether there may be more.
    fn read_batch<R: Read>(
        &mut self,
        reader: &mut RecordReader<R>,
        inflater: &mut Option<Inflater>,
        session: &mut Session,
        passed: &mut Passed,
    ) -> Result<bool, Error> {
        let Some(batch) = reader.next_batch()? else { return Ok(false) };
        for record in batch {
            let record = record?;
            let record_type = record.record_type();
            passed.records += 1;
            passed.samples += u64::from(record_type == RecordType::SAMPLE);
            passed.read += record.bytes.len() as u64;
            if !self.dispatch.wants(record_type) {
                continue;
            }
            if !is_compressed(record_type) {
                self.take(&record, session)?;
                continue;
            }
            let inflater = inflater.get_or_insert_default();
            let inside = inflater.inflate(&record, |inner| {
                let is_taken =
                    self.dispatch.wants(inner.record_type()) && !is_compressed(inner.record_type());
                if is_taken { self.take(&inner, session) } else { Ok(()) }
            });
            match inside {
                // What does not inflate is missing, so that the end is no good one.
                Err(Error::Format(error @ perf_format::Error::Inflate { .. })) => {
                    self.missing.get_or_insert(error);
                }
                other => other?,
            }
        }
        Ok(true)
    }

    /// Takes in a record that a tool wants to see.
    fn take(&mut self, record: &RawRecord<'_>, session: &mut Session) -> Result<(), Error> {
        let record_type = record.record_type();
        let time = if record_type.is_kernel() { session.evlist.time(record) } else { None };
        match time {
            // These times have no meaning: such a record waits for no other.
            None | Some(0 | u64::MAX) => self.show(record, session)?,
            Some(time) => {
                if self.waiting.bytes.len() + record.bytes.len() > WAITING_AT_MOST {
                    let middle = self.waiting.middle();
                    self.release(middle, record.endian, session)?;
                }
                self.waiting.push(record, time);
            }
        }
        if self.by_rounds && record_type == RecordType::FINISHED_ROUND {
            let settled = std::mem::replace(&mut self.waiting.settled, self.waiting.newest);
            self.release(settled, record.endian, session)?;
        }
        Ok(())
    }

    fn show(&mut self, record: &RawRecord<'_>, session: &mut Session) -> Result<(), Error> {
        self.dispatch.show(record, session, &mut self.injected)?;
        self.injected.before.clear();
        self.injected.behind.clear();
        Ok(())
    }

    /// Shows what has waited up to a time.
    fn release(&mut self, until: u64, endian: Endian, session: &mut Session) -> Result<(), Error> {
        let due = self.waiting.take_until(until);
        for Entry { offset, at, .. } in &due.entries {
            let bytes = due.bytes.get(*at..).unwrap_or_default();
            if let Some(record) = RawRecord::first(bytes, *offset, endian) {
                self.show(&record, session)?;
            }
        }
        self.waiting.spare = due;
        Ok(())
    }
}

impl Waiting {
    fn push(&mut self, record: &RawRecord<'_>, time: u64) {
        self.newest = self.newest.max(time);
        let len = record.header.size;
        self.entries.push(Entry { time, offset: record.offset, at: self.bytes.len(), len });
        self.bytes.extend_from_slice(record.bytes);
    }

    /// The time up to which half of the records came.
    fn middle(&mut self) -> u64 {
        self.entries.sort_by_key(|entry| entry.time);
        self.entries.get(self.entries.len() / 2).map_or(u64::MAX, |entry| entry.time)
    }

    /// Takes out the records up to a time, in its order; those of one time in the order in which they came. With them
    /// goes the buffer in which they stand: what stays moves into a new one.
    fn take_until(&mut self, until: u64) -> Due {
        // What was sorted before is one run, and each CPU's records are another: sorting is merging.
        self.entries.sort_by_key(|entry| entry.time);
        let count = self.entries.partition_point(|entry| entry.time <= until);
        let mut due = std::mem::take(&mut self.spare);
        due.entries.clear();
        due.bytes.clear();
        if count == 0 {
            return due;
        }
        std::mem::swap(&mut self.entries, &mut due.entries);
        std::mem::swap(&mut self.bytes, &mut due.bytes);
        for entry in due.entries.drain(count..) {
            let record = due.bytes.get(entry.at..).and_then(|record| record.get(..entry.len.into()));
            self.entries.push(Entry { at: self.bytes.len(), ..entry });
            self.bytes.extend_from_slice(record.unwrap_or_default());
        }
        due
    }
}
