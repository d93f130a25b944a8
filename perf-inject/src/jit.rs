//! `--jit` and `--perf-map`: names for jitted code. Of the functions in a process's jitdump or perf map, those that a
//! sample or a call chain hits go into an ELF image, and each is announced by an MMAP2 record in front of the first
//! record that hits it.
//!
//! Data flows one way through the rooms: a `source` describes functions, a `timeline` has when and where they stood,
//! `images` places those that are hit, and `announce` announces them in the stream. `process` has the first three for
//! each process.

use std::path::Path;

use perf_format::record::{BuildIdRecord, Mmap2};
use perf_format::{CpuMode, Misc, RawRecord, RecordType};
use perf_session::machine::OUTSIDE;
use perf_session::{Error, Event, Injection, RecordSet, Session, Tool, Verdict};

mod ahead;
mod announce;
mod images;
mod options;
mod process;
mod source;
mod summary;
mod tables;
mod timeline;

use ahead::Ahead;
use announce::{AnnounceContext, FunctionAnnouncer, is_anonymous};
pub use images::Images;
use images::output::ImageOutput;
pub use jit_image::{ImageError, Written};
pub use options::JitOptions;
use process::{JitProcess, JitProcesses};
use source::find::Marker;
pub(crate) use source::find::is_jitdump;
pub use source::find::{Finder, NoNames};
pub use summary::JitSummary;
pub(crate) use tables::{JitTables, JittedCode};

/// The tool that names jitted code.
#[derive(Debug)]
pub struct Jit {
    dumps: bool,
    processes: JitProcesses,
    images: ImageOutput,
    announcer: FunctionAnnouncer,
    pass: Pass,
}

/// How often the recording is read.
#[derive(Debug)]
enum Pass {
    /// Once: what is injected stands in front of what hits it.
    Only,
    /// Twice, and this is the first time; `read_at_once` is kept for the second.
    First(Ahead, bool),
    Second(Ahead),
}

impl Jit {
    /// A tool that writes images with the names into `images`; with `read_at_once` open images are closed at the end of
    /// each round, since a reader may need them then.
    #[must_use]
    pub fn new(options: JitOptions, images: Box<dyn Images>, read_at_once: bool) -> Self {
        Self {
            dumps: options.dumps,
            announcer: FunctionAnnouncer::new(&options),
            processes: JitProcesses::new(options),
            images: ImageOutput::new(images, read_at_once),
            pass: Pass::Only,
        }
    }

    /// The tables that the dumps bring, for a look beside the tool's own; `None` where it reads no dumps.
    pub(crate) fn tables(&self) -> Option<JitTables> {
        self.dumps.then(|| JitTables::new(self.processes.options().clone()))
    }

    /// Maps of files are left alone, since another tool writes ids into them.
    pub(crate) fn leave_files(&mut self) {
        self.announcer.leave_files();
    }

    /// Begins the first of two passes over a recording, which injects nothing.
    pub(crate) fn look_ahead(&mut self) {
        let read_at_once = std::mem::take(&mut self.images.read_at_once);
        self.announcer.look_ahead();
        self.pass = Pass::First(Ahead::default(), read_at_once);
    }

    /// Ends the first of two passes, and begins the second.
    pub(crate) fn look_again(&mut self) {
        if let Pass::First(ahead, read_at_once) = &mut self.pass {
            let mut ahead = std::mem::take(ahead);
            let ids = self.images.ids().filter(|_| *read_at_once);
            ahead.begin(ids);
            self.pass = Pass::Second(ahead);
        }
    }

    /// The jitted code that was found, by process.
    #[must_use]
    pub fn summary(&self) -> Vec<JitSummary> {
        let summary = |(pid, process): (i32, &JitProcess)| {
            let JitProcess { timeline, sources, images } = process;
            let samples = self.announcer.samples(pid);
            (!sources.is_empty()).then(|| JitSummary {
                pid,
                path: sources.path().map(Path::to_owned),
                missing: sources.missing.clone(),
                functions: timeline.function_count() as u64,
                kept: images.function_count() as u64,
                images: images.names().to_vec(),
                samples: samples.all,
                named_before: samples.named_before,
                named_after: samples.named_after,
            })
        };
        let mut all: Vec<_> = self.processes.iter().filter_map(summary).collect();
        all.sort_by_key(|process| process.pid);
        all
    }

    /// The images' ids, as entries of a table.
    pub(crate) fn for_table(&self) -> impl Iterator<Item = (Misc, BuildIdRecord<'_>)> {
        self.images.for_table()
    }

    /// A process maps a file or memory: it may be its dump, which it maps so that perf records it, or memory for its
    /// code.
    fn map(
        &mut self,
        event: &Event<'_>,
        session: &Session,
        inject: &mut Injection<'_>,
    ) -> Result<Verdict, Error> {
        let record = event.record;
        let map = Mmap2::of_record(record)?;
        let pid = map.pid.cast_signed();
        if record.misc().cpumode() != CpuMode::User || pid == OUTSIDE {
            return Ok(Verdict::Repipe);
        }
        let marker = Marker::of(&map, session.evlist.time(record)).filter(|_| self.dumps);
        if let Some(marker) = marker {
            self.processes.mark(&marker, session)?;
            let (announcer, mut context) = self.announcing(inject);
            announcer.announce_early(pid, record, session, &mut context)?;
            return Ok(Verdict::Repipe);
        }
        let mapped = event.changes.mapped_dso().and_then(|dso| session.dso(dso));
        if !mapped.is_some_and(is_anonymous) {
            return Ok(Verdict::Repipe);
        }
        if !self.processes.may_have_code(pid) {
            return Ok(Verdict::Repipe);
        }
        self.processes.read_on(pid, session, true)?;
        // A reader would take what stands there later for what is there.
        let time = session.evlist.time(record).unwrap_or(u64::MAX);
        let end = map.start.saturating_add(map.len);
        if !self.processes.is_between(pid, map.start, end, time) {
            return Ok(Verdict::Repipe);
        }
        self.announcer.dropped(pid, map.start, time);
        Ok(Verdict::Drop)
    }

