//! The loop: reads batches, shows records to the session and the tools, and repipes. The one place where the
//! order of the output is decided.

use std::io::{self, Read, Write};

use perf_format::{Batch, Inflater, RawRecord, RecordReader, RecordType};

use crate::tool::{Injection, RecordSet, Tool, Verdict};
use crate::{Error, Session};

/// Whether what is read goes on, and where to. The `repipe` of the first perf inject, with its writer inside.
pub enum Repipe<'w> {
    /// It is only looked at.
    Off,
    /// It goes on, each read's bytes before the next read.
    To(&'w mut dyn Write),
    /// It goes on in the same way, but the input's own bytes need not come out of memory.
    Through(&'w mut dyn Pass),
}

/// Writes what it can get without the loop's copy: the input's bytes, by where they stand in it.
pub trait Pass {
    /// Passes bytes of the input on, of which the first stands at `offset`; tells how many. Those before them that
    /// were not passed on never will be.
    ///
    /// # Errors
    /// Where they cannot be written.
    fn pass(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize>;

    /// Writes bytes that are not of the input; tells how many.
    ///
    /// # Errors
    /// Where they cannot be written.
    fn put(&mut self, bytes: &[u8]) -> io::Result<usize>;
}

impl std::fmt::Debug for Repipe<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Off => "Repipe::Off",
            Self::To(_) => "Repipe::To",
            Self::Through(_) => "Repipe::Through",
        })
    }
}

/// What has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Passed {
    /// Records read.
    pub records: u64,
    /// Of those, samples; those inside compressed records are not counted.
    pub samples: u64,
    /// Bytes read as whole records and payloads.
    pub read: u64,
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
    /// Writes bytes of the input, of which the first stands at `offset`.
    fn pass(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.write_all(bytes, |repipe, done, rest| match repipe {
            Repipe::Off => Ok(rest.len()),
            Repipe::To(out) => out.write(rest),
            Repipe::Through(out) => out.pass(offset + done, rest),
        })
    }

    /// Writes bytes that are not of the input.
    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.write_all(bytes, |repipe, _, rest| match repipe {
            Repipe::Off => Ok(rest.len()),
            Repipe::To(out) => out.write(rest),
            Repipe::Through(out) => out.put(rest),
        })
    }

    fn write_all(
        &mut self,
        bytes: &[u8],
        mut write: impl FnMut(&mut Repipe<'_>, u64, &[u8]) -> io::Result<usize>,
    ) -> Result<(), Error> {
        if bytes.is_empty() || matches!(self.repipe, Repipe::Off) {
            return Ok(());
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let done = (bytes.len() - rest.len()) as u64;
            let written = match write(&mut self.repipe, done, rest) {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                written => written,
            };
            let written = written.map_err(|source| Error::Write { written: self.passed.written, source })?;
            self.passed.written += written as u64;
            rest = rest.get(written..).unwrap_or_default();
        }
        let flushed = if let Repipe::To(out) = &mut self.repipe { out.flush() } else { Ok(()) };
        flushed.map_err(|source| Error::Write { written: self.passed.written, source })
    }

    fn inject(&mut self, bytes: &mut Vec<u8>) -> Result<(), Error> {
        self.put(bytes)?;
        if !matches!(self.repipe, Repipe::Off) {
            self.passed.injected += bytes.len() as u64;
        }
        bytes.clear();
        Ok(())
    }
}

/// What is looked at: asked of the tools once, since every record is compared with it.
pub(crate) struct Wanted {
    by_any: RecordSet,
    by_tool: Vec<RecordSet>,
    /// The tool that samples are for, if it is one alone.
    for_samples: Option<usize>,
}

impl Wanted {
    /// The types that these tools want to see, and with them all that the session needs; nothing without tools.
    pub(crate) fn by(tools: &[&mut dyn Tool]) -> Self {
        let by_tool: Vec<_> = tools.iter().map(|tool| tool.wants()).collect();
        let session = if tools.is_empty() { RecordSet::EMPTY } else { Session::WANTS };
        let mut for_samples = (0..).zip(&by_tool).filter(|(_, wants)| wants.contains(RecordType::SAMPLE));
        let for_samples = match (for_samples.next(), for_samples.next()) {
            (Some((tool, _)), None) => Some(tool),
            _ => None,
        };
        Self { by_any: by_tool.iter().fold(session, |set, wants| set.and(*wants)), by_tool, for_samples }
    }

