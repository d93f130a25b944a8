//! The running kernel's id, from the notes in sysfs.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use perf_format::BuildId;

use super::{BuildIdSource, FoundId, NoBuildId, Origin, gnu_build_id};
use crate::dso::{Dso, DsoKind};
use crate::evidence::Evidence;
use crate::limits::SYS_NOTES_AT_MOST;
use crate::machine::HOST;
use crate::recording::Recording;

/// Reads `/sys/kernel/notes`, if the recording is of this boot.
#[derive(Debug, Clone)]
pub struct KernelSource {
    notes: PathBuf,
    evidence: Evidence,
}

impl KernelSource {
    /// A source of the running kernel, where the evidence says that it is the recorded one.
    #[must_use]
    pub fn new(evidence: Evidence) -> Self {
        Self { notes: NOTES.into(), evidence }
    }
}

const NOTES: &str = "/sys/kernel/notes";

/// The id of the kernel that runs now.
///
/// # Errors
/// Where the notes cannot be read, or no build-id is among them.
pub fn running_kernel() -> Result<BuildId, NoBuildId> {
    id_in(Path::new(NOTES))
}

impl BuildIdSource for KernelSource {
    fn build_id(&mut self, dso: &Dso, recording: &Recording) -> Result<Option<FoundId>, NoBuildId> {
        if dso.kind != DsoKind::Kernel {
            return Ok(None);
        }
        self.evidence.kernel(recording)?;
        Ok(Some(FoundId::from(Origin::Kernel, id_in(&self.notes)?)))
    }
}

/// The id of the image that the user says is the recorded kernel's (`--vmlinux`).
#[derive(Debug, Clone, Copy)]
pub struct VmlinuxSource(pub BuildId);

impl BuildIdSource for VmlinuxSource {
    fn build_id(&mut self, dso: &Dso, _: &Recording) -> Result<Option<FoundId>, NoBuildId> {
        let is_hosts = dso.kind == DsoKind::Kernel && dso.machine == HOST;
        Ok(is_hosts.then(|| FoundId::from(Origin::Vmlinux, self.0)))
    }
}

/// The id among the notes in a file of sysfs.
pub(super) fn id_in(notes: &Path) -> Result<BuildId, NoBuildId> {
    let mut bytes = Vec::new();
    super::file::open_regular(notes)?.take(SYS_NOTES_AT_MOST).read_to_end(&mut bytes)?;
    gnu_build_id(&bytes).ok_or(NoBuildId::NoNote)
}
