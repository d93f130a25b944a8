//! A module: an ELF file or image, or code that a JIT made, and its unwinding tables.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gimli::RunTimeEndian;

use crate::architecture::{Architecture, ByteOrder};
use crate::error::Error;
use crate::known_code;
use crate::mapping::FileMapping;
use crate::rule::{RowContext, Rule};

mod elf;
mod index;
mod table;
mod table_bytes;

use elf::{ElfTables, LoadSegment};
use table::{CfiTable, TableKind};
use table_bytes::TableBytes;

/// A file or an image, and its unwinding tables. It knows addresses as the file has them; [`Modules`](crate::Modules)
/// know where it is mapped.
#[derive(Debug)]
pub struct Module {
    /// No other module of this program has the same, not even one that is gone; 0 where there are no more numbers.
    id: u32,
    architecture: Architecture,
    order: RunTimeEndian,
    contents: Arc<ModuleContents>,
    segments: Vec<LoadSegment>,
    tables: Vec<CfiTable>,
}

/// Where the bytes of a module are.
#[derive(Debug)]
pub(crate) enum ModuleContents {
    Mapped(FileMapping),
    Owned(Vec<u8>),
}

impl ModuleContents {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(mapping) => mapping.as_bytes(),
            Self::Owned(bytes) => bytes,
        }
    }
}

/// The tables of code that is no file, with the addresses at which each stands: what a jitdump brings of a function, or what
/// somebody registered (`__register_frame`).
#[derive(Debug, Clone)]
pub struct EhFrameTables {
    /// The architecture.
    pub architecture: Architecture,
    /// The byte order.
    pub order: ByteOrder,
    /// The addresses of the code. A map of it at offset 0 starts at the first.
    pub code: Range<u64>,
    /// The address of `eh_frame`.
    pub eh_frame_address: u64,
    /// What an `.eh_frame` section holds.
    pub eh_frame: Vec<u8>,
    /// The address and the contents of its `.eh_frame_hdr`, if there is one.
    pub eh_frame_hdr: Option<(u64, Vec<u8>)>,
}

impl Module {
    /// Maps a file. Only regular files are; their headers are read, and no tables yet. The caller opens it, and sees to it
    /// that it is the right one.
    ///
    /// # Errors
    /// [`Error::NotRegular`], [`Error::NotElf`], [`Error::Damaged`], [`Error::Architecture`], and [`Error::Io`].
    pub fn from_file(file: &File) -> Result<Self, Error> {
        Self::new(ModuleContents::Mapped(FileMapping::new(file)?))
    }

