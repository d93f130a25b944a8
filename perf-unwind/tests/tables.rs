//! Tables wherever a file may have them: the same stack comes out of each.

use std::io::{Seek as _, Write as _};
use std::sync::Arc;

use perf_unwind::{
    Architecture, ByteOrder, Code, EhFrameTables, Error, FoundBy, Module, Modules, Registers, RuleCache,
    StackMemory, StopReason, unwind,
};

const SEED: &[u8] = include_bytes!("data/seed.so");
const DEBUG: &[u8] = include_bytes!("data/seed.debug");

/// Where the file is mapped, and where a stack is.
const START: u64 = 0x7f12_3456_0000;
const STACK: u64 = 0x7ffd_0000_1000;

/// Registers by perf's bits: rbx, rbp, rsp and rip.
fn registers(rbp: u64, rsp: u64, rip: u64) -> Registers {
    Registers::from_perf(Architecture::X86_64, 1 << 1 | 1 << 6 | 1 << 7 | 1 << 8, [0xb0b, rbp, rsp, rip])
}

/// A stack of `with_frame`, called by `with_alloca`, called by `start`: words at distances from its pointer.
fn stack() -> Vec<u8> {
    let mut words = [0; 64];
    // with_frame at 0x330 has its CFA at rsp + 192.
    words[184 / 8] = START + 0x36c;
    // rbp of with_alloca, whose CFA is rbp + 16.
    words[176 / 8] = STACK + 256;
    words[264 / 8] = START + 0x38e;
    words.iter().flat_map(|word: &u64| word.to_le_bytes()).collect()
}

#[track_caller]
fn check(module: Module, tables: &[&str]) {
    assert_eq!(module.tables().collect::<Vec<_>>(), tables);
    let mut modules = Modules::new();
    modules.insert(START..START + 0x1000, Code::Module { module: Arc::new(module), offset: 0 }, 5).unwrap();
    let bytes = stack();
    let stack = StackMemory::new(STACK, &bytes, ByteOrder::Little);
    let mut frames = Vec::new();
    let mut cache = RuleCache::with_places(16);
    for _ in 0..2 {
        frames.clear();
        let unwound =
            unwind(&modules, &registers(7, STACK, START + 0x330), &stack, &mut cache, 127, &mut frames);
        let addresses: Vec<_> = frames.iter().map(|frame| frame.address - START).collect();
        assert_eq!(addresses, [0x330, 0x36c, 0x38e]);
        assert_eq!((unwound.stop, unwound.by_table), (StopReason::EndOfStack, 2));
    }
    assert_eq!(cache.misses(), 3, "each row is decoded once");
}

/// The file without its program header for `.eh_frame_hdr`.
fn without_header() -> Vec<u8> {
    let mut bytes = SEED.to_vec();
    let (headers, eh_frame_hdr) = (64..64 + 5 * 56, 0x6474_e550u32.to_le_bytes());
    for at in headers.step_by(56) {
        if bytes[at..at + 4] == eh_frame_hdr {
            bytes[at..at + 4].fill(0);
        }
    }
    bytes
}

/// The file without the name of its `.eh_frame`, too.
fn without_tables() -> Vec<u8> {
    let mut bytes = without_header();
    let name = b".eh_frame\0";
    let at = bytes.windows(name.len()).position(|window| window == name).unwrap();
    bytes[at + 1] = b'X';
    bytes
}

#[test]
fn the_search_table_of_a_file_is_asked() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(SEED).unwrap();
    check(Module::from_file(&file).unwrap(), &[".eh_frame_hdr"]);
    check(Module::from_bytes(SEED.to_vec()).unwrap(), &[".eh_frame_hdr"]);
}

#[test]
fn a_table_without_a_search_table_is_indexed() {
    check(Module::from_bytes(without_header()).unwrap(), &[".eh_frame"]);
}

#[test]
fn a_table_without_sections_is_found_through_its_header() {
    let mut bytes = SEED.to_vec();
    // e_shoff and e_shnum.
    bytes[40..48].fill(0);
    bytes[60..64].fill(0);
    check(Module::from_bytes(bytes).unwrap(), &[".eh_frame_hdr"]);
}

