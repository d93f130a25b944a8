//! The file of a process that still runs: reached through the process, so that it is found though it was deleted,
//! never had a name, or has another name where the process is.

use super::{BuildIdCache, BuildIdSource, FoundId, NoBuildId, ObjectSource, Origin, WantedFile};
use crate::dso::{Dso, DsoKind};
use crate::evidence::{Evidence, Proof};
use crate::object_files::ObjectFile;
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
        FoundId::of(self.object(dso, recording, WantedFile::WithId))
    }
}

impl ObjectSource for LiveSource {
    fn object(
        &mut self,
        dso: &Dso,
        recording: &Recording,
        wanted: WantedFile,
    ) -> Result<Option<ObjectFile>, NoBuildId> {
        if dso.kind != DsoKind::File {
            return Ok(None);
        }
        if wanted.proves() {
            let Some(file) = Evidence::live_file_at(dso) else { return Ok(None) };
            // Another process may have its number by now, and another file there.
            let Ok(notes) = self.cache.notes_in(&file, wanted) else { return Ok(None) };
            return Ok(Some(ObjectFile::of(file, notes.build_id, Origin::Process, Proof::Proven)));
        }
        // Where the process is gone, or may not be looked into, the file's own name must do.
        let Some((file, _)) = self.evidence.live_file(dso, recording)? else { return Ok(None) };
        let notes = self.cache.notes_in(&file, wanted)?;
        // Once more: it may have been changed while it was read.
        let proof = self.evidence.live_file(dso, recording)?.map(|(_, proof)| proof);
        Ok(proof.map(|proof| ObjectFile::of(file, notes.build_id, Origin::Process, proof)))
    }
}
