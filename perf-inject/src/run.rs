//! One run, in each pairing of input and output. The preamble is converted from that of a pipe to that of a file and
//! back; the records pass as they are.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::Mutex;
use std::thread::{self, available_parallelism};

use perf_format::attr::SampleType;
use perf_format::{
    Damage, Endian, Feature, FilePreamble, PerfData, PerfFile, PipeFeatures, PipeRefusal, Preamble,
    RecordReader, RecordType, Recovering, Section,
};
use perf_session::build_id::{Chain, Recorded};
use perf_session::{Error, InOrder, Injection, Passed, Pipeline, RecordSet, Repipe, Session, Tool};

use crate::callchain::{CodeOfDsos, Converter, Pool, UnwindModules};
use crate::jit::Jit;
use crate::off_cpu::{AddedEvents, OffCpu};
use crate::sched_stat::SchedStat;
use crate::{DsoSelection, IdsTo, Plan};

mod behind;
mod damaged;
mod report;

use behind::{left_out, move_auxtrace_index, unwritten, write_behind};
use damaged::{shorter, without_features};
pub use report::RunReport;

/// A run: passes one recording from its input to its output, with the tools of a [`Plan`] and those of the caller. One of
/// the functions that are named after input and output is called, once; [`into_report`](Self::into_report) then says what
/// was done.
pub struct Run<'t> {
    plan: Plan,
    sources: Chain,
    report: RunReport,
    damage: Option<Rc<Cell<Damage>>>,
    jit: Option<Jit>,
    modules: Option<Box<dyn UnwindModules>>,
    threads: Option<usize>,
    converter: Option<Converter>,
    /// The events that are in the preamble for off-CPU samples.
    off_cpu: Option<AddedEvents>,
    /// The tools of others.
    others: Vec<&'t mut dyn Tool>,
}

impl fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("plan", &self.plan).field("report", &self.report).finish_non_exhaustive()
    }
}

/// Where ids go into a pipe, and into a file.
const TO_EVENTS: IdsTo = IdsTo { header: false, events: true, mmap2: false };
const TO_HEADER: IdsTo = IdsTo { header: true, events: false, mmap2: false };

