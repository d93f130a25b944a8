//! A recording in a directory: it is made under a name that nobody looks for, beside the one that it shall have, and then
//! takes that one. What had the name before is exchanged for it, and removed as far as it is a recording's own.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::place::{beside, check_replaceable, check_temporary, folder, unnamed};
use super::replacement::take_over;
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
        check_temporary(folder(target))?;
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
    /// A directory that will have this name, which is free or that of a recording's directory. The inner error is the
    /// system's, where no directory can be made beside it.
    ///
    /// # Errors
    /// Where something else has the name.
    pub(super) fn new(target: PathBuf) -> anyhow::Result<io::Result<Self>> {
        if fs::symlink_metadata(&target).is_ok() {
            check(&target)?;
            check_replaceable(&target).with_context(|| format!("cannot write to {}", target.display()))?;
        }
        Ok(Made::beside(&target).map(|made| Self { made, target }))
    }

    /// Where it is until it has its name.
    pub(crate) fn path(&self) -> &Path {
        &self.made.0
    }

    /// The name that it shall have.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// Gives it its name, in place of another that has it, and whose owner and mode it takes over, file by file and as
    /// far as that may be done.
    ///
    /// # Errors
    /// Where it cannot take the name: all of it is kept under the one that it has, which the error tells. Where what had
    /// the name before cannot be removed.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        let Self { made, target } = self;
        let made = made.keep();
        let unnamed = |error| unnamed(&target, error, Ok(made.clone()));
        if fs::symlink_metadata(&target).is_err() {
            return fs::rename(&made, &target).map_err(unnamed);
        }
        let old = RecordingDir::open(&target).map_err(unnamed)?;
        let old = old.map_err(|other| unnamed(io::Error::other(other.to_string())))?;
        old.hand_over(&made, take_over);
        exchange(&made, &target).map_err(unnamed)?;
        // What came into it at the last moment stays.
        let kept = || format!("what {} was before is kept as {}", target.display(), made.display());
        match RecordingDir::open(&made).with_context(kept)? {
            Ok(recording) => recording.remove().with_context(kept),
            Err(other) => bail!("{}: {other}", kept()),
        }
    }
}

/// Exchanges two directories; in two steps where the file system has none for that.
fn exchange(made: &Path, target: &Path) -> io::Result<()> {
    match renameat_with(CWD, made, CWD, target, RenameFlags::EXCHANGE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::XDEV) => {}
        exchanged => return Ok(exchanged?),
    }
    let aside = Made::beside(target)?;
    fs::rename(target, &aside.0)?;
    if let Err(error) = fs::rename(made, target) {
        fs::rename(aside.keep(), target).ok();
        return Err(error);
    }
    fs::rename(aside.keep(), made)
}

/// Checks that what has a name is the directory of a recording, so that another may take its place.
fn check(target: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot write to {}", target.display());
    match RecordingDir::open(target).with_context(cannot)? {
        Ok(_) => Ok(()),
        Err(other) => bail!("{}: it is a directory, and {other}", cannot()),
    }
}
