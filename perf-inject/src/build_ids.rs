//! The four styles of build-ids: of each DSO that a sample hits (`-b`, `-B`) or that is mapped (`--buildid-all`,
//! `--mmap2-buildid-all`); as BUILD_ID records, in MMAP2 records, in the table of a file, or in several of these.

use bstr::ByteSlice as _;
use perf_format::record::{BuildIdRecord, Mmap2, SizedBuildId};
use perf_format::{BuildId, CpuMode, Endian, Misc, RawRecord, Record, RecordType};
use perf_session::build_id::Chain;
use perf_session::dso::{Dso, DsoId, DsoKind, PerDso};
use perf_session::machine::HOST;
use perf_session::{Error, Hit, Hits, Injection, PassedOver, RecordSet, Session, Tool, Verdict};

use crate::summary::IdSummary;

mod ids;
mod maps;

use ids::Ids;
use maps::ToldMaps;

/// Where ids go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IdsTo {
    /// To the table behind a file's records.
    pub header: bool,
    /// To BUILD_ID records.
    pub events: bool,
    /// To MMAP2 records, in the place of device and inode.
    pub mmap2: bool,
}

/// Which DSOs get their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those that samples hit.
    Hit,
    /// All that are mapped; samples are not looked at.
    Mapped,
}

/// Injects build-ids as DSOs are hit or mapped. A DSO whose id stands there already gets none; one without an id is
/// not asked for again.
#[derive(Debug)]
pub struct BuildIds {
    which: Which,
    to: IdsTo,
    /// Whether maps that nothing hits are left out, where the others get their ids.
    drop_unused: bool,
    /// Whether files are read when their maps pass: of a process that runs now they may be gone when it is hit.
    eager: bool,
    hits: Hits,
    ids: Ids,
    told: ToldMaps,
    notes: PerDso<Note>,
    due: Vec<DsoId>,
    places: Vec<Hit>,
    for_header: Vec<(DsoId, BuildId)>,
}

/// What is noted of a DSO.
#[derive(Debug, Clone, Copy, Default)]
struct Note {
    /// Whether it was hit, or mapped where that is asked for.
    meant: bool,
    /// Where its id stands already by its name, or is known not to be had.
    done: IdsTo,
}

impl BuildIds {
    /// An injector that asks these sources.
    #[must_use]
    pub fn new(which: Which, sources: Chain, to: IdsTo) -> Self {
        Self {
            which,
            to,
            drop_unused: false,
            eager: false,
            hits: Hits::default(),
            ids: Ids::new(sources),
            told: ToldMaps::default(),
            notes: PerDso::default(),
            due: Vec::new(),
            places: Vec::new(),
            for_header: Vec::new(),
        }
    }

    /// The same of a recording that is being made: files are read when their maps pass, and not when they are hit.
    #[must_use]
    pub fn eager(mut self, eager: bool) -> Self {
        self.eager = eager;
        self
    }

    /// The same, but maps of code that has an id and that nothing hits are left out.
    #[must_use]
    pub fn drop_unused(mut self, drop_unused: bool) -> Self {
        self.drop_unused = drop_unused;
        self
    }

    /// What was asked for and found so far.
    #[must_use]
    pub fn summary(&self, session: &Session) -> IdSummary {
        let meant = self.notes.iter().filter(|(_, note)| note.meant).map(|(id, _)| id);
        IdSummary::new(meant, self.ids.answers(!self.to.mmap2), session)
    }

    /// Notes that a DSO stands in the table of the input.
    pub fn stands_in_header(&mut self, dso: DsoId) {
        self.notes.of(dso).done.header = true;
    }

