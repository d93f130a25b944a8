//! Opens inputs: standard input, or a file by its name, packed or not.

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read, Seek as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, bail};
use perf_format::header::PIPE_HEADER_SIZE;
use perf_session::DataFiles;
use perf_session::evidence::{Nanos, Produced};
use perf_session::unpack::Packing;

use self::packed::{PackedEnd, PackedInput};
use crate::progress::Watch;
use crate::ready;

mod object;
pub(crate) mod packed;
mod spool;

/// An open input. `Display` names it.
#[derive(Debug)]
pub(crate) struct Input {
    file: File,
    /// `None` for standard input.
    path: Option<PathBuf>,
    /// The other files of a directory recording.
    others: Vec<File>,
    is_directory: bool,
    /// What was read of it to see what it is: the header of a recording.
    beginning: Vec<u8>,
    /// How many bytes of that have been given out.
    given: usize,
    /// What it unpacks to, if it is packed.
    packed: Option<PackedInput>,
}

/// The files of a recording in file format.
#[derive(Debug)]
pub(crate) struct Files {
    /// The file, or the first of a directory, from its start on.
    pub(crate) first: File,
    /// The same, opened once more, with a position of its own; `None` where that cannot be.
    pub(crate) twin: Option<File>,
    /// The others of a directory.
    pub(crate) others: Vec<File>,
    /// Whether it had to be put into a file of ours, whose reading was shown.
    pub(crate) is_spooled: bool,
}

impl Input {
    fn new(file: File, path: Option<PathBuf>) -> Self {
        let (others, beginning) = (Vec::new(), Vec::new());
        Self { file, path, others, is_directory: false, beginning, given: 0, packed: None }
    }

    /// Opens a file, or the files of a directory recording; `-` is standard input.
    ///
    /// # Errors
    /// Where it cannot be opened, is a terminal or a directory without a recording in it, or belongs to somebody
    /// else and `force` is not given: a recording by another user may be meant to mislead.
    pub(crate) fn open(path: &Path, force: bool) -> anyhow::Result<Self> {
        if path.as_os_str() == "-" {
            if io::stdin().is_terminal() {
                bail!("standard input is a terminal: pipe perf data into it, or name a file with -i");
            }
            return Ok(Self::new(stdin()?, None));
        }
        if !path.is_dir() {
            return Ok(Self::new(open(path, force)?, Some(path.to_owned())));
        }
        let Some(DataFiles { first, others, .. }) = DataFiles::find(path) else {
            bail!("cannot open {}: it is a directory, and no recording is in it", path.display());
        };
        let others = others.iter().map(|path| open(path, force)).collect::<anyhow::Result<_>>()?;
        let first = Self::new(open(&first, force)?, Some(path.to_owned()));
        Ok(Self { others, is_directory: true, ..first })
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

    /// The file once more, if it is an object file and no recording, packed or not: what is inside decides.
    ///
    /// # Errors
    /// Where it cannot be opened twice.
    pub(crate) fn object_file(&self) -> io::Result<Option<File>> {
        if object::is_object(&self.file) { self.file.try_clone().map(Some) } else { Ok(None) }
    }

    /// Reads the first bytes, and if it is packed, unpacks it from here on. Returns what tells how that ended.
    ///
    /// # Errors
    /// Where it cannot be read, or nothing can be unpacked of it.
    pub(crate) fn begin(&mut self, watch: &Watch) -> anyhow::Result<Option<PackedEnd>> {
        if self.is_directory {
            return Ok(None);
        }
        let cannot = format!("cannot read {self}");
        self.beginning = beginning(self).with_context(|| cannot.clone())?;
        let Some(packing) = Packing::detect(&self.beginning) else { return Ok(None) };
        let mut watch = watch.clone();
        if self.is_live() {
            // It is read to its end, come what may.
            watch.stop = Arc::default();
        }
        let rest = watch.file(self.file.try_clone().with_context(|| cannot.clone())?);
        let mut packed = PackedInput::new(packing, std::mem::take(&mut self.beginning), rest);
        self.beginning = beginning(&mut packed).with_context(|| cannot.clone())?;
        let end = packed.end();
        if self.beginning.is_empty()
            && let Some(failure) = end.failure()
        {
            return Err(failure.context(cannot));
        }
        self.packed = Some(packed);
        Ok(Some(end))
    }

    /// The first bytes, after [`begin`](Self::begin): none of a directory.
    pub(crate) fn beginning(&self) -> &[u8] {
        &self.beginning
    }

    /// What is read from behind the header on: the open file, or what it unpacks to.
    pub(crate) fn into_rest(self) -> Result<File, PackedInput> {
        self.packed.map_or(Ok(self.file), Err)
    }

    /// The files of a recording in file format. One that comes through a pipe, or is packed, is put into a file without a
    /// name in this directory.
    ///
    /// # Errors
    /// Where it cannot be read, or cannot be put there.
    pub(crate) fn into_files(mut self, spool_dir: &Path) -> anyhow::Result<Files> {
        let name = self.to_string();
        if self.packed.is_none() {
            match self.file.rewind() {
                Ok(()) => {
                    let twin = twin(&self.file).ok();
                    return Ok(Files { first: self.file, twin, others: self.others, is_spooled: false });
                }
                Err(error) if error.kind() == io::ErrorKind::NotSeekable => {}
                Err(error) => return Err(error).with_context(|| format!("cannot read {name}")),
            }
        }
        let beginning = std::mem::take(&mut self.beginning);
        let first = spool::spool(&beginning, &mut self, &name, spool_dir)?;
        Ok(Files { twin: twin(&first).ok(), first, others: Vec::new(), is_spooled: true })
    }
}

/// The file opened once more, with a position of its own.
fn twin(file: &File) -> io::Result<File> {
    // By its descriptor: another may have its name by now, or it has none.
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// The first bytes of a source, as many as the header of a recording has, or all that there are.
fn beginning(source: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(PIPE_HEADER_SIZE as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn open(path: &Path, force: bool) -> anyhow::Result<File> {
    let cannot = || format!("cannot open {}", path.display());
    let file = File::open(path).with_context(cannot)?;
    let owner = file.metadata().with_context(cannot)?.uid();
    if !force && owner != 0 && owner != rustix::process::geteuid().as_raw() {
        bail!("{}: it belongs neither to you nor to root (-f reads it all the same)", cannot());
    }
    Ok(file)
}

/// Standard input.
///
/// # Errors
/// Where there is none.
pub(crate) fn stdin() -> anyhow::Result<File> {
    Ok(io::stdin().as_fd().try_clone_to_owned().context("cannot read standard input")?.into())
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
        let mut ahead = self.beginning.get(self.given..).unwrap_or_default();
        if !ahead.is_empty() {
            let read = ahead.read(buf)?;
            self.given += read;
            return Ok(read);
        }
        match &mut self.packed {
            Some(packed) => packed.read(buf),
            None => ready::read(&self.file, buf),
        }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => path.display().fmt(f)?,
            None => f.write_str("standard input")?,
        }
        if self.packed.is_some() { f.write_str(" (unpacked)") } else { Ok(()) }
    }
}
