//! Converts the stacks of samples into call chains as the samples pass: what `perf record --call-graph dwarf` recorded to be
//! unwound later, registers and a piece of the stack, is unwound here, and left out.
//!
//! The converter stands in front of the pipeline, as a source of records: tools see samples that have plain chains. It has
//! a session of its own, which sees the records as they were recorded.

use std::io::{self, Read};

use perf_format::sample::Arch;
use perf_format::{Error, Inflater, Preamble, RawRecord, RecordReader, RecordType};
use perf_session::{MapChanges, Passed, Pipeline, Repipe, Session};
use perf_unwind::StopReason;

mod code;
mod files;
mod late;
mod layout;
mod pool;
mod spaces;
mod summary;
mod worker;

pub(crate) use code::CodeOfDsos;
pub(crate) use pool::Pool;
pub(crate) use worker::byte_order;

use late::{Late, LateSamples};
use layout::StackLayout;
use pool::{ConvertedPart, Done, Item, Job, Layouts};
use spaces::{SampleMoment, StackSpaces};
use summary::Tally;
use worker::{Common, End, Outcome};

use crate::limits::STACK_MAPS_AT_MOST;

pub use code::{NoModule, UnwindModules};
pub use summary::{CallchainSummary, StackEnd, StoppedAt};

/// How stacks are converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvertCallchain {
    /// How many entries a chain has at the most, markers included; perf reads 127.
    pub max_stack: u16,
    /// Whether the registers and the stack stay, to compare what is unwound of them.
    pub keep_stacks: bool,
}

impl Default for ConvertCallchain {
    /// As perf converts.
    fn default() -> Self {
        Self { max_stack: 127, keep_stacks: false }
    }
}

/// Converts the records of one recording.
pub(crate) struct Converter {
    options: ConvertCallchain,
    /// Whether the recording is being made, so that files are opened when they are mapped.
    is_live: bool,
    /// The preamble of a file, as it was recorded.
    preamble: Option<Preamble>,
    session: Session,
    code: CodeOfDsos,
    spaces: StackSpaces,
    late: LateSamples,
    tally: Tally,
    layouts: Layouts,
    pool: Pool,
    inflater: Option<Inflater>,
    /// Why the input cannot be read on.
    failure: Option<Error>,
}

