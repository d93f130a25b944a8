//! The file of a process that still runs: reached through the process, so that it is found though it was deleted,
//! never had a name, or has another name where the process is.

use super::cache::Identified;
use super::{BuildIdCache, BuildIdSource, FoundId, NoBuildId, Origin};
use crate::dso::{Dso, DsoKind};
use crate::evidence::{Evidence, Proof};
use crate::recording::Recording;

/// Reads the file of a map that a recorded process still has, by `/proc/PID/map_files` or below `/proc/PID/root`. No
/// namespace is entered.
#[derive(Debug, Default, Clone)]
pub struct LiveSource {
    evidence: Evidence,
    cache: BuildIdCache,
}

impl LiveSource {
    /// A source of the files of processes that pass the evidence.
    #[must_use]
    pub fn new(evidence: Evidence, cache: BuildIdCache) -> Self {
        Self { evidence, cache }
    }
}

impl BuildIdSource for LiveSource {
    fn build_id(&mut self, dso: &Dso, recording: &Recording) -> Result<Option<FoundId>, NoBuildId> {
        if dso.kind != DsoKind::File {
            return Ok(None);
        }
        // Where the process is gone, or may not be looked into, the file's own name must do.
        let Some((file, _)) = self.evidence.live_file(dso, recording)? else { return Ok(None) };
        let Identified { build_id, .. } = self.cache.id_in(file.try_clone()?)?;
        // Once more: it may have been changed while it was read.
        let proof = self.evidence.live_file(dso, recording)?.map(|(_, proof)| proof);
        let found =
            |proof: Proof| FoundId { unproven: proof.unproven(), ..FoundId::from(Origin::Process, build_id) };
        Ok(proof.map(found))
    }
}
