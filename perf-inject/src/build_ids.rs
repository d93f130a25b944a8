//! `-b` and `--buildid-all`: the build-id of each DSO that a sample hits, or that is mapped: as a BUILD_ID record in
//! front of the first such sample or map, in the table of a file, or both.

use bstr::ByteSlice as _;
use perf_format::record::{BuildIdRecord, SizedBuildId};
use perf_format::{BuildId, CpuMode, Endian, Misc, RawRecord, Record, RecordType, push_build_id};
use perf_session::build_id::{BuildIdSource, Chain, NoBuildId};
use perf_session::dso::{Dso, DsoId, PerDso};
use perf_session::machine::HOST;
use perf_session::{Error, Hits, Injection, RecordSet, Recording, Session, Tool, Verdict};

/// Where ids go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IdsTo {
    /// To the table behind a file's records.
    pub header: bool,
    /// To BUILD_ID records.
    pub events: bool,
}

/// Which DSOs get their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those that samples hit.
    Hit,
    /// All that are mapped; samples are not looked at.
    Mapped,
}

/// Injects build-ids as DSOs are hit. A DSO whose id stands there already gets none; one without an id is not asked
/// for again.
#[derive(Debug)]
pub struct BuildIds {
    which: Which,
    hits: Hits,
    sources: Chain,
    to: IdsTo,
    /// Whether files are read when their maps pass: of a process that runs now they may be gone when it is hit.
    eager: bool,
    /// What was read then, until it is hit.
    read: PerDso<Option<Result<BuildId, NoBuildId>>>,
    /// Where each DSO's id stands already, or is known not to be had.
    done: PerDso<IdsTo>,
    hit_now: Vec<DsoId>,
    for_header: Vec<(DsoId, BuildId)>,
    injected: Injected,
}

/// What has been injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Injected {
    /// DSOs that samples hit and whose id did not stand everywhere where it should.
    pub hit: u64,
    /// Of those, DSOs whose id was found.
    pub found: u64,
}

impl BuildIds {
    /// An injector that asks these sources. `eager` says that the recording is being made: files are then read when
    /// their maps pass, and not when they are hit.
    #[must_use]
    pub fn new(which: Which, sources: Chain, to: IdsTo, eager: bool) -> Self {
        Self {
            which,
            hits: Hits::default(),
            sources,
            to,
            eager,
            read: PerDso::default(),
            done: PerDso::default(),
            hit_now: Vec::new(),
            for_header: Vec::new(),
            injected: Injected::default(),
        }
    }

    /// What has been injected so far.
    #[must_use]
    pub fn injected(&self) -> Injected {
        self.injected
    }

    /// Notes that a DSO stands in the table of the input.
    pub fn stands_in_header(&mut self, dso: DsoId) {
        self.done.of(dso).header = true;
    }

    /// Appends to a table the entries that it lacks.
    pub fn extend_table(&self, table: &mut Vec<u8>, session: &Session, endian: Endian) {
        for (dso, id) in &self.for_header {
            let Some(dso) = session.dso(*dso) else { continue };
            if let Err(error) = push_build_id(table, misc(dso), record(dso, *id), endian) {
                log::warn!("{error}; left out");
            }
        }
    }

    /// Reads the id of what a map record just mapped.
    fn read_ahead(&mut self, session: &Session) {
        let mapped = session.touched().iter().filter_map(|touched| touched.map);
        for dso in mapped.map(|(dso, _)| dso) {
            let known = self.done.of(dso).events || self.read.of(dso).is_some();
            if let Some(dso_now) = session.dso(dso).filter(|_| !known) {
                let read = ask(&mut self.sources, dso_now, &session.recording);
                *self.read.of(dso) = Some(read);
            }
        }
    }

    /// The id of a DSO that was hit, if there is one.
    fn id_of(&mut self, id: DsoId, dso: &Dso, recording: &Recording) -> Option<BuildId> {
        let read = self.read.of(id).take();
        match read.unwrap_or_else(|| ask(&mut self.sources, dso, recording)) {
            Ok(id) => {
                log::debug!("build id found for {}: {id}", dso.name);
                return Some(id);
            }
            // Memory of no file was never going to have one.
            Err(NoBuildId::NoDso) => {}
            Err(NoBuildId::Changed(change)) => log::warn!("no build-id for {}: {change}", dso.name),
            Err(reason) => log::debug!("no build_id found for {}: {reason}", dso.name),
        }
        None
    }

