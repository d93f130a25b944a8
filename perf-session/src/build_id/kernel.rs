//! The running kernel's id, from the notes in sysfs.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use perf_format::BuildId;

use super::{BuildIdSource, FoundId, NoBuildId, Origin, RunningKernel, Trust, gnu_build_id};
use crate::dso::{Dso, DsoKind};
use crate::limits::SYS_NOTES_AT_MOST;
use crate::recording::Recording;

/// Reads `/sys/kernel/notes`, if the recording is of this boot.
#[derive(Debug, Clone)]
pub struct KernelSource {
    notes: PathBuf,
    trust: Trust,
    running: RunningKernel,
}

impl Default for KernelSource {
    fn default() -> Self {
        Self::new(Trust::default(), RunningKernel::default())
    }
}

impl KernelSource {
    /// A source that trusts the running kernel as far as `trust` allows.
    #[must_use]
    pub fn new(trust: Trust, running: RunningKernel) -> Self {
        Self { notes: "/sys/kernel/notes".into(), trust, running }
    }

    /// The id of the kernel that runs now.
    ///
    /// # Errors
    /// Where the notes cannot be read, or no build-id is among them.
    pub fn running(&self) -> Result<BuildId, NoBuildId> {
        id_in(&self.notes)
    }
}

impl BuildIdSource for KernelSource {
    fn build_id(&mut self, dso: &Dso, recording: &Recording) -> Result<Option<FoundId>, NoBuildId> {
        if dso.kind != DsoKind::Kernel {
            return Ok(None);
        }
        if !self.trust.allow_changed {
            self.running.is_same_boot(recording).map_err(NoBuildId::Changed)?;
        }
        Ok(Some(FoundId::from(Origin::Kernel, self.running()?)))
    }
}

/// The id among the notes in a file of sysfs.
pub(super) fn id_in(notes: &Path) -> Result<BuildId, NoBuildId> {
    let mut bytes = Vec::new();
    super::file::open_regular(notes)?.take(SYS_NOTES_AT_MOST).read_to_end(&mut bytes)?;
    gnu_build_id(&bytes).ok_or(NoBuildId::NoNote)
}
