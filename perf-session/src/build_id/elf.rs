//! The build-id in an ELF file, of either class and byte order, with or without section headers. A few kilobytes
//! are read: headers and notes.

use std::cell::Cell;
use std::fs::File;
use std::ops::Range;

use object::elf::{FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader as _, SectionHeader as _};
use object::{Endianness, FileKind, ReadCache, ReadRef};
use perf_format::BuildId;

use super::NoBuildId;
use super::contents::Contents;
use super::notes::first_build_id;
use super::packed::UnpackError;
use crate::limits::ELF_AT_MOST;

/// What is wrong with an ELF file. It is a property of the file's bytes, and the same whenever they are read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ElfError {
    /// Not an ELF file at all.
    #[error("it is no ELF file")]
    NotElf,
    /// An ELF file whose headers lie outside it, or contradict themselves.
    #[error("it is a damaged ELF file: {0}")]
    Damaged(object::read::Error),
    /// Its headers and notes are larger than any file's.
    #[error("it has more headers and notes than any ELF file")]
    TooLarge,
    /// It is packed, and cannot be unpacked.
    #[error("it cannot be unpacked: {0}")]
    Packed(UnpackError),
}

/// The build-id of an open ELF file, or of one that is packed with gzip, xz or zstd, as kernel modules are; `None`
/// where it has none.
///
/// # Errors
/// [`NoBuildId::Elf`] where the file is no ELF file, or a damaged one, and [`NoBuildId::Io`] where it cannot be read.
pub fn build_id_of(file: File) -> Result<Option<BuildId>, NoBuildId> {
    let contents = ReadCache::new(Contents::of(file)?);
    let id = find_build_id(&contents);
    // What could not be read is the reason for whatever else was found.
    let mut contents = contents.into_inner();
    contents.check()?;
    if let Ok(Some(_)) = id {
        contents.check_end()?;
    }
    Ok(id?)
}

/// The build-id of an ELF image, wherever it is.
pub(super) fn find_build_id<'d>(data: impl ReadRef<'d>) -> Result<Option<BuildId>, ElfError> {
    let budget = Budget { left: Cell::new(ELF_AT_MOST), exceeded: Cell::new(false) };
    let data = Budgeted { data, budget: &budget };
    let id = match FileKind::parse(data) {
        Ok(FileKind::Elf32) => find::<FileHeader32<Endianness>, _>(data),
        Ok(FileKind::Elf64) => find::<FileHeader64<Endianness>, _>(data),
        Ok(_) | Err(_) => Err(ElfError::NotElf),
    };
    match id {
        Ok(None) | Err(ElfError::Damaged(_)) if budget.exceeded.get() => Err(ElfError::TooLarge),
        id => id,
    }
}

/// Program headers first: they are there in every file that runs. Relocatable files (kernel modules) have their notes
/// in sections alone. Notes that cannot be read are skipped: others may be whole.
fn find<'d, Elf, R>(data: R) -> Result<Option<BuildId>, ElfError>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'d>,
{
    let header = Elf::parse(data).map_err(ElfError::Damaged)?;
    let endian = header.endian().map_err(ElfError::Damaged)?;
    let segments = header.program_headers(endian, data).map_err(ElfError::Damaged)?;
    for segment in segments {
        if let Ok(Some(notes)) = segment.notes(endian, data)
            && let Some(id) = first_build_id(endian, notes)
        {
            return Ok(Some(id));
        }
    }
    // The segments have no build-id, so that a damaged section table is an error.
    let sections = header.section_headers(endian, data).map_err(ElfError::Damaged)?;
    for section in sections {
        if let Ok(Some(notes)) = section.notes(endian, data)
            && let Some(id) = first_build_id(endian, notes)
        {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// How many bytes of a file may still be looked at.
struct Budget {
    left: Cell<u64>,
    exceeded: Cell<bool>,
}

/// Data that is looked at within a budget, however often the same bytes are: what is read costs memory, and what is
/// parsed costs time.
#[derive(Clone, Copy)]
struct Budgeted<'b, R> {
    data: R,
    budget: &'b Budget,
}

impl<'d, R: ReadRef<'d>> Budgeted<'_, R> {
    fn spend(self, range: Range<u64>) -> Result<(), ()> {
        // What lies outside the file is damage, and not too much.
        if range.end > self.data.len()? {
            return Err(());
        }
        let size = range.end.checked_sub(range.start).ok_or(())?;
        let Some(left) = self.budget.left.get().checked_sub(size) else {
            self.budget.exceeded.set(true);
            return Err(());
        };
        self.budget.left.set(left);
        Ok(())
    }
}

impl<'d, R: ReadRef<'d>> ReadRef<'d> for Budgeted<'_, R> {
    fn len(self) -> Result<u64, ()> {
        self.data.len()
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'d [u8], ()> {
        self.spend(offset..offset.checked_add(size).ok_or(())?)?;
        self.data.read_bytes_at(offset, size)
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'d [u8], ()> {
        self.spend(range.clone())?;
        self.data.read_bytes_at_until(range, delimiter)
    }
}
