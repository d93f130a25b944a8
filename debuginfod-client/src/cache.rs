//! The cache of elfutils' client: `ID/executable` and `ID/debuginfo`, an empty file where no server had it, and control
//! files beside them. A file enters whole or not at all, and no link is followed on the way to one.
//!
//! elfutils' client also clears away what was not used for a week. That is left to it: here a file is only marked as used.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, Metadata};
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, fchmod, futimens, linkat,
    mkdirat, openat, renameat, unlinkat,
};
use rustix::io::Errno;

use crate::config::ArtifactKind;
use crate::error::FetchError;
use crate::limits::CONTROL_FILE_AT_MOST;

/// How long a miss is remembered, where the control file does not say.
const MISS_KEPT_FOR: Duration = Duration::from_secs(600);
/// The control file that says how long, in seconds.
const MISS_FILE: &str = "cache_miss_s";

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

#[derive(Debug)]
pub(crate) struct FileCache {
    path: PathBuf,
    now: SystemTime,
}

/// What the cache has of a file.
#[derive(Debug)]
pub(crate) enum Cached {
    /// The file.
    File(File),
    /// No server had it.
    Miss { age: Duration, kept_for: Duration },
    /// Nothing.
    Nothing,
}

impl FileCache {
    pub(crate) fn new(path: PathBuf, now: SystemTime) -> Self {
        Self { path, now }
    }

    /// The path of a file in it.
    pub(crate) fn path_of(&self, build_id: &str, kind: ArtifactKind) -> PathBuf {
        self.path.join(build_id).join(kind.name())
    }

    /// Looks for a file. A miss that is too old is forgotten.
    pub(crate) fn look_up(&self, build_id: &str, kind: ArtifactKind) -> Result<Cached, FetchError> {
        self.look(build_id, kind)
            .map_err(|source| FetchError::Cache { path: self.path_of(build_id, kind), source })
    }

    fn look(&self, build_id: &str, kind: ArtifactKind) -> io::Result<Cached> {
        let root = match openat(CWD, &self.path, DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(Cached::Nothing),
            root => root?,
        };
        let dir = match openat(&root, build_id, DIRECTORY | OFlags::NOFOLLOW, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(Cached::Nothing),
            dir => dir?,
        };
        let file = match openat(&dir, kind.name(), READ, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(Cached::Nothing),
            // An old client's miss, which nobody may read.
            Err(Errno::ACCESS) => {
                unlinkat(&dir, kind.name(), AtFlags::empty()).ok();
                return Ok(Cached::Nothing);
            }
            file => File::from(file?),
        };
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        if meta.len() > 0 {
            return Ok(match is_own(&meta) {
                true => {
                    mark_used(&file);
                    Cached::File(file)
                }
                false => {
                    log::debug!("{}: others than you may change it", self.path_of(build_id, kind).display());
                    Cached::Nothing
                }
            });
        }
        let age =
            meta.modified().ok().and_then(|since| self.now.duration_since(since).ok()).unwrap_or_default();
        let kept_for = miss_kept_for(&root);
        if age <= kept_for {
            return Ok(Cached::Miss { age, kept_for });
        }
        unlinkat(&dir, kind.name(), AtFlags::empty()).ok();
        Ok(Cached::Nothing)
    }

    /// A file that is to enter. It has no name yet, so that nothing is left of it where it does not.
    pub(crate) fn new_file(&self) -> Result<CacheEntry, FetchError> {
        let new = self.make_root().and_then(CacheEntry::in_folder);
        new.map_err(|source| FetchError::Cache { path: self.path.clone(), source })
    }

    /// Notes that no server has a file.
    pub(crate) fn note_miss(&self, build_id: &str, kind: ArtifactKind) {
        let noted = self.make_root().and_then(|root| {
            write_new(&root, MISS_FILE, MISS_KEPT_FOR.as_secs().to_string().as_bytes(), 0o644)?;
            write_new(&make_dir(&root, build_id)?, kind.name(), b"", 0o600)
        });
        if let Err(error) = noted {
            log::debug!("{}: {error}", self.path_of(build_id, kind).display());
        }
    }

