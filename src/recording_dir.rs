//! The directory of a recording, as `perf record --threads` and `--kcore` write it: what in it is the recording's own, by
//! name and kind. Whatever else is in a directory is somebody's, and is neither replaced nor removed.

use std::ffi::{CStr, CString, OsStr};
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use bstr::ByteSlice as _;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, openat, statat, unlinkat};

/// The directory of a recording and nothing else.
#[derive(Debug)]
pub(crate) struct RecordingDir {
    dir: OwnedFd,
    path: PathBuf,
    files: Vec<CString>,
    /// The copies of kcore, and what is in each.
    kcore: Vec<(CString, Vec<CString>)>,
}

/// Why a directory is not that of a recording.
#[derive(Debug)]
pub(crate) enum NotARecording {
    /// It has no `data`.
    Without,
    /// This in it, by its path from there, is none of a recording's files, or not of their kind.
    Foreign(String),
}

impl fmt::Display for NotARecording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Without => f.write_str("no recording is in it"),
            Self::Foreign(name) => write!(f, "{name} in it is no part of a recording"),
        }
    }
}

/// How a recording's `data` may begin.
const MAGIC: [&[u8; 8]; 3] = [b"PERFILE2", b"2ELIFREP", b"PERFFILE"];

impl RecordingDir {
    /// Looks through a directory. Nothing in it is waited for, and no link is followed.
    ///
    /// # Errors
    /// Where it, or what is in it, cannot be looked at.
    pub(crate) fn open(path: &Path) -> io::Result<Result<Self, NotARecording>> {
        let dir = subdirectory(CWD, path)?;
        let (mut files, mut kcore) = (Vec::new(), Vec::new());
        let foreign = |name: &[u8]| Ok(Err(NotARecording::Foreign(name.as_bstr().to_string())));
        for name in names(&dir)? {
            let bytes = name.to_bytes();
            match kind(&dir, &name)? {
                FileType::RegularFile if bytes == b"data" => {
                    if !is_perf_data(&dir, &name)? {
                        return foreign(bytes);
                    }
                    files.push(name);
                }
                FileType::RegularFile if is_numbered(bytes, b"data.") => files.push(name),
                FileType::Directory if bytes == b"kcore_dir" || is_numbered(bytes, b"kcore_dir__") => {
                    let copy = subdirectory(dir.as_fd(), &*name)?;
                    let inside = names(&copy)?;
                    for file in &inside {
                        let is_own = matches!(file.to_bytes(), b"kcore" | b"kallsyms" | b"modules");
                        if !is_own || kind(&copy, file)? != FileType::RegularFile {
                            return foreign(&[bytes, b"/", file.to_bytes()].concat());
                        }
                    }
                    kcore.push((name, inside));
                }
                _ => return foreign(bytes),
            }
        }
        if !files.iter().any(|name| name.to_bytes() == b"data") {
            return Ok(Err(NotARecording::Without));
        }
        Ok(Ok(Self { dir, path: path.to_owned(), files, kcore }))
    }

    /// Calls `take_over` with each file and directory of another recording's directory that this one has too, open, and
    /// with what the one here is.
    pub(crate) fn hand_over(&self, to: &Path, take_over: impl Fn(&File, &Metadata)) {
        let files = self.files.iter().map(|name| PathBuf::from(OsStr::from_bytes(name.to_bytes())));
        let kcore = self.kcore.iter().flat_map(|(name, inside)| {
            let name = Path::new(OsStr::from_bytes(name.to_bytes()));
            let inside = inside.iter().map(move |file| name.join(OsStr::from_bytes(file.to_bytes())));
            inside.chain([name.to_owned()])
        });
        for name in files.chain(kcore).chain([PathBuf::new()]) {
            if let (Ok(new), Ok(old)) = (File::open(to.join(&name)), self.path.join(&name).symlink_metadata())
            {
                take_over(&new, &old);
            }
        }
    }

    /// Removes what was found, and then the directory, which fails where something has come into it since.
    ///
    /// # Errors
    /// Where one of them cannot be removed.
    pub(crate) fn remove(self) -> io::Result<()> {
        for name in &self.files {
            unlinkat(&self.dir, &**name, AtFlags::empty())?;
        }
        for (name, inside) in &self.kcore {
            let copy = subdirectory(self.dir.as_fd(), &**name)?;
            for file in inside {
                unlinkat(&copy, &**file, AtFlags::empty())?;
            }
            unlinkat(&self.dir, &**name, AtFlags::REMOVEDIR)?;
        }
        Ok(unlinkat(CWD, &self.path, AtFlags::REMOVEDIR)?)
    }
}

fn subdirectory(dir: BorrowedFd<'_>, name: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(dir, name, flags, Mode::empty())?)
}

/// The names in a directory, in order, so that the same one is always found to be no part of a recording.
fn names(dir: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        if ![c".", c".."].contains(&entry.file_name()) {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn kind(dir: &OwnedFd, name: &CStr) -> io::Result<FileType> {
    Ok(FileType::from_raw_mode(statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode))
}

/// Whether a name is this prefix and a number.
fn is_numbered(name: &[u8], prefix: &[u8]) -> bool {
    name.strip_prefix(prefix)
        .is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
}

fn is_perf_data(dir: &OwnedFd, name: &CStr) -> io::Result<bool> {
    // What was a regular file may be a FIFO by now.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(dir, name, flags, Mode::empty())?;
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Ok(false);
    }
    let mut magic = Vec::new();
    File::from(file).take(8).read_to_end(&mut magic)?;
    Ok(MAGIC.iter().any(|known| magic == *known))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_came_into_a_directory_since_it_was_looked_through_stays() {
        let parent = tempfile::tempdir().expect("a directory");
        let dir = parent.path().join("recording");
        fs::create_dir_all(dir.join("kcore_dir")).expect("made");
        fs::write(dir.join("data"), "PERFILE2 and so on").expect("written");
        for late in ["notes.txt", "kcore_dir/notes.txt"] {
            fs::write(dir.join("data"), "PERFILE2 and so on").expect("written");
            fs::create_dir_all(dir.join("kcore_dir")).expect("made");
            let recording = RecordingDir::open(&dir).expect("it can").expect("a recording");
            fs::write(dir.join(late), "somebody's").expect("written");
            recording.remove().expect_err("it is not empty");
            assert_eq!(fs::read(dir.join(late)).expect("there"), b"somebody's");
            fs::remove_file(dir.join(late)).expect("it was there");
        }
        fs::write(dir.join("data"), "PERFILE2 and so on").expect("written");
        RecordingDir::open(&dir).expect("it can").expect("a recording").remove().expect("it can");
        assert!(!dir.exists());
    }
}
