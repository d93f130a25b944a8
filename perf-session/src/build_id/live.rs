//! The file of a process that still runs: reached through the process, so that it is found though it was deleted,
//! never had a name, or has another name where the process is.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use perf_format::BuildId;

use super::file::open_regular;
use super::{BuildIdSource, NoBuildId, build_id_of};
use crate::dso::{Dso, DsoKind, MappedBy};
use crate::session::Recording;

/// Reads `/proc/PID/map_files/START-END` and `/proc/PID/root/PATH`. No namespace is entered. A pid may be somebody
/// else's by now: only the recorded inode counts.
#[derive(Debug, Default, Clone, Copy)]
pub struct LiveSource;

impl BuildIdSource for LiveSource {
    fn build_id(&mut self, dso: &Dso, _: &Recording) -> Result<Option<BuildId>, NoBuildId> {
        let (Some(MappedBy { pid, start, end }), Some(inode)) = (dso.mapped_by, dso.inode) else {
            return Ok(None);
        };
        if dso.kind != DsoKind::File || inode.ino == 0 {
            return Ok(None);
        }
        let mapped = PathBuf::from(format!("/proc/{pid}/map_files/{start:x}-{end:x}"));
        // What follows the root is a path of its own there, and must not take the root's place.
        let name = dso.name.strip_prefix(b"/").unwrap_or(&dso.name);
        let rooted = PathBuf::from(format!("/proc/{pid}/root")).join(OsStr::from_bytes(name));
        let is_it = |file: &File| file.metadata().is_ok_and(|meta| meta.ino() == inode.ino);
        for path in [mapped, rooted] {
            if let Some(file) = open_regular(&path).ok().filter(is_it)
                && let Ok(Some(id)) = build_id_of(file)
            {
                return Ok(Some(id));
            }
        }
        // The process is gone, or may not be looked into: the file's own name must do.
        Ok(None)
    }
}
