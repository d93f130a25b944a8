//! Folders that are the user's own: each step down is taken by itself, and none through a link.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, fstat, linkat, mkdirat, openat, readlinkat, symlinkat, unlinkat,
};
use rustix::io::Errno;

/// An open folder that nobody but its user, or root, can change.
#[derive(Debug)]
pub(crate) struct Folder(OwnedFd);

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Folder {
    /// Opens a folder by any path, which is the user's word; made if it is new. `None` where others could change it.
    pub(crate) fn make_at(path: &Path) -> io::Result<Option<Self>> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let folder = Self(openat(CWD, path, DIRECTORY, Mode::empty())?);
        Ok(folder.is_own()?.then_some(folder))
    }

    fn is_own(&self) -> io::Result<bool> {
        let stat = fstat(&self.0)?;
        let owner = stat.st_uid;
        let is_users = owner == 0 || owner == rustix::process::geteuid().as_raw();
        Ok(is_users && stat.st_mode & 0o022 == 0)
    }

    /// Opens a folder below it.
    pub(crate) fn enter(&self, path: &Path) -> io::Result<Self> {
        self.walk(path, false)
    }

    /// Opens a folder below it; those that are new are made.
    pub(crate) fn make(&self, path: &Path) -> io::Result<Self> {
        self.walk(path, true)
    }

    fn walk(&self, path: &Path, makes: bool) -> io::Result<Self> {
        let mut at = Self(self.0.try_clone()?);
        for part in path.iter() {
            if part == ".." || part == "/" {
                return Err(io::ErrorKind::InvalidFilename.into());
            }
            if makes {
                match mkdirat(&at.0, part, Mode::RWXU) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            at = Self(openat(&at.0, part, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?);
            if !at.is_own()? {
                return Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    "others than you may change a folder in it",
                ));
            }
        }
        Ok(at)
    }

    /// A new file in it, for its user alone.
    pub(crate) fn new_file(&self) -> io::Result<NewFile<'_>> {
        NewFile::in_folder(self)
    }

    /// Opens a regular file in it, which is no link.
    pub(crate) fn open_file(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = openat(&self.0, name, flags, Mode::empty())?;
        if !FileType::from_raw_mode(fstat(&file)?.st_mode).is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        Ok(File::from(file))
    }

    /// What a link below it leads to; `None` where nothing has its name.
    pub(crate) fn read_link(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let dir = match self.enter(path.parent().unwrap_or(Path::new(""))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            dir => dir?,
        };
        let name = path.file_name().unwrap_or_default();
        match readlinkat(&dir.0, name, Vec::new()) {
            Ok(target) => {
                use std::os::unix::ffi::OsStrExt as _;
                Ok(Some(OsStr::from_bytes(target.as_bytes()).into()))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a link below it, and the folders above that; one that is there stays.
    pub(crate) fn make_link(&self, path: &Path, target: &Path) -> io::Result<()> {
        let dir = self.make(path.parent().unwrap_or(Path::new("")))?;
        match symlinkat(target, &dir.0, path.file_name().unwrap_or_default()) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// A file that has no name yet, or where the file system has no such files, one that nobody looks for. Without a name it
/// leaves nothing.
#[derive(Debug)]
pub(crate) struct NewFile<'d> {
    pub(crate) file: File,
    dir: &'d Folder,
    /// The name that it has meanwhile.
    name: Option<String>,
}

impl<'d> NewFile<'d> {
    fn in_folder(dir: &'d Folder) -> io::Result<Self> {
        let mode = Mode::RUSR | Mode::WUSR;
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        if let Ok(file) = openat(&dir.0, ".", flags | OFlags::TMPFILE, mode) {
            return Ok(Self { file: File::from(file), dir, name: None });
        }
        for attempt in 0..100 {
            let name = format!(".new-{}-{attempt}", rustix::process::getpid().as_raw_nonzero());
            match openat(&dir.0, &name, flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW, mode) {
                Ok(file) => return Ok(Self { file: File::from(file), dir, name: Some(name) }),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Gives it its name, if that is free.
    pub(crate) fn give_name(self, name: impl AsRef<OsStr>) -> io::Result<()> {
        let name = name.as_ref();
        let linked = match &self.name {
            Some(old) => linkat(&self.dir.0, old, &self.dir.0, name, AtFlags::empty()),
            None => {
                let itself = format!("/proc/self/fd/{}", self.file.as_raw_fd());
                linkat(CWD, &itself, &self.dir.0, name, AtFlags::SYMLINK_FOLLOW)
            }
        };
        Ok(linked?)
    }
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            unlinkat(&self.dir.0, name, AtFlags::empty()).ok();
        }
    }
}