    fn put(&mut self, id: DsoId, session: &Session, inject: &mut Injection<'_>) -> Result<(), Error> {
        let Some(dso) = session.dso(id) else { return Ok(()) };
        let done = std::mem::replace(self.done.of(id), IdsTo { header: true, events: true });
        self.injected.hit += 1;
        let Some(build_id) = self.id_of(id, dso, &session.recording) else { return Ok(()) };
        self.injected.found += 1;
        if self.to.header && !done.header {
            self.for_header.push((id, build_id));
        }
        if self.to.events && !done.events {
            match inject.inject(misc(dso), &Record::BuildId(record(dso, build_id))) {
                // A name that only just fits in a map's record is no reason to end the run.
                Err(Error::Format(error @ perf_format::Error::RecordTooLarge { .. })) => {
                    log::warn!("{error}; left out");
                }
                injected => injected?,
            }
        }
        Ok(())
    }

    /// A BUILD_ID record passes: its DSO needs no other, but an entry in the table.
    fn passes(&mut self, dso: DsoId, id: BuildId) {
        let done = self.done.of(dso);
        done.events = true;
        if self.to.header && !std::mem::replace(&mut done.header, true) {
            self.for_header.push((dso, id));
        }
    }
}

fn ask(sources: &mut Chain, dso: &Dso, recording: &Recording) -> Result<BuildId, NoBuildId> {
    sources.build_id(dso, recording)?.ok_or(NoBuildId::Unknown)
}

fn misc(dso: &Dso) -> Misc {
    Misc::of(match (dso.machine == HOST, dso.kind.is_kernel()) {
        (true, true) => CpuMode::Kernel,
        (true, false) => CpuMode::User,
        (false, true) => CpuMode::GuestKernel,
        (false, false) => CpuMode::GuestUser,
    })
}

fn record(dso: &Dso, id: BuildId) -> BuildIdRecord<'_> {
    BuildIdRecord { pid: dso.machine, build_id: SizedBuildId(id), filename: dso.name.as_bstr() }
}

impl Tool for BuildIds {
    fn wants(&self) -> RecordSet {
        let which = match self.which {
            Which::Hit => Hits::WANTS,
            Which::Mapped => RecordSet::of(&[RecordType::MMAP, RecordType::MMAP2]),
        };
        which.and(RecordSet::of(&[RecordType::BUILD_ID]))
    }

    fn event(
        &mut self,
        record: &RawRecord<'_>,
        session: &mut Session,
        inject: &mut Injection<'_>,
    ) -> Result<Verdict, Error> {
        if record.record_type() == RecordType::BUILD_ID {
            let id: BuildIdRecord<'_> = record.parse_as()?;
            if let Some(dso) = session.dso_of_build_id(record.misc(), &id) {
                self.passes(dso, id.build_id.0);
            }
            return Ok(Verdict::Repipe);
        }
        let is_map = matches!(record.record_type(), RecordType::MMAP | RecordType::MMAP2);
        if is_map && self.eager {
            self.read_ahead(session);
        }
        let Self { hits, done, hit_now, to, .. } = self;
        let mut is_due = |dso| {
            let done = done.of(dso);
            if (to.header && !done.header || to.events && !done.events) && !hit_now.contains(&dso) {
                hit_now.push(dso);
            }
        };
        match self.which {
            Which::Hit => hits.event(record, session, |dso, _| is_due(dso)),
            Which::Mapped => {
                let mapped = session.touched().iter().filter_map(|touched| touched.map);
                mapped.for_each(|(dso, _)| is_due(dso));
            }
        }
        let mut hit_now = std::mem::take(&mut self.hit_now);
        for dso in hit_now.drain(..) {
            self.put(dso, session, inject)?;
        }
        self.hit_now = hit_now;
        Ok(Verdict::Repipe)
    }
}