    /// The entries that the input's table lacks.
    pub fn for_table<'e>(&'e self, session: &'e Session) -> impl Iterator<Item = (Misc, BuildIdRecord<'e>)> {
        let with_dso = self.for_header.iter().filter_map(|(dso, id)| Some((session.dso(*dso)?, *id)));
        with_dso.map(|(dso, id)| (misc(dso), record(dso, id)))
    }

    /// A BUILD_ID record passes: its DSO needs no other, but an entry in the table.
    fn passes(&mut self, dso: DsoId, id: BuildId) {
        let done = &mut self.notes.of(dso).done;
        done.events = true;
        if self.to.header && !std::mem::replace(&mut done.header, true) {
            self.for_header.push((dso, id));
        }
    }

    /// Notes what a record hit or mapped.
    fn look(&mut self, record: &RawRecord<'_>, session: &mut Session) {
        let Self { hits, notes, due, places, to, .. } = self;
        let mut is_meant = |dso| {
            let Note { meant, done } = notes.of(dso);
            *meant = true;
            if (to.header && !done.header || to.events && !done.events) && !due.contains(&dso) {
                due.push(dso);
            }
        };
        match self.which {
            Which::Hit if to.mmap2 => hits.event(record, session, |hit| {
                is_meant(hit.dso);
                places.push(hit);
            }),
            Which::Hit => hits.event_once(record, session, |hit| is_meant(hit.dso)),
            Which::Mapped => {
                let mapped = session.touched().iter().filter_map(|touched| touched.map);
                mapped.for_each(|(dso, _)| is_meant(dso));
            }
        }
    }

    /// Puts an id where it goes by its DSO's name.
    fn put(&mut self, id: DsoId, session: &Session, inject: &mut Injection<'_>) -> Result<(), Error> {
        let Some(dso) = session.dso(id) else { return Ok(()) };
        let all = IdsTo { header: true, events: true, mmap2: true };
        let mut done = std::mem::replace(&mut self.notes.of(id).done, all);
        if let Some(first) = dso.namesake_of {
            // What stands there by the name is the first one's.
            done = self.notes.of(first).done;
        }
        let Some(build_id) = self.ids.take_by_name(id, session) else { return Ok(()) };
        if let Some(first) = dso.namesake_of {
            self.notes.of(first).done = all;
        }
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

    /// What becomes of a map's own record.
    fn map(
        &mut self,
        record: &RawRecord<'_>,
        session: &Session,
        inject: &mut Injection<'_>,
    ) -> Result<Verdict, Error> {
        let mapped = session.touched().first().and_then(|touched| touched.map);
        let Some((id, dso)) = mapped.and_then(|(id, _)| Some((id, session.dso(id)?))) else {
            return Ok(Verdict::Repipe);
        };
        let map = Mmap2::of_record(record)?;
        if self.which == Which::Hit && maps::waits(dso, &map) {
            let comes_when_hit = self.drop_unused && self.ids.find(id, session).is_some();
            if !comes_when_hit && self.drop_unused {
                self.ids.take(id, session);
                self.told.show(record, session);
            }
            return Ok(if comes_when_hit { Verdict::Drop } else { Verdict::Repipe });
        }
        if self.which == Which::Hit {
            self.told.show(record, session);
        }
        // The kernel's image is hit in every recording.
        let build_id = match self.which {
            Which::Hit if dso.kind != DsoKind::Kernel => None,
            _ => self.ids.take(id, session),
        };
        build_id.map_or(Ok(Verdict::Repipe), |id| maps::rewrite(record, &map, id, session, inject))
    }

    /// Tells the maps that were hit, with their ids.
    fn tell(
        &mut self,
        record: &RawRecord<'_>,
        session: &Session,
        inject: &mut Injection<'_>,
    ) -> Result<(), Error> {
        let mut places = std::mem::take(&mut self.places);
        for hit in places.drain(..) {
            if let Some(id) = self.ids.take(hit.dso, session) {
                self.told.tell(&hit, id, record, session, inject)?;
            }
        }
        self.places = places;
        Ok(())
    }

    /// The part of the work that ends in MMAP2 records.
    fn mmap2(
        &mut self,
        record: &RawRecord<'_>,
        session: &Session,
        inject: &mut Injection<'_>,
    ) -> Result<Verdict, Error> {
        let mut verdict = match record.record_type() {
            RecordType::MMAP | RecordType::MMAP2 => self.map(record, session, inject)?,
            _ => Verdict::Repipe,
        };
        if self.which == Which::Mapped {
            return Ok(verdict);
        }
        if Session::WANTS.contains(record.record_type()) && !is_map(record) {
            self.told.show(record, session);
        }
        let is_before = !matches!(record.record_type(), RecordType::FORK | RecordType::COMM);
        if !self.places.is_empty() {
            if !is_before {
                // What an address space begins with comes behind what begins it.
                inject.repipe(record);
                verdict = Verdict::Drop;
            }
            self.tell(record, session, inject)?;
        }
        self.told.pass(record, session);
        Ok(verdict)
    }
}

fn is_map(record: &RawRecord<'_>) -> bool {
    matches!(record.record_type(), RecordType::MMAP | RecordType::MMAP2)
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
            Which::Hit if self.to.mmap2 => Hits::WANTS.and(ToldMaps::WANTS),
            Which::Hit => Hits::WANTS,
            Which::Mapped => RecordSet::of(&[RecordType::MMAP, RecordType::MMAP2]),
        };
        which.and(RecordSet::of(&[RecordType::BUILD_ID]))
    }

    fn pass_over(&mut self, records: &[u8], endian: Endian, session: &Session) -> PassedOver {
        match self.which {
            Which::Hit if !self.to.mmap2 => self.hits.pass_over(records, endian, session),
            Which::Hit | Which::Mapped => PassedOver::default(),
        }
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
        if self.eager && is_map(record) {
            for (dso, _) in session.touched().iter().filter_map(|touched| touched.map) {
                if !self.notes.of(dso).done.events {
                    self.ids.find(dso, session);
                }
            }
        }
        self.look(record, session);
        if self.due.is_empty() && !self.to.mmap2 {
            return Ok(Verdict::Repipe);
        }
        let mut due = std::mem::take(&mut self.due);
        for dso in due.drain(..) {
            self.put(dso, session, inject)?;
        }
        self.due = due;
        if self.to.mmap2 { self.mmap2(record, session, inject) } else { Ok(Verdict::Repipe) }
    }
}
