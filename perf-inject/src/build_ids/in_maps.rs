//! Ids in MMAP2 records: a map's own record is written again with its id, or waits until something hits it.

use perf_format::record::{MapFile, Mmap2};
use perf_format::{BuildId, RawRecord, Record, RecordType};
use perf_session::dso::{DsoId, DsoKind, PerDso};
use perf_session::hits::{Counted, LiesIn};
use perf_session::{Error, Event, Hit, Hits, Injection, RecordSet, Session, Tool, Verdict};

use super::lazy_maps::{LazyMaps, is_deferrable};
use super::{DsoSelection, SharedIds, is_map};

/// Writes ids into the records of maps.
#[derive(Debug)]
pub(crate) struct IdsInMaps {
    selection: DsoSelection,
    /// Whether maps that nothing hits are left out, where the others get their ids.
    drop_unused: bool,
    /// Whether files are read when their maps pass: of a process that runs now they may be gone when it is hit.
    eager: bool,
    hits: Hits,
    ids: SharedIds,
    lazy: LazyMaps,
    is_selected: PerDso<bool>,
    found: Vec<Hit>,
}

impl IdsInMaps {
    /// An injector of ids into the maps of these DSOs.
    #[must_use]
    pub(crate) fn new(selection: DsoSelection, ids: SharedIds) -> Self {
        Self {
            selection,
            drop_unused: false,
            eager: false,
            hits: Hits::every().with_aux_data().counting(),
            ids,
            lazy: LazyMaps::default(),
            is_selected: PerDso::default(),
            found: Vec::new(),
        }
    }

    /// The same of a recording that is being made: files are read when their maps pass, and not when they are hit.
    #[must_use]
    pub(crate) fn eager(mut self, eager: bool) -> Self {
        self.eager = eager;
        self
    }

    /// The same, but maps of code that has an id and that nothing hits are left out.
    #[must_use]
    pub(crate) fn drop_unused(mut self, drop_unused: bool) -> Self {
        self.drop_unused = drop_unused;
        self
    }

    /// What samples lie in; nothing where they are not looked at.
    pub(crate) fn census(&mut self, session: &Session) -> impl Iterator<Item = (LiesIn, Counted)> {
        self.hits.census(session)
    }

    /// The selected DSOs: those that were hit, or that were mapped.
    pub(crate) fn selected(&self) -> impl Iterator<Item = DsoId> {
        self.is_selected.iter().filter(|(_, is_selected)| **is_selected).map(|(id, _)| id)
    }

    /// Decides what becomes of a map's own record.
    fn map(
        &mut self,
        event: &Event<'_>,
        session: &Session,
        inject: &mut Injection<'_>,
    ) -> Result<Verdict, Error> {
        let mapped = event.changes.mapped_dso();
        let Some((id, dso)) = mapped.and_then(|id| Some((id, session.dso(id)?))) else {
            return Ok(Verdict::Repipe);
        };
        let record = event.record;
        let map = Mmap2::of_record(record)?;
        if self.selection == DsoSelection::Mapped {
            *self.is_selected.of(id) = true;
        } else if is_deferrable(dso, &map) && !self.hits.assumes_all() {
            let comes_when_hit = self.drop_unused && self.ids.borrow_mut().find(id, session).is_some();
            if !comes_when_hit && self.drop_unused {
                self.ids.borrow_mut().take(id, session);
                self.lazy.show(record, session);
            }
            return Ok(if comes_when_hit { Verdict::Drop } else { Verdict::Repipe });
        }
        // The kernel's image is hit in every recording.
        let is_hit =
            self.selection == DsoSelection::Mapped || dso.kind == DsoKind::Kernel || self.hits.assumes_all();
        let build_id = if is_hit { self.ids.borrow_mut().take(id, session) } else { None };
        let before = inject.bytes().len();
        let verdict = match build_id {
            Some(id) => rewrite(record, &map, id, session, inject)?,
            None => Verdict::Repipe,
        };
        if self.selection == DsoSelection::Hit {
            let written = inject.bytes().get(before..).unwrap_or_default();
            let written = RawRecord::first(written, record.offset, record.endian);
            self.lazy.show(&written.unwrap_or(*record), session);
        }
        Ok(verdict)
    }

    /// Announces the maps that were hit, with their ids.
    fn announce(
        &mut self,
        record: &RawRecord<'_>,
        session: &Session,
        inject: &mut Injection<'_>,
    ) -> Result<(), Error> {
        for hit in self.found.drain(..) {
            let id = self.ids.borrow_mut().take(hit.dso, session);
            if let Some(id) = id {
                self.lazy.announce(&hit, id, record, session, inject)?;
            }
        }
        Ok(())
    }
}

impl Tool for IdsInMaps {
    fn wants(&self) -> RecordSet {
        match self.selection {
            DsoSelection::Hit => Hits::WANTS.union(LazyMaps::WANTS),
            DsoSelection::Mapped => RecordSet::of(&[RecordType::MMAP, RecordType::MMAP2]),
        }
    }

    fn cuts(&self) -> RecordSet {
        RecordSet::of(&[RecordType::MMAP, RecordType::MMAP2, RecordType::FORK, RecordType::COMM])
    }

    fn event(
        &mut self,
        event: &Event<'_>,
        session: &mut Session,
        inject: &mut Injection<'_>,
    ) -> Result<Verdict, Error> {
        let record = event.record;
        let record_type = record.record_type();
        if self.eager
            && is_map(record_type)
            && let Some(dso) = event.changes.mapped_dso()
        {
            self.ids.borrow_mut().find_early(dso, session);
        }
        if self.selection == DsoSelection::Mapped {
            return self.map(event, session, inject);
        }
        let Self { hits, is_selected, found, .. } = self;
        hits.event(event, session, |hit| {
            *is_selected.of(hit.dso) = true;
            found.push(hit);
        });
        let mut verdict = match is_map(record_type) {
            true => self.map(event, session, inject)?,
            false => Verdict::Repipe,
        };
        if Session::WANTS.contains(record_type) && !is_map(record_type) {
            self.lazy.show(record, session);
        }
        if !self.found.is_empty() {
            // The maps with which an address space begins come behind the record that begins it.
            if matches!(record_type, RecordType::FORK | RecordType::COMM) {
                verdict = Verdict::RepipeFirst;
            }
            self.announce(record, session, inject)?;
        }
        self.lazy.pass(record, session);
        Ok(verdict)
    }
}

/// Writes a map's record again, with its id. A record that has it, or whose fields do not show where it ends, stays as
/// it is.
fn rewrite(
    record: &RawRecord<'_>,
    map: &Mmap2<'_>,
    id: BuildId,
    session: &Session,
    inject: &mut Injection<'_>,
) -> Result<Verdict, Error> {
    let trailer = session.evlist.evsel(record).and_then(|evsel| evsel.format.sample_id(record));
    let file = MapFile::BuildId(Some(id));
    let Some(trailer) = trailer.filter(|_| map.file != file) else { return Ok(Verdict::Repipe) };
    match inject.inject_with_sample_id(record.misc(), &Record::Mmap2(Mmap2 { file, ..map.clone() }), &trailer)
    {
        // A name that only just fits in an MMAP is no reason to end the run.
        Err(Error::Format(error @ perf_format::Error::RecordTooLarge { .. })) => {
            log::warn!("{error}; left as it is");
            Ok(Verdict::Repipe)
        }
        written => written.map(|()| Verdict::Drop),
    }
}