impl std::fmt::Debug for Converter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Converter").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Converter {
    /// A converter whose session is as empty as `session`.
    pub(crate) fn new(
        options: ConvertCallchain,
        is_live: bool,
        session: Session,
        code: CodeOfDsos,
        pool: Pool,
    ) -> Self {
        Self {
            options,
            is_live,
            preamble: None,
            session,
            code,
            spaces: StackSpaces::default(),
            late: LateSamples::default(),
            tally: Tally::default(),
            layouts: Vec::new(),
            pool,
            inflater: None,
            failure: None,
        }
    }

    /// Takes a preamble in, and changes its events into those that are written.
    pub(crate) fn convert_preamble(&mut self, preamble: &mut Preamble) -> Result<(), Error> {
        self.session.load_preamble(preamble)?;
        self.preamble = Some(preamble.clone());
        layout::convert_preamble(preamble, self.options.keep_stacks);
        Ok(())
    }

    /// Converts the records of a reader, and passes them through a pipeline.
    pub(crate) fn run<R: Read>(
        &mut self,
        pipeline: Pipeline<'_, '_>,
        records: &mut RecordReader<R>,
        session: &mut Session,
        repipe: Repipe<'_>,
        passed: &mut Passed,
    ) -> Result<(), perf_session::Error> {
        let (endian, start, header) = (records.endian(), records.offset(), records.header());
        let converted = Converted { converter: self, records, out: Vec::new(), given: 0, is_over: false };
        let mut reader = RecordReader::records(converted, endian, start);
        if let Some(header) = header {
            reader = reader.with_header(header);
        }
        let ran = pipeline.run(&mut reader, session, repipe, passed);
        passed.read = records.offset() - start;
        session.anomalies.extend(std::mem::take(&mut self.session.anomalies));
        match ran {
            // What the pipeline could not read is what could not be read here.
            Err(perf_session::Error::Format(Error::Io { .. })) if self.failure.is_some() => {
                self.failure.take().map_or(Ok(()), |failure| Err(failure.into()))
            }
            ran => ran,
        }
    }

    /// A converter for another pass over the same recording.
    pub(crate) fn again(self, session: Session) -> Result<Self, Error> {
        let Self { options, is_live, preamble, code, pool, .. } = self;
        let mut again = Self::new(options, is_live, session, code.again(), pool);
        if let Some(preamble) = &preamble {
            again.session.load_preamble(preamble)?;
        }
        Ok(Self { preamble, ..again })
    }

    pub(crate) fn summary(&mut self) -> CallchainSummary {
        self.tally.summary(&mut self.code, &self.session)
    }

    /// Converts whole records, in their order.
    fn records<'r>(
        &mut self,
        records: impl Iterator<Item = RawRecord<'r>>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let mut items = Vec::new();
        for record in records {
            if matches!(record.record_type(), RecordType::COMPRESSED | RecordType::COMPRESSED2) {
                self.convert(&mut items, out);
                self.inside(&record, out)?;
            } else {
                self.record(record, &mut items, out);
            }
        }
        self.convert(&mut items, out);
        Ok(())
    }

    /// A record that is not compressed. Samples are converted together, up to the next change of the picture.
    fn record<'r>(&mut self, record: RawRecord<'r>, items: &mut Vec<Item<'r>>, out: &mut Vec<u8>) {
        if !matches!(record.payload_len(), Ok(0)) {
            // Should the input end within the payload, nothing can be written behind it.
            self.convert(items, out);
            self.finish_late(out);
        }
        match record.record_type() {
            RecordType::SAMPLE => items.push(self.sample(record)),
            record_type if Session::WANTS.contains(record_type) => {
                self.convert(items, out);
                self.session_record(&record, out);
            }
            RecordType::TIME_CONV => {
                if let Some(jit) = &mut self.code.jit {
                    jit.record(&record, &self.session);
                }
                items.push(Item { record, job: None });
            }
            _ => items.push(Item { record, job: None }),
        }
    }

    /// What is to be done with a sample.
    fn sample<'r>(&mut self, record: RawRecord<'r>) -> Item<'r> {
        let Some(evsel) = self.session.evlist.evsel(&record) else { return Item { record, job: None } };
        let format = &evsel.format;
        let known = self.layouts.iter().position(|(known, _)| known == format);
        let layout = known.unwrap_or_else(|| {
            let layout = StackLayout::of(&evsel.attr, self.options.keep_stacks);
            self.layouts.push((*format, layout));
            self.layouts.len() - 1
        });
        if !self.layouts.get(layout).is_some_and(|(_, layout)| layout.is_some()) {
            return Item { record, job: None };
        }
        let pid = format.tid(&record).map_or(0, |tid| tid.pid.cast_signed());
        let at = SampleMoment { pid, time: format.time(&record) };
        self.session.recording.times.note(at.time.unwrap_or(0));
        Item { record, job: Some(Job { layout, at, modules: self.spaces.modules(at) }) }
    }

    /// Converts and writes what has come since the last record that changed the picture.
    fn convert(&mut self, items: &mut Vec<Item<'_>>, out: &mut Vec<u8>) {
        let parts = self.pool.convert(items, &self.layouts, self.common());
        let mut items = items.drain(..);
        for ConvertedPart { out: converted, done } in parts {
            // Records are written together, up to one of which more is to be said.
            let (mut run, mut start) = (0, 0);
            for (Done { end, outcome }, Item { record, job }) in done.into_iter().zip(&mut items) {
                let is_done = match &outcome {
                    Some(Ok(outcome)) if outcome.is_final() => {
                        self.tally.add(outcome);
                        true
                    }
                    Some(_) => false,
                    None => true,
                };
                if !is_done {
                    out.extend_from_slice(converted.get(run..start).unwrap_or_default());
                    run = end;
                    if let Some(job) = job {
                        self.once_more(&record, &job, out);
                    }
                }
                start = end;
            }
            out.extend_from_slice(converted.get(run..).unwrap_or_default());
        }
    }

    /// Converts a sample whose stack leads to what was not asked for yet. If nothing is mapped there, it waits.
    fn once_more(&mut self, record: &RawRecord<'_>, job: &Job, out: &mut Vec<u8>) {
        let Some((_, Some(layout))) = self.layouts.get(job.layout).copied() else { return };
        if let Some(address) = self.convert_or_wait(record, &layout, job.at, true, out) {
            self.late.push(Late::new(record, layout, job.at, address));
        }
    }

    /// Converts a sample, or returns the address of the map that it is to wait for, where it may. Where it may no longer, no
    /// other one waits for what its stack leads to now, which an exec may have made another place than it waited for.
    fn convert_or_wait(
        &mut self,
        record: &RawRecord<'_>,
        layout: &StackLayout,
        at: SampleMoment,
        may_wait: bool,
        out: &mut Vec<u8>,
    ) -> Option<u64> {
        let start = out.len();
        match self.unwound(record, layout, at, out) {
            Ok(outcome) => match self.waits_for(&outcome, at) {
                Some(address) if may_wait => {
                    out.truncate(start);
                    Some(address)
                }
                in_vain => {
                    if let Some(address) = in_vain {
                        self.spaces.note_vain(at.pid, address);
                    }
                    self.tally.add(&outcome);
                    None
                }
            },
            Err(error) => {
                self.malformed(record, layout, &error, out);
                None
            }
        }
    }

    /// Converts a sample, and asks for what is mapped where its stack leads to.
    fn unwound(
        &mut self,
        record: &RawRecord<'_>,
        layout: &StackLayout,
        at: SampleMoment,
        out: &mut Vec<u8>,
    ) -> Result<Outcome, Error> {
        let (start, common) = (out.len(), self.common());
        let mut modules = self.spaces.modules(at);
        let mut told = 0;
        loop {
            let outcome = self.pool.worker().convert(record, layout, common, &modules, out)?;
            match outcome.end {
                // What was told is asked again only where that was too much to be kept.
                End::Stopped(StopReason::Unknown { address }) if told < STACK_MAPS_AT_MOST => {
                    out.truncate(start);
                    told += 1;
                    self.spaces.tell(&mut modules, address, at, &self.session, &mut self.code);
                }
                _ => return Ok(outcome),
            }
        }
    }

    fn common(&self) -> Common {
        let arch = match &self.session.recording.arch {
            Some(arch) => Arch::parse(arch),
            // A recording that does not tell is taken for one of x86-64.
            None => Some(Arch::X86_64),
        };
        Common { options: self.options, arch }
    }

    /// The address of the map that a sample is to wait for.
    fn waits_for(&mut self, outcome: &Outcome, at: SampleMoment) -> Option<u64> {
        let End::Stopped(StopReason::Unmapped { address }) = outcome.end else { return None };
        let may_come = at.time.is_some()
            && is_of_user_space(address)
            && self.late.has_room()
            && !self.spaces.is_vain(at.pid, address);
        may_come.then_some(address)
    }

    /// A sample that cannot be read.
    fn malformed(&mut self, record: &RawRecord<'_>, layout: &StackLayout, error: &Error, out: &mut Vec<u8>) {
        self.session.anomalies.malformed(record, error);
        self.tally.malformed();
        if worker::write_head(record, layout, out).is_none() {
            out.extend_from_slice(record.bytes);
        }
    }

    /// A record that the session takes in.
    fn session_record(&mut self, record: &RawRecord<'_>, out: &mut Vec<u8>) {
        // Samples that wait are laid out as the events in front of them say.
        if matches!(record.record_type(), RecordType::FINISHED_ROUND | RecordType::HEADER_ATTR) {
            self.finish_late(out);
        }
        if record.record_type() == RecordType::FINISHED_ROUND && self.code.forget_doubted() {
            self.spaces.forget_modules();
        }
        let changes = match self.session.update(record) {
            Ok(changes) => changes,
            Err(error) => {
                self.session.anomalies.malformed(record, &error);
                MapChanges::default()
            }
        };
        match record.record_type() {
            RecordType::HEADER_ATTR | RecordType::HEADER_FEATURE => {
                out.extend(layout::convert_header_record(record, self.options.keep_stacks));
                self.layouts.clear();
            }
            _ => out.extend_from_slice(record.bytes),
        }
        if let Some(jit) = &mut self.code.jit {
            jit.record(record, &self.session);
        }
        let time = self.session.evlist.time(record);
        for change in changes.iter() {
            self.spaces.changed(change, time);
            for late in self.late.take_met(change) {
                self.try_again(late, out);
            }
        }
        if self.is_live
            && let Some(dso) = changes.mapped_dso()
            && self.layouts.iter().any(|(_, layout)| layout.is_some())
        {
            self.code.load_early(dso, &self.session);
        }
    }

    /// Converts a sample that waited once more. If its stack leads to another address that is not mapped, it waits on.
    fn try_again(&mut self, mut late: Late, out: &mut Vec<u8>) {
        let Some(record) = late.record() else { return };
        match self.convert_or_wait(&record, &late.layout, late.at, true, out) {
            Some(address) => {
                late.address = address;
                self.late.push(late);
            }
            None => self.tally.waited(),
        }
    }

    /// The round of the samples that wait is over: they are written as far as they can be converted.
    fn finish_late(&mut self, out: &mut Vec<u8>) {
        for late in self.late.take_all() {
            let Some(record) = late.record() else { continue };
            self.convert_or_wait(&record, &late.layout, late.at, false, out);
            self.tally.waited();
        }
    }

    /// The records inside a compressed one take its place.
    fn inside(&mut self, record: &RawRecord<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        let mut inflater = self.inflater.take().unwrap_or_default();
        let mut inflated = || {
            while let Some(bytes) = inflater.inflate_next(record)? {
                let (mut rest, mut items) = (bytes, Vec::new());
                while let Some(inner) = RawRecord::first(rest, record.offset, record.endian) {
                    rest = rest.get(inner.bytes.len()..).unwrap_or_default();
                    self.record(inner, &mut items, out);
                }
                self.convert(&mut items, out);
            }
            Ok(())
        };
        let inflated = inflated();
        self.inflater = Some(inflater);
        inflated
    }
}