#[test]
fn a_compressed_table_of_a_debug_file_is_asked() {
    let mut module = Module::from_bytes(without_tables()).unwrap();
    assert_eq!(module.tables().count(), 0);
    module.add_debug_bytes(DEBUG.to_vec()).unwrap();
    check(module, &[".debug_frame"]);
}

#[test]
fn tables_that_somebody_brings_are_asked() {
    // `.eh_frame_hdr` and `.eh_frame` of the file.
    let [header, eh_frame] = [0x390..0x3c4, 0x3c8..0x47c].map(|range| SEED[range].to_vec());
    for eh_frame_hdr in [Some((0x390, header)), None] {
        let tables = EhFrameTables {
            architecture: Architecture::X86_64,
            order: ByteOrder::Little,
            code: 0..0x1000,
            eh_frame_address: 0x3c8,
            eh_frame: eh_frame.clone(),
            eh_frame_hdr: eh_frame_hdr.clone(),
        };
        let name = if eh_frame_hdr.is_some() { ".eh_frame_hdr" } else { ".eh_frame" };
        check(Module::from_tables(tables), &[name]);
    }
}

fn seed_modules() -> Modules {
    let mut modules = Modules::new();
    let module = Arc::new(Module::from_bytes(SEED.to_vec()).unwrap());
    modules.insert(START..START + 0x1000, Code::Module { module, offset: 0 }, 5).unwrap();
    modules
}

#[track_caller]
fn stop(
    modules: &Modules,
    registers: &Registers,
    stack: &StackMemory<'_>,
    max: usize,
) -> (usize, StopReason) {
    let mut frames = Vec::new();
    let unwound = unwind(modules, registers, stack, &mut RuleCache::with_places(1), max, &mut frames);
    (frames.len(), unwound.stop)
}

#[test]
fn each_reason_to_stop_is_told() {
    let (modules, bytes) = (seed_modules(), stack());
    let start = registers(7, STACK, START + 0x330);
    let whole = StackMemory::whole(STACK, &bytes[..264], ByteOrder::Little);
    let cut = StackMemory::new(STACK, &bytes[..264], ByteOrder::Little);
    assert_eq!(stop(&modules, &start, &cut, 127), (2, StopReason::Cut));
    assert_eq!(stop(&modules, &start, &whole, 127), (2, StopReason::OtherMemory { address: STACK + 264 }));
    assert_eq!(stop(&modules, &start, &cut, 1), (1, StopReason::MaxFrames));
    assert_eq!(stop(&modules, &start, &cut, 0), (0, StopReason::MaxFrames));
    let nowhere = registers(7, STACK, 0x1000);
    assert_eq!(stop(&modules, &nowhere, &cut, 127), (1, StopReason::Unmapped { address: 0x1000 }));
    // Behind the code.
    let behind = registers(7, STACK, START + 0xfff);
    assert_eq!(
        stop(&modules, &behind, &cut, 127),
        (1, StopReason::NoTable { address: START + 0xfff, tag: 5 })
    );
    // with_alloca with a frame pointer that points down.
    let down = registers(STACK - 64, STACK, START + 0x36c);
    assert_eq!(stop(&modules, &down, &cut, 127), (1, StopReason::NotUp { address: START + 0x36c, tag: 5 }));
    let unknown = Registers::from_perf(Architecture::X86_64, 1 << 7 | 1 << 8, [STACK, START + 0x36c]);
    assert_eq!(stop(&modules, &unknown, &cut, 127), (1, StopReason::NoRegister { number: 6 }));
    assert_eq!(
        stop(&modules, &Registers::new(Architecture::X86_64), &cut, 127),
        (0, StopReason::NoRegister { number: 16 })
    );
    let mut modules = Modules::new();
    modules.insert(START..START + 0x1000, Code::Unusable, 9).unwrap();
    let address = START + 0x330;
    assert_eq!(stop(&modules, &start, &cut, 127), (1, StopReason::Unusable { address, tag: 9 }));
}

