//! Outputs: standard output or a device as a stream of bytes, unbuffered, since what is read is to go on at once; or
//! a file, which takes its name when it is whole.

use std::fs::{self, File, Permissions};
use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat};
use tempfile::{Builder, TempPath};

pub(crate) use self::directory::Directory;
use crate::stream::Stream;

mod directory;

/// The output that perf data is written to. `Display` names it.
#[derive(Debug)]
pub(crate) enum Output {
    /// Standard output, a FIFO or a device: in pipe format.
    Stream(Stream),
    /// A file that takes its name when it is whole.
    Replacement(Replacement),
    /// A directory that takes its name when it is whole.
    Directory(Directory),
}

/// A file without a name, so that of one that is not finished nothing is left, however the program ends.
#[derive(Debug)]
pub(crate) struct Replacement {
    pub(crate) file: File,
    /// Where the file system has no files without a name: one that nobody looks for, beside the one it shall have.
    name: Option<TempPath>,
    target: PathBuf,
}

/// Who may read a recording: its user alone.
const MODE: u32 = 0o600;

impl Replacement {
    /// A file that will have this name, and these permissions but for the umask's.
    pub(crate) fn new(target: PathBuf, mode: u32) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match openat(CWD, folder(&target), flags, Mode::from_bits_truncate(mode)) {
            Ok(file) => Ok(Self { file: file.into(), name: None, target }),
            Err(_) => {
                let mut named = beside();
                let named = named.permissions(Permissions::from_mode(mode));
                let (file, name) = named.tempfile_in(folder(&target))?.into_parts();
                Ok(Self { file, name: Some(name), target })
            }
        }
    }

    /// Gives the file its name, in place of another file that has it.
    pub(crate) fn finish(self) -> io::Result<()> {
        let name = match self.name {
            Some(name) => name,
            None => {
                // A name that is taken cannot be given; one that is free can be, and then takes the other's place.
                beside().make_in(folder(&self.target), |name| link(&self.file, name))?.into_temp_path()
            }
        };
        Ok(name.persist(&self.target)?)
    }

    /// Gives the file its name, which must be free.
    ///
    /// # Errors
    /// Where something has it.
    pub(crate) fn finish_new(self) -> io::Result<()> {
        match self.name {
            Some(name) => Ok(name.persist_noclobber(&self.target)?),
            None => link(&self.file, &self.target),
        }
    }
}

/// Links a file without a name to a free one.
fn link(file: &File, name: &Path) -> io::Result<()> {
    let file = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(linkat(CWD, &*file, CWD, name, AtFlags::SYMLINK_FOLLOW)?)
}

/// Names that nobody looks for.
fn beside() -> Builder<'static, 'static> {
    let mut beside = Builder::new();
    beside.prefix(".perftool-");
    beside
}

/// The directory in which something has its name.
fn folder(target: &Path) -> &Path {
    target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl Output {
    /// Opens an output; `-` is standard output. A recording in a directory goes into a directory.
    ///
    /// # Errors
    /// Where it is a terminal, which perf data would only disturb, where a directory stands in its way, or where it
    /// cannot be made.
    pub(crate) fn open(path: &Path, is_directory: bool) -> anyhow::Result<Self> {
        if path.as_os_str() == "-" {
            return Self::stdout();
        }
        let cannot = || format!("cannot write to {}", path.display());
        let kind = fs::metadata(path).map(|meta| meta.file_type());
        match kind {
            Ok(kind) if kind.is_dir() && !is_directory => bail!("{}: it is a directory", cannot()),
            Ok(kind) if !kind.is_dir() && is_directory => {
                bail!("{}: a recording in a directory goes into a directory", cannot())
            }
            Ok(kind) if !kind.is_dir() && !kind.is_file() => {
                let file = File::options().write(true).open(path).with_context(cannot)?;
                return Self::stream(file, path.display().to_string());
            }
            _ => {}
        }
        // What a link points to is replaced, not the link.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        // The temporary name of a file that could not be made would mean nothing in the message.
        let nameless = |error: io::Error| io::Error::from(error.kind());
        if is_directory {
            return Ok(Self::Directory(Directory::new(target)?));
        }
        Ok(Self::Replacement(Replacement::new(target, MODE).map_err(nameless).with_context(cannot)?))
    }

    fn stdout() -> anyhow::Result<Self> {
        let stdout = io::stdout().as_fd().try_clone_to_owned().context("cannot write to standard output")?;
        Self::stream(stdout.into(), "standard output".to_owned())
    }

    fn stream(file: File, name: String) -> anyhow::Result<Self> {
        if file.is_terminal() {
            bail!("{name} is a terminal: pipe it into perf report -i -, or redirect it to a file");
        }
        Ok(Self::Stream(Stream::new(file, name)))
    }

    /// The directory that it is in; the current one for standard output.
    pub(crate) fn folder(&self) -> &Path {
        match self {
            Self::Stream(_) => Path::new("."),
            Self::Replacement(Replacement { target, .. }) => folder(target),
            Self::Directory(directory) => folder(directory.target()),
        }
    }

    /// Gives a whole output its name. An output that never gets it leaves no trace.
    ///
    /// # Errors
    /// Where it cannot take the name.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Stream(_) => Ok(()),
            Self::Replacement(file) => {
                let cannot = format!("cannot give the output its name, {}", file.target.display());
                file.finish().context(cannot)
            }
            Self::Directory(directory) => directory.finish(),
        }
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stream(stream) => f.write_str(stream.name()),
            Self::Replacement(Replacement { target, .. }) => target.display().fmt(f),
            Self::Directory(directory) => directory.target().display().fmt(f),
        }
    }
}
