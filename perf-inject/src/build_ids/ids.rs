//! The ids of a session's DSOs: each is looked up once, and the result is reported once.

use perf_format::BuildId;
use perf_session::Session;
use perf_session::build_id::{BuildIdSource as _, Chain, FoundId, NoBuildId};
use perf_session::dso::{DsoId, PerDso};
use perf_session::evidence::{Mismatch, Place};

use crate::jit::is_jitdump;
use crate::limits::WARNINGS_AT_MOST;

/// The sources, and a cache of what they answered.
#[derive(Debug)]
pub(crate) struct Ids {
    sources: Chain,
    answers: PerDso<Option<Answer>>,
    /// How many DSOs were refused what is here, aloud.
    warned: u64,
    /// Whether it was said that the recording was made elsewhere.
    is_place_told: bool,
}

/// The result of a DSO's lookup.
#[derive(Debug)]
struct Answer {
    found: Result<FoundId, NoBuildId>,
    /// Whether it was reported.
    is_reported: bool,
    /// Whether its name is another file's, so that the id is of no use where records go by names.
    is_namesake: bool,
}

/// What helps where a recording was made elsewhere, or where that cannot be told.
fn cure(place: &Place) -> &'static str {
    match place {
        Place::Elsewhere(_) => "inject them there, or name a copy of its files (--symfs)",
        Place::ThisBoot | Place::SomeBoot | Place::OtherBoot(_) | Place::Unknown => {
            "inject them while it is recorded, or trust this machine (--allow-changed)"
        }
    }
}

impl Ids {
    pub(super) fn new(sources: Chain) -> Self {
        Self { sources, answers: PerDso::default(), warned: 0, is_place_told: false }
    }

    /// The id of a DSO, looked up at the first call.
    pub(super) fn find(&mut self, id: DsoId, session: &Session) -> Option<BuildId> {
        let found = &self.answer(id, session)?.found;
        found.as_ref().ok().map(|found| found.build_id)
    }

    /// Looks up the id of a DSO that is to be injected later. What cannot be told yet, where or when it was recorded, is
    /// asked again.
    pub(super) fn find_early(&mut self, id: DsoId, session: &Session) {
        let answer = self.answer(id, session).map(|answer| &answer.found);
        let may_be_told_later =
            matches!(answer, Some(Err(NoBuildId::NotHere(_) | NoBuildId::Changed(Mismatch::Doubt { .. }))));
        if may_be_told_later {
            *self.answers.of(id) = None;
        }
    }

    /// The id of a DSO that is to be injected. It is reported, or the reason why there is none.
    pub(super) fn take(&mut self, id: DsoId, session: &Session) -> Option<BuildId> {
        let name = &session.dso(id)?.name;
        let (warned, is_place_told) = (self.warned, self.is_place_told);
        let Answer { found, is_reported, .. } = self.answer(id, session)?;
        let before = std::mem::replace(is_reported, true);
        let build_id = found.as_ref().ok().map(|found| found.build_id);
        match found {
            Ok(found) if !before => log::debug!("build id found for {name}: {}", found.build_id),
            // Memory of no file was never going to have one.
            Ok(_) | Err(NoBuildId::Anonymous) => {}
            Err(_) if before => {}
            // One line for all of them.
            Err(NoBuildId::NotHere(place)) if !is_place_told => {
                log::warn!("no build-ids of this machine: {place}; {}", cure(place));
                self.is_place_told = true;
            }
            // A process maps its dump so that it is found: there is no code in it, and it is written on.
            Err(reason @ (NoBuildId::Changed(_) | NoBuildId::Shared(_))) if !is_jitdump(name.as_ref()) => {
                if warned < WARNINGS_AT_MOST {
                    log::warn!("no build-id for {name}: {reason}");
                }
                self.warned += 1;
            }
            Err(reason) => log::debug!("no build_id found for {name}: {reason}"),
        }
        build_id
    }

    /// Reports how many warnings there would have been beyond those that were given.
    pub(crate) fn report_rest(&self) {
        if let Some(more @ 1..) = self.warned.checked_sub(WARNINGS_AT_MOST) {
            log::warn!("no build-id for {more} more DSOs, for such reasons (--summary lists them)");
        }
    }

    /// The id of a DSO that is to be injected by its name alone: if that would give it to another file of that name,
    /// there is none.
    pub(super) fn take_by_name(&mut self, id: DsoId, session: &Session) -> Option<BuildId> {
        let dso = session.dso(id)?;
        let found = self.find(id, session);
        if let (Some(first), Some(_)) = (dso.namesake_of, found)
            && self.find(first, session) != found
        {
            let answer = self.answer(id, session)?;
            if !std::mem::replace(&mut answer.is_namesake, true) {
                log::warn!("no build-id for {}: {}", dso.name, NoBuildId::Namesake);
            }
            return None;
        }
        self.take(id, session)
    }

    /// The results, by DSO; with `by_name`, those for records that identify DSOs by name.
    pub(crate) fn answers(
        &self,
        by_name: bool,
    ) -> impl Iterator<Item = (DsoId, Result<&FoundId, &NoBuildId>)> {
        self.answers.iter().filter_map(move |(id, answer)| {
            let answer = answer.as_ref()?;
            let namesake = by_name && answer.is_namesake;
            Some((id, if namesake { Err(&NoBuildId::Namesake) } else { answer.found.as_ref() }))
        })
    }

    fn answer(&mut self, id: DsoId, session: &Session) -> Option<&mut Answer> {
        let (dso, sources) = (session.dso(id)?, &mut self.sources);
        let find = || {
            let found = sources.build_id(dso, &session.recording);
            Answer {
                found: found.and_then(|found| found.ok_or(NoBuildId::Unknown)),
                is_reported: false,
                is_namesake: false,
            }
        };
        Some(self.answers.of(id).get_or_insert_with(find))
    }
}
