//! The pipeline: reads batches, shows records to the session and the tools, and repipes them in the order in which they
//! came. The one place where the order of the output is decided.

use std::io::Read;

use perf_format::{Batch, Inflater, RawRecord, RecordReader, RecordType};

use crate::dispatch::{Dispatch, Injected, is_compressed};
use crate::error::Error;
use crate::limits::FORMATS_AT_MOST;
use crate::session::Session;
use crate::sink::{Passed, Repipe, Sink};
use crate::tool::{Tool, Verdict};

/// Passes a stream through tools: reads its records in batches, shows them to the session and the tools in the order of the
/// stream, and repipes them.
pub struct Pipeline<'t, 'u> {
    dispatch: Dispatch<'t, 'u>,
    /// Made when the first compressed record comes: it is large.
    inflater: Option<Inflater>,
    decompress: bool,
    injected: Injected,
}

/// Bytes of inflated records that are written at once.
const PLAIN_AT_ONCE: usize = 1 << 20;

impl std::fmt::Debug for Pipeline<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline").field("decompress", &self.decompress).finish_non_exhaustive()
    }
}

impl<'t, 'u> Pipeline<'t, 'u> {
    /// A pipeline with these tools, in the order in which they see a record. Without any it looks at nothing.
    pub fn new(tools: &'t mut [&'u mut dyn Tool]) -> Self {
        let dispatch = Dispatch::new(tools);
        Self { decompress: dispatch.cuts_inside(), dispatch, inflater: None, injected: Injected::default() }
    }

    /// Sets whether the stream is decompressed: with `decompress`, compressed records are replaced by the records inside
    /// them. They are in any case where a tool [cuts](Tool::cuts) the stream at records that stand inside them.
    #[must_use]
    pub fn decompress(mut self, decompress: bool) -> Self {
        self.decompress |= decompress;
        self
    }

    /// Reads records to their end, shows them to the session and the tools, and repipes them. Types that no tool
    /// wants, and where there are no tools all types, pass without being looked into. `passed` counts as it goes,
    /// so that it is right where the run ends with an error, too; all that came whole before the error has then
    /// been written.
    ///
    /// # Errors
    /// [`Error::Format`] where the input cannot be read on, [`Error::Write`] where the output cannot be written,
    /// [`Error::Uncut`], and the error with which a tool ends the run.
    pub fn run<R: Read>(
        mut self,
        records: &mut RecordReader<R>,
        session: &mut Session,
        repipe: Repipe<'_>,
        passed: &mut Passed,
    ) -> Result<(), Error> {
        let mut sink = Sink::new(repipe, passed);
        if let Some(header) = records.header() {
            sink.pass(0, &header)?;
        }
        while let Some(batch) = records.next_batch()? {
            self.batch(batch, session, &mut sink)?;
            let mut offset = records.offset();
            let keep = session.keep_formats && records.payload_type() == RecordType::TRACING_DATA;
            let mut formats = Vec::new();
            while let Some(payload) = records.next_payload()? {
                sink.passed.read += payload.len() as u64;
                sink.pass(offset, payload)?;
                offset += payload.len() as u64;
                if keep && formats.len() <= FORMATS_AT_MOST {
                    formats.extend_from_slice(payload);
                }
            }
            if !formats.is_empty() {
                session.load_tracing_data(&formats);
            }
        }
        self.dispatch.finish(session, records.endian(), &mut self.injected.before)?;
        sink.inject(&mut self.injected.before)
    }

    /// One batch: a run of records is written at once, up to where something is injected or dropped.
    fn batch(
        &mut self,
        mut batch: Batch<'_>,
        session: &mut Session,
        sink: &mut Sink<'_, '_>,
    ) -> Result<(), Error> {
        let mut run = batch.offset();
        loop {
            if let Some(tool) = self.dispatch.for_samples() {
                let before = batch.position();
                let samples = tool.skip_samples(&mut batch, session);
                sink.passed.records += samples;
                sink.passed.samples += samples;
                sink.passed.read += batch.position() - before;
            }
            let Some(record) = batch.next() else { break };
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    sink.pass(run, batch.bytes(run, batch.position()))?;
                    return Err(error.into());
                }
            };
            let record_type = record.record_type();
            sink.passed.records += 1;
            sink.passed.samples += u64::from(record_type == RecordType::SAMPLE);
            sink.passed.read += record.bytes.len() as u64;
            if self.decompress && is_compressed(record_type) {
                sink.pass(run, batch.bytes(run, record.offset))?;
                self.repipe_inside(&record, session, sink)?;
                run = batch.position();
                continue;
            }
            if !self.dispatch.wants(record_type) {
                continue;
            }
            let shown = match is_compressed(record_type) {
                false => self.dispatch.show(&record, session, &mut self.injected),
                true => self.show_inside(&record, session),
            };
            let verdict = match shown {
                Ok(verdict) => verdict,
                Err(error) => {
                    sink.pass(run, batch.bytes(run, record.offset))?;
                    return Err(error);
                }
            };
            if verdict == Verdict::Repipe && self.injected.is_empty() {
                continue;
            }
            sink.pass(run, batch.bytes(run, record.offset))?;
            sink.inject(&mut self.injected.before)?;
            run = if verdict == Verdict::Drop { batch.position() } else { record.offset };
            if !self.injected.behind.is_empty() {
                sink.pass(run, batch.bytes(run, batch.position()))?;
                sink.inject(&mut self.injected.behind)?;
                run = batch.position();
            }
        }
        sink.pass(run, batch.bytes(run, batch.position()))
    }

    /// Shows the records inside a compressed one in its place. It stays whole: what is injected for them stands in front
    /// of all of them. Then the tools that want to see compressed records see it.
    fn show_inside(&mut self, record: &RawRecord<'_>, session: &mut Session) -> Result<Verdict, Error> {
        let Self { dispatch, inflater, injected, .. } = self;
        let inside = inflater.get_or_insert_default().inflate(record, |inner| {
            if dispatch.wants(inner.record_type()) && !is_compressed(inner.record_type()) {
                dispatch.show(&inner, session, injected)?;
                injected.before.append(&mut injected.behind);
            }
            Ok(())
        });
        match inside {
            // A compressed record that does not inflate is an anomaly, and passes as it is.
            Err(Error::Format(error @ perf_format::Error::Inflate { .. })) => {
                session.anomalies.malformed(record, &error);
            }
            other => other?,
        }
        dispatch.show(record, session, injected)
    }

    /// Writes the records inside a compressed one in its place, and what is injected round each.
    fn repipe_inside(
        &mut self,
        record: &RawRecord<'_>,
        session: &mut Session,
        sink: &mut Sink<'_, '_>,
    ) -> Result<(), Error> {
        let Self { dispatch, inflater, injected, .. } = self;
        let mut plain = Vec::new();
        let inside = inflater.get_or_insert_default().inflate(record, |inner| {
            let is_wanted = dispatch.wants(inner.record_type()) && !is_compressed(inner.record_type());
            let verdict = if is_wanted { dispatch.show(&inner, session, injected)? } else { Verdict::Repipe };
            if !injected.before.is_empty() || plain.len() > PLAIN_AT_ONCE {
                sink.put(&plain)?;
                plain.clear();
                sink.inject(&mut injected.before)?;
            }
            if verdict != Verdict::Drop {
                plain.extend_from_slice(inner.bytes);
            }
            if !injected.behind.is_empty() {
                sink.put(&plain)?;
                plain.clear();
                sink.inject(&mut injected.behind)?;
            }
            Ok::<_, Error>(())
        });
        sink.put(&plain)?;
        inside
    }
}
