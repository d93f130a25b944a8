//! The build-id in an ELF file, of either class and byte order, with or without section headers. A few kilobytes
//! are read: headers and notes.

use std::fs::File;
use std::io;

use object::elf::{FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader as _, SectionHeader as _};
use object::{Endianness, FileKind, ReadCache, ReadRef};
use perf_format::BuildId;

use super::notes::first_build_id;
use super::packed::unpacked;
use crate::limits::{HEADERS_AT_MOST, NOTES_AT_MOST};

/// What is wrong with an ELF file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ElfError {
    /// Not an ELF file at all.
    #[error("it is no ELF file")]
    NotElf,
    /// An ELF file whose headers lie outside it, or contradict themselves.
    #[error("it is a damaged ELF file: {0}")]
    Damaged(object::read::Error),
    /// Its tables of headers are larger than any file's.
    #[error("it has more headers than any ELF file")]
    TooLarge,
    /// It is packed, and cannot be unpacked.
    #[error("it cannot be unpacked: {0}")]
    Packed(io::Error),
}

/// The build-id of an open ELF file, or of one that is packed with gzip, xz or zstd, as kernel modules are; `None`
/// where it has none.
///
/// # Errors
/// Where the file is no ELF file, or a damaged one.
pub fn build_id_of(file: File) -> Result<Option<BuildId>, ElfError> {
    match unpacked(&file).map_err(ElfError::Packed)? {
        Some(bytes) => find_build_id(bytes.as_slice()),
        None => find_build_id(&ReadCache::new(file)),
    }
}

/// The build-id of an ELF image, wherever it is.
pub(super) fn find_build_id<'d>(data: impl ReadRef<'d>) -> Result<Option<BuildId>, ElfError> {
    match FileKind::parse(data) {
        Ok(FileKind::Elf32) => find::<FileHeader32<Endianness>, _>(data),
        Ok(FileKind::Elf64) => find::<FileHeader64<Endianness>, _>(data),
        Ok(_) | Err(_) => Err(ElfError::NotElf),
    }
}

/// Program headers first: they are there in every file that runs. Relocatable files (kernel modules) have their
/// notes in sections alone.
fn find<'d, Elf, R>(data: R) -> Result<Option<BuildId>, ElfError>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'d>,
{
    let header = Elf::parse(data).map_err(ElfError::Damaged)?;
    let endian = header.endian().map_err(ElfError::Damaged)?;
    // The tables are read whole; those of real files are far smaller.
    let segments = header.phnum(endian, data).map_err(ElfError::Damaged)?;
    let sections = header.shnum(endian, data).map_err(ElfError::Damaged)?;
    if u64::from(segments.max(sections)) > HEADERS_AT_MOST {
        return Err(ElfError::TooLarge);
    }
    let segments = header.program_headers(endian, data).map_err(ElfError::Damaged)?;
    for segment in segments {
        let size: u64 = segment.p_filesz(endian).into();
        if size <= NOTES_AT_MOST
            && let Ok(Some(notes)) = segment.notes(endian, data)
            && let Some(id) = first_build_id(endian, notes)
        {
            return Ok(Some(id));
        }
    }
    // A damaged section table takes nothing from what the segments say; they said nothing.
    let sections = header.section_headers(endian, data).map_err(ElfError::Damaged)?;
    for section in sections {
        let size: u64 = section.sh_size(endian).into();
        if size <= NOTES_AT_MOST
            && let Ok(Some(notes)) = section.notes(endian, data)
            && let Some(id) = first_build_id(endian, notes)
        {
            return Ok(Some(id));
        }
    }
    Ok(None)
}
