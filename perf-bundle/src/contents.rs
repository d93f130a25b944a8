//! The bytes of a file that goes into a store or a bundle.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

/// The bytes of a file.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileContents {
    /// An open file, which is somebody else's, who may change it meanwhile.
    File(File),
    /// Bytes in memory.
    Memory(Vec<u8>),
}

impl FileContents {
    /// How many there are, in bytes.
    ///
    /// # Errors
    /// Where the file cannot be looked at.
    pub fn size(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => Ok(file.metadata()?.len()),
            Self::Memory(bytes) => Ok(bytes.len() as u64),
        }
    }

    /// Reads it from its start, whatever was read before.
    #[must_use]
    pub fn reader(&self) -> impl Read + '_ {
        FileReader { contents: self, at: 0 }
    }

    /// What state a file is in; two that are equal are of the same bytes.
    pub(crate) fn state(&self) -> io::Result<Option<FileState>> {
        match self {
            Self::File(file) => Ok(Some(FileState::of(&file.metadata()?))),
            Self::Memory(_) => Ok(None),
        }
    }
}

/// The state of a file: whatever changes it changes its `ctime`, which nobody can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileState {
    size: u64,
    ctime: (i64, i64),
    mtime: (i64, i64),
}

impl FileState {
    fn of(meta: &Metadata) -> Self {
        Self {
            size: meta.len(),
            ctime: (meta.ctime(), meta.ctime_nsec()),
            mtime: (meta.mtime(), meta.mtime_nsec()),
        }
    }

    /// Whether it was not written to meanwhile, unless somebody has set its times.
    pub(crate) fn looks_written_as(&self, other: &Self) -> bool {
        (self.size, self.mtime) == (other.size, other.mtime)
    }
}

struct FileReader<'c> {
    contents: &'c FileContents,
    at: u64,
}

impl Read for FileReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = match self.contents {
            FileContents::File(file) => file.read_at(buf, self.at)?,
            FileContents::Memory(bytes) => {
                let at = usize::try_from(self.at).unwrap_or(usize::MAX);
                bytes.get(at..).unwrap_or_default().read(buf)?
            }
        };
        self.at += read as u64;
        Ok(read)
    }
}
