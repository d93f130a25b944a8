//! Standard output as a stream of bytes: unbuffered, since what is read is to go on at once.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd as _;

use anyhow::{Context as _, bail};

/// Where perf data is written.
#[derive(Debug)]
pub(crate) struct Output {
    file: File,
}

impl Output {
    /// Standard output.
    ///
    /// # Errors
    /// Where it is a terminal, which perf data would only disturb.
    pub(crate) fn stdout() -> anyhow::Result<Self> {
        let stdout = io::stdout();
        if stdout.is_terminal() {
            bail!("standard output is a terminal: pipe it into perf report -i -, or redirect it to a file");
        }
        let file = stdout.as_fd().try_clone_to_owned().context("cannot write to standard output")?.into();
        Ok(Self { file })
    }
}

impl Write for Output {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.file.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
