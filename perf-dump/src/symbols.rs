//! The symbols at addresses: the names and places that the symbol table of an object file has, where the file is the
//! recorded one.

use std::fs::File;
use std::ops::Range;

use bstr::{BStr, ByteSlice};
use object::elf::{
    EM_ARM, FileHeader32, FileHeader64, PT_LOAD, SHN_UNDEF, SHT_DYNSYM, SHT_SYMTAB, STB_GLOBAL, STB_WEAK,
    STT_FUNC, STT_GNU_IFUNC,
};
use object::read::elf::{FileHeader, ProgramHeader as _, SectionHeader as _, Sym as _};
use object::{Endianness, FileKind, ReadCache, ReadRef};
use perf_session::Session;
use perf_session::dso::{DsoId, PerDso};
use perf_session::object_files::{ObjectFiles, ObjectImage};

use crate::places::DsoPlace;
use crate::recent::RecentTable;

/// A symbol table or its strings are not read where they have more bytes: 256 MiB.
const TABLE_AT_MOST: u64 = 1 << 28;

/// So many symbols are kept of all files; those of another file are not read then. A browser has 1 million.
const SYMBOLS_AT_MOST: usize = 1 << 23;

/// The symbols of the DSOs that were asked for.
#[derive(Debug)]
pub(crate) struct SymbolFinder {
    files: ObjectFiles,
    /// `Some(None)` of a DSO whose file is not here, is not proven to be the recorded one, or cannot be read; `None` where it
    /// was not looked for.
    tables: PerDso<Option<Option<SymbolTable>>>,
    /// SymbolFinder in all tables.
    len: usize,
    /// The number of the symbol that was found last at a place, and how far behind its beginning the place is.
    recent: RecentTable<DsoPlace, Option<(usize, u64)>>,
}

impl SymbolFinder {
    pub(crate) fn new(files: ObjectFiles) -> Self {
        Self { files, tables: PerDso::default(), len: 0, recent: RecentTable::new() }
    }

    /// The symbol of what stands at an offset in a DSO's file, and how far behind its beginning that is.
    pub(crate) fn at(&mut self, session: &Session, place: DsoPlace) -> Option<(&BStr, u64)> {
        let Self { files, tables, len, recent } = self;
        let table = tables.of(place.dso).get_or_insert_with(|| {
            let table =
                if *len < SYMBOLS_AT_MOST { SymbolTable::of(files, session, place.dso) } else { None };
            *len += table.as_ref().map_or(0, |table| table.symbols.len());
            table
        });
        let table = table.as_ref()?;
        let (number, inside) = recent.get_or_find(place, place.offset, || table.at(place.offset))?;
        Some((table.name(number)?, inside))
    }
}

/// A segment of a file.
#[derive(Debug, Clone, Copy)]
struct Segment {
    offset: u64,
    size: u64,
    address: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Symbol {
    start: u64,
    /// Behind it.
    end: u64,
    /// Where its name is in the strings.
    name: Range<usize>,
    /// Of several at one address the least is taken: a global one before one that is weak or local.
    rank: u8,
}

#[derive(Debug)]
struct SymbolTable {
    segments: Vec<Segment>,
    /// By their addresses.
    symbols: Vec<Symbol>,
    strings: Vec<u8>,
}

impl SymbolTable {
    fn of(files: &mut ObjectFiles, session: &Session, id: DsoId) -> Option<Self> {
        let dso = session.dso(id)?;
        let object = match files.open(dso, &session.recording) {
            Ok(object) => object,
            Err(reason) => {
                log::debug!("{}: no symbols: {reason}", dso.name);
                return None;
            }
        };
        if let Some(doubt) = object.unproven {
            log::debug!("{}: no symbols: its file is not proven to be the recorded one: {doubt:?}", dso.name);
            return None;
        }
        let debug_file = files.debug_file(&object, dso);
        let table = match object.image {
            ObjectImage::Memory(bytes) => Self::read(bytes.as_slice()),
            ObjectImage::File(file) => Self::read(&ReadCache::new(file)),
            _ => None,
        };
        // What a stripped file has left is what others call. Its segments stand where those of its debug file did.
        let whole = debug_file.and_then(|file: File| Self::read(&ReadCache::new(file)));
        match (table, whole) {
            (Some(table), Some(whole)) if whole.symbols.len() > table.symbols.len() => {
                Some(Self { segments: table.segments, ..whole })
            }
            (table, _) => table,
        }
    }

    /// Reads the program headers of an ELF file and its symbols, of linking (`.symtab`) or else those of loading
    /// (`.dynsym`).
    fn read<'d>(elf: impl ReadRef<'d>) -> Option<Self> {
        match FileKind::parse(elf).ok()? {
            FileKind::Elf32 => Self::read_as::<FileHeader32<Endianness>>(elf),
            FileKind::Elf64 => Self::read_as::<FileHeader64<Endianness>>(elf),
            _ => None,
        }
    }

