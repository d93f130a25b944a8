//! The names of functions: in an ELF file by an offset, in this machine's kernel by an address.

use std::collections::HashMap;
use std::fs;

use object::{Object as _, ObjectSymbol as _, SymbolKind};
use perf_session::elf_address;

/// The functions of the files that were asked for.
#[derive(Default)]
pub(crate) struct Symbols {
    files: HashMap<String, Functions>,
    kernel: Option<Functions>,
}

/// The functions of a file, and its bytes.
#[derive(Default)]
struct Functions {
    bytes: Vec<u8>,
    /// Start, end and name, by their starts.
    sorted: Vec<(u64, u64, String)>,
}

impl Symbols {
    /// The function at an offset in a file.
    pub(crate) fn of_file(&mut self, path: &str, offset: u64) -> Option<&str> {
        let file =
            self.files.entry(path.to_owned()).or_insert_with(|| Functions::of_elf(path).unwrap_or_default());
        file.at(elf_address(&file.bytes, offset)?)
    }

    /// The function at an address of the kernel or one of its modules.
    pub(crate) fn of_kernel(&mut self, address: u64) -> Option<&str> {
        self.kernel.get_or_insert_with(Functions::of_kernel).at(address)
    }
}

impl Functions {
    fn of_elf(path: &str) -> Option<Self> {
        let bytes = fs::read(path).ok()?;
        let elf = object::File::parse(&*bytes).ok()?;
        // Debian's packages of debugging information have the symbols of files that are stripped, at the same addresses.
        let debug = debug_file(elf.build_id().ok().flatten().unwrap_or_default()).unwrap_or_default();
        let debug = object::File::parse(&*debug).ok();
        let table = [&elf].into_iter().chain(&debug).find(|elf| elf.symbols().next().is_some());
        let symbols = table.map_or_else(|| elf.dynamic_symbols(), |table| table.symbols());
        let functions = symbols
            .filter(|symbol| matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Unknown))
            .filter(|symbol| symbol.section_index().is_some())
            .filter_map(|symbol| {
                let start = symbol.address();
                let rank = u8::from(symbol.is_weak()) * 2 + u8::from(!symbol.is_global());
                Some((start, start + symbol.size(), rank, symbol.name().ok()?.to_owned()))
            })
            .collect();
        Some(Self { sorted: sorted(functions), bytes })
    }

    fn of_kernel() -> Self {
        let text = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
        let functions = text.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            let start = u64::from_str_radix(words.next()?, 16).ok()?;
            let kind = words.next().filter(|kind| matches!(*kind, "t" | "T" | "w" | "W"))?;
            let rank = match kind {
                "T" => 0,
                "t" => 1,
                _ => 2,
            };
            Some((start, start, rank, words.next()?.to_owned()))
        });
        Self { sorted: sorted(functions.collect()), bytes: Vec::new() }
    }

    fn at(&self, address: u64) -> Option<&str> {
        let after = self.sorted.partition_point(|(start, ..)| *start <= address);
        let (_, end, name) = self.sorted.get(after.checked_sub(1)?)?;
        (address < *end).then_some(name)
    }
}

/// The file of debugging information for a build-id.
fn debug_file(build_id: &[u8]) -> Option<Vec<u8>> {
    let hex: String = build_id.iter().map(|byte| format!("{byte:02x}")).collect();
    let (first, rest) = hex.split_at_checked(2)?;
    fs::read(format!("/usr/lib/debug/.build-id/{first}/{rest}.debug")).ok()
}

/// The functions by their starts, one at each. Of several names it is the one that perf shows: rather not a weak one, rather
/// a global one, with the fewest underscores in front, the longest. One without a size reaches to the next.
fn sorted(mut functions: Vec<(u64, u64, u8, String)>) -> Vec<(u64, u64, String)> {
    let underscores = |name: &str| name.len() - name.trim_start_matches('_').len();
    functions.sort_by_cached_key(|(start, _, rank, name)| {
        (*start, *rank, underscores(name), std::cmp::Reverse(name.len()), name.clone())
    });
    functions.dedup_by_key(|(start, ..)| *start);
    let next: Vec<_> = functions.iter().skip(1).map(|(start, ..)| *start).chain([u64::MAX]).collect();
    let whole = |((start, end, _, name), next)| (start, if end > start { end } else { next }, name);
    functions.into_iter().zip(next).map(whole).collect()
}
