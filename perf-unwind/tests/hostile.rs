//! Files and stacks of somebody who wants harm: nothing panics, nothing takes long, and there are never more frames than were
//! asked for.

use std::sync::Arc;

use perf_unwind::{
    Architecture, ByteOrder, Code, EhFrameTables, Module, Modules, Registers, RuleCache, StackMemory,
    StopReason, unwind,
};
use proptest::prelude::*;

const SEED: &[u8] = include_bytes!("data/seed.so");
const DEBUG: &[u8] = include_bytes!("data/seed.debug");

const ARCHITECTURES: [Architecture; 3] = [Architecture::X86, Architecture::X86_64, Architecture::Aarch64];
const START: u64 = 0x40_0000;
const STACK: u64 = 0x7f_0000;
const MAX: usize = 40;

/// Unwinds from each of some addresses of a module, with registers and a stack that point at each other.
fn unwind_from(module: Module, values: &[u64], stack: &[u8]) {
    let architecture = module.architecture();
    let mut modules = Modules::new();
    // It may have no segment there.
    modules.insert(START..START + 0x2000, Code::Module { module: Arc::new(module), offset: 0 }, 1).ok();
    let mut cache = RuleCache::with_places(64);
    for address in (0..0x500).step_by(7).chain([u64::MAX - START, 0x1fff]) {
        for order in [ByteOrder::Little, ByteOrder::Big] {
            let mut registers = Registers::from_perf(architecture, u64::MAX, values.iter().copied());
            let [sp, pc] = match architecture {
                Architecture::X86 => [4, 8],
                Architecture::X86_64 => [7, 16],
                _ => [31, 32],
            };
            registers.set(sp, STACK);
            registers.set(pc, START.wrapping_add(address));
            let memory = StackMemory::new(STACK, stack, order);
            let mut frames = Vec::new();
            let unwound = unwind(&modules, &registers, &memory, &mut cache, MAX, &mut frames);
            assert!((1..=MAX).contains(&frames.len()));
            assert_eq!(frames.len(), 1 + unwound.by_table + unwound.by_frame_pointer);
        }
    }
}

/// Words that are often addresses of the code or of the stack.
fn words() -> impl Strategy<Value = Vec<u64>> {
    let word = prop_oneof![
        (0..0x500u64).prop_map(|at| START + at),
        (0..512u64).prop_map(|at| STACK + at),
        any::<u64>(),
        Just(0)
    ];
    prop::collection::vec(word, 0..64)
}

fn bytes_of(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Bytes to be changed: where, and into what.
fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12)
}

fn changed(bytes: &[u8], changes: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (at, byte) in changes {
        let at = at.index(bytes.len());
        bytes[at] = *byte;
    }
    bytes
}

proptest! {
    #![proptest_config(perf_format::strategies::config(96, "hostile"))]

    #[test]
    fn damaged_files_do_no_harm(
        changes in changes(),
        debug in changes(),
        len in any::<prop::sample::Index>(),
        registers in words(),
        stack in words(),
    ) {
        let mut bytes = changed(SEED, &changes);
        if len.index(4) == 0 {
            bytes.truncate(len.index(SEED.len()));
        }
        if let Ok(mut module) = Module::from_bytes(bytes) {
            module.add_debug_bytes(changed(DEBUG, &debug)).ok();
            unwind_from(module, &registers, &bytes_of(&stack));
        }
    }

    #[test]
    fn damaged_tables_of_any_architecture_do_no_harm(
        architecture in prop::sample::select(&ARCHITECTURES[..]),
        is_big in any::<bool>(),
        changes in changes(),
        has_header in any::<bool>(),
        registers in words(),
        stack in words(),
    ) {
        let tables = changed(&SEED[0x390..0x47c], &changes);
        let (header, eh_frame) = tables.split_at(0x38);
        let eh_frame_hdr = has_header.then(|| (0x390, header.to_vec()));
        let order = if is_big { ByteOrder::Big } else { ByteOrder::Little };
        let tables = EhFrameTables {
            architecture, order, code: 0..0x1000, eh_frame_address: 0x3c8, eh_frame: eh_frame.to_vec(), eh_frame_hdr,
        };
        unwind_from(Module::from_tables(tables), &registers, &bytes_of(&stack));
    }

    /// Rows of instructions that somebody made up.
    #[test]
    fn tables_of_any_instructions_do_no_harm(
        architecture in prop::sample::select(&ARCHITECTURES[..]),
        instructions in prop::collection::vec(instruction(), 0..40),
        is_signal in any::<bool>(),
        registers in words(),
        stack in words(),
    ) {
        let eh_frame = eh_frame(architecture, is_signal, &instructions.concat());
        let tables = EhFrameTables {
            architecture, order: ByteOrder::Little, code: 0..0x1000, eh_frame_address: 0x1000, eh_frame, eh_frame_hdr: None,
        };
        unwind_from(Module::from_tables(tables), &registers, &bytes_of(&stack));
    }
}