    #[inline]
    pub(crate) fn contains(&self, record_type: RecordType) -> bool {
        self.by_any.contains(record_type)
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
        let wanted = Wanted::by(tools);
        let endian = records.endian();
        let mut sink = Sink { repipe, passed };
        let mut injected = Vec::new();
        if let Some(header) = records.header() {
            sink.pass(0, &header)?;
        }
        while let Some(batch) = records.next_batch()? {
            self.process_batch(batch, &wanted, tools, &mut injected, &mut sink)?;
            let mut offset = records.offset();
            while let Some(payload) = records.next_payload()? {
                sink.passed.read += payload.len() as u64;
                sink.pass(offset, payload)?;
                offset += payload.len() as u64;
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
        wanted: &Wanted,
        tools: &mut [&mut dyn Tool],
        injected: &mut Vec<u8>,
        sink: &mut Sink<'_, '_>,
    ) -> Result<(), Error> {
        let mut run = batch.offset();
        loop {
            if let Some(tool) = wanted.for_samples.and_then(|tool| tools.get_mut(tool)) {
                let over = tool.pass_over(batch.rest(), batch.endian(), self);
                batch.pass_over(over.bytes);
                sink.passed.records += over.samples;
                sink.passed.samples += over.samples;
                sink.passed.read += over.bytes as u64;
            }
            let Some(record) = batch.next() else { break };
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    sink.pass(run, batch.bytes(run, batch.position()))?;
                    return Err(error.into());
                }
            };
            sink.passed.records += 1;
            sink.passed.samples += u64::from(record.record_type() == RecordType::SAMPLE);
            sink.passed.read += record.bytes.len() as u64;
            if self.decompress && is_compressed(record.record_type()) {
                sink.pass(run, batch.bytes(run, record.offset))?;
                self.pass_inside(&record, wanted, tools, injected, sink)?;
                run = batch.position();
                continue;
            }
            if !wanted.contains(record.record_type()) {
                continue;
            }
            let shown = match record.record_type() {
                // By far the most.
                RecordType::SAMPLE => self.show_itself(&record, wanted, tools, injected),
                _ => self.show(&record, wanted, tools, injected),
            };
            let verdict = match shown {
                Ok(verdict) => verdict,
                Err(error) => {
                    sink.pass(run, batch.bytes(run, record.offset))?;
                    return Err(error);
                }
            };
            if verdict == Verdict::Repipe && injected.is_empty() {
                continue;
            }
            sink.pass(run, batch.bytes(run, record.offset))?;
            sink.inject(injected)?;
            run = match verdict {
                Verdict::Repipe => record.offset,
                Verdict::Drop => batch.position(),
            };
        }
        sink.pass(run, batch.bytes(run, batch.position()))
    }

    /// The session takes the record in, then the tools that want it see it. Records inside a compressed one are
    /// shown in its place; what is injected for them stands in front of all of them.
    pub(crate) fn show(
        &mut self,
        record: &RawRecord<'_>,
        wanted: &Wanted,
        tools: &mut [&mut dyn Tool],
        injected: &mut Vec<u8>,
    ) -> Result<Verdict, Error> {
        if is_compressed(record.record_type()) {
            self.show_inside(record, wanted, tools, injected)?;
        }
        self.show_itself(record, wanted, tools, injected)
    }

    #[inline]
    fn show_itself(
        &mut self,
        record: &RawRecord<'_>,
        wanted: &Wanted,
        tools: &mut [&mut dyn Tool],
        injected: &mut Vec<u8>,
    ) -> Result<Verdict, Error> {
        if Self::WANTS.contains(record.record_type())
            && let Err(error) = self.update(record)
        {
            self.odd.malformed(record, &error);
            return Ok(Verdict::Repipe);
        }
        let mut verdict = Verdict::Repipe;
        let mut inject = Injection::new(record.endian, injected);
        for (tool, wants) in tools.iter_mut().zip(&wanted.by_tool) {
            if wants.contains(record.record_type()) && tool.event(record, self, &mut inject)? == Verdict::Drop
            {
                verdict = Verdict::Drop;
            }
        }
        Ok(verdict)
    }

    fn show_inside(
        &mut self,
        record: &RawRecord<'_>,
        wanted: &Wanted,
        tools: &mut [&mut dyn Tool],
        injected: &mut Vec<u8>,
    ) -> Result<(), Error> {
        // Taken out for as long as it is at work: what is inside is shown to the session that has it.
        let mut inflater = std::mem::take(&mut self.inflater).unwrap_or_default();
        let inside = inflater.inflate(record, |inner| {
            if wanted.contains(inner.record_type()) && !is_compressed(inner.record_type()) {
                self.show(&inner, wanted, tools, injected)?;
            }
            Ok(())
        });
        self.after_inflating(record, inflater, inside)
    }

    /// Writes the records inside a compressed one in its place, and what is injected in front of each.
    fn pass_inside(
        &mut self,
        record: &RawRecord<'_>,
        wanted: &Wanted,
        tools: &mut [&mut dyn Tool],
        injected: &mut Vec<u8>,
        sink: &mut Sink<'_, '_>,
    ) -> Result<(), Error> {
        let mut inflater = std::mem::take(&mut self.inflater).unwrap_or_default();
        let mut plain = Vec::new();
        let inside = inflater.inflate(record, |inner| {
            let verdict = match wanted.contains(inner.record_type()) && !is_compressed(inner.record_type()) {
                true => self.show(&inner, wanted, tools, injected)?,
                false => Verdict::Repipe,
            };
            if !injected.is_empty() || plain.len() > PLAIN_AT_ONCE {
                sink.put(&plain)?;
                plain.clear();
                sink.inject(injected)?;
            }
            if verdict == Verdict::Repipe {
                plain.extend_from_slice(inner.bytes);
            }
            Ok::<_, Error>(())
        });
        self.inflater = Some(inflater);
        sink.put(&plain)?;
        inside
    }

    /// Puts the inflater back for the next piece. A piece that does not inflate is odd, and nothing worse.
    pub(crate) fn after_inflating(
        &mut self,
        record: &RawRecord<'_>,
        inflater: Inflater,
        inside: Result<(), Error>,
    ) -> Result<(), Error> {
        self.inflater = Some(inflater);
        match inside {
            Err(Error::Format(error @ perf_format::Error::Inflate { .. })) => {
                self.odd.malformed(record, &error);
                Ok(())
            }
            other => other,
        }
    }
}

/// Bytes of inflated records that are written at once.
const PLAIN_AT_ONCE: usize = 1 << 20;

/// Whether records are inside records of this type.
pub(crate) fn is_compressed(record_type: RecordType) -> bool {
    matches!(record_type, RecordType::COMPRESSED | RecordType::COMPRESSED2)
}
