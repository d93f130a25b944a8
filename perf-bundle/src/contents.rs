//! The bytes of a file that goes into a store or a bundle.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::OnceLock;

use perf_session::unpack::Packing;

use crate::packing::UnpackingReader;

/// The bytes of a file.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileContents {
    /// An open file, which is somebody else's, who may change it meanwhile.
    File(File),
    /// Bytes in memory.
    Memory(Vec<u8>),
    /// What an open file that is packed unpacks to, anew each time that it is read.
    Packed(PackedContents),
}

/// What a packed file unpacks to.
#[derive(Debug)]
pub struct PackedContents {
    file: File,
    packing: Packing,
    at_most: u64,
    /// How many bytes that are, as soon as somebody has counted.
    size: OnceLock<u64>,
}

impl FileContents {
    /// What is in a file: it is unpacked, if its first bytes say that gzip, xz or zstd packed it. More than `at_most` bytes are an
    /// error to who reads it.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn unpacking(file: File, at_most: u64) -> io::Result<Self> {
        let mut magic = [0; Packing::MAGIC_SIZE];
        let read = file.read_at(&mut magic, 0)?;
        Ok(match Packing::detect(magic.get(..read).unwrap_or_default()) {
            Some(packing) => Self::Packed(PackedContents { file, packing, at_most, size: OnceLock::new() }),
            None => Self::File(file),
        })
    }

    /// How the file is packed, if it is.
    #[must_use]
    pub fn packing(&self) -> Option<Packing> {
        match self {
            Self::Packed(packed) => Some(packed.packing),
            Self::File(_) | Self::Memory(_) => None,
        }
    }

    /// How many there are, in bytes. What is packed is unpacked for that, once.
    ///
    /// # Errors
    /// Where the file cannot be looked at, or not be unpacked.
    pub fn size(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => Ok(file.metadata()?.len()),
            Self::Memory(bytes) => Ok(bytes.len() as u64),
            Self::Packed(PackedContents { size, .. }) => match size.get() {
                Some(size) => Ok(*size),
                None => {
                    let counted = io::copy(&mut self.reader(), &mut io::sink())?;
                    Ok(*size.get_or_init(|| counted))
                }
            },
        }
    }

    /// Reads it from its start, whatever was read before.
    #[must_use]
    pub fn reader(&self) -> impl Read + '_ {
        match self {
            Self::File(file) => ContentsReader::File(FileReader { file, at: 0 }),
            Self::Memory(bytes) => ContentsReader::Memory(bytes),
            Self::Packed(PackedContents { file, packing, at_most, .. }) => ContentsReader::Packed {
                unpacked: Box::new(UnpackingReader::new(*packing, FileReader { file, at: 0 })),
                left: *at_most,
            },
        }
    }

    /// What state a file is in; two that are equal are of the same bytes.
    pub(crate) fn state(&self) -> io::Result<Option<FileState>> {
        match self {
            Self::File(file) | Self::Packed(PackedContents { file, .. }) => {
                Ok(Some(FileState::of(&file.metadata()?)))
            }
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

enum ContentsReader<'c> {
    File(FileReader<'c>),
    Memory(&'c [u8]),
    Packed { unpacked: Box<UnpackingReader<FileReader<'c>>>, left: u64 },
}

impl Read for ContentsReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buf),
            Self::Memory(bytes) => bytes.read(buf),
            Self::Packed { unpacked, left } => {
                let read = unpacked.read(buf)?;
                let too_much = || io::Error::other("it unpacks to more than it may");
                *left = left.checked_sub(read as u64).ok_or_else(too_much)?;
                Ok(read)
            }
        }
    }
}

/// Reads a file from an offset on, whatever its position.
pub(crate) struct FileReader<'c> {
    pub(crate) file: &'c File,
    /// Where it is, in bytes.
    pub(crate) at: u64,
}

impl Read for FileReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buf, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn read(contents: &FileContents) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        contents.reader().read_to_end(&mut bytes).map(|_| bytes)
    }

    #[test]
    fn what_is_packed_is_read_as_what_it_unpacks_to_each_time_from_its_start() {
        let bytes = b"some text".repeat(1000);
        let packed = zstd::encode_all(&bytes[..], 1).unwrap();
        let contents = FileContents::unpacking(file(&packed), 9000).unwrap();
        assert_eq!((contents.packing(), contents.size().unwrap()), (Some(Packing::Zstd), 9000));
        for _ in 0..2 {
            assert!(read(&contents).unwrap() == bytes);
        }
        let plain = FileContents::unpacking(file(&bytes), 1).unwrap();
        assert!(plain.packing().is_none() && read(&plain).unwrap() == bytes);
        let cut = FileContents::unpacking(file(&packed[..packed.len() - 1]), 9000).unwrap();
        assert!(cut.size().is_err() && read(&cut).is_err());
        let limited = FileContents::unpacking(file(&packed), 8999).unwrap();
        assert!(limited.size().unwrap_err().to_string().contains("more than it may"));
    }
}
