//! Records in the order of time, for tools that repipe nothing and so need not hurry: what perf calls ordered
//! events. A record waits until a round is over in which only later ones can still come.

use std::collections::BTreeMap;
use std::io::Read;

use perf_format::{Endian, RawRecord, RecordReader, RecordType};

use crate::limits::WAITING_AT_MOST;
use crate::process_events::{Passed, Wanted, is_compressed};
use crate::tool::{Injection, Tool};
use crate::{Error, Session};

/// Records that wait, by their times; those of one time in the order in which they came.
#[derive(Debug, Default)]
struct Waiting {
    records: BTreeMap<(u64, u64), Owned>,
    bytes: usize,
    count: u64,
    /// The latest time of all that has come.
    newest: u64,
    /// What that was when the last round was over: nothing earlier can come any more after the next.
    settled: u64,
}

#[derive(Debug)]
struct Owned {
    bytes: Box<[u8]>,
    offset: u64,
}

impl Session {
    /// Reads records to their end, and shows them to the session and the tools in the order of time. Several
    /// readers are those of a directory, whose files were written side by side.
    ///
    /// # Errors
    /// [`Error::Format`] where a reader cannot read on; all that was read has then been shown. What a tool ends the
    /// run with.
    pub fn process_in_order<R: Read>(
        &mut self,
        readers: &mut [RecordReader<R>],
        tools: &mut [&mut dyn Tool],
        passed: &mut Passed,
    ) -> Result<(), Error> {
        let wanted = Wanted::by(tools);
        let endian = readers.first().map_or(Endian::NATIVE, RecordReader::endian);
        let by_rounds = readers.len() == 1;
        let waiting = Waiting::default();
        let mut run = Run {
            session: self,
            wanted,
            tools,
            endian,
            by_rounds,
            missing: None,
            injected: Vec::new(),
            waiting,
        };
        let read = match readers {
            [only] => run.read_to_the_end(only, passed),
            several => run.read_side_by_side(several, passed),
        };
        run.release(u64::MAX)?;
        let Run { session, tools, mut injected, missing, .. } = run;
        for tool in tools.iter_mut() {
            tool.finish(session, &mut Injection::new(endian, &mut injected))?;
        }
        read.and(missing.map_or(Ok(()), |error| Err(error.into())))
    }
}

/// One run over a recording. What tools inject is dropped.
struct Run<'s, 't, 'u> {
    session: &'s mut Session,
    wanted: Wanted,
    tools: &'t mut [&'u mut dyn Tool],
    endian: Endian,
    /// Whether a finished round speaks for all there is to read.
    by_rounds: bool,
    /// The first piece that did not inflate.
    missing: Option<perf_format::Error>,
    injected: Vec<u8>,
    waiting: Waiting,
}

impl Run<'_, '_, '_> {
    fn read_to_the_end<R: Read>(
        &mut self,
        reader: &mut RecordReader<R>,
        passed: &mut Passed,
    ) -> Result<(), Error> {
        while self.read_batch(reader, passed)? {}
        Ok(())
    }

    /// Reads on in whichever file has come least far in time, so that all wait for as little as can be.
    fn read_side_by_side<R: Read>(
        &mut self,
        readers: &mut [RecordReader<R>],
        passed: &mut Passed,
    ) -> Result<(), Error> {
        let mut files: Vec<_> = readers.iter_mut().map(|reader| (0, 0, reader, None)).collect();
        let mut first_error = Ok(());
        while let Some(index) = (0..files.len()).min_by_key(|index| files.get(*index).map(|file| file.0)) {
            let Some((newest, settled, reader, inflater)) = files.get_mut(index) else { break };
            let newest_of_all = std::mem::take(&mut self.waiting.newest);
            // Each file is compressed by itself.
            std::mem::swap(&mut self.session.inflater, inflater);
            let read = self.read_batch(reader, passed);
            std::mem::swap(&mut self.session.inflater, inflater);
            *settled = *newest;
            *newest = self.waiting.newest.max(*newest);
            self.waiting.newest = newest_of_all.max(*newest);
            if !matches!(read, Ok(true)) {
                files.swap_remove(index);
                first_error = first_error.and(read.map(|_| ()));
            }
            // Within a file records are out of order by less than what is read at a time.
            let settled = files.iter().map(|file| file.1).min();
            self.release(settled.unwrap_or(u64::MAX))?;
        }
        first_error
    }

    /// Reads once; whether there may be more.
    fn read_batch<R: Read>(
        &mut self,
        reader: &mut RecordReader<R>,
        passed: &mut Passed,
    ) -> Result<bool, Error> {
        let Some(batch) = reader.next_batch()? else { return Ok(false) };
        for record in batch {
            let record = record?;
            passed.records += 1;
            passed.samples += u64::from(record.record_type() == RecordType::SAMPLE);
            passed.read += record.bytes.len() as u64;
            self.take(&record)?;
        }
        Ok(true)
    }

    fn take(&mut self, record: &RawRecord<'_>) -> Result<(), Error> {
        if !self.wanted.contains(record.record_type()) {
            return Ok(());
        }
        if is_compressed(record.record_type()) {
            return self.take_inside(record);
        }
        let time = if record.record_type().is_kernel() { self.session.evlist.time(record) } else { None };
        match time {
            // A time that says nothing: such a record waits for no other.
            None | Some(0 | u64::MAX) => self.show(record)?,
            Some(time) => {
                self.waiting.push(record, time);
                if self.waiting.bytes > WAITING_AT_MOST {
                    let half = self.waiting.records.len() / 2;
                    let middle = self.waiting.records.keys().nth(half).map_or(0, |(time, _)| *time);
                    self.release(middle)?;
                }
            }
        }
        if self.by_rounds && record.record_type() == RecordType::FINISHED_ROUND {
            let settled = std::mem::replace(&mut self.waiting.settled, self.waiting.newest);
            self.release(settled)?;
        }
        Ok(())
    }

    /// Takes what is inside a compressed record. What does not inflate is missing, so that the end is no good one.
    fn take_inside(&mut self, record: &RawRecord<'_>) -> Result<(), Error> {
        let mut inflater = std::mem::take(&mut self.session.inflater).unwrap_or_default();
        let inside = inflater.inflate(record, |inner| {
            if is_compressed(inner.record_type()) { Ok(()) } else { self.take(&inner) }
        });
        self.session.inflater = Some(inflater);
        match inside {
            Err(Error::Format(error @ perf_format::Error::Inflate { .. })) => {
                self.missing.get_or_insert(error);
                Ok(())
            }
            other => other,
        }
    }

    fn show(&mut self, record: &RawRecord<'_>) -> Result<(), Error> {
        self.session.show(record, &self.wanted, self.tools, &mut self.injected)?;
        self.injected.clear();
        Ok(())
    }

    /// Shows what has waited up to a time.
    fn release(&mut self, until: u64) -> Result<(), Error> {
        while let Some(entry) = self.waiting.records.first_entry() {
            if entry.key().0 > until {
                break;
            }
            let Owned { bytes, offset } = entry.remove();
            self.waiting.bytes -= bytes.len();
            if let Some(record) = RawRecord::first(&bytes, offset, self.endian) {
                self.show(&record)?;
            }
        }
        Ok(())
    }
}

impl Waiting {
    fn push(&mut self, record: &RawRecord<'_>, time: u64) {
        self.newest = self.newest.max(time);
        self.count += 1;
        self.bytes += record.bytes.len();
        self.records.insert((time, self.count), Owned { bytes: record.bytes.into(), offset: record.offset });
    }
}
