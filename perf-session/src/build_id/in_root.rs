//! A directory that stands for another machine's or process's root: names out of a recording are looked up below
//! it, and no `..` and no link leads out of it.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};

use super::NoBuildId;

/// An open directory, taken for a root. A clone is of the same open directory.
#[derive(Debug, Clone)]
pub struct InRoot {
    dir: Arc<OwnedFd>,
}

impl InRoot {
    /// Opens a directory.
    ///
    /// # Errors
    /// Where there is none.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { dir: Arc::new(open(path, flags, Mode::empty())?) })
    }

    /// Opens a regular file below it; absolute names and links are taken from it as from `/`.
    ///
    /// # Errors
    /// Where there is none, or something else is there: that is not opened.
    pub(crate) fn open_regular(&self, path: &Path) -> Result<File, NoBuildId> {
        self.opened(path, OFlags::PATH)
    }

    /// Opens a file below the directory, never following a link out of it; a file that is a link itself is refused.
    ///
    /// # Errors
    /// Where there is none, or something else is there: that is not opened.
    pub fn open_itself(&self, path: &Path) -> Result<File, NoBuildId> {
        self.opened(path, OFlags::PATH | OFlags::NOFOLLOW)
    }

    fn opened(&self, path: &Path, flags: OFlags) -> Result<File, NoBuildId> {
        let io = |error: rustix::io::Errno| NoBuildId::Io(error.into());
        // A path alone: nothing is opened yet, and it stays what it is while it is looked at.
        let found = self.find(path, flags).map_err(io)?;
        if !FileType::from_raw_mode(fstat(&found).map_err(io)?.st_mode).is_file() {
            return Err(NoBuildId::NotAFile);
        }
        let itself = PathBuf::from(format!("/proc/self/fd/{}", found.as_raw_fd()));
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        Ok(File::from(rustix::fs::openat(CWD, &itself, flags, Mode::empty()).map_err(io)?))
    }

    /// The path of an open file below it, without links; `None` where the file is elsewhere. What has lost its name since has
    /// one that leads nowhere.
    pub(crate) fn path_of(&self, file: &File) -> Option<PathBuf> {
        let real = |fd| std::fs::read_link(format!("/proc/self/fd/{fd}")).ok();
        let below = real(file.as_raw_fd())?.strip_prefix(real(self.dir.as_raw_fd())?).ok()?.to_owned();
        Some(Path::new("/").join(below))
    }

    /// The names in a directory below it, sorted; none where there is no such directory.
    pub(super) fn names_in(&self, path: &Path) -> Vec<String> {
        let Ok(dir) = self.find(path, OFlags::RDONLY | OFlags::DIRECTORY) else { return Vec::new() };
        let Ok(entries) = rustix::fs::Dir::new(dir) else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().to_str().ok().map(str::to_owned));
        let mut names: Vec<String> = names.filter(|name| name != "." && name != "..").collect();
        names.sort();
        names
    }

    /// The regular files below a directory in it, those in its directories included; no link is followed but on the way to the
    /// directory itself.
    pub(crate) fn files_below(&self, path: &Path) -> Vec<PathBuf> {
        let (mut files, mut dirs) = (Vec::new(), vec![(path.to_owned(), OFlags::empty())]);
        while let Some((at, flags)) = dirs.pop() {
            let opened = self.find(&at, OFlags::RDONLY | OFlags::DIRECTORY | flags);
            let Ok(dir) = opened.and_then(rustix::fs::Dir::new) else { continue };
            for entry in dir.filter_map(Result::ok) {
                let name = Path::new(OsStr::from_bytes(entry.file_name().to_bytes()));
                if name == Path::new(".") || name == Path::new("..") {
                    continue;
                }
                match entry.file_type() {
                    FileType::Directory => dirs.push((at.join(name), OFlags::NOFOLLOW)),
                    FileType::RegularFile => files.push(at.join(name)),
                    // Not all file systems tell it; what is neither is not opened as the one or the other.
                    FileType::Unknown => {
                        dirs.push((at.join(name), OFlags::NOFOLLOW));
                        files.push(at.join(name));
                    }
                    _ => {}
                }
            }
        }
        files
    }

    fn find(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        openat2(&*self.dir, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_to_an_absolute_path_stays_below_the_root_and_what_is_a_link_itself_is_no_file() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let elsewhere = outside.path().strip_prefix("/").unwrap();
        fs::create_dir_all(root.path().join(elsewhere)).unwrap();
        fs::write(outside.path().join("a"), "outside").unwrap();
        fs::write(root.path().join(elsewhere).join("a"), "inside").unwrap();
        symlink(outside.path(), root.path().join("by-link")).unwrap();
        symlink("a", root.path().join(elsewhere).join("link")).unwrap();
        let in_root = InRoot::open(root.path()).unwrap();
        let mut read = String::new();
        in_root.open_itself(Path::new("/by-link/a")).unwrap().read_to_string(&mut read).unwrap();
        assert_eq!(read, "inside");
        assert!(matches!(in_root.open_itself(Path::new("/by-link/link")), Err(NoBuildId::NotAFile)));
        assert!(in_root.open_regular(Path::new("/by-link/link")).is_ok());
        symlink(".", root.path().join(elsewhere).join("itself")).unwrap();
        assert_eq!(in_root.files_below(Path::new("/by-link")), [Path::new("/by-link/a")]);
    }
}
