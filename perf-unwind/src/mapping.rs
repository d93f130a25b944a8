//! Files mapped into memory: the workspace's one piece of unsafe code.

use std::fs::File;

use memmap2::{Mmap, MmapOptions};

use crate::error::Error;

/// A file in memory, as long as it is needed.
#[derive(Debug)]
pub(crate) struct FileMapping(Mmap);

impl FileMapping {
    /// Maps all of a regular file, for reading.
    ///
    /// # Errors
    /// [`Error::NotRegular`], [`Error::NotElf`] where it is empty, and [`Error::Io`].
    #[expect(
        unsafe_code,
        reason = "there is no other way to map a file; tables of a hundred megabytes are read at random"
    )]
    pub(crate) fn new(file: &File) -> Result<Self, Error> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(Error::NotRegular);
        }
        let len = usize::try_from(metadata.len()).map_err(|_| Error::NotElf)?;
        if len == 0 {
            return Err(Error::NotElf);
        }
        // SAFETY: the map is private and for reading, of a regular file that has this many bytes now, and lives as long as the
        // bytes are lent. What cannot be promised is that no other program changes the file meanwhile. Package managers,
        // linkers and compilers put a new file in the place of an old one that is in use, and the kernel does not let a
        // running program's file be written to (ETXTBSY). Should somebody write to it all the same, then other bytes come out
        // of it: nothing is concluded from bytes but what was checked with the same read of them, they are plain numbers
        // of which all values are right, and each use of one is bounds-checked. Should it be cut short, then the kernel
        // ends this program with SIGBUS, as every debugger and profiler that maps files.
        let map = unsafe { MmapOptions::new().len(len).map_copy_read_only(file)? };
        Ok(Self(map))
    }

    /// Its bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
