//! The ids of a session's DSOs: each is looked up once, and the result is reported once.

use perf_format::BuildId;
use perf_session::Session;
use perf_session::build_id::{BuildIdSource as _, Chain, FoundId, NoBuildId};
use perf_session::dso::{DsoId, PerDso};

/// The sources, and a cache of what they answered.
#[derive(Debug)]
pub struct Ids {
    sources: Chain,
    answers: PerDso<Option<Answer>>,
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

impl Ids {
    pub(super) fn new(sources: Chain) -> Self {
        Self { sources, answers: PerDso::default() }
    }

    /// The id of a DSO, looked up at the first call.
    pub(super) fn find(&mut self, id: DsoId, session: &Session) -> Option<BuildId> {
        let found = &self.answer(id, session)?.found;
        found.as_ref().ok().map(|found| found.build_id)
    }

    /// The id of a DSO that is to be injected. It is reported, or the reason why there is none.
    pub(super) fn take(&mut self, id: DsoId, session: &Session) -> Option<BuildId> {
        let name = &session.dso(id)?.name;
        let Answer { found, is_reported, .. } = self.answer(id, session)?;
        let before = std::mem::replace(is_reported, true);
        match found {
            Ok(found) if !before => log::debug!("build id found for {name}: {}", found.build_id),
            // Memory of no file was never going to have one.
            Ok(_) | Err(NoBuildId::Anonymous) => {}
            Err(_) if before => {}
            Err(reason @ (NoBuildId::Changed(_) | NoBuildId::Shared(_))) => {
                log::warn!("no build-id for {name}: {reason}");
            }
            Err(reason) => log::debug!("no build_id found for {name}: {reason}"),
        }
        found.as_ref().ok().map(|found| found.build_id)
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
