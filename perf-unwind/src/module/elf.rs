//! Where an ELF file has its unwinding tables: by its program headers, and by its sections what these do not tell.

use std::ops::Range;
use std::sync::Arc;

use gimli::RunTimeEndian;
use object::elf::{
    ELFCOMPRESS_ZLIB, ELFCOMPRESS_ZSTD, FileHeader32, FileHeader64, PF_W, PF_X, PT_GNU_EH_FRAME, PT_LOAD,
    SHT_NOBITS,
};
use object::read::elf::{FileHeader, ProgramHeader as _, SectionHeader as _};
use object::{Endianness, FileKind};

use super::table::{CfiTable, TableKind};
use super::{ModuleContents, TableBytes};
use crate::architecture::Architecture;
use crate::error::Error;
use crate::limits::{SECTIONS_AT_MOST, SEGMENTS_AT_MOST};
use crate::unpack::Packed;

/// A segment that is loaded (`PT_LOAD`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoadSegment {
    pub(crate) offset: u64,
    pub(crate) address: u64,
    pub(crate) file_size: u64,
    pub(crate) is_exec: bool,
    pub(crate) is_write: bool,
}

impl LoadSegment {
    /// How far behind its beginning an address is that the file has bytes for. One that goes round behind the last address
    /// has those up to there.
    pub(crate) fn place_of(&self, address: u64) -> Option<u64> {
        address.checked_sub(self.address).filter(|place| *place < self.file_size)
    }
}

/// Bytes of the file, and the address that they have.
#[derive(Debug, Clone)]
struct AtAddress {
    address: u64,
    range: Range<usize>,
}

/// What is read of a file's headers.
#[derive(Debug)]
pub(crate) struct ElfTables {
    pub(crate) architecture: Architecture,
    pub(crate) order: RunTimeEndian,
    pub(crate) segments: Vec<LoadSegment>,
    eh_frame_hdr: Option<AtAddress>,
    eh_frame: Option<AtAddress>,
    debug_frame: Option<(AtAddress, Option<Packed>)>,
}

impl ElfTables {
    pub(crate) fn read(data: &[u8]) -> Result<Self, Error> {
        match FileKind::parse(data) {
            Ok(FileKind::Elf32) => Self::read_class::<FileHeader32<Endianness>>(data),
            Ok(FileKind::Elf64) => Self::read_class::<FileHeader64<Endianness>>(data),
            _ => Err(Error::NotElf),
        }
    }

    fn read_class<Elf: FileHeader<Endian = Endianness>>(data: &[u8]) -> Result<Self, Error> {
        let damaged = |error: object::read::Error| Error::Damaged(error.to_string());
        let header = Elf::parse(data).map_err(damaged)?;
        let endian = header.endian().map_err(damaged)?;
        let machine = header.e_machine(endian).0;
        let architecture =
            Architecture::of_elf(machine, header.is_class_64()).ok_or(Error::Architecture { machine })?;
        let order = match endian {
            Endianness::Little => RunTimeEndian::Little,
            Endianness::Big => RunTimeEndian::Big,
        };
        let mut elf = Self {
            architecture,
            order,
            segments: Vec::new(),
            eh_frame_hdr: None,
            eh_frame: None,
            debug_frame: None,
        };
        let mut eh_frame_hdr = None;
        for segment in header.program_headers(endian, data).map_err(damaged)? {
            match segment.p_type(endian) {
                PT_LOAD if elf.segments.len() < SEGMENTS_AT_MOST => {
                    let flags = segment.p_flags(endian);
                    elf.segments.push(LoadSegment {
                        offset: segment.p_offset(endian).into(),
                        address: segment.p_vaddr(endian).into(),
                        file_size: segment.p_filesz(endian).into(),
                        is_exec: flags.contains(PF_X),
                        is_write: flags.contains(PF_W),
                    });
                }
                PT_GNU_EH_FRAME => {
                    let (offset, size) = (segment.p_offset(endian).into(), segment.p_filesz(endian).into());
                    eh_frame_hdr = at_address(segment.p_vaddr(endian).into(), offset, size, data);
                }
                _ => {}
            }
        }
        elf.eh_frame_hdr = eh_frame_hdr;
        // A file may well have no sections, or damaged ones.
        elf.read_sections(header, endian, data);
        Ok(elf)
    }

