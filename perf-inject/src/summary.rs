//! The summary of a run's ids: counts, and the DSOs without an id and why.

use std::collections::{BTreeMap, BTreeSet};

use bstr::BString;
use perf_session::Session;
use perf_session::build_id::{FoundId, NoBuildId, Origin};
use perf_session::dso::{DsoId, DsoKind};

/// How many of the selected DSOs got ids, from where, and why the others got none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdSummary {
    /// DSOs that samples hit, or that were mapped; anonymous memory does not count.
    pub dsos: u64,
    /// Of those, the ones whose id the input had already, in a record or in its table.
    pub there: u64,
    /// Of those, the ones whose id was injected, by its source.
    pub injected: BTreeMap<Origin, u64>,
    /// Of the injected, those of files that nothing proves to be the recorded ones, and why, by name.
    pub unproven: Vec<Reasoned>,
    /// The DSOs without an id and the reasons, by name.
    pub missing: Vec<Reasoned>,
}

/// A DSO without an id, or with one that is not proven, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Reasoned {
    /// Its name.
    pub name: BString,
    /// Why.
    pub reason: String,
}

impl IdSummary {
    /// Adds up the results for the selected DSOs.
    pub(crate) fn new<'a>(
        selected: impl Iterator<Item = DsoId>,
        answers: impl Iterator<Item = (DsoId, Result<&'a FoundId, &'a NoBuildId>)>,
        session: &Session,
    ) -> Self {
        let answers: BTreeMap<DsoId, _> = answers.collect();
        let mut summary = Self::default();
        for id in selected.collect::<BTreeSet<_>>() {
            let Some(dso) = session.dso(id).filter(|dso| dso.kind != DsoKind::Anonymous) else { continue };
            summary.dsos += 1;
            match answers.get(&id) {
                None => summary.there += 1,
                Some(Ok(found)) => {
                    *summary.injected.entry(found.origin).or_default() += 1;
                    if let Some(why) = found.unproven {
                        summary.unproven.push(Reasoned { name: dso.name.clone(), reason: why.to_string() });
                    }
                }
                Some(Err(reason)) => {
                    summary.missing.push(Reasoned { name: dso.name.clone(), reason: reason.to_string() });
                }
            }
        }
        summary.unproven.sort();
        summary.missing.sort();
        summary
    }
}
