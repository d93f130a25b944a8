//! The root directories of processes, which the user gives: of containers that are gone, or of another machine.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::{BuildIdCache, BuildIdSource, FoundId, InRoot, NoBuildId, ObjectSource, Origin, WantedFile};
use crate::dso::{Dso, DsoKind};
use crate::evidence::Evidence;
use crate::object_files::ObjectFile;
use crate::recording::Recording;

/// Reads the file of a DSO's name below the directory that stands for its process's root.
#[derive(Debug)]
pub struct RootSource {
    roots: Vec<(i32, InRoot)>,
    evidence: Evidence,
    cache: BuildIdCache,
}

impl RootSource {
    /// A source for the processes with these pids and those that descend from them.
    #[must_use]
    pub fn new(roots: Vec<(i32, InRoot)>, evidence: Evidence, cache: BuildIdCache) -> Self {
        Self { roots, evidence, cache }
    }
}

impl BuildIdSource for RootSource {
    fn build_id(&mut self, dso: &Dso, recording: &Recording) -> Result<Option<FoundId>, NoBuildId> {
        FoundId::of(self.object(dso, recording, WantedFile::WithId))
    }
}

impl ObjectSource for RootSource {
    fn object(
        &mut self,
        dso: &Dso,
        recording: &Recording,
        wanted: WantedFile,
    ) -> Result<Option<ObjectFile>, NoBuildId> {
        let Some(root) = root_of(&self.roots, dso) else { return Ok(None) };
        if dso.kind != DsoKind::File {
            return Ok(None);
        }
        let file = root.open_regular(Path::new(OsStr::from_bytes(&dso.name)));
        let object = file.and_then(|file| {
            let notes = self.cache.notes_in(&file, wanted)?;
            let proof = self.evidence.copy(dso, &notes.layout, wanted, recording)?;
            Ok(ObjectFile::of(file, notes.build_id, Origin::Root, proof))
        });
        object.map(Some).map_err(|reason| NoBuildId::BelowRoot(Box::new(reason)))
    }
}

/// The root that is given for the process that maps a DSO.
pub(crate) fn root_of<'r>(roots: &'r [(i32, InRoot)], dso: &Dso) -> Option<&'r InRoot> {
    let root = dso.mapped_by?.root?;
    roots.iter().find(|(pid, _)| *pid == root).map(|(_, root)| root)
}