    fn read_as<'d, E: FileHeader<Endian = Endianness>>(elf: impl ReadRef<'d>) -> Option<Self> {
        let header = E::parse(elf).ok()?;
        let endian = header.endian().ok()?;
        let segments = header.program_headers(endian, elf).ok()?.iter();
        let segments = segments.filter(|segment| segment.p_type(endian) == PT_LOAD).map(|segment| {
            let (offset, size) = segment.file_range(endian);
            Segment { offset, size, address: segment.p_vaddr(endian).into() }
        });
        let segments: Vec<_> = segments.collect();
        let sections = header.sections(endian, elf).ok()?;
        let of_type = |kind| sections.iter().find(|section| section.sh_type(endian) == kind);
        let section = of_type(SHT_SYMTAB).or_else(|| of_type(SHT_DYNSYM))?;
        let strings = sections.section(section.link(endian)).ok()?;
        let sizes: [u64; 2] = [section.sh_size(endian).into(), strings.sh_size(endian).into()];
        if sizes.iter().any(|size| *size > TABLE_AT_MOST) {
            return None;
        }
        let strings = strings.data(endian, elf).ok()?;
        let mut table = Self { segments, symbols: Vec::new(), strings: strings.to_vec() };
        // The lowest bit of an address says in which of two instruction sets the function is.
        let mask = if header.e_machine(endian) == EM_ARM { !1 } else { !0 };
        for symbol in section.data_as_array::<E::Sym, _>(endian, elf).ok()? {
            let is_function = matches!(symbol.st_type(), STT_FUNC | STT_GNU_IFUNC);
            if !is_function || symbol.st_shndx(endian) == SHN_UNDEF {
                continue;
            }
            let at = usize::try_from(symbol.st_name(endian)).ok()?;
            let name = strings.get(at..).and_then(|rest| rest.get(..rest.find_byte(0)?)).unwrap_or_default();
            if name.is_empty() {
                continue;
            }
            let start = symbol.st_value(endian).into() & mask;
            let end = start.saturating_add(symbol.st_size(endian).into());
            let rank = match symbol.st_bind() {
                STB_GLOBAL => 0,
                STB_WEAK => 1,
                _ => 2,
            };
            table.symbols.push(Symbol { start, end, name: at..at + name.len(), rank });
        }
        table.sort();
        Some(table)
    }

    /// One symbol an address: the longest, then by its rank and name. One without a size goes up to the next.
    fn sort(&mut self) {
        let Self { symbols, strings, .. } = self;
        let name = |symbol: &Symbol| strings.get(symbol.name.clone()).unwrap_or_default();
        symbols.sort_by(|a, b| {
            let key = |symbol: &Symbol| (symbol.start, u64::MAX - symbol.end, symbol.rank);
            key(a).cmp(&key(b)).then_with(|| name(a).cmp(name(b)))
        });
        symbols.dedup_by_key(|symbol| symbol.start);
        for at in 1..symbols.len() {
            if let Some([before, next]) = symbols.get_mut(at - 1..=at)
                && before.end == before.start
            {
                before.end = next.start;
            }
        }
    }

    /// The number of the symbol at an offset, and how far behind its beginning that is.
    fn at(&self, offset: u64) -> Option<(usize, u64)> {
        let address = self.segments.iter().find_map(|segment| {
            let inside = offset.checked_sub(segment.offset).filter(|inside| *inside < segment.size)?;
            segment.address.checked_add(inside)
        })?;
        let behind = self.symbols.partition_point(|symbol| symbol.start <= address);
        let number = behind.checked_sub(1)?;
        let symbol = self.symbols.get(number)?;
        (address < symbol.end).then(|| (number, address - symbol.start))
    }

    fn name(&self, number: usize) -> Option<&BStr> {
        let symbol = self.symbols.get(number)?;
        self.strings.get(symbol.name.clone()).map(ByteSlice::as_bstr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_is_found_by_the_offset_of_what_is_in_it() {
        let symbol = |start, end, name: Range<usize>, rank| Symbol { start, end, name, rank };
        let mut table = SymbolTable {
            segments: vec![Segment { offset: 0x1000, size: 0x100, address: 0x40_2000 }],
            symbols: vec![
                symbol(0x40_2010, 0x40_2020, 4..9, 1),
                symbol(0x40_2010, 0x40_2020, 0..3, 0),
                symbol(0x40_2000, 0x40_2000, 10..15, 0),
                symbol(0x40_2030, 0x40_2030, 16..20, 0),
            ],
            strings: b"one\0alias\0begin\0last".to_vec(),
        };
        table.sort();
        let name = |number| table.name(number).unwrap();
        let at = |offset| table.at(offset).map(|(number, inside)| format!("{}+{inside:#x}", name(number)));
        let expected = [
            (0x0fff, None),
            // It has no size: it goes up to the next.
            (0x100f, Some("begin+0xf")),
            (0x1010, Some("one+0x0")),
            (0x101f, Some("one+0xf")),
            (0x1020, None),
            (0x1030, None),
            (0x1100, None),
        ];
        for (offset, symbol) in expected {
            assert_eq!(at(offset).as_deref(), symbol, "{offset:#x}");
        }
    }
}
