//! The root directories of processes, which the user gives: of containers that are gone, or of another machine.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::cache::Identified;
use super::{BuildIdCache, BuildIdSource, FoundId, InRoot, NoBuildId, Origin};
use crate::dso::{Dso, DsoKind};
use crate::evidence::{Evidence, Unproven};
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
        let root = dso.mapped_by.and_then(|mapped| mapped.root);
        let Some((_, root)) = self.roots.iter().find(|(pid, _)| Some(*pid) == root) else { return Ok(None) };
        if dso.kind != DsoKind::File {
            return Ok(None);
        }
        let file = root.open_regular(Path::new(OsStr::from_bytes(&dso.name)));
        let build_id = file.and_then(|file| {
            let Identified { build_id, layout } = self.cache.id_in(file)?;
            self.evidence.copy(dso, &layout, recording).map(|()| build_id)
        });
        let build_id = build_id.map_err(|reason| NoBuildId::BelowRoot(Box::new(reason)))?;
        Ok(Some(FoundId { unproven: Some(Unproven::Named), ..FoundId::from(Origin::Root, build_id) }))
    }
}