/// An instruction of a row: any, often one that is whole.
fn instruction() -> impl Strategy<Value = Vec<u8>> {
    let register = || 0..40u8;
    prop_oneof![
        any::<u8>().prop_map(|byte| vec![byte]),
        // advance_loc, def_cfa, def_cfa_register, def_cfa_offset.
        (0..64u8).prop_map(|delta| vec![0x40 | delta]),
        (register(), any::<u8>()).prop_map(|(register, offset)| vec![0x0c, register, offset & 0x7f]),
        register().prop_map(|register| vec![0x0d, register]),
        any::<u8>().prop_map(|offset| vec![0x0e, offset & 0x7f]),
        // offset, val_offset, register, undefined, same_value, remember_state, restore_state.
        (register(), 0..16u8).prop_map(|(register, offset)| vec![0x80 | register, offset]),
        (register(), 0..16u8).prop_map(|(register, offset)| vec![0x14, register, offset]),
        (register(), register()).prop_map(|(register, other)| vec![0x09, register, other]),
        register().prop_map(|register| vec![0x07, register]),
        register().prop_map(|register| vec![0x08, register]),
        Just(vec![0x0a]),
        Just(vec![0x0b]),
        // def_cfa_expression; expression and val_expression of a register.
        expression().prop_map(|bytes| with_length(&[0x0f], &bytes)),
        (register(), expression()).prop_map(|(register, bytes)| with_length(&[0x10, register], &bytes)),
        (register(), expression()).prop_map(|(register, bytes)| with_length(&[0x16, register], &bytes)),
    ]
}

/// Operations of an expression.
fn expression() -> impl Strategy<Value = Vec<u8>> {
    let operation = prop_oneof![
        any::<u8>().prop_map(|byte| vec![byte]),
        // breg, deref, plus_uconst, literals, skip, bra.
        (0..32u8, any::<u8>()).prop_map(|(register, offset)| vec![0x70 | register & 0xf, offset & 0x7f]),
        Just(vec![0x06]),
        any::<u8>().prop_map(|value| vec![0x23, value & 0x7f]),
        (0..32u8).prop_map(|value| vec![0x30 + value]),
        any::<i8>().prop_map(|to| vec![0x2f, to.cast_unsigned(), if to < 0 { 0xff } else { 0 }]),
        any::<i8>().prop_map(|to| vec![0x28, to.cast_unsigned(), if to < 0 { 0xff } else { 0 }]),
    ];
    prop::collection::vec(operation, 0..12).prop_map(|operations| operations.concat())
}

fn with_length(before: &[u8], bytes: &[u8]) -> Vec<u8> {
    [before, &[u8::try_from(bytes.len()).unwrap() & 0x7f], bytes].concat()
}

/// An `.eh_frame` at 0x1000 with one function, that of all addresses below.
fn eh_frame(architecture: Architecture, is_signal: bool, instructions: &[u8]) -> Vec<u8> {
    let return_address = match architecture {
        Architecture::X86 => 8,
        Architecture::X86_64 => 16,
        _ => 30,
    };
    // The CFA is the stack pointer and 8, the return address is saved in front of it.
    let mut cie = vec![0, 0, 0, 0, 1, b'z', b'R'];
    cie.extend(is_signal.then_some(b'S'));
    cie.extend([0, 1, 0x78, return_address, 1, 0x03, 0x0c, 7, 8, 0x80 | return_address, 1]);
    let mut table = Vec::new();
    let entry = |table: &mut Vec<u8>, entry: &[u8]| {
        let padding = entry.len().wrapping_neg() & 3;
        let len = u32::try_from(entry.len() + padding).unwrap();
        table.extend(len.to_le_bytes());
        table.extend(entry);
        table.extend(vec![0; padding]);
    };
    entry(&mut table, &cie);
    let cie_pointer = u32::try_from(table.len() + 4).unwrap();
    let (from, len) = (1u32, 0xfffu32);
    let head = [cie_pointer.to_le_bytes(), from.to_le_bytes(), len.to_le_bytes()].concat();
    entry(&mut table, &[&head[..], &[0], instructions].concat());
    table
}

