//! The running kernel's id, from the notes that it shows.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use bstr::{BString, ByteSlice as _};
use perf_format::BuildId;

use super::{BuildIdSource, Change, NoBuildId, Trust, gnu_build_id};
use crate::dso::{Dso, DsoKind};
use crate::session::Recording;

/// Reads `/sys/kernel/notes`, if the recording is of this boot.
#[derive(Debug, Clone)]
pub struct KernelSource {
    notes: PathBuf,
    trust: Trust,
    /// Release and the addresses that a reference symbol may have, asked for once.
    running: Option<(BString, Vec<u64>)>,
}

impl Default for KernelSource {
    fn default() -> Self {
        Self::new(Trust::default())
    }
}

impl KernelSource {
    /// A source that trusts the running kernel so far.
    #[must_use]
    pub fn new(trust: Trust) -> Self {
        Self { notes: "/sys/kernel/notes".into(), trust, running: None }
    }

    /// The id of the kernel that runs now.
    ///
    /// # Errors
    /// Where the notes cannot be read, or no build-id is among them.
    pub fn running(&self) -> Result<BuildId, NoBuildId> {
        id_in(&self.notes)
    }

    /// Whether the recorded kernel is the one that runs.
    fn is_this_boot(&mut self, dso: &Dso, recording: &Recording) -> Result<(), Change> {
        let (release, references) = self.running.get_or_insert_with(|| {
            let release = fs::read("/proc/sys/kernel/osrelease").unwrap_or_default();
            (release.trim_ascii_end().into(), references())
        });
        match &recording.release {
            Some(recorded) if recorded != release => return Err(Change::Release(recorded.clone())),
            _ => {}
        }
        // A kernel that hides its addresses, on either side, is compared by its release alone.
        match dso.reference {
            Some(recorded) if !references.is_empty() && !references.contains(&recorded) => Err(Change::Boot),
            _ => Ok(()),
        }
    }
}

/// The addresses of the symbols that perf refers to, `_text` and `_stext`; none where they are hidden.
fn references() -> Vec<u64> {
    let kallsyms = fs::read("/proc/kallsyms").unwrap_or_default();
    let of = |line: &[u8]| {
        let line = line.to_str().ok()?;
        let (address, symbol) = line.split_once(' ')?;
        let is_it = matches!(symbol, "T _text" | "T _stext");
        u64::from_str_radix(address, 16).ok().filter(|address| is_it && *address != 0)
    };
    kallsyms.lines().filter_map(of).collect()
}

impl BuildIdSource for KernelSource {
    fn build_id(&mut self, dso: &Dso, recording: &Recording) -> Result<Option<BuildId>, NoBuildId> {
        if dso.kind != DsoKind::Kernel {
            return Ok(None);
        }
        if !self.trust.allow_changed {
            self.is_this_boot(dso, recording).map_err(NoBuildId::Changed)?;
        }
        self.running().map(Some)
    }
}

/// The most bytes of notes that sysfs is asked for; a kernel has a few hundred.
const NOTES_AT_MOST: u64 = 1 << 16;

/// The id among the notes in a file of sysfs.
pub(super) fn id_in(notes: &Path) -> Result<BuildId, NoBuildId> {
    let mut bytes = Vec::new();
    super::file::open_regular(notes)?.take(NOTES_AT_MOST).read_to_end(&mut bytes)?;
    gnu_build_id(&bytes).ok_or(NoBuildId::NoNote)
}
