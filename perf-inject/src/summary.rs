//! What a run came to: counts, and what has no id and why.

use std::collections::{BTreeMap, BTreeSet};

use bstr::BString;
use perf_session::Session;
use perf_session::build_id::{FoundId, NoBuildId, Origin};
use perf_session::dso::{DsoId, DsoKind};

/// What became of the DSOs that ids were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdSummary {
    /// DSOs that samples hit, or that were mapped where that was asked for; memory of no file is none.
    pub dsos: u64,
    /// Of those, whose id the output's reader has from a record or an entry that was there.
    pub there: u64,
    /// Of those, whose id was injected, by where it came from.
    pub injected: BTreeMap<Origin, u64>,
    /// Of the injected, those of files on devices that do not tell whether they are the recorded ones.
    pub unproven: u64,
    /// Those without an id, and why, by name.
    pub missing: Vec<Missing>,
}

/// A DSO without an id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// Its name.
    pub name: BString,
    /// Why.
    pub reason: String,
}

impl IdSummary {
    /// Adds up what was answered for the DSOs that were selected.
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
                    summary.unproven += u64::from(found.unproven);
                }
                Some(Err(reason)) => {
                    summary.missing.push(Missing { name: dso.name.clone(), reason: reason.to_string() });
                }
            }
        }
        summary.missing.sort();
        summary
    }
}
