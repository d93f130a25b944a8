//! A recording in a directory: it is made under a name that nobody looks for, beside the one that it shall have, and then
//! takes that one. What had the name before is exchanged for it, and removed as far as it is a recording's own.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{beside, folder};
use crate::recording_dir::RecordingDir;

/// A directory that takes its name when it is whole.
#[derive(Debug)]
pub(crate) struct Directory {
    made: Made,
    target: PathBuf,
}

/// Who may look into a recording's directory: its user alone.
const MODE: u32 = 0o700;

/// A directory that is ours, and goes with all that is in it unless it is kept.
#[derive(Debug)]
struct Made(PathBuf);

impl Made {
    /// Makes it beside a name.
    fn beside(target: &Path) -> io::Result<Self> {
        let make = |name: &Path| fs::DirBuilder::new().mode(MODE).create(name);
        let name = beside().make_in(folder(target), make)?.into_temp_path();
        // A directory is removed in another way than the files of which that type knows.
        Ok(Self(name.keep()?))
    }

    fn keep(mut self) -> PathBuf {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if self.0 != OsStr::new("") {
            fs::remove_dir_all(&self.0).ok();
        }
    }
}

impl Directory {
    /// A directory that will have this name, which is free or that of a recording's directory.
    ///
    /// # Errors
    /// Where something else has it, or no directory can be made beside it.
    pub(super) fn new(target: PathBuf) -> anyhow::Result<Self> {
        let cannot = || format!("cannot write to {}", target.display());
        if fs::symlink_metadata(&target).is_ok() {
            check(&target)?;
        }
        let made = Made::beside(&target).with_context(cannot)?;
        Ok(Self { made, target })
    }

    /// Where it is until it has its name.
    pub(crate) fn path(&self) -> &Path {
        &self.made.0
    }

    /// The name that it shall have.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// Where it cannot take the name, or what had it before cannot be removed.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        let Self { made, target } = self;
        let cannot = || format!("cannot give the output its name, {}", target.display());
        fs::set_permissions(&made.0, Permissions::from_mode(MODE)).with_context(cannot)?;
        if fs::symlink_metadata(&target).is_err() {
            return fs::rename(made.keep(), &target).with_context(cannot);
        }
        check(&target)?;
        renameat_with(CWD, &made.0, CWD, &target, RenameFlags::EXCHANGE).with_context(cannot)?;
        // It is not ours any more: what came into it at the last moment stays.
        let before = made.keep();
        let kept = || format!("what {} was before is kept as {}", target.display(), before.display());
        match RecordingDir::open(&before).with_context(kept)? {
            Ok(recording) => recording.remove().with_context(kept),
            Err(other) => bail!("{}: {other}", kept()),
        }
    }
}

/// Checks that what has a name is the directory of a recording, so that another may take its place.
fn check(target: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot write to {}", target.display());
    match RecordingDir::open(target).with_context(cannot)? {
        Ok(_) => Ok(()),
        Err(other) => bail!("{}: it is a directory, and {other}", cannot()),
    }
}
