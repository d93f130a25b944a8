//! `-b`: the build-id of each DSO that a sample hits: as a BUILD_ID record in front of the first such sample, in the
//! table of a file, or both.

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

/// Injects build-ids as DSOs are hit. A DSO whose id stands there already gets none; one without an id is not asked
/// for again.
#[derive(Debug)]
pub struct BuildIds {
    hits: Hits,
    sources: Chain,
    to: IdsTo,
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
    /// An injector that asks these sources.
    #[must_use]
    pub fn new(sources: Chain, to: IdsTo) -> Self {
        Self {
            hits: Hits::default(),
            sources,
            to,
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

    /// The id of a DSO that was hit, if there is one.
    fn id_of(&mut self, dso: &Dso, recording: &Recording) -> Option<BuildId> {
        let reason = match self.sources.build_id(dso, recording) {
            Ok(Some(id)) => {
                log::debug!("build id found for {}: {id}", dso.name);
                return Some(id);
            }
            // Memory of no file was never going to have one.
            Err(NoBuildId::NoDso) => return None,
            Ok(None) => NoBuildId::Unknown,
            Err(reason) => reason,
        };
        match reason {
            NoBuildId::Changed(change) => log::warn!("no build-id for {}: {change}", dso.name),
            reason => log::debug!("no build_id found for {}: {reason}", dso.name),
        }
        None
    }

    fn put(&mut self, id: DsoId, session: &Session, inject: &mut Injection<'_>) -> Result<(), Error> {
        let Some(dso) = session.dso(id) else { return Ok(()) };
        let done = std::mem::replace(self.done.of(id), IdsTo { header: true, events: true });
        self.injected.hit += 1;
        let Some(build_id) = self.id_of(dso, &session.recording) else { return Ok(()) };
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
        Hits::WANTS.and(RecordSet::of(&[RecordType::BUILD_ID]))
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
        let Self { hits, done, hit_now, to, .. } = self;
        hits.event(record, session, |dso, _| {
            let done = done.of(dso);
            if (to.header && !done.header || to.events && !done.events) && !hit_now.contains(&dso) {
                hit_now.push(dso);
            }
        });
        let mut hit_now = std::mem::take(&mut self.hit_now);
        for dso in hit_now.drain(..) {
            self.put(dso, session, inject)?;
        }
        self.hit_now = hit_now;
        Ok(Verdict::Repipe)
    }
}
