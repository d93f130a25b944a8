//! Outputs: standard output or a device as a stream of bytes, unbuffered, since what is read is to go on at once; or a
//! file or directory, which takes its name when it is whole.

use std::fs::{self, File};
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};

pub(crate) use self::directory::Directory;
use self::place::{check_replaceable, folder, unusable};
pub(crate) use self::replacement::Replacement;
use crate::stream::Stream;

mod directory;
mod place;
mod replacement;

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

/// Who may read a recording: its user alone.
const MODE: u32 = 0o600;

impl Output {
    /// Opens an output if it is a stream; `-` is standard output. A FIFO is waited for as long as nobody reads from it, but
    /// not for a recording in a directory, which goes into no stream.
    ///
    /// # Errors
    /// Where it is a terminal, which perf data would only disturb, or cannot be opened.
    pub(crate) fn open_stream(path: &Path, is_directory: bool) -> anyhow::Result<Option<Self>> {
        if path.as_os_str() == "-" {
            let stdout =
                io::stdout().as_fd().try_clone_to_owned().context("cannot write to standard output")?;
            return Self::stream(stdout.into(), "standard output".to_owned()).map(Some);
        }
        if is_directory || !fs::metadata(path).is_ok_and(|meta| !meta.is_dir() && !meta.is_file()) {
            return Ok(None);
        }
        let file = File::options().write(true).open(path).with_context(|| cannot_write(path))?;
        Self::stream(file, path.display().to_string()).map(Some)
    }

    fn stream(file: File, name: String) -> anyhow::Result<Self> {
        if file.is_terminal() {
            bail!("{name} is a terminal: pipe it into perf report -i -, or redirect it to a file");
        }
        Ok(Self::Stream(Stream::new(file, name)))
    }

    /// Opens an output that is no stream. A recording in a directory goes into a directory.
    ///
    /// # Errors
    /// Where it cannot be made, or where it could not have its name, as far as that can be known.
    pub(crate) fn open_replacement(path: &Path, is_directory: bool) -> anyhow::Result<Self> {
        let cannot = || cannot_write(path);
        match fs::metadata(path).map(|meta| meta.is_dir()) {
            Ok(true) if !is_directory => bail!("{}: it is a directory", cannot()),
            Ok(false) if is_directory => {
                bail!("{}: a recording in a directory goes into a directory", cannot())
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let is_slashed =
                    [&b"/"[..], b"/."].iter().any(|end| path.as_os_str().as_bytes().ends_with(end));
                if path.file_name().is_none() || is_slashed && !is_directory {
                    bail!("{}: it is not the name of a file", cannot());
                }
            }
            // In a directory that is there and can be searched it is the name itself.
            Err(error)
                if error.kind() != io::ErrorKind::PermissionDenied
                    && fs::metadata(folder(path)).is_ok_and(|folder| folder.is_dir()) =>
            {
                return Err(anyhow!(error).context(cannot()));
            }
            Err(error) => return Err(unusable(folder(path), error).context(cannot())),
        }
        // What a link points to is replaced, not the link.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.components().collect());
        let made = match is_directory {
            true => Directory::new(target.clone())?.map(Self::Directory),
            false => {
                check_replaceable(&target).with_context(cannot)?;
                Replacement::new(target.clone(), MODE).map(Self::Replacement)
            }
        };
        made.map_err(|error| unusable(folder(&target), error)).with_context(cannot)
    }

    /// The bytes that a file has by now.
    pub(crate) fn len(&self) -> Option<u64> {
        match self {
            Self::Replacement(out) => out.file.metadata().ok().map(|file| file.len()),
            Self::Stream(_) | Self::Directory(_) => None,
        }
    }

    /// The directory that it is in; the current one for standard output.
    pub(crate) fn folder(&self) -> &Path {
        match self {
            Self::Stream(_) => Path::new("."),
            Self::Replacement(file) => folder(file.target()),
            Self::Directory(directory) => folder(directory.target()),
        }
    }

    /// The directory for what has to be read at any offset and cannot be: beside an output that will have a name, where
    /// there has to be room for as much anyway; else the one for temporary files.
    pub(crate) fn spool_dir(&self) -> PathBuf {
        match self {
            Self::Stream(_) => std::env::temp_dir(),
            Self::Replacement(_) | Self::Directory(_) => self.folder().to_owned(),
        }
    }

    /// Gives a whole output its name. An output that was not asked for it leaves no trace.
    ///
    /// # Errors
    /// Where it cannot take the name; it is kept under another then.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Stream(_) => Ok(()),
            Self::Replacement(file) => file.finish(),
            Self::Directory(directory) => directory.finish(),
        }
    }
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write to {}", path.display())
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stream(stream) => f.write_str(stream.name()),
            Self::Replacement(file) => file.target().display().fmt(f),
            Self::Directory(directory) => directory.target().display().fmt(f),
        }
    }
}