#[test]
fn code_without_tables_is_left_through_a_frame_pointer_that_is_plausible() {
    let mut modules = seed_modules();
    let jitted = 0x10_0000;
    modules.insert(jitted..jitted + 0x1000, Code::NoTables, 6).unwrap();
    let frame = |fp: u64, return_address: u64| {
        let words = [0, 0, fp, return_address, 0, 0, 0, START + 0x38e, 0, 0];
        words.iter().flat_map(|word: &u64| word.to_le_bytes()).collect::<Vec<_>>()
    };
    let from = registers(STACK + 16, STACK, jitted + 8);
    let unwound = |bytes: &[u8]| {
        let mut frames = Vec::new();
        let stack = StackMemory::new(STACK, bytes, ByteOrder::Little);
        let unwound = unwind(&modules, &from, &stack, &mut RuleCache::with_places(64), 127, &mut frames);
        (frames.iter().map(|frame| (frame.address, frame.found_by)).collect::<Vec<_>>(), unwound)
    };
    // with_alloca is the caller, whose own frame the frame pointer tells.
    let (frames, all) = unwound(&frame(STACK + 48, START + 0x36c));
    let expected = [
        (jitted + 8, FoundBy::Registers),
        (START + 0x36c, FoundBy::FramePointer),
        (START + 0x38e, FoundBy::Table),
    ];
    assert_eq!(frames, expected);
    assert_eq!((all.stop, all.by_table, all.by_frame_pointer), (StopReason::EndOfStack, 1, 1));
    // What is behind it is no code.
    let (frames, all) = unwound(&frame(STACK + 48, 0x5000));
    assert_eq!((frames.len(), all.stop), (1, StopReason::NoTable { address: jitted + 8, tag: 6 }));
    let (frames, all) = unwound(&frame(0, 0));
    assert_eq!((frames.len(), all.stop), (1, StopReason::EndOfStack));
}

#[test]
fn files_that_cannot_be_used_are_refused() {
    let not_elf = Module::from_bytes(b"#!/bin/sh\n".to_vec()).unwrap_err();
    assert!(matches!(not_elf, Error::NotElf), "{not_elf}");
    let damaged = Module::from_bytes(SEED[..80].to_vec()).unwrap_err();
    assert!(matches!(damaged, Error::Damaged(_)), "{damaged}");
    let mut other = SEED.to_vec();
    // e_machine: RISC-V.
    other[18] = 243;
    assert!(matches!(Module::from_bytes(other).unwrap_err(), Error::Architecture { machine: 243 }));
    let device = std::fs::File::open("/dev/null").unwrap();
    assert!(matches!(Module::from_file(&device).unwrap_err(), Error::NotRegular));
    let mut empty = tempfile::tempfile().unwrap();
    assert!(matches!(Module::from_file(&empty).unwrap_err(), Error::NotElf));
    empty.write_all(SEED).unwrap();
    empty.rewind().unwrap();
    assert!(Module::from_file(&empty).is_ok());
    let module = Arc::new(Module::from_file(&empty).unwrap());
    let nowhere = Modules::new().insert(0..0x1000, Code::Module { module, offset: 1 << 20 }, 0).unwrap_err();
    assert!(matches!(nowhere, Error::NoSegment { offset: 0x10_0000 }));
}

#[test]
fn small_tables_stay_when_their_file_is_cut() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(SEED).unwrap();
    let module = Module::from_file(&file).unwrap();
    file.set_len(0).unwrap();
    check(module, &[".eh_frame_hdr"]);
}

#[test]
fn modules_go_to_other_threads_and_are_shared_between_them() {
    fn is_shared<T: Send + Sync>() {}
    fn is_sent<T: Send>() {}
    is_shared::<Module>();
    is_shared::<Modules>();
    is_shared::<Registers>();
    is_sent::<RuleCache>();
}

#[test]
fn a_stack_ends_where_it_returns_to_the_start_of_a_function_that_nothing_is_in_front_of() {
    let modules = seed_modules();
    // `start` has padding in front of it.
    let mut words = [0; 24];
    words[0] = START + 0x380;
    let bytes: Vec<_> = words.iter().flat_map(|word: &u64| word.to_le_bytes()).collect();
    let stack = StackMemory::new(STACK, &bytes, ByteOrder::Little);
    let from = registers(7, STACK, START + 0x300);
    assert_eq!(stop(&modules, &from, &stack, 127), (2, StopReason::EndOfStack));
}

