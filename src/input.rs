//! Opens inputs: standard input, or a file by its name.

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read, Seek as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, bail};
use perf_session::evidence::{Nanos, Produced};

use crate::ready;

/// An open input. `Display` names it.
#[derive(Debug)]
pub(crate) struct Input {
    file: File,
    /// `None` for standard input.
    path: Option<PathBuf>,
    /// The other files of a directory recording.
    others: Vec<File>,
    is_directory: bool,
}

impl Input {
    /// Opens a file, or the files of a directory recording; `-` is standard input.
    ///
    /// # Errors
    /// Where it cannot be opened, is a terminal or a directory without a recording in it, or belongs to somebody
    /// else and `force` is not given: a recording by another user may be meant to mislead.
    pub(crate) fn open(path: &Path, force: bool) -> anyhow::Result<Self> {
        if path.as_os_str() == "-" {
            let stdin = io::stdin();
            if stdin.is_terminal() {
                bail!("standard input is a terminal: pipe perf data into it, or name a file with -i");
            }
            let file = stdin.as_fd().try_clone_to_owned().context("cannot read standard input")?.into();
            return Ok(Self { file, path: None, others: Vec::new(), is_directory: false });
        }
        if !path.is_dir() {
            let (file, path) = (open(path, force)?, Some(path.to_owned()));
            return Ok(Self { file, path, others: Vec::new(), is_directory: false });
        }
        let first = path.join("data");
        if !first.is_file() {
            bail!("cannot open {}: it is a directory, and no recording is in it", path.display());
        }
        let numbered = (0..).map(|number| path.join(format!("data.{number}")));
        let others = numbered.take_while(|path| path.is_file()).map(|path| open(&path, force));
        let others = others.collect::<anyhow::Result<_>>()?;
        Ok(Self { file: open(&first, force)?, path: Some(path.to_owned()), others, is_directory: true })
    }

    /// Whether it is a recording in a directory.
    pub(crate) fn is_directory(&self) -> bool {
        self.is_directory
    }

    /// The directory, if the recording is in one.
    pub(crate) fn directory(&self) -> Option<&Path> {
        self.path.as_deref().filter(|_| self.is_directory)
    }

    /// When the recording was written: what is read from a pipe is being written, from now on; a file was written until
    /// it was last changed.
    pub(crate) fn produced(&self) -> Produced {
        let nanos = |time: io::Result<SystemTime>| {
            let since = time.ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
            Nanos::try_from(since.as_nanos()).ok()
        };
        match self.file.metadata() {
            Ok(meta) if meta.is_file() => match nanos(meta.modified()) {
                Some(until) => Produced::File { made: nanos(meta.created()), until },
                None => Produced::Unknown,
            },
            _ if self.is_live() => {
                nanos(Ok(SystemTime::now())).map_or(Produced::Unknown, |since| Produced::Live { since })
            }
            _ => Produced::Unknown,
        }
    }

    /// Whether a producer may still be writing to it.
    pub(crate) fn is_live(&self) -> bool {
        is_pipe(&self.file)
    }

    /// The file once more, if it is an object file and no recording, packed or not.
    ///
    /// # Errors
    /// Where it cannot be opened twice.
    pub(crate) fn object_file(&self) -> io::Result<Option<File>> {
        let mut magic = [0; 4];
        // An input that cannot be read at an offset is no file; one that is too short is no object.
        let is_object = self.file.read_exact_at(&mut magic, 0).is_ok()
            && OBJECTS.iter().any(|object| magic.starts_with(object));
        if is_object { self.file.try_clone().map(Some) } else { Ok(None) }
    }

    /// The open file, from where it was read to.
    pub(crate) fn into_file(self) -> File {
        self.file
    }

    /// The first file opened once more, with a position of its own.
    ///
    /// # Errors
    /// Where it cannot be opened again.
    pub(crate) fn twin(&self) -> io::Result<File> {
        // By its descriptor: another may have its name by now.
        File::open(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }

    /// The first file from its start on, and the others.
    ///
    /// # Errors
    /// Where the first is a pipe, in which nobody can go back.
    pub(crate) fn into_files(mut self) -> anyhow::Result<(File, Vec<File>)> {
        self.file.rewind().context("it is in perf's file format, which cannot be read from a pipe")?;
        Ok((self.file, self.others))
    }
}

/// How ELF files begin, and those packed with gzip, xz and zstd.
const OBJECTS: [&[u8]; 4] = [b"\x7fELF", b"\x1f\x8b", b"\xfd7zX", b"\x28\xb5\x2f\xfd"];

fn open(path: &Path, force: bool) -> anyhow::Result<File> {
    let cannot = || format!("cannot open {}", path.display());
    let file = File::open(path).with_context(cannot)?;
    let owner = file.metadata().with_context(cannot)?.uid();
    if !force && owner != 0 && owner != rustix::process::geteuid().as_raw() {
        bail!("{}: it belongs neither to you nor to root (-f reads it all the same)", cannot());
    }
    Ok(file)
}

fn is_pipe(file: &File) -> bool {
    let kind = file.metadata().map(|meta| meta.file_type());
    kind.is_ok_and(|kind| kind.is_fifo() || kind.is_socket())
}

/// Whether standard input is a pipe, so that a command without a name means it.
pub(crate) fn is_piped() -> bool {
    io::stdin().as_fd().try_clone_to_owned().is_ok_and(|fd| is_pipe(&fd.into()))
}

impl Read for Input {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        ready::read(&self.file, buf)
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => path.display().fmt(f),
            None => f.write_str("standard input"),
        }
    }
}
