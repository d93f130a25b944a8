//! The build-id in an ELF file, of either class and byte order, with or without section headers. A few kilobytes
//! are read: headers and notes.

use std::cell::Cell;
use std::fs::File;
use std::ops::Range;
use std::rc::Rc;

use object::elf::{ET_EXEC, FileHeader32, FileHeader64, PF_X, PT_INTERP, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader as _, SectionHeader as _};
use object::{Endianness, FileKind, ReadCache, ReadRef};
use perf_format::BuildId;

use super::NoBuildId;
use super::contents::Contents;
use super::notes::first_build_id;
use super::packed::UnpackError;
use crate::evidence::{ElfLayout, Segment};
use crate::limits::{ELF_AT_MOST, SEGMENTS_AT_MOST};

/// What is wrong with an ELF file. It is a property of the file's bytes, and the same whenever they are read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ElfError {
    /// Not an ELF file at all.
    #[error("it is no ELF file")]
    NotElf,
    /// An ELF file whose headers lie outside it, or contradict themselves; the text says which.
    #[error("it is a damaged ELF file: {0}")]
    Damaged(String),
    /// Its headers and notes are larger than any file's.
    #[error("it has more headers and notes than any ELF file")]
    TooLarge,
    /// It is packed, and cannot be unpacked.
    #[error("it cannot be unpacked: {0}")]
    Packed(UnpackError),
}

fn damaged(error: object::read::Error) -> ElfError {
    ElfError::Damaged(error.to_string())
}

/// The build-id of an open ELF file, or of one that is packed with gzip, xz or zstd, as kernel modules are; `None`
/// where it has none.
///
/// # Errors
/// [`NoBuildId::Elf`] where the file is no ELF file, or a damaged one, and [`NoBuildId::Io`] where it cannot be read.
pub fn build_id_of(file: File) -> Result<Option<BuildId>, NoBuildId> {
    notes_of(file).map(|notes| notes.build_id)
}

/// What is read of an ELF file.
#[derive(Debug, Clone)]
pub(crate) struct ElfNotes {
    /// Its build-id, if it has one.
    pub(crate) build_id: Option<BuildId>,
    /// What it tells loaders.
    pub(crate) layout: Rc<ElfLayout>,
}

/// The build-id and the segments of an open ELF file, as [`build_id_of`] reads it.
pub(super) fn notes_of(file: File) -> Result<ElfNotes, NoBuildId> {
    let contents = ReadCache::new(Contents::of(file)?);
    let notes = find_notes(&contents);
    // What could not be read is the reason for whatever else was found.
    let mut contents = contents.into_inner();
    contents.check()?;
    if let Ok(ElfNotes { build_id: Some(_), .. }) = notes {
        contents.check_end()?;
    }
    Ok(notes?)
}

/// The build-id and the segments of an ELF image, wherever it is.
pub(super) fn find_notes<'d>(data: impl ReadRef<'d>) -> Result<ElfNotes, ElfError> {
    let budget = Budget::default();
    let data = budget.of(data);
    let notes = match FileKind::parse(data) {
        Ok(FileKind::Elf32) => find::<FileHeader32<Endianness>, _>(data),
        Ok(FileKind::Elf64) => find::<FileHeader64<Endianness>, _>(data),
        Ok(_) | Err(_) => Err(ElfError::NotElf),
    };
    match notes {
        Ok(ElfNotes { build_id: None, .. }) | Err(ElfError::Damaged(_)) if budget.exceeded.get() => {
            Err(ElfError::TooLarge)
        }
        notes => notes,
    }
}

/// Program headers first: they are there in every file that runs. Relocatable files (kernel modules) have their notes
/// in sections alone. Notes that cannot be read are skipped: others may be whole.
fn find<'d, Elf, R>(data: R) -> Result<ElfNotes, ElfError>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'d>,
{
    let header = Elf::parse(data).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    let headers = header.program_headers(endian, data).map_err(damaged)?;
    let loaded = headers.iter().filter(|header| header.p_type(endian) == PT_LOAD).take(SEGMENTS_AT_MOST);
    let segments = loaded.map(|header| Segment {
        offset: header.p_offset(endian).into(),
        vaddr: header.p_vaddr(endian).into(),
        filesz: header.p_filesz(endian).into(),
        memsz: header.p_memsz(endian).into(),
        is_exec: header.p_flags(endian).contains(PF_X),
    });
    let has_interpreter = headers.iter().any(|header| header.p_type(endian) == PT_INTERP);
    let is_program = has_interpreter || header.e_type(endian) == ET_EXEC;
    let layout = Rc::new(ElfLayout { segments: segments.collect(), is_program });
    let with_id = |build_id| ElfNotes { build_id, layout };
    for segment in headers {
        if let Ok(Some(notes)) = segment.notes(endian, data)
            && let Some(id) = first_build_id(endian, notes)
        {
            return Ok(with_id(Some(id)));
        }
    }
    // The segments have no build-id, so that a damaged section table is an error.
    let sections = header.section_headers(endian, data).map_err(damaged)?;
    for section in sections {
        if let Ok(Some(notes)) = section.notes(endian, data)
            && let Some(id) = first_build_id(endian, notes)
        {
            return Ok(with_id(Some(id)));
        }
    }
    Ok(with_id(None))
}

/// How many bytes of a file may still be looked at.
pub(super) struct Budget {
    left: Cell<u64>,
    exceeded: Cell<bool>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: Cell::new(ELF_AT_MOST), exceeded: Cell::new(false) }
    }
}

impl Budget {
    /// Data that is looked at within it.
    pub(super) fn of<R>(&self, data: R) -> Budgeted<'_, R> {
        Budgeted { data, budget: self }
    }
}

/// Data that is looked at within a budget, however often the same bytes are: what is read costs memory, and what is
/// parsed costs time.
#[derive(Clone, Copy)]
pub(super) struct Budgeted<'b, R> {
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