    /// Takes an image, as that of the vdso.
    ///
    /// # Errors
    /// [`Error::NotElf`], [`Error::Damaged`] and [`Error::Architecture`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, Error> {
        Self::new(ModuleContents::Owned(bytes))
    }

    /// Takes tables of code that is no file.
    #[must_use]
    pub fn from_tables(tables: EhFrameTables) -> Self {
        let EhFrameTables { architecture, order, code, eh_frame_address, eh_frame, eh_frame_hdr } = tables;
        let order = endian(order);
        let contents = Arc::new(ModuleContents::Owned(Vec::new()));
        let segment = LoadSegment {
            offset: 0,
            address: code.start,
            file_size: code.end.saturating_sub(code.start),
            is_exec: true,
            is_write: false,
        };
        let header = eh_frame_hdr.map(|(address, bytes)| (address, TableBytes::Copied(bytes.into())));
        let eh_frame = TableBytes::Copied(eh_frame.into());
        let table =
            CfiTable::new(TableKind::EhFrame, architecture, order, eh_frame_address, eh_frame, header);
        Self { id: next_id(), architecture, order, contents, segments: vec![segment], tables: vec![table] }
    }

    fn new(contents: ModuleContents) -> Result<Self, Error> {
        let contents = Arc::new(contents);
        let elf = ElfTables::read(contents.as_bytes())?;
        let tables = elf.tables(&contents);
        let ElfTables { architecture, order, segments, .. } = elf;
        Ok(Self { id: next_id(), architecture, order, contents, segments, tables })
    }

    /// Takes in the tables of a separate debug file as well, for addresses that the module's own do not cover. The caller
    /// sees to it that it is the module's.
    ///
    /// # Errors
    /// As [`from_file`](Self::from_file), and [`Error::OtherArchitecture`].
    pub fn add_debug_file(&mut self, file: &File) -> Result<(), Error> {
        self.add_debug(ModuleContents::Mapped(FileMapping::new(file)?))
    }

    /// Takes in the tables of a separate debug file that is in memory.
    ///
    /// # Errors
    /// As [`from_bytes`](Self::from_bytes), and [`Error::OtherArchitecture`].
    pub fn add_debug_bytes(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        self.add_debug(ModuleContents::Owned(bytes))
    }

    fn add_debug(&mut self, contents: ModuleContents) -> Result<(), Error> {
        let contents = Arc::new(contents);
        let elf = ElfTables::read(contents.as_bytes())?;
        if (elf.architecture, elf.order) != (self.architecture, self.order) {
            return Err(Error::OtherArchitecture);
        }
        self.tables.extend(elf.tables(&contents));
        // What was decoded without these tables is no longer right.
        self.id = next_id();
        Ok(())
    }

    /// The architecture of its code.
    #[must_use]
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// The names of its tables, in the order in which they are asked, for a person: `.eh_frame_hdr`, `.eh_frame` (which is
    /// searched through an index of our own), `.debug_frame`.
    pub fn tables(&self) -> impl Iterator<Item = &'static str> {
        self.tables.iter().map(CfiTable::name)
    }

    /// Its number.
    #[inline]
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn order(&self) -> RunTimeEndian {
        self.order
    }

    /// What is added to its addresses where a map of `len` bytes at `offset` of the file starts at `start`.
    pub(crate) fn bias(&self, start: u64, offset: u64, len: u64) -> Option<u64> {
        let segment = mapped_segment(&self.segments, offset, len)?;
        let address = segment.address.wrapping_add(offset).wrapping_sub(segment.offset);
        Some(start.wrapping_sub(address) & self.architecture.mask())
    }

    /// The rule for an address of the module. It is a return address where the instruction in front of it is meant.
    pub(crate) fn rule(&self, address: u64, is_return_address: bool, context: &mut RowContext) -> Rule {
        let lookup = address.wrapping_sub(is_return_address.into()) & self.architecture.mask();
        let rule = self.rule_by_table(lookup, context);
        // No call stands in front of a trampoline, and what the table says of the function there is not of it.
        let may_be_trampoline = match &rule {
            Rule::Missing => true,
            Rule::Simple(rule) => !rule.is_signal && is_return_address && context.function_end == address,
            _ => is_return_address && context.function_end == address,
        };
        if may_be_trampoline && known_code::is_trampoline(self, address) {
            return known_code::trampoline(self.architecture);
        }
        match rule {
            Rule::Missing if !is_return_address && known_code::is_in_trampoline(self, address) => {
                known_code::trampoline(self.architecture)
            }
            Rule::Missing if !is_return_address => known_code::stub(self, address).unwrap_or(rule),
            // Nobody calls from in front of a function: its address was put there as the end of a coroutine's stack.
            Rule::Missing => match self.rule_by_table(address, context) {
                Rule::Missing => Rule::Missing,
                _ if context.function_start == address => Rule::End,
                _ => Rule::Missing,
            },
            _ => rule,
        }
    }

    /// What the first table says that covers an address.
    fn rule_by_table(&self, address: u64, context: &mut RowContext) -> Rule {
        let rules = self.tables.iter().map(|table| table.rule(address, context));
        let mut covering = rules.skip_while(|rule| matches!(rule, Rule::Missing));
        covering.next().unwrap_or_default()
    }

    /// Bytes at an address of the module that its file has for reading alone: code, or constants.
    pub(crate) fn constant_bytes(&self, address: u64, len: usize) -> Option<&[u8]> {
        let mut constant = self.segments.iter().filter(|segment| !segment.is_write);
        let (segment, within) = constant.find_map(|segment| Some((segment, segment.place_of(address)?)))?;
        let len_in_file = u64::try_from(len).ok().filter(|len| segment.file_size - within >= *len)?;
        let from = segment.offset.checked_add(within)?;
        let range = usize::try_from(from).ok()?..usize::try_from(from.checked_add(len_in_file)?).ok()?;
        self.contents.as_bytes().get(range)
    }
}

/// The segment of which a map of a file is. Maps begin and end with pages, in which the ends of other segments may stand:
/// the one is meant that has code, and the most of the map.
fn mapped_segment(segments: &[LoadSegment], offset: u64, len: u64) -> Option<LoadSegment> {
    let end = offset.saturating_add(len);
    let in_map = |segment: &LoadSegment| {
        let segment_end = segment.offset.saturating_add(segment.file_size);
        segment_end.min(end).saturating_sub(segment.offset.max(offset))
    };
    let overlapping = segments.iter().copied().filter(|segment| in_map(segment) > 0);
    overlapping.max_by_key(|segment| (segment.is_exec, in_map(segment)))
}

fn endian(order: ByteOrder) -> RunTimeEndian {
    match order {
        ByteOrder::Little => RunTimeEndian::Little,
        ByteOrder::Big => RunTimeEndian::Big,
    }
}

/// A number for a new module, or 0 where there are none left: rules of such a module are decoded each time.
fn next_id() -> u32 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let next = |last: u32| last.checked_add(1);
    LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).map_or(0, |last| last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(offset: u64, address: u64, file_size: u64, is_exec: bool) -> LoadSegment {
        LoadSegment { offset, address, file_size, is_exec, is_write: false }
    }

    #[test]
    fn a_map_is_of_the_segment_with_code_that_fills_most_of_it() {
        // As lld places them: what is in the file side by side is a page apart in memory.
        let segments = [
            segment(0, 0, 0x1800, false),
            segment(0x1800, 0x2800, 0x1000, true),
            segment(0x2800, 0x4800, 0x2000, true),
        ];
        let address_of = |offset, len| mapped_segment(&segments, offset, len).map(|segment| segment.address);
        assert_eq!(address_of(0x1000, 0x2000), Some(0x2800));
        assert_eq!(address_of(0x2000, 0x3000), Some(0x4800));
        // A part of a map that was cut.
        assert_eq!(address_of(0x3000, 0x1000), Some(0x4800));
        assert_eq!(address_of(0, 0x1000), Some(0));
        assert_eq!(address_of(0x5000, 0x1000), None);
        assert_eq!(address_of(u64::MAX, u64::MAX), None);
    }
}