    /// The announcer, and what it works on.
    fn announcing<'s, 'i>(
        &'s mut self,
        inject: &'s mut Injection<'i>,
    ) -> (&'s mut FunctionAnnouncer, AnnounceContext<'s, 'i>) {
        let Self { processes, images, announcer, .. } = self;
        (announcer, AnnounceContext { processes, images, inject })
    }

    /// Closes all images that are open.
    fn close_images(&mut self, inject: &mut Injection<'_>) -> Result<(), Error> {
        for pid in self.processes.pids(|process| process.images.has_open()) {
            let Some(process) = self.processes.get_mut(pid) else { continue };
            process.close_images(pid, &mut self.images, inject)?;
        }
        Ok(())
    }
}

impl Tool for Jit {
    fn wants(&self) -> RecordSet {
        FunctionAnnouncer::WANTS.union(RecordSet::of(&[RecordType::TIME_CONV]))
    }

    fn cuts(&self) -> RecordSet {
        RecordSet::of(&[RecordType::MMAP, RecordType::MMAP2])
    }

    fn event(
        &mut self,
        event: &Event<'_>,
        session: &mut Session,
        inject: &mut Injection<'_>,
    ) -> Result<Verdict, Error> {
        match &mut self.pass {
            Pass::Only => self.look(event, session, inject),
            Pass::First(..) => {
                let mut bytes = Vec::new();
                let mut injected = Injection::new(inject.endian(), &mut bytes);
                let verdict = self.look(event, session, &mut injected)?;
                self.keep(Some((event.record, verdict)), &injected, session);
                Ok(Verdict::Repipe)
            }
            Pass::Second(ahead) => ahead.inject(event.record, session, inject),
        }
    }

    fn finish(&mut self, session: &mut Session, inject: &mut Injection<'_>) -> Result<(), Error> {
        match &mut self.pass {
            Pass::Only => self.end(session, inject),
            Pass::First(..) => {
                let mut bytes = Vec::new();
                let mut injected = Injection::new(inject.endian(), &mut bytes);
                let ended = self.end(session, &mut injected);
                self.keep(None, &injected, session);
                ended
            }
            Pass::Second(ahead) => ahead.inject_until(u64::MAX, inject),
        }
    }
}

impl Jit {
    fn keep(&mut self, at: Option<(&RawRecord<'_>, Verdict)>, injected: &Injection<'_>, session: &Session) {
        if let Pass::First(ahead, _) = &mut self.pass {
            ahead.keep(at, injected, session);
        }
    }

    /// Looks at a record, and injects what it hits.
    fn look(
        &mut self,
        event: &Event<'_>,
        session: &mut Session,
        inject: &mut Injection<'_>,
    ) -> Result<Verdict, Error> {
        let record = event.record;
        let mut verdict = Verdict::Repipe;
        match record.record_type() {
            RecordType::MMAP | RecordType::MMAP2 => verdict = self.map(event, session, inject)?,
            RecordType::SAMPLE | RecordType::CALLCHAIN_DEFERRED => {
                let (announcer, mut context) = self.announcing(inject);
                match announcer.hits(record, session, &mut context) {
                    Err(Error::Format(error @ perf_format::Error::Malformed { .. })) => {
                        session.anomalies.malformed(record, &error);
                    }
                    done => done?,
                }
            }
            RecordType::TIME_CONV => match record.parse_as() {
                Ok(conversion) => self.processes.conversion = Some(conversion),
                Err(error) => session.anomalies.malformed(record, &error),
            },
            RecordType::FORK => self.processes.fork(record, session)?,
            RecordType::COMM => self.processes.exec(record, session)?,
            RecordType::FINISHED_ROUND => {
                self.announcer.finish_round();
                if self.images.read_at_once {
                    self.close_images(inject)?;
                }
            }
            _ => {}
        }
        self.announcer.pass(record, session);
        Ok(verdict)
    }

    /// Closes what is open, and reports what was missed.
    fn end(&mut self, session: &mut Session, inject: &mut Injection<'_>) -> Result<(), Error> {
        self.close_images(inject)?;
        if session.recording.has_aux_data {
            log::warn!(
                "the hardware trace in this recording is not decoded: --jit names the functions that samples hit, and \
                 not those that only the trace hits"
            );
        }
        self.processes.report_nothing_found()?;
        for pid in self.processes.pids(|_| true) {
            self.processes.read_on(pid, session, false)?;
            self.processes.note_cut(pid);
            let Some(process) = self.processes.get(pid) else { continue };
            let late = self.announcer.take_late(pid, &process.timeline);
            if late > 0 {
                log::warn!(
                    "process {pid} described {late} functions after samples had hit them: pass the output through \
                     inject --jit once more"
                );
            }
            self.processes.report_damage(pid)?;
        }
        Ok(())
    }
}