#[test]
fn what_a_handler_of_32_bits_interrupted_is_found_by_the_kernels_frame_where_no_vdso_is_here() {
    const VDSO: u64 = 0xf7f0_0000;
    const ESP: u64 = 0xffaf_2490;
    // `sigreturn` behind `struct sigframe_ia32`, and `rt_sigreturn` behind `struct rt_sigframe_ia32`: the code, where it
    // stands from the stack pointer on, and where the registers do.
    let frames: [(&[u8], usize, usize); 2] = [
        (&[0x58, 0xb8, 0x77, 0, 0, 0, 0xcd, 0x80], 720, 4),
        (&[0xb8, 0xad, 0, 0, 0, 0xcd, 0x80, 0], 256, 160),
    ];
    for (code, code_at, registers_at) in frames {
        // gs fs es ds edi esi ebp esp ebx edx ecx eax trapno err eip.
        let context: [u32; 15] = [0x63, 0, 0x2b, 0x2b, 7, 6, 5, 0xffaf_2ec8, 3, 2, 1, 0, 14, 6, 0x5658_f2e1];
        let mut bytes = vec![0; 1024];
        bytes[code_at..code_at + 8].copy_from_slice(code);
        for (word, place) in context.iter().zip(bytes[registers_at..].chunks_exact_mut(4)) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        let mut modules = Modules::new();
        modules.insert(VDSO..VDSO + 0x2000, Code::Unusable, 5).unwrap();
        // ebp, esp and eip: the instruction behind the handler's return.
        let registers =
            Registers::from_perf(Architecture::X86, 1 << 6 | 1 << 7 | 1 << 8, [1, ESP, VDSO + 0x560]);
        let chain = |bytes: &[u8], modules: &Modules| {
            let mut frames = Vec::new();
            let stack = StackMemory::new(ESP, bytes, ByteOrder::Little);
            let unwound =
                unwind(modules, &registers, &stack, &mut RuleCache::with_places(16), 127, &mut frames);
            (frames.iter().map(|frame| frame.address).collect::<Vec<_>>(), unwound.stop)
        };
        let interrupted = (vec![VDSO + 0x560, 0x5658_f2e1], StopReason::Unmapped { address: 0x5658_f2e1 });
        assert_eq!(chain(&bytes, &modules), interrupted);
        // Without the code it is any stack.
        let (alone, stop) = (vec![VDSO + 0x560], StopReason::Unusable { address: VDSO + 0x560, tag: 5 });
        bytes[code_at] ^= 1;
        assert_eq!(chain(&bytes, &modules), (alone, stop));
    }
}

#[test]
fn a_trampoline_without_a_table_is_known_before_each_of_its_instructions_and_behind_them() {
    // mov $15, %rax; syscall.
    let code = [0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05];
    let mut file = without_tables();
    file[0x340..0x340 + code.len()].copy_from_slice(&code);
    let mut modules = Modules::new();
    let module = Arc::new(Module::from_bytes(file).unwrap());
    modules.insert(START..START + 0x1000, Code::Module { module, offset: 0 }, 5).unwrap();
    // `uc_mcontext` is at 40, and rip the last of its 17 registers.
    let mut bytes = vec![0; 512];
    bytes[40 + 15 * 8..][..8].copy_from_slice(&(STACK + 400).to_le_bytes());
    bytes[40 + 16 * 8..][..8].copy_from_slice(&0x40_1234_u64.to_le_bytes());
    let stack = StackMemory::new(STACK, &bytes, ByteOrder::Little);
    let stop_at = |at: u64| stop(&modules, &registers(7, STACK, START + at), &stack, 127);
    for at in [0x340, 0x347, 0x349] {
        assert_eq!(stop_at(at), (2, StopReason::Unmapped { address: 0x40_1234 }), "{at:#x}");
    }
    assert_eq!(stop_at(0x34a).0, 1);
}