/// The preamble whose table has ids already, and where these stand in the output.
#[derive(Debug)]
enum Table<'p> {
    /// There is none.
    None,
    /// In BUILD_ID records, in front of all others.
    InFront(&'p Preamble),
    /// In the table still, which is written behind the records with those that are found.
    Behind(&'p mut Preamble),
}

impl<'t> Run<'t> {
    /// A run of a plan; build-ids come from `sources`. Where the plan injects none, `Chain::default()` will do.
    #[must_use]
    pub fn new(plan: Plan, sources: Chain) -> Self {
        let mut report = RunReport::default();
        report.session.remap_text = plan.remap_text;
        report.session.keep_formats = plan.changes_samples();
        Self {
            plan,
            sources,
            report,
            damage: None,
            jit: None,
            modules: None,
            threads: None,
            converter: None,
            off_cpu: None,
            others: Vec::new(),
        }
    }

    /// Adds a tool of the caller's own. Several see a record in the order in which they were added, and before the tools of
    /// the plan.
    ///
    /// Tools see the records of the stream, wherever it comes from and goes to. The preamble is no part of it where the
    /// input or the output is a file: then the events and features are in the session, and not shown. Where a tool
    /// [cuts](Tool::cuts) at records that may stand inside compressed ones, these are replaced by the records inside
    /// them. A recording of several files in a directory takes no tools: one of its files alone is written.
    #[must_use]
    pub fn with_tool(mut self, tool: &'t mut dyn Tool) -> Self {
        self.others.push(tool);
        self
    }

    /// Whether compressed records are replaced by the records inside them.
    fn writes_plain(&self) -> bool {
        self.plan.writes_plain() || self.others.iter().any(|tool| cuts_inside(&**tool))
    }

    /// Adds the tool that names jitted code, which [`Plan::jit`] announces.
    #[must_use]
    pub fn with_jit(mut self, mut jit: Jit) -> Self {
        if self.plan.ids_to.is_some_and(|to| to.mmap2) {
            jit.leave_files();
        }
        self.jit = Some(jit);
        self
    }

    /// Gives the run the source of the files by whose tables [`Plan::convert_callchain`] unwinds stacks.
    #[must_use]
    pub fn with_modules(mut self, source: Box<dyn UnwindModules>) -> Self {
        self.modules = Some(source);
        self
    }

    /// Says how many threads unwind stacks; otherwise it goes by the processors that there are.
    #[doc(hidden)]
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Whether records are written in the place of others, so that an output cannot move the input's own bytes
    /// ([`Repipe::Through`]).
    #[must_use]
    pub fn converts(&self) -> bool {
        self.plan.convert_callchain.is_some()
    }

    /// Says of which processes the sources know the root directories
    /// ([`SourceConfig::roots`](perf_session::build_id::SourceConfig::roots)).
    #[must_use]
    pub fn with_roots(mut self, pids: impl IntoIterator<Item = i32>) -> Self {
        self.report.session.roots.extend(pids);
        self
    }

    /// Ends the run, and returns its report.
    #[must_use]
    pub fn into_report(self) -> RunReport {
        RunReport { damage: self.damage.map(|damage| damage.get()), ..self.report }
    }

    /// A source of records that skips what is damaged of another one ([`Plan::recover`]), which starts at `offset` in the
    /// input; the report counts what it skips. It is for [`pipe_to_pipe`](Self::pipe_to_pipe) and
    /// [`pipe_to_file`](Self::pipe_to_file), which get a reader that is made already.
    pub fn recovering<R: Read>(&mut self, source: R, endian: Endian, offset: u64) -> Recovering<R> {
        let (source, damage) = Recovering::new(source, endian, offset);
        self.damage = Some(damage);
        source
    }

    /// The records of a file; with [`Plan::recover`], those that are whole.
    fn records<'f, S: Read + Seek>(
        &mut self,
        file: &'f mut PerfFile<S>,
    ) -> Result<RecordReader<Box<dyn Read + 'f>>, Error> {
        let (endian, offset) = (file.header.endian, file.header.words.data.offset);
        let bytes = file.record_bytes()?;
        let source: Box<dyn Read> = if self.plan.recover {
            Box::new(self.recovering(bytes, endian, offset))
        } else {
            Box::new(bytes)
        };
        Ok(RecordReader::records(source, endian, offset))
    }

    /// From a file or a pipe's stream, whichever the source holds, to a pipe's stream. Only a file is sought in, so that
    /// standard input as a [`File`](std::fs::File) will do for either.
    ///
    /// # Errors
    /// The errors of [`pipe_to_pipe`](Self::pipe_to_pipe) and [`file_to_pipe`](Self::file_to_pipe), and where the source
    /// holds no perf data.
    pub fn any_to_pipe<S: Read + Seek>(&mut self, source: S, out: &mut dyn Write) -> Result<(), Error> {
        let stream = match PerfData::open(source)? {
            PerfData::File(source) => return self.file_to_pipe(&mut PerfFile::open(source)?, out),
            PerfData::Pipe(stream) => stream,
        };
        let (source, head) = stream.into_parts();
        if !self.plan.recover {
            return self.pipe_to_pipe(&mut RecordReader::pipe(source, head), Repipe::To(out));
        }
        let (endian, offset) = (head.format.endian(), head.records_at());
        let source = self.recovering(head.record_bytes().chain(source), endian, offset);
        let records = RecordReader::records(source, endian, offset);
        self.pipe_to_pipe(&mut records.with_header(head.pipe_header()), Repipe::To(out))
    }

    /// From a file or a pipe's stream, whichever the source holds, to a file. A caller that can copy within the kernel, or
    /// has the files of a directory, uses [`file_to_file`](Self::file_to_file).
    ///
    /// # Errors
    /// The errors of [`pipe_to_file`](Self::pipe_to_file) and [`file_to_file`](Self::file_to_file), and where the source
    /// holds no perf data.
    pub fn any_to_file<S: Read + Seek + Send, W: Write + Seek + Send>(
        &mut self,
        source: S,
        out: &mut W,
    ) -> Result<(), Error> {
        let stream = match PerfData::open(source)? {
            PerfData::File(source) => {
                let copy = |source: &mut S, len, out: &mut W| io::copy(&mut source.take(len), out);
                return self.file_to_file(&mut PerfFile::open(source)?, None, &mut [], out, copy);
            }
            PerfData::Pipe(stream) => stream,
        };
        let (source, head) = stream.into_parts();
        if !self.plan.recover {
            return self.pipe_to_file(&mut RecordReader::pipe(source, head), out);
        }
        let (endian, offset) = (head.format.endian(), head.records_at());
        let source = self.recovering(head.record_bytes().chain(source), endian, offset);
        self.pipe_to_file(&mut RecordReader::records(source, endian, offset), out)
    }

    /// From a pipe's stream to a pipe's stream: every byte passes as soon as it comes. [`Repipe::To`] has the output.
    ///
    /// # Errors
    /// The errors of [`Pipeline::run`].
    pub fn pipe_to_pipe<R: Read>(
        &mut self,
        records: &mut RecordReader<R>,
        repipe: Repipe<'_>,
    ) -> Result<(), Error> {
        self.pass(records, repipe, TO_EVENTS, Table::None)
    }

    /// From a file to a pipe's stream: the events and features of its header become records.
    ///
    /// # Errors
    /// Where the file cannot be read, or the output cannot be written.
    pub fn file_to_pipe<S: Read + Seek>(
        &mut self,
        file: &mut PerfFile<S>,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        self.check_overlaps(file)?;
        let FilePreamble { preamble, damaged, cut } = file.preamble_as_far()?;
        without_features(&damaged);
        let preamble = self.load(preamble)?;
        let features = if self.plan.keep_features { PipeFeatures::All } else { PipeFeatures::Readable };
        let front = preamble.to_pipe(features, |feature, refusal| match refusal {
            PipeRefusal::TooLarge => log::warn!("the {feature} feature is left out: {refusal}"),
            _ => log::warn!(
                "the {feature} feature is left out, since perf reads no pipe that has it: {refusal}"
            ),
        })?;
        out.write_all(&front).map_err(unwritten(0))?;
        self.report.passed.written = front.len() as u64;
        let closed = file.is_closed();
        self.look_ahead(file, &preamble)?;
        let passed = self.records(file).and_then(|mut records| {
            self.pass(&mut records, Repipe::To(out), TO_EVENTS, Table::InFront(&preamble))
        });
        self.tolerate_unclosed(closed, passed)?;
        self.without_the_rest(cut)?;
        self.all_was_read(file)
    }

    /// From a pipe's stream to a file: the records of its events and features become a header and the sections behind the
    /// records. If the stream cannot be read to its end, the file is finished with what was read, and the error returned.
    ///
    /// # Errors
    /// Where the stream cannot be read on, or the output cannot be written.
    pub fn pipe_to_file<R: Read, W: Write + Seek>(
        &mut self,
        records: &mut RecordReader<R>,
        out: &mut W,
    ) -> Result<(), Error> {
        // A file has a header of its own.
        records.take_header();
        let mut preamble = self.load(Preamble::read_from_pipe(records)?)?;
        let before = preamble.write_before(out).map_err(unwritten(0))?;
        let passed = self.pass(records, Repipe::To(out), TO_HEADER, Table::Behind(&mut preamble));
        // Nothing is kept of an input or output that failed, or of a run that was interrupted.
        let failed =
            matches!(passed, Err(Error::Write { .. } | Error::Format(perf_format::Error::Io { .. })));
        if !failed {
            write_behind(&preamble, out, before, self.report.passed.written)?;
            self.report.framed = true;
        }
        passed
    }

    /// From a file to a file: records that nothing is put between are copied with `copy`, which copies so many bytes
    /// from where the source is; the caller knows how the kernel can do it. `others` are the other files of a
    /// directory recording, which are looked into but not written. With a `twin`, the same file opened once more, they
    /// are copied while they are looked at.
    ///
    /// # Errors
    /// Where the file cannot be read, or the output cannot be written.
    pub fn file_to_file<S: Read + Seek + Send, W: Write + Seek + Send>(
        &mut self,
        file: &mut PerfFile<S>,
        twin: Option<S>,
        others: &mut [S],
        out: &mut W,
        copy: impl FnOnce(&mut S, u64, &mut W) -> io::Result<u64> + Send,
    ) -> Result<(), Error> {
        if !others.is_empty() && !self.others.is_empty() {
            return Err(Error::Tool("tools do not change a recording of several files".into()));
        }
        self.check_overlaps(file)?;
        if !self.plan.recover {
            file.check_complete_or_unclosed()?;
        }
        let FilePreamble { preamble, damaged, cut } = file.preamble_as_far()?;
        self.without_the_rest(cut)?;
        without_features(&damaged);
        if self.plan.build_ids.is_none() && damaged.iter().any(|(feature, _)| *feature == Feature::BUILD_ID) {
            // The table is made anew from what the records say.
            self.plan.build_ids = Some(DsoSelection::Hit);
            self.sources = Chain(vec![Box::new(Recorded)]);
        }
        let mut preamble = self.load(preamble)?;
        let before = preamble.write_before(out).map_err(unwritten(0))?;
        let closed = file.is_closed();
        if self.plan.changes_records() || !self.others.is_empty() {
            if preamble.features.remove(&Feature::AUXTRACE).is_some() {
                log::warn!("what is put between the records moves the hardware trace: its index is left out");
            }
            self.look_ahead(file, &preamble)?;
            let table = Table::Behind(&mut preamble);
            let passed = if self.plan.recover {
                let mut records = self.records(file)?;
                self.pass(&mut records, Repipe::To(out), TO_HEADER, table)
            } else {
                thread::scope(|scope| {
                    self.pass(&mut file.records()?.read_ahead(scope), Repipe::To(out), TO_HEADER, table)
                })
            };
            self.tolerate_unclosed(closed, passed)?;
            self.all_was_read(file)?;
            return write_behind(&preamble, out, before, self.report.passed.written);
        }
        let moved = before.data.wrapping_sub(file.header.words.data.offset);
        move_auxtrace_index(&mut preamble, moved);
        let Section { offset, size } = file.header.words.data;
        let mut len = size;
        let looks = self.plan.build_ids.is_some() || self.plan.count_samples || !closed;
        let copied = match twin.filter(|_| looks && closed) {
            Some(mut twin) => {
                let copying = Mutex::new(Some(|| {
                    twin.seek(SeekFrom::Start(offset))?;
                    copy(&mut twin, len, out)
                }));
                let copying =
                    || copying.lock().ok().and_then(|mut task| task.take()).map_or(Ok(0), |copy| copy());
                thread::scope(|scope| {
                    let beside = thread::Builder::new().spawn_scoped(scope, copying);
                    let looked = self.look(file, others, &mut preamble);
                    let copied = match beside {
                        Ok(beside) => beside.join().unwrap_or_else(|panic| resume_unwind(panic)),
                        // Where no thread may be made, one thing is done after the other.
                        Err(_) => copying(),
                    };
                    looked.map(|()| copied)
                })?
            }
            None => {
                if looks {
                    let looked = self.look(file, others, &mut preamble);
                    self.tolerate_unclosed(closed, looked)?;
                    len = if closed { len } else { self.report.passed.read };
                }
                copy(file.at_records()?, len, out)
            }
        };
        if looks && others.is_empty() {
            self.all_was_read(file)?;
        }
        let copied = copied.map_err(unwritten(before.data))?;
        self.report.passed.written = copied;
        if copied != len {
            return Err(shorter(offset + copied));
        }
        write_behind(&preamble, out, before, len)
    }

    /// Checks that the file, all of which has been written, holds no other recording behind this one.
    ///
    /// # Errors
    /// [`perf_format::Error::AnotherRecording`] where it does: the output is whole all the same.
    pub fn check_alone<S: Read + Seek>(&mut self, file: &mut PerfFile<S>) -> Result<(), Error> {
        self.report.framed = true;
        Ok(file.check_alone()?)
    }

    /// A session that has taken in nothing, for a look beside the run's own.
    fn another_session(&self) -> Session {
        let mut session = Session::default();
        session.roots.clone_from(&self.report.session.roots);
        session.remap_text = self.plan.remap_text;
        session.logs_ids = false;
        session
    }

    /// What converts stacks, where the plan wants that and there is a source of files.
    fn converter(&mut self) -> Option<Converter> {
        let options = self.plan.convert_callchain?;
        let jit = self.jit.as_ref().and_then(Jit::tables);
        let code = CodeOfDsos::new(self.modules.take()?, jit);
        let session = self.another_session();
        Some(Converter::new(options, self.plan.live, session, code, Pool::new(self.threads())))
    }

    /// How many threads unwind stacks. One processor is left to whoever makes a pipe's stream, or reads a file.
    fn threads(&self) -> usize {
        self.threads.unwrap_or_else(|| available_parallelism().map_or(1, usize::from) - 1)
    }

    /// Adapts a preamble to the output, and loads it into the session.
    fn load(&mut self, mut preamble: Preamble) -> Result<Preamble, Error> {
        if self.writes_plain() {
            preamble.features.remove(&Feature::COMPRESSED);
        }
        self.converter = self.converter();
        if let Some(converter) = &mut self.converter {
            converter.convert_preamble(&mut preamble)?;
        }
        self.report.session.load_preamble(&preamble)?;
        if self.plan.off_cpu.is_some() {
            let events = AddedEvents::of(&self.report.session.evlist)?;
            events.add_to(&mut preamble)?;
            self.off_cpu = Some(events);
        }
        Ok(preamble)
    }

    /// Shows the records to the tools, and repipes them. The ids that go into the table are in the preamble then.
    fn pass<R: Read>(
        &mut self,
        records: &mut RecordReader<R>,
        repipe: Repipe<'_>,
        ids_to: IdsTo,
        table: Table<'_>,
    ) -> Result<(), Error> {
        let decompress = self.writes_plain();
        let mut converter = self.converter.take().or_else(|| self.converter());
        let passed = self.with_tools(ids_to, table, |report, tools| {
            let pipeline = Pipeline::new(tools).decompress(decompress);
            match &mut converter {
                Some(converter) => {
                    converter.run(pipeline, records, &mut report.session, repipe, &mut report.passed)
                }
                None => pipeline.run(records, &mut report.session, repipe, &mut report.passed),
            }
        });
        self.report.callchains = converter.map(|mut converter| converter.summary());
        passed
    }

    /// Lets the tool that names jitted code see all records, before they pass: where they have times, it knows then where
    /// each map belongs.
    fn look_ahead<S: Read + Seek>(
        &mut self,
        file: &mut PerfFile<S>,
        preamble: &Preamble,
    ) -> Result<(), Error> {
        let mut session = self.another_session();
        session.load_preamble(preamble)?;
        let events = session.evlist.evsels();
        let have_times = events.iter().all(|event| event.format.sample_type.contains(SampleType::TIME));
        let Some(mut jit) = self.jit.take_if(|_| have_times && !events.is_empty()) else { return Ok(()) };
        jit.look_ahead();
        let mut tools: [&mut dyn Tool; 1] = [&mut jit];
        let endian = preamble.endian;
        let mut converter = self.converter.take();
        let looked = self.records(file).and_then(|mut records| {
            let (mut passed, pipeline) = (Passed::default(), Pipeline::new(&mut tools));
            match &mut converter {
                Some(converter) => {
                    converter.run(pipeline, &mut records, &mut session, Repipe::Off, &mut passed)
                }
                None => pipeline.run(&mut records, &mut session, Repipe::Off, &mut passed),
            }
        });
        let another = self.another_session();
        self.converter = converter.map(|converter| converter.again(another)).transpose()?;
        // Where the recording cannot be read on, that is reported when it passes.
        let looked = match looked {
            Err(error @ Error::Tool(_)) => Err(error),
            Err(_) => jit.finish(&mut session, &mut Injection::new(endian, &mut Vec::new())),
            Ok(()) => Ok(()),
        };
        jit.look_again();
        self.jit = Some(jit);
        looked
    }

    /// Shows the records to the tools, and does nothing else with them.
    fn look<S: Read + Seek>(
        &mut self,
        file: &mut PerfFile<S>,
        others: &mut [S],
        preamble: &mut Preamble,
    ) -> Result<(), Error> {
        let endian = preamble.endian;
        self.with_tools(TO_HEADER, Table::Behind(preamble), |report, tools| {
            let mut records = file.records()?;
            if others.is_empty() {
                let pipeline = Pipeline::new(tools);
                return pipeline.run(&mut records, &mut report.session, Repipe::Off, &mut report.passed);
            }
            let mut readers = vec![records];
            readers.extend(
                others.iter_mut().map(|other| RecordReader::records(other.take(u64::MAX), endian, 0)),
            );
            InOrder::new(tools).run(&mut readers, &mut report.session, &mut report.passed)
        })
    }

    fn with_tools(
        &mut self,
        ids_to: IdsTo,
        table: Table<'_>,
        process: impl FnOnce(&mut RunReport, &mut [&mut dyn Tool]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut tools = self.plan.tools(std::mem::take(&mut self.sources), ids_to);
        if self.writes_plain() {
            tools.drop_compressed();
        }
        if let Some(by_name) = &mut tools.ids_by_name {
            let (preamble, is_in_front) = match &table {
                Table::None => (None, false),
                Table::InFront(preamble) => (Some(*preamble), true),
                Table::Behind(preamble) => (Some(&**preamble), false),
            };
            for entry in preamble.into_iter().flat_map(Preamble::build_ids) {
                let (misc, entry) = entry?;
                let dso = self.report.session.dso_of_build_id(misc, &entry);
                match dso.filter(|_| entry.build_id.0.is_some()) {
                    Some(dso) if is_in_front => by_name.stands_in_front(dso),
                    Some(dso) => by_name.stands_in_header(dso),
                    None => {}
                }
            }
        }
        tools.jit = self.jit.take();
        if let (Some(options), Some(events)) = (self.plan.off_cpu, self.off_cpu.take()) {
            tools.off_cpu = Some(OffCpu::new(options, Some(events)));
        }
        let mut all: Vec<&mut dyn Tool> = Vec::new();
        all.extend(self.others.iter_mut().map(|tool| &mut **tool as &mut dyn Tool));
        all.extend(tools.as_tools());
        let processed = process(&mut self.report, &mut all);
        drop(all);
        tools.report_rest();
        self.report.off_cpu = tools.off_cpu.as_ref().map(OffCpu::summary);
        self.report.sched_stat = tools.sched_stat.as_ref().map(SchedStat::summary);
        self.report.ids = tools.id_summary(&self.report.session);
        if let Some(jit) = &tools.jit {
            self.report.jit = jit.summary();
        }
        if let Table::Behind(preamble) = table {
            if let Some(jit) = &tools.jit {
                preamble.extend_build_ids(jit.for_table(), left_out);
            }
            if let Some(by_name) = &tools.ids_by_name {
                preamble.extend_build_ids(by_name.for_table(&self.report.session), left_out);
            }
        }
        self.report.names = tools.name_summary(&self.report.jit, &self.report.session);
        processed
    }
}

/// Whether a tool cuts at records that may stand inside compressed ones.
fn cuts_inside(tool: &dyn Tool) -> bool {
    const COMPRESSED: RecordSet = RecordSet::of(&[RecordType::COMPRESSED, RecordType::COMPRESSED2]);
    !tool.cuts().without(COMPRESSED).is_empty()
}