#[track_caller]
fn stop_of(eh_frame: Vec<u8>, stack: &[u64]) -> (usize, StopReason) {
    let tables = EhFrameTables {
        architecture: Architecture::X86_64,
        order: ByteOrder::Little,
        code: 0..0x1000,
        eh_frame_address: 0x1000,
        eh_frame,
        eh_frame_hdr: None,
    };
    let mut modules = Modules::new();
    let module = Arc::new(Module::from_tables(tables));
    modules.insert(START..START + 0x1000, Code::Module { module, offset: 0 }, 1).unwrap();
    let registers = Registers::from_perf(Architecture::X86_64, 0x1c0, [STACK, STACK, START + 8]);
    let bytes = bytes_of(stack);
    let memory = StackMemory::new(STACK, &bytes, ByteOrder::Little);
    let mut frames = Vec::new();
    let unwound = unwind(&modules, &registers, &memory, &mut RuleCache::with_places(4), 1000, &mut frames);
    (frames.len(), unwound.stop)
}

#[test]
fn a_made_up_table_works() {
    let up = [START + 16, START + 24, 0];
    assert_eq!(stop_of(eh_frame(Architecture::X86_64, false, &[]), &up), (3, StopReason::EndOfStack));
}

#[test]
fn a_frame_that_is_its_own_caller_ends() {
    let bad = |stop| matches!(stop, StopReason::NotUp { .. } | StopReason::BadTable { .. });
    // The CFA is the stack pointer itself, and the return address above it.
    let (frames, stop) =
        stop_of(eh_frame(Architecture::X86_64, false, &[0x0c, 7, 0, 0x11, 16, 0x7f]), &[START + 16; 40]);
    assert!(frames <= 2 && bad(stop), "{frames} {stop:?}");
    // A signal trampoline that goes back to itself, for ever: as often as was asked for.
    let table = eh_frame(Architecture::X86_64, true, &[0x0c, 7, 0, 0x11, 16, 0x7f]);
    assert_eq!(stop_of(table, &[START + 16; 40]), (1000, StopReason::MaxFrames));
}

#[test]
fn an_expression_that_never_ends_is_a_bad_table() {
    let table = eh_frame(Architecture::X86_64, false, &[0x0f, 3, 0x2f, 0xfd, 0xff]);
    let bad = StopReason::BadTable { address: START + 8, tag: 1 };
    assert_eq!(stop_of(table, &[START + 16; 4]), (1, bad));
}

#[test]
fn entries_that_are_longer_than_any_are_not_read() {
    let table = eh_frame(Architecture::X86_64, false, &vec![0; 1 << 20]);
    let bad = StopReason::BadTable { address: START + 8, tag: 1 };
    assert_eq!(stop_of(table, &[START + 16; 4]), (1, bad));
}

/// Each function names an entry of its own in the same long piece, and reading that takes time by its length.
#[test]
fn entries_within_each_other_are_no_tables() {
    let mut table = Vec::new();
    let long: u32 = 1 << 15;
    table.extend((long + 17).to_le_bytes());
    // Each byte but few begins an augmentation that goes on to the end.
    table.extend([0, 0, 0, 0, 1]);
    table.extend(vec![b'S'; long as usize]);
    table.extend([0; 12]);
    for at in 0..20_000u32 {
        let place = u32::try_from(table.len()).unwrap() + 4;
        table.extend(16u32.to_le_bytes());
        table.extend((place - at % long).to_le_bytes());
        table.extend([0; 12]);
    }
    let (frames, _) = stop_of(table, &[START + 16; 4]);
    assert!(frames <= 2, "{frames}");
}

#[test]
fn a_segment_that_goes_round_behind_the_last_address_does_not_begin_anew_at_the_first() {
    let word = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    let place = |word: u64| usize::try_from(word).expect("in the file");
    let mut elf = SEED.to_vec();
    // e_shoff: what the sections say of the tables' sizes is gone.
    elf[40..48].fill(0);
    let (headers, count) = (place(word(&elf, 32)), u16::from_le_bytes([elf[56], elf[57]]));
    // `Elf64_Phdr`, of PT_LOAD.
    let is_load = |header: &usize| elf[*header..*header + 4] == 1_u32.to_le_bytes();
    let first = (0..usize::from(count)).map(|n| headers + n * 56).find(is_load).expect("a segment");
    // p_vaddr, p_filesz.
    elf[first + 16..first + 24].copy_from_slice(&(u64::MAX - 0xff).to_le_bytes());
    elf[first + 32..first + 40].copy_from_slice(&u64::MAX.to_le_bytes());
    unwind_from(Module::from_bytes(elf).expect("a module"), &[], &bytes_of(&[START + 0x77, STACK + 0x88]));
}
