//! A stream of bytes that somebody reads: standard output, a FIFO or a device.

use std::fs::File;
use std::io::{self, Write};

use crate::ready;

/// A stream of bytes that somebody reads.
#[derive(Debug)]
pub(crate) struct Stream {
    file: File,
    name: String,
}

impl Stream {
    /// A stream into a file that is no regular one, with the name that messages have for it.
    pub(crate) fn new(file: File, name: String) -> Self {
        Self { file, name }
    }

    /// The name that messages have for it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The file once more, for whoever writes to it in another way.
    pub(crate) fn file(&self) -> Option<File> {
        self.file.try_clone().ok()
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        ready::write(&self.file, buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
