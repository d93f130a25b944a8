//! `-b`: a BUILD_ID record for each DSO, in front of the first sample that hits it.

use bstr::ByteSlice as _;
use perf_format::record::{BuildIdRecord, SizedBuildId};
use perf_format::{BuildId, CpuMode, Misc, RawRecord, Record, RecordType};
use perf_session::build_id::{BuildIdSource, Chain, NoBuildId};
use perf_session::dso::{Dso, DsoId, PerDso};
use perf_session::machine::HOST;
use perf_session::{Error, Hits, Injection, RecordSet, Session, Tool, Verdict};

/// Injects build-ids as DSOs are hit. A DSO whose id stands in the stream already gets none; one without an id is
/// not asked for again.
#[derive(Debug)]
pub struct BuildIds {
    hits: Hits,
    sources: Chain,
    /// By DSO: whether it needs nothing any more.
    done: PerDso<bool>,
    hit_now: Vec<DsoId>,
    injected: Injected,
}

/// What has been injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Injected {
    /// DSOs that samples hit and that had no id in the stream.
    pub hit: u64,
    /// Of those, DSOs whose id was found and injected.
    pub found: u64,
}

impl BuildIds {
    /// An injector that asks these sources.
    #[must_use]
    pub fn new(sources: Chain) -> Self {
        Self {
            hits: Hits::default(),
            sources,
            done: PerDso::default(),
            hit_now: Vec::new(),
            injected: Injected::default(),
        }
    }

    /// What has been injected so far.
    #[must_use]
    pub fn injected(&self) -> Injected {
        self.injected
    }

    /// The id of a DSO that was hit, or why there is none.
    fn id_of(&mut self, dso: &Dso) -> Option<BuildId> {
        match self.sources.build_id(dso) {
            Ok(Some(id)) => {
                log::debug!("build id found for {}: {id}", dso.name);
                Some(id)
            }
            // Memory of no file was never going to have one.
            Err(NoBuildId::NoDso) => None,
            Ok(None) => {
                log::debug!("no build_id found for {}: {}", dso.name, NoBuildId::Unknown);
                None
            }
            Err(reason) => {
                log::debug!("no build_id found for {}: {reason}", dso.name);
                None
            }
        }
    }

    fn inject(&mut self, dso: &Dso, inject: &mut Injection<'_>) -> Result<(), Error> {
        let Some(id) = self.id_of(dso) else { return Ok(()) };
        let mode = match (dso.machine == HOST, dso.kind.is_kernel()) {
            (true, true) => CpuMode::Kernel,
            (true, false) => CpuMode::User,
            (false, true) => CpuMode::GuestKernel,
            (false, false) => CpuMode::GuestUser,
        };
        let record =
            BuildIdRecord { pid: dso.machine, build_id: SizedBuildId(id), filename: dso.name.as_bstr() };
        match inject.inject(Misc::of(mode), &Record::BuildId(record)) {
            Ok(()) => self.injected.found += 1,
            // A name that only just fits in a map's record is no reason to end the run.
            Err(Error::Format(error @ perf_format::Error::RecordTooLarge { .. })) => {
                log::warn!("{error}; left out");
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
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
            if let Some(dso) = session.dso_of_build_id(record.misc(), &record.parse_as()?) {
                *self.done.of(dso) = true;
            }
            return Ok(Verdict::Repipe);
        }
        let Self { hits, done, hit_now, .. } = self;
        hits.event(record, session, |dso, _| {
            if !std::mem::replace(done.of(dso), true) {
                hit_now.push(dso);
            }
        });
        let mut hit_now = std::mem::take(&mut self.hit_now);
        for dso in hit_now.drain(..).filter_map(|dso| session.dso(dso)) {
            self.injected.hit += 1;
            self.inject(dso, inject)?;
        }
        self.hit_now = hit_now;
        Ok(Verdict::Repipe)
    }
}
