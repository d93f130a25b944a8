//! Whether a file that is here now is the one that was recorded.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, SystemTime};

use super::Mismatch;
use crate::dso::Dso;

/// How far the files and the kernel that are here now are trusted to be the recorded ones.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trust {
    /// They are trusted even where they differ (`--allow-changed`).
    pub allow_changed: bool,
    /// When the recording's clock was 0, if it is a clock of this boot: a file that was written after it was mapped is
    /// not the mapped one.
    pub clock_zero: Option<SystemTime>,
    /// When the recording ended, if that is known: a file that was written later is not the recorded one.
    pub recorded_until: Option<SystemTime>,
}

/// Files have coarser times than records, and clocks are read one after the other.
const SLACK: Duration = Duration::from_secs(1);

impl Trust {
    /// Compares a DSO with a file of its name. Returns whether the comparison proves nothing.
    ///
    /// A device that cannot be compared (overlayfs and btrfs show another in a process's maps than in a file's
    /// metadata) proves nothing, and its inodes are not compared.
    pub(super) fn file(&self, dso: &Dso, here: &Metadata) -> Result<bool, Mismatch> {
        if self.allow_changed {
            return Ok(false);
        }
        let mut unproven = true;
        if let Some(recorded) = dso.inode.filter(|recorded| recorded.ino != 0) {
            let device = (rustix::fs::major(here.dev()), rustix::fs::minor(here.dev()));
            unproven = device != (recorded.maj, recorded.min);
            if !unproven && here.ino() != recorded.ino {
                return Err(Mismatch::Inode { recorded: recorded.ino, here: here.ino() });
            }
        }
        let mapped = self.clock_zero.zip(dso.mapped_at);
        let mapped = mapped.and_then(|(zero, at)| zero.checked_add(Duration::from_nanos(at)));
        let written = here.modified().ok();
        match (written, mapped.into_iter().chain(self.recorded_until).min()) {
            (Some(written), Some(recorded)) if written > recorded + SLACK => Err(Mismatch::Younger),
            _ => Ok(unproven),
        }
    }
}
