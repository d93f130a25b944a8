//! Ids that go by the names of their DSOs: BUILD_ID records in front of the first record that hits or maps them, and
//! entries of a file's table.

use bstr::ByteSlice as _;
use perf_format::record::{BuildIdRecord, SizedBuildId};
use perf_format::{Batch, BuildId, CpuMode, Misc, Record, RecordType};
use perf_session::dso::{Dso, DsoId, PerDso};
use perf_session::hits::{Counted, LiesIn};
use perf_session::machine::HOST;
use perf_session::{Error, Event, Hits, Injection, RecordSet, Session, Tool, Verdict};

use super::{DsoSelection, SharedIds, is_map};

/// Injects ids that go by name. A DSO whose id is already there gets none; one without an id is not looked up again.
#[derive(Debug)]
pub(crate) struct IdsByName {
    selection: DsoSelection,
    to_header: bool,
    to_events: bool,
    /// Whether files are read when their maps pass: of a process that runs now they may be gone when it is hit.
    eager: bool,
    hits: Hits,
    ids: SharedIds,
    notes: PerDso<Note>,
    pending: Vec<DsoId>,
    for_header: Vec<(DsoId, BuildId)>,
}

/// The state of a DSO.
#[derive(Debug, Clone, Copy, Default)]
struct Note {
    /// Whether it was hit, or with [`DsoSelection::Mapped`] mapped.
    is_selected: bool,
    done: Done,
}

/// Where the id of a DSO stands already by its name, or is known not to be had.
#[derive(Debug, Clone, Copy, Default)]
struct Done {
    header: bool,
    events: bool,
}

impl Done {
    const ALL: Self = Self { header: true, events: true };
}

impl IdsByName {
    /// An injector of ids into BUILD_ID records (`to_events`), the table of a file (`to_header`), or both.
    #[must_use]
    pub(crate) fn new(selection: DsoSelection, ids: SharedIds, to_header: bool, to_events: bool) -> Self {
        Self {
            selection,
            to_header,
            to_events,
            eager: false,
            hits: Hits::first().with_aux_data().counting(),
            ids,
            notes: PerDso::default(),
            pending: Vec::new(),
            for_header: Vec::new(),
        }
    }

    /// The same of a recording that is being made: files are read when their maps pass, and not when they are hit.
    #[must_use]
    pub(crate) fn eager(mut self, eager: bool) -> Self {
        self.eager = eager;
        self
    }

    /// What samples lie in; nothing where they are not looked at.
    pub(crate) fn census(&mut self, session: &Session) -> impl Iterator<Item = (LiesIn, Counted)> {
        self.hits.census(session)
    }

    /// The selected DSOs: those that were hit, or that were mapped.
    pub(crate) fn selected(&self) -> impl Iterator<Item = DsoId> {
        self.notes.iter().filter(|(_, note)| note.is_selected).map(|(id, _)| id)
    }

    /// Notes that the table of the input has an entry for a DSO.
    pub(crate) fn stands_in_header(&mut self, dso: DsoId) {
        self.notes.of(dso).done.header = true;
    }

    /// Notes that a BUILD_ID record of a DSO stands in front of all that passes.
    pub(crate) fn stands_in_front(&mut self, dso: DsoId) {
        self.notes.of(dso).done.events = true;
    }

    /// The entries that the input's table lacks.
    pub(crate) fn for_table<'e>(
        &'e self,
        session: &'e Session,
    ) -> impl Iterator<Item = (Misc, BuildIdRecord<'e>)> {
        let with_dso = self.for_header.iter().filter_map(|(dso, id)| Some((session.dso(*dso)?, *id)));
        with_dso.map(|(dso, id)| (misc(dso), record(dso, id)))
    }

    /// A BUILD_ID record passes: its DSO needs no other, but an entry in the table.
    fn passes(&mut self, dso: DsoId, id: BuildId) {
        let done = &mut self.notes.of(dso).done;
        done.events = true;
        if self.to_header && !std::mem::replace(&mut done.header, true) {
            self.for_header.push((dso, id));
        }
    }

    /// Selects the DSOs that a record hit or mapped.
    fn select(&mut self, event: &Event<'_>, session: &mut Session) {
        let Self { hits, notes, pending, to_header, to_events, .. } = self;
        let mut select = |dso| {
            let Note { is_selected, done } = notes.of(dso);
            *is_selected = true;
            let is_wanted = *to_header && !done.header || *to_events && !done.events;
            if is_wanted && !pending.contains(&dso) {
                pending.push(dso);
            }
        };
        match self.selection {
            DsoSelection::Hit => hits.event(event, session, |hit| select(hit.dso)),
            DsoSelection::Mapped => event.changes.mapped_dso().into_iter().for_each(select),
        }
    }

    /// Puts an id where it goes.
    fn put(&mut self, id: DsoId, session: &Session, inject: &mut Injection<'_>) -> Result<(), Error> {
        let Some(dso) = session.dso(id) else { return Ok(()) };
        let mut done = std::mem::replace(&mut self.notes.of(id).done, Done::ALL);
        if let Some(first) = dso.namesake_of {
            // An id that is there by the name is the first one's.
            done = self.notes.of(first).done;
        }
        let build_id = self.ids.borrow_mut().take_by_name(id, session);
        let Some(build_id) = build_id else { return Ok(()) };
        if let Some(first) = dso.namesake_of {
            self.notes.of(first).done = Done::ALL;
        }
        if self.to_header && !done.header {
            self.for_header.push((id, build_id));
        }
        if self.to_events && !done.events {
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
    BuildIdRecord { pid: dso.machine, build_id: SizedBuildId(Some(id)), filename: dso.name.as_bstr() }
}

impl Tool for IdsByName {
    fn wants(&self) -> RecordSet {
        let selection = match self.selection {
            DsoSelection::Hit => Hits::WANTS,
            DsoSelection::Mapped => RecordSet::of(&[RecordType::MMAP, RecordType::MMAP2]),
        };
        selection.union(RecordSet::of(&[RecordType::BUILD_ID]))
    }

    fn skip_samples(&mut self, batch: &mut Batch<'_>, session: &Session) -> u64 {
        match self.selection {
            DsoSelection::Hit => self.hits.skip_samples(batch, session),
            DsoSelection::Mapped => 0,
        }
    }

    fn event(
        &mut self,
        event: &Event<'_>,
        session: &mut Session,
        inject: &mut Injection<'_>,
    ) -> Result<Verdict, Error> {
        let record = event.record;
        if record.record_type() == RecordType::BUILD_ID {
            let id: BuildIdRecord<'_> = record.parse_as()?;
            if let (Some(dso), Some(id)) = (session.dso_of_build_id(record.misc(), &id), id.build_id.0) {
                self.passes(dso, id);
            }
            return Ok(Verdict::Repipe);
        }
        if self.eager
            && is_map(record.record_type())
            && let Some(dso) = event.changes.mapped_dso()
            && !self.notes.of(dso).done.events
        {
            self.ids.borrow_mut().find_early(dso, session);
        }
        self.select(event, session);
        if !self.pending.is_empty() {
            let mut pending = std::mem::take(&mut self.pending);
            pending.drain(..).try_for_each(|dso| self.put(dso, session, inject))?;
            self.pending = pending;
        }
        Ok(Verdict::Repipe)
    }
}
