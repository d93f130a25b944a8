//! The file of a process that still runs: reached through the process, so that it is found though it was deleted,
//! never had a name, or has another name where the process is.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::file::open_regular;
use super::{BuildIdCache, BuildIdSource, FoundId, InRoot, NoBuildId, Origin};
use crate::dso::{Dso, DsoKind, MappedBy};
use crate::recording::Recording;

/// Reads `/proc/PID/map_files/START-END` and `/proc/PID/root/PATH`. No namespace is entered. The pid may have been used
/// again: a file counts only if it has the recorded inode.
#[derive(Debug, Default, Clone)]
pub struct LiveSource {
    cache: BuildIdCache,
}

impl LiveSource {
    /// A source that reads each file once.
    #[must_use]
    pub fn new(cache: BuildIdCache) -> Self {
        Self { cache }
    }
}

impl BuildIdSource for LiveSource {
    fn build_id(&mut self, dso: &Dso, _: &Recording) -> Result<Option<FoundId>, NoBuildId> {
        let (Some(MappedBy { pid, start, end, .. }), Some(inode)) = (dso.mapped_by, dso.inode) else {
            return Ok(None);
        };
        if dso.kind != DsoKind::File || inode.ino == 0 {
            return Ok(None);
        }
        let is_it = |file: &File| file.metadata().is_ok_and(|meta| meta.ino() == inode.ino);
        let mapped = || open_regular(&PathBuf::from(format!("/proc/{pid}/map_files/{start:x}-{end:x}"))).ok();
        let rooted = || {
            // Links are those of the process's own root.
            let root = InRoot::open(Path::new(&format!("/proc/{pid}/root"))).ok()?;
            root.open_regular(Path::new(OsStr::from_bytes(&dso.name))).ok()
        };
        // Where the process is gone, or may not be looked into, the file's own name must do.
        let file = mapped().filter(is_it).or_else(|| rooted().filter(is_it));
        let id = file.and_then(|file| self.cache.id_in(file).ok());
        Ok(id.map(|id| FoundId::from(Origin::Process, id)))
    }
}
