//! `unwind`: stacks by tables, registers and memory that somebody made up. The input has three lengths of 16 bits (little-endian)
//! and so many bytes each: a file, a debug file, registers; the rest is the stack.

use std::sync::Arc;

use perf_unwind::{
    Architecture, ByteOrder, Code, EhFrameTables, Module, Modules, Registers, RuleCache, StackMemory,
    unwind as walk,
};

/// Where the file is mapped, and where the stack is: words of the input that are small count from there.
const START: u64 = 0x40_0000;
const STACK: u64 = 0x7f_0000;

/// As many frames as are asked for.
const MAX: usize = 64;

/// A module, or tables alone where the file is none, from some of whose addresses stacks are unwound.
pub fn unwind(data: &[u8]) {
    let mut data = data;
    let [file, debug, words] = [take(&mut data), take(&mut data), take(&mut data)];
    let stack: Vec<_> = words_of(data).flat_map(u64::to_le_bytes).collect();
    let mut module = match Module::from_bytes(file.to_vec()) {
        Ok(module) => module,
        Err(_) => Module::from_tables(tables(file)),
    };
    module.add_debug_bytes(debug.to_vec()).ok();
    let architecture = module.architecture();
    let mut modules = Modules::new();
    // A file may have no segment there, and is one that cannot be used then.
    modules.insert(START..START + 0x2000, Code::Module { module: Arc::new(module), offset: 0 }, 7).ok();
    let mut cache = RuleCache::with_places(16);
    let registers = Registers::from_perf(architecture, u64::MAX, words_of(words));
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let memory = StackMemory::new(STACK, &stack, order);
        let mut first = None;
        // The second time with the rules that are known.
        for _ in 0..2 {
            let mut frames = Vec::new();
            let unwound = walk(&modules, &registers, &memory, &mut cache, MAX, &mut frames);
            let told = unwound.by_table + unwound.by_frame_pointer;
            assert!(
                frames.len() <= MAX && frames.len() == told + usize::from(!frames.is_empty()),
                "{unwound:?}"
            );
            let all = (frames, unwound);
            assert_eq!(*first.get_or_insert_with(|| all.clone()), all, "rules that are known are the same");
        }
    }
}

/// The bytes behind a length.
pub(crate) fn take<'a>(data: &mut &'a [u8]) -> &'a [u8] {
    let Some((len, rest)) = data.split_first_chunk() else { return &[] };
    let (bytes, rest) = rest.split_at(usize::from(u16::from_le_bytes(*len)).min(rest.len()));
    *data = rest;
    bytes
}

/// Words, of which those below 0x1000 are addresses of the code, and as many behind them addresses of the stack.
fn words_of(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap_or_default());
    bytes.chunks(8).map(word).map(|word| match word {
        0 => 0,
        1..0x1000 => START + word,
        0x1000..0x2000 => STACK + (word - 0x1000),
        _ => word,
    })
}

/// The first byte says of which architecture tables are, and whether half of them is a search table.
pub(crate) fn tables(bytes: &[u8]) -> EhFrameTables {
    let (kind, bytes) = bytes.split_first().unwrap_or((&0, &[]));
    let architecture = match kind & 3 {
        0 => Architecture::X86,
        1 => Architecture::Aarch64,
        _ => Architecture::X86_64,
    };
    let order = if kind & 4 == 0 { ByteOrder::Little } else { ByteOrder::Big };
    let (header, eh_frame) = bytes.split_at(if kind & 8 == 0 { 0 } else { bytes.len() / 2 });
    let eh_frame_hdr = (!header.is_empty()).then(|| (0x800, header.to_vec()));
    EhFrameTables {
        architecture,
        order,
        code: 0..0x2000,
        eh_frame_address: 0x800 + header.len() as u64,
        eh_frame: eh_frame.to_vec(),
        eh_frame_hdr,
    }
}
