//! Opens inputs: standard input, or a file by its name.

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// An open input. `Display` names it.
#[derive(Debug)]
pub(crate) struct Input {
    file: File,
    /// `None` for standard input.
    path: Option<PathBuf>,
}

impl Input {
    /// Opens a file; `-` is standard input.
    ///
    /// # Errors
    /// Where it cannot be opened, is a directory or a terminal, or belongs to somebody else and `force` is not
    /// given: a recording by another user may be meant to mislead.
    pub(crate) fn open(path: &Path, force: bool) -> anyhow::Result<Self> {
        if path.as_os_str() == "-" {
            let stdin = io::stdin();
            if stdin.is_terminal() {
                bail!("standard input is a terminal: pipe perf data into it, or name a file with -i");
            }
            let file = stdin.as_fd().try_clone_to_owned().context("cannot read standard input")?.into();
            return Ok(Self { file, path: None });
        }
        let cannot = || format!("cannot open {}", path.display());
        let file = File::open(path).with_context(cannot)?;
        let meta = file.metadata().with_context(cannot)?;
        if meta.is_dir() {
            bail!("{}: it is a directory", cannot());
        }
        if !force && meta.uid() != 0 && meta.uid() != rustix::process::geteuid().as_raw() {
            bail!("{}: it belongs neither to you nor to root (-f reads it all the same)", cannot());
        }
        Ok(Self { file, path: Some(path.to_owned()) })
    }

    /// Whether a producer may still be writing to it.
    pub(crate) fn is_live(&self) -> bool {
        let kind = self.file.metadata().map(|meta| meta.file_type());
        kind.is_ok_and(|kind| kind.is_fifo() || kind.is_socket())
    }

    /// The open file.
    pub(crate) fn into_file(self) -> File {
        self.file
    }
}

impl Read for Input {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read(buf)
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
