//! The loop: reads batches, shows records to the session and the tools, and repipes. The one place where the
//! order of the output is decided.

use std::io::{self, Read, Write};

use perf_format::{Batch, RawRecord, RecordReader};

use crate::tool::{Injection, RecordSet, Tool, Verdict};
use crate::{Error, Session};

/// Whether what is read goes on, and where to. The `repipe` of the first perf inject, with its writer inside.
pub enum Repipe<'w> {
    /// It is only looked at.
    Off,
    /// It goes on, each read's bytes before the next read.
    To(&'w mut dyn Write),
}

impl std::fmt::Debug for Repipe<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Off => "Repipe::Off",
            Self::To(_) => "Repipe::To",
        })
    }
}

/// What has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Passed {
    /// Records read.
    pub records: u64,
    /// Bytes written, header and payloads included.
    pub written: u64,
    /// Of those, bytes of injected records.
    pub injected: u64,
}

/// The writer's end of the loop: counts what is written, and knows how much was when it fails.
struct Sink<'w, 'p> {
    repipe: Repipe<'w>,
    passed: &'p mut Passed,
}

impl Sink<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let Repipe::To(out) = &mut self.repipe else { return Ok(()) };
        if bytes.is_empty() {
            return Ok(());
        }
        let failed = |source: io::Error| Error::Write { written: self.passed.written, source };
        out.write_all(bytes).and_then(|()| out.flush()).map_err(failed)?;
        self.passed.written += bytes.len() as u64;
        Ok(())
    }

    fn inject(&mut self, bytes: &mut Vec<u8>) -> Result<(), Error> {
        self.write(bytes)?;
        if matches!(self.repipe, Repipe::To(_)) {
            self.passed.injected += bytes.len() as u64;
        }
        bytes.clear();
        Ok(())
    }
}

impl Session {
    /// Reads records to their end, shows them to the session and the tools, and repipes them. Types that no tool
    /// wants, and where there are no tools all types, pass without being looked into. `passed` counts as it goes,
    /// so that it is right where the run ends with an error, too; all that came whole before the error has then
    /// been written.
    ///
    /// # Errors
    /// [`Error::Format`] where the input cannot be read on, [`Error::Write`] where the output cannot be written,
    /// and what a tool ends the run with.
    pub fn process_events<R: Read>(
        &mut self,
        records: &mut RecordReader<R>,
        tools: &mut [&mut dyn Tool],
        repipe: Repipe<'_>,
        passed: &mut Passed,
    ) -> Result<(), Error> {
        let tools_want = tools.iter().fold(RecordSet::EMPTY, |set, tool| set.and(tool.wants()));
        let wanted = if tools.is_empty() { RecordSet::EMPTY } else { tools_want.and(Self::WANTS) };
        let endian = records.endian();
        let mut sink = Sink { repipe, passed };
        let mut injected = Vec::new();
        if let Some(header) = records.header() {
            sink.write(&header)?;
        }
        while let Some(batch) = records.next_batch()? {
            self.process_batch(batch, wanted, tools, &mut injected, &mut sink)?;
            while let Some(payload) = records.next_payload()? {
                sink.write(payload)?;
            }
        }
        let mut inject = Injection::new(endian, &mut injected);
        for tool in tools.iter_mut() {
            tool.finish(self, &mut inject)?;
        }
        sink.inject(&mut injected)
    }

    /// One batch: a run of records is written at once, up to where something is injected or dropped.
    fn process_batch(
        &mut self,
        mut batch: Batch<'_>,
        wanted: RecordSet,
        tools: &mut [&mut dyn Tool],
        injected: &mut Vec<u8>,
        sink: &mut Sink<'_, '_>,
    ) -> Result<(), Error> {
        let mut run = batch.offset();
        while let Some(record) = batch.next() {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    sink.write(batch.bytes(run, batch.position()))?;
                    return Err(error.into());
                }
            };
            sink.passed.records += 1;
            if !wanted.contains(record.record_type()) {
                continue;
            }
            let verdict = self.show(&record, tools, injected)?;
            if verdict == Verdict::Repipe && injected.is_empty() {
                continue;
            }
            sink.write(batch.bytes(run, record.offset))?;
            sink.inject(injected)?;
            run = match verdict {
                Verdict::Repipe => record.offset,
                Verdict::Drop => batch.position(),
            };
        }
        sink.write(batch.bytes(run, batch.position()))
    }

    /// The session takes the record in, then the tools that want it see it.
    fn show(
        &mut self,
        record: &RawRecord<'_>,
        tools: &mut [&mut dyn Tool],
        injected: &mut Vec<u8>,
    ) -> Result<Verdict, Error> {
        if let Err(error) = self.update(record) {
            self.odd.malformed(record, &error);
            return Ok(Verdict::Repipe);
        }
        let mut verdict = Verdict::Repipe;
        let mut inject = Injection::new(record.endian, injected);
        for tool in tools.iter_mut().filter(|tool| tool.wants().contains(record.record_type())) {
            if tool.event(record, self, &mut inject)? == Verdict::Drop {
                verdict = Verdict::Drop;
            }
        }
        Ok(verdict)
    }
}