    fn read_sections<Elf: FileHeader<Endian = Endianness>>(
        &mut self,
        header: &Elf,
        endian: Endianness,
        data: &[u8],
    ) -> Option<()> {
        let sections = header.section_headers(endian, data).ok()?;
        let names = sections.get(header.section_strings_index(endian, data).ok()?.0)?;
        let names = names.data(endian, data).ok()?;
        for section in sections.iter().take(SECTIONS_AT_MOST) {
            // Names are compared as far as these are long: one without an end may be as long as the file.
            let name = usize::try_from(section.sh_name(endian)).ok().and_then(|at| names.get(at..));
            let is_called = |wanted: &[u8]| name.is_some_and(|name| name.starts_with(wanted));
            if section.sh_type(endian) == SHT_NOBITS {
                // A debug file has the program's headers, and something else where the program has the table.
                if is_called(b".eh_frame_hdr\0") {
                    self.eh_frame_hdr = None;
                }
                continue;
            }
            let address = section.sh_addr(endian).into();
            let place = || {
                at_address(address, section.sh_offset(endian).into(), section.sh_size(endian).into(), data)
            };
            if is_called(b".eh_frame\0") {
                self.eh_frame = place();
            } else if is_called(b".debug_frame\0") {
                self.debug_frame = match section.compression(endian, data) {
                    Ok(None) => place().map(|place| (place, None)),
                    Ok(Some((header, offset, size))) => {
                        use object::read::elf::CompressionHeader as _;
                        let packed = match header.ch_type(endian) {
                            ELFCOMPRESS_ZLIB => Some(false),
                            ELFCOMPRESS_ZSTD => Some(true),
                            _ => None,
                        };
                        let unpacked = header.ch_size(endian).into();
                        packed.and_then(|is_zstd| {
                            let place = at_address(address, offset, size, data)?;
                            Some((place, Some(Packed { is_zstd, size: unpacked })))
                        })
                    }
                    Err(_) => None,
                };
            }
        }
        Some(())
    }

    /// The tables, those first that are the fastest to ask.
    pub(crate) fn tables(&self, contents: &Arc<ModuleContents>) -> Vec<CfiTable> {
        let mut tables = Vec::new();
        let new = |kind, place: &AtAddress, header| {
            let bytes = TableBytes::of_file(contents, place.range.clone())?;
            Some(CfiTable::new(kind, self.architecture, self.order, place.address, bytes, header))
        };
        let header = self.eh_frame_hdr.as_ref().and_then(|header| {
            let bytes = TableBytes::of_file(contents, header.range.clone())?;
            let address = CfiTable::eh_frame_of(self.architecture, self.order, header.address, bytes.get())?;
            // The section has the size; without one the table ends with its segment at the latest.
            let by_section = self.eh_frame.clone().filter(|section| section.address == address);
            let eh_frame = by_section.or_else(|| self.rest_of_segment(address, contents.as_bytes()))?;
            new(TableKind::EhFrame, &eh_frame, Some((header.address, bytes)))
        });
        let without_header = || new(TableKind::EhFrame, self.eh_frame.as_ref()?, None);
        tables.extend(header.or_else(without_header));
        match &self.debug_frame {
            Some((place, None)) => tables.extend(new(TableKind::DebugFrame, place, None)),
            Some((place, Some(packed))) => {
                let (contents, range) = (contents.clone(), place.range.clone());
                let bytes =
                    TableBytes::Packed { contents, range, packed: *packed, unpacked: Default::default() };
                let (kind, address) = (TableKind::DebugFrame, place.address);
                tables.push(CfiTable::new(kind, self.architecture, self.order, address, bytes, None));
            }
            None => {}
        }
        tables
    }

    fn rest_of_segment(&self, address: u64, data: &[u8]) -> Option<AtAddress> {
        let (segment, within) =
            self.segments.iter().find_map(|segment| Some((segment, segment.place_of(address)?)))?;
        at_address(address, segment.offset.checked_add(within)?, segment.file_size - within, data)
    }
}

/// A place in the file that lies within it; one that reaches beyond its end, ends there.
fn at_address(address: u64, offset: u64, size: u64, data: &[u8]) -> Option<AtAddress> {
    let start = usize::try_from(offset).ok().filter(|start| *start < data.len())?;
    let end = offset.checked_add(size).and_then(|end| usize::try_from(end).ok());
    let range = start..end.unwrap_or(usize::MAX).min(data.len());
    (!range.is_empty()).then_some(AtAddress { address, range })
}
