//! The contents of an ELF file, out of which its headers and notes are read: those of a file, or those that a packed
//! file unpacks to.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use object::read::ReadCacheOps;

use super::packed::{Failure, Unpacker};
use super::{ElfError, NoBuildId};

/// An open file's contents, and the reason why they could not be read, for which `object`'s errors have no room.
pub(super) struct Contents {
    stored: Stored,
    at: u64,
    failure: Option<NoBuildId>,
}

enum Stored {
    Plain(File),
    Packed(Unpacker),
}

impl Contents {
    /// The contents of a file; its first bytes show whether it is packed.
    pub(super) fn of(file: File) -> Result<Self, NoBuildId> {
        let stored = match Unpacker::of(file)? {
            Ok(unpacker) => Stored::Packed(unpacker),
            Err(file) => Stored::Plain(file),
        };
        Ok(Self { stored, at: 0, failure: None })
    }

    /// Whether it is what a packed file unpacks to.
    pub(super) fn is_packed(&self) -> bool {
        matches!(self.stored, Stored::Packed(_))
    }

    /// Returns the error that kept the contents from being read.
    pub(super) fn check(&mut self) -> Result<(), NoBuildId> {
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Reads a packed file to its end, where its checksums are.
    pub(super) fn check_end(&mut self) -> Result<(), NoBuildId> {
        match &mut self.stored {
            Stored::Plain(_) => Ok(()),
            Stored::Packed(unpacker) => unpacker.check_end().map_err(no_build_id),
        }
    }
}

fn no_build_id(failure: Failure) -> NoBuildId {
    match failure {
        Failure::Io(error) => NoBuildId::Io(error),
        Failure::Packed(error) => NoBuildId::Elf(ElfError::Packed(error)),
    }
}

impl ReadCacheOps for Contents {
    fn len(&mut self) -> Result<u64, ()> {
        match &self.stored {
            Stored::Plain(file) => file.metadata().map(|meta| meta.len()).map_err(|_| ()),
            // It shows when it is unpacked.
            Stored::Packed(_) => Ok(u64::MAX),
        }
    }

    fn seek(&mut self, pos: u64) -> Result<u64, ()> {
        self.at = pos;
        Ok(pos)
    }

    fn read(&mut self, _: &mut [u8]) -> Result<usize, ()> {
        // For strings, of which headers and notes have none.
        Err(())
    }

    fn read_exact(&mut self, buf: &mut [u8]) -> Result<(), ()> {
        if self.failure.is_some() {
            return Err(());
        }
        let read = match &mut self.stored {
            Stored::Plain(file) => file.read_exact_at(buf, self.at).map(|()| true).map_err(NoBuildId::Io),
            Stored::Packed(unpacker) => unpacker.read_exact_at(buf, self.at).map_err(no_build_id),
        };
        match read {
            Ok(true) => Ok(()),
            // It ends before.
            Ok(false) => Err(()),
            Err(failure) => {
                self.failure = Some(failure);
                Err(())
            }
        }
    }
}
