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
        let has_table = elf.symbols().next().is_some();
        let symbols = if has_table { elf.symbols() } else { elf.dynamic_symbols() };
        let functions = symbols
            .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_definition())
            .filter_map(|symbol| {
                let start = symbol.address();
                Some((start, start + symbol.size(), symbol.is_global(), symbol.name().ok()?.to_owned()))
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
            Some((start, start, kind == "T", words.next()?.to_owned()))
        });
        Self { sorted: sorted(functions.collect()), bytes: Vec::new() }
    }

    fn at(&self, address: u64) -> Option<&str> {
        let after = self.sorted.partition_point(|(start, ..)| *start <= address);
        let (_, end, name) = self.sorted.get(after.checked_sub(1)?)?;
        (address < *end).then_some(name)
    }
}

/// The functions by their starts, one at each: of several names the global one, with the fewest underscores in front. One
/// without a size reaches to the next.
fn sorted(mut functions: Vec<(u64, u64, bool, String)>) -> Vec<(u64, u64, String)> {
    let underscores = |name: &str| name.len() - name.trim_start_matches('_').len();
    functions.sort_by_cached_key(|(start, _, is_global, name)| {
        (*start, !is_global, underscores(name), std::cmp::Reverse(name.len()), name.clone())
    });
    functions.dedup_by_key(|(start, ..)| *start);
    let next: Vec<_> = functions.iter().skip(1).map(|(start, ..)| *start).chain([u64::MAX]).collect();
    let whole = |((start, end, _, name), next)| (start, if end > start { end } else { next }, name);
    functions.into_iter().zip(next).map(whole).collect()
}