/// Whether a process may have something mapped at an address: it is in none of its first pages, and in the lower half.
fn is_of_user_space(address: u64) -> bool {
    (0x1000..1 << 56).contains(&address)
}

/// The converted records of a reader, as a source.
pub(crate) struct Converted<'c, R> {
    converter: &'c mut Converter,
    records: &'c mut RecordReader<R>,
    /// Converted records and payloads, and how much of them was given out.
    out: Vec<u8>,
    given: usize,
    is_over: bool,
}

impl<R: Read> Converted<'_, R> {
    /// Reads once, and converts what that brings.
    fn fill(&mut self) -> Result<(), Error> {
        self.out.clear();
        self.given = 0;
        if let Some(payload) = self.records.next_payload()? {
            self.out.extend_from_slice(payload);
            return Ok(());
        }
        let Some(batch) = self.records.next_batch()? else {
            self.converter.finish_late(&mut self.out);
            self.is_over = true;
            return Ok(());
        };
        let mut failure = None;
        let whole = batch.map_while(|record| record.map_err(|error| failure = Some(error)).ok());
        self.converter.records(whole, &mut self.out)?;
        failure.map_or(Ok(()), Err)
    }
}

impl<R: Read> Read for Converted<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.given == self.out.len() {
            if self.is_over {
                return match self.converter.failure {
                    Some(_) => Err(io::Error::other("the input cannot be read on")),
                    None => Ok(0),
                };
            }
            if let Err(error) = self.fill() {
                // What came whole before it goes out first.
                self.converter.finish_late(&mut self.out);
                self.converter.failure = Some(error);
                self.is_over = true;
            }
        }
        let len = self.out.get(self.given..).unwrap_or_default().read(buf)?;
        self.given += len;
        Ok(len)
    }
}