    fn make_root(&self) -> io::Result<OwnedFd> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        Ok(openat(CWD, &self.path, DIRECTORY, Mode::empty())?)
    }
}

/// Whether nobody but its user, or root, can change a file.
fn is_own(meta: &Metadata) -> bool {
    let is_users = meta.uid() == 0 || meta.uid() == rustix::process::geteuid().as_raw();
    is_users && meta.mode() & 0o022 == 0
}

/// What is not used for long is cleared away, and file systems do not always note that a file is read.
fn mark_used(file: &File) {
    let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    futimens(file, &Timestamps { last_access: now, last_modification: omit }).ok();
}

fn miss_kept_for(root: &OwnedFd) -> Duration {
    let seconds = || {
        let file = File::from(openat(root, MISS_FILE, READ, Mode::empty()).ok()?);
        let mut text = String::new();
        file.take(CONTROL_FILE_AT_MOST).read_to_string(&mut text).ok()?;
        text.trim().parse().ok()
    };
    seconds().map_or(MISS_KEPT_FOR, Duration::from_secs)
}

/// Writes a file that is not there yet; one that is there stays.
fn write_new(dir: &OwnedFd, name: &str, contents: &[u8], mode: u32) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(dir, name, flags, Mode::from_raw_mode(mode)) {
        Ok(file) => io::Write::write_all(&mut File::from(file), contents),
        Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn make_dir(root: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    match mkdirat(root, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(openat(root, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?)
}

/// A file without a name, or, where the file system has no such files, with one that nobody looks for.
#[derive(Debug)]
pub(crate) struct CacheEntry {
    pub(crate) file: File,
    root: OwnedFd,
    /// The name that it has meanwhile, in the root.
    name: Option<String>,
}

impl CacheEntry {
    fn in_folder(root: OwnedFd) -> io::Result<Self> {
        let mode = Mode::RUSR | Mode::WUSR;
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        if let Ok(file) = openat(&root, ".", flags | OFlags::TMPFILE, mode) {
            return Ok(Self { file: File::from(file), root, name: None });
        }
        let (name, file) = with_free_name(|name| {
            openat(&root, name, flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW, mode)
        })?;
        Ok(Self { file: File::from(file), root, name: Some(name) })
    }

    /// Gives it its place in the cache. What is there already and does not do is replaced.
    pub(crate) fn enter(self, build_id: &str, kind: ArtifactKind) -> io::Result<File> {
        let dir = make_dir(&self.root, build_id)?;
        fchmod(&self.file, Mode::RUSR)?;
        match self.link(&dir, kind.name()) {
            Err(Errno::EXIST) => {
                let (name, ()) = with_free_name(|name| self.link(&dir, name))?;
                renameat(&dir, &name, &dir, kind.name()).inspect_err(|_| {
                    unlinkat(&dir, &name, AtFlags::empty()).ok();
                })?;
            }
            linked => linked?,
        }
        self.file.try_clone()
    }

    fn link(&self, dir: &OwnedFd, name: &str) -> Result<(), Errno> {
        match &self.name {
            Some(old) => linkat(&self.root, old, dir, name, AtFlags::empty()),
            None => {
                let itself = format!("/proc/self/fd/{}", self.file.as_raw_fd());
                linkat(CWD, Path::new(&itself), dir, OsStr::new(name), AtFlags::SYMLINK_FOLLOW)
            }
        }
    }
}

impl Drop for CacheEntry {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            unlinkat(&self.root, name, AtFlags::empty()).ok();
        }
    }
}

/// Makes something under a name that nothing has.
fn with_free_name<T>(mut make: impl FnMut(&str) -> Result<T, Errno>) -> Result<(String, T), Errno> {
    let mut last = Errno::EXIST;
    for attempt in 0..1000 {
        let name = format!(".new-{}-{attempt}", rustix::process::getpid().as_raw_nonzero());
        match make(&name) {
            Ok(made) => return Ok((name, made)),
            Err(Errno::EXIST) => {}
            Err(error) => {
                last = error;
                break;
            }
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests;
