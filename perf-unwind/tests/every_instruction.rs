//! The true stack at every instruction: programs step through themselves, keep account of calls and returns, and hand out
//! registers, stack and what is true (`programs/step.h`). Unwinding has to give the same.
#![cfg(target_arch = "x86_64")]

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use common::ProgramRun;
use perf_unwind::{Architecture, Code, Module, RuleCache};

mod common;

/// How many states there were, and what differs by the file and the offset of the instruction.
struct Compared {
    count: usize,
    wrong: BTreeMap<String, usize>,
    wrong_in_program: usize,
}

/// Compiles a program and runs it.
fn step(compiler: &str, source: &str, flags: &[&str]) -> Option<ProgramRun> {
    let is_32 = flags.contains(&"-m32");
    let architecture = if is_32 { Architecture::X86 } else { Architecture::X86_64 };
    common::run(architecture, compiler, source, flags, &[], |path, _, vdso| {
        let image = || Arc::new(Module::from_bytes(fs::read(vdso).unwrap()).unwrap());
        (path == "[vdso]").then(|| Code::Module { module: image(), offset: 0 })
    })
}

fn compare(run: &ProgramRun) -> Compared {
    let mut cache = RuleCache::default();
    let mut compared = Compared { count: run.states.len(), wrong: BTreeMap::new(), wrong_in_program: 0 };
    for state in &run.states {
        let (frames, unwound) = run.unwind(state, &mut cache);
        let ours: Vec<_> = frames.iter().skip(1).map(|frame| frame.address).collect();
        if ours.starts_with(&state.callers) {
            continue;
        }
        let same = ours.iter().zip(&state.callers).take_while(|(ours, truth)| ours == truth).count();
        // What is wrong is the step from the last right frame.
        let place = frames[same].address;
        let path = path_of(run, place);
        compared.wrong_in_program += usize::from(path.contains("/program "));
        *compared.wrong.entry(format!("{place:#x} in {path}: {:?}", unwound.stop)).or_default() += 1;
    }
    compared
}

fn path_of(run: &ProgramRun, address: u64) -> String {
    let mut found = String::new();
    for path in &run.paths {
        let start = path.split(' ').nth(1).and_then(|start| u64::from_str_radix(start, 16).ok());
        if start.is_some_and(|start| start <= address) {
            found.clone_from(path);
        }
    }
    found
}

/// Compares a program. Nothing may differ in code that the compiler made for it, and elsewhere at most so many of a
/// thousand states: what differs there is listed where it is expected.
#[track_caller]
fn check(compiler: &str, source: &str, flags: &[&str], of_thousand: usize) {
    let Some(stepped) = step(compiler, source, flags) else { return };
    let compared = compare(&stepped);
    assert!(compared.count > 1000, "{} states", compared.count);
    let wrong: usize = compared.wrong.values().sum();
    let report = format!("{wrong} of {} states differ: {:#?}", compared.count, compared.wrong);
    assert!(compared.wrong_in_program == 0 && 1000 * wrong <= of_thousand * compared.count, "{report}");
}

/// longjmp's table speaks of the function to which it jumps as soon as it knows it, and the account of calls only when it
/// is there: seven instructions.
const LONGJMP: usize = 3;

#[test]
fn a_program_without_frame_pointers_is_unwound_at_every_instruction() {
    check("gcc", "calls.c", &["-O2", "-fomit-frame-pointer"], LONGJMP);
}

#[test]
fn a_program_without_optimization_is_unwound_at_every_instruction() {
    check("gcc", "calls.c", &["-O0"], LONGJMP);
}

#[test]
fn a_program_that_probes_its_stack_is_unwound_at_every_instruction() {
    check("gcc", "calls.c", &["-O2", "-mavx", "-fstack-clash-protection", "-fstack-protector-all"], LONGJMP);
}

#[test]
fn a_program_for_size_is_unwound_at_every_instruction() {
    check("gcc", "calls.c", &["-Os", "-fcf-protection=full", "-Wl,-z,lazy"], LONGJMP);
}

#[test]
fn a_program_with_frame_pointers_is_unwound_at_every_instruction() {
    check("gcc", "calls.c", &["-O2", "-fno-omit-frame-pointer"], LONGJMP);
}

#[test]
fn a_program_with_its_table_in_debug_sections_is_unwound_at_every_instruction() {
    let flags = ["-O2", "-fomit-frame-pointer", "-fno-asynchronous-unwind-tables", "-g", "-gz=zlib"];
    check("gcc", "calls.c", &flags, LONGJMP);
}

/// memcpy of glibc's 32-bit library has a table that leaves out what it pushes.
#[test]
fn a_program_of_32_bits_is_unwound_at_every_instruction() {
    check("gcc", "calls.c", &["-m32", "-O2", "-fomit-frame-pointer"], 8);
}

/// Its library is a part of the program, with longjmp.
#[test]
fn a_static_program_at_random_addresses_is_unwound_at_every_instruction() {
    let Some(stepped) = step("gcc", "calls.c", &["-O3", "-static-pie"]) else { return };
    let compared = compare(&stepped);
    assert!(compared.count > 1000 && compared.wrong.len() <= 10, "{:#?}", compared.wrong);
}

/// Debian's musl has no tables, so that it is compared only until unwinding comes there; its signal trampoline is known.
#[test]
fn a_program_with_a_library_without_tables_is_unwound_where_it_has_its_own() {
    check("musl-gcc", "calls.c", &["-O2"], 1000);
}

/// libgcc goes to a handler through the frame of the function that found it, in which it puts the handler's registers
/// first: what is saved there is then no caller's.
#[test]
fn exceptions_are_unwound_at_every_instruction() {
    check("g++", "exceptions.cc", &["-O2"], 25);
}
