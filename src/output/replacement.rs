//! A file that takes its name when it is whole, in the place of another that has it.

use std::fs::{self, File, Metadata};
use std::io::{self, Seek as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid, fchmod, fchown, linkat, openat};
use tempfile::{Builder, PathPersistError, TempPath};

use super::place::{beside, check_temporary, folder, unnamed};

/// A file without a name, so that of one that is not finished nothing is left, however the program ends.
#[derive(Debug)]
pub(crate) struct Replacement {
    pub(crate) file: File,
    /// Where the file system has no files without a name: one that nobody looks for, beside the one it shall have.
    name: Option<TempPath>,
    target: PathBuf,
}

impl Replacement {
    /// A file that will have this name, and these permissions but for the umask's.
    ///
    /// # Errors
    /// The system's, where no file can be made in its directory.
    pub(crate) fn new(target: PathBuf, mode: u32) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let nameless = openat(CWD, folder(&target), flags, Mode::from_bits_truncate(mode)).map(File::from);
        // Only by this path can it be given a name.
        if let Ok(file) = nameless
            && fs::symlink_metadata(descriptor(&file)).is_ok()
        {
            return Ok(Self { file, name: None, target });
        }
        check_temporary(folder(&target))?;
        let mut options = File::options();
        options.read(true).write(true).create_new(true).mode(mode);
        let (file, name) = beside().make_in(folder(&target), |name| options.open(name))?.into_parts();
        Ok(Self { file, name: Some(name), target })
    }

    /// The name that it shall have.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// Gives the file its name, in place of another file that has it and whose owner and mode it takes over, as far as
    /// that may be done.
    ///
    /// # Errors
    /// Where it cannot have the name. All of it is then kept under the one that the error tells, if there is any.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        let Self { file, name, target } = self;
        if let Ok(old) = fs::symlink_metadata(&target)
            && old.is_file()
        {
            take_over(&file, &old);
        }
        give_name(&file, name, &target)
            .map_err(|(error, left)| unnamed(&target, error, keep(&file, left, folder(&target))))
    }

    /// Gives the file this name in its directory, which must be free.
    ///
    /// # Errors
    /// Where something has it; the file may be given another then.
    pub(crate) fn finish_new(self, target: &Path) -> Result<(), (io::Error, Self)> {
        let Self { file, name, target: wanted } = self;
        let (error, name) = match name {
            Some(name) => match name.persist_noclobber(target) {
                Ok(()) => return Ok(()),
                Err(PathPersistError { error, path }) => (error, Some(path)),
            },
            None => match link(&file, target) {
                Ok(()) => return Ok(()),
                Err(error) => (error, None),
            },
        };
        Err((error, Self { file, name, target: wanted }))
    }
}

/// Gives a file its name; where it cannot have that, the temporary one is returned with the error, if it has one.
fn give_name(
    file: &File,
    name: Option<TempPath>,
    target: &Path,
) -> Result<(), (io::Error, Option<TempPath>)> {
    let name = match name {
        Some(name) => name,
        // A name that is taken cannot be given; one that is free can be, and then takes the other's place.
        None => match link(file, target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let linked = beside().make_in(folder(target), |name| link(file, name));
                linked.map_err(|error| (error, None))?.into_temp_path()
            }
            linked => return linked.map_err(|error| (error, None)),
        },
    };
    name.persist(target).map_err(|PathPersistError { error, path }| (error, Some(path)))
}

/// Keeps a file that cannot have its name under another: its temporary one, one beside it, or, where its directory is
/// gone or full, one in the directory for temporary files.
fn keep(file: &File, left: Option<TempPath>, folder: &Path) -> io::Result<PathBuf> {
    let is_this = |path: &Path| {
        let (this, that) = (file.metadata(), fs::symlink_metadata(path));
        this.and_then(|this| Ok((this.dev(), this.ino()) == that.map(|that| (that.dev(), that.ino()))?))
    };
    if let Some(name) = left
        && is_this(&name).unwrap_or(false)
    {
        return Ok(name.keep()?);
    }
    let mut visible = Builder::new();
    visible.prefix("perftool-").suffix(".data");
    if let Ok(named) = visible.make_in(folder, |name| link(file, name)) {
        return Ok(named.into_temp_path().keep()?);
    }
    let mut copy = visible.tempfile_in(std::env::temp_dir())?;
    let mut file = file;
    file.rewind()?;
    io::copy(&mut file, copy.as_file_mut())?;
    Ok(copy.into_temp_path().keep()?)
}

/// Gives a new file or directory the owner, group and mode of the one whose place it takes, as far as this user may.
pub(super) fn take_over(new: &File, old: &Metadata) {
    let (owner, group) = (Uid::from_raw(old.uid()), Gid::from_raw(old.gid()));
    if fchown(new, Some(owner), Some(group)).is_err() {
        fchown(new, None, Some(group)).ok();
    }
    let mut mode = Mode::from_raw_mode(old.mode()) & (Mode::RWXU | Mode::RWXG | Mode::RWXO);
    if new.metadata().map_or(true, |new| new.gid() != old.gid()) {
        // Another group gets no more than everybody had.
        mode &= !Mode::RWXG | Mode::from_raw_mode((old.mode() & 0o007) << 3);
    }
    fchmod(new, mode).ok();
}

/// Links a file without a name to a free one.
fn link(file: &File, name: &Path) -> io::Result<()> {
    Ok(linkat(CWD, &*descriptor(file), CWD, name, AtFlags::SYMLINK_FOLLOW)?)
}

/// The path by which a file's own descriptor leads to it.
fn descriptor(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}
