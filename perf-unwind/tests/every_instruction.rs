//! The true stack at every instruction: programs step through themselves, keep account of calls and returns, and hand out
//! registers, stack and what is true (`programs/step.h`). Unwinding has to give the same.
#![cfg(target_arch = "x86_64")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use perf_unwind::{
    Architecture, ByteOrder, CallFrame, Code, Module, Modules, Registers, RuleCache, StackMemory, Unwound,
    unwind,
};

/// A thread's state at an instruction, and its true stack.
struct State {
    registers: Vec<u64>,
    callers: Vec<u64>,
    stack: Vec<u8>,
}

/// What a run of a program gave.
struct Stepped {
    architecture: Architecture,
    states: Vec<State>,
    modules: Modules,
    /// The paths of the mapped files, by their tags.
    paths: Vec<String>,
}

/// How many states there were, and what differs by the file and the offset of the instruction.
struct Compared {
    count: usize,
    wrong: BTreeMap<String, usize>,
    wrong_in_program: usize,
}

/// The words of a program's output.
struct Words<'a> {
    rest: &'a [u8],
    size: usize,
}

impl<'a> Words<'a> {
    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.rest.split_at(len);
        self.rest = rest;
        bytes
    }

    fn word(&mut self) -> u64 {
        let bytes = self.bytes(self.size);
        bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
    }

    fn count(&mut self) -> usize {
        usize::try_from(self.word()).unwrap()
    }
}

/// Compiles a program and runs it. `None` where the compiler is not there, or cannot make such a program.
fn step(compiler: &str, source: &str, flags: &[&str]) -> Option<Stepped> {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("program");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(source);
    let compiled = Command::new(compiler).args(flags).arg("-o").arg(&program).arg(source).output();
    let is_compiled = compiled.as_ref().is_ok_and(|output| output.status.success());
    if !is_compiled {
        assert!(std::env::var_os("CI").is_none(), "{compiler} {flags:?}: {compiled:?}");
        return None;
    }
    let states = directory.path().join("states");
    let vdso = directory.path().join("vdso");
    // The shell gives the program its file descriptors.
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$0\" 3>\"$1\" 4>\"$2\""]).arg(&program).arg(&states).arg(&vdso);
    let run = shell.output().unwrap();
    assert!(run.status.success(), "{run:?}");
    let is_32 = flags.contains(&"-m32");
    let states = parse(&fs::read(states).unwrap(), if is_32 { 4 } else { 8 });
    let (modules, paths) = map(&String::from_utf8(run.stdout).unwrap(), &fs::read(vdso).unwrap());
    let architecture = if is_32 { Architecture::X86 } else { Architecture::X86_64 };
    Some(Stepped { architecture, states, modules, paths })
}

fn parse(bytes: &[u8], size: usize) -> Vec<State> {
    let mut words = Words { rest: bytes, size };
    let mut states = Vec::new();
    while !words.rest.is_empty() {
        let count = words.count();
        let registers = (0..count).map(|_| words.word()).collect();
        let count = words.count();
        let callers = (0..count).map(|_| words.word()).collect();
        let count = words.count();
        states.push(State { registers, callers, stack: words.bytes(count).to_vec() });
    }
    states
}

/// The modules of `/proc/PID/maps`.
fn map(maps: &str, vdso: &[u8]) -> (Modules, Vec<String>) {
    let (mut modules, mut paths) = (Modules::new(), Vec::new());
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (Some(range), Some(flags), Some(offset)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let path = words.nth(2).unwrap_or_default();
        if !flags.contains('x') {
            continue;
        }
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let code = match File::open(path) {
            _ if path == "[vdso]" => {
                Code::Module { module: Arc::new(Module::from_bytes(vdso.to_vec()).unwrap()), offset: 0 }
            }
            Ok(file) => {
                Code::Module { module: Arc::new(Module::from_file(&file).unwrap()), offset: number(offset) }
            }
            Err(_) => Code::NoTables,
        };
        modules.insert(number(start)..number(end), code, paths.len() as u64).unwrap();
        paths.push(format!("{path} {start} {offset}"));
    }
    (modules, paths)
}

impl Stepped {
    /// perf's mask for the registers that a program writes.
    fn mask(&self) -> u64 {
        match self.architecture {
            Architecture::X86 => 0x1ff,
            _ => 0xff_01ff,
        }
    }

    fn unwind(&self, state: &State, cache: &mut RuleCache) -> (Vec<CallFrame>, Unwound) {
        let registers = Registers::from_perf(self.architecture, self.mask(), state.registers.iter().copied());
        let sp = state.registers[7];
        let stack = StackMemory::whole(sp, &state.stack, ByteOrder::Little);
        let mut frames = Vec::new();
        let unwound = unwind(&self.modules, &registers, &stack, cache, 1000, &mut frames);
        (frames, unwound)
    }

    fn compare(&self) -> Compared {
        let mut cache = RuleCache::default();
        let mut compared = Compared { count: self.states.len(), wrong: BTreeMap::new(), wrong_in_program: 0 };
        for state in &self.states {
            let (frames, unwound) = self.unwind(state, &mut cache);
            let ours: Vec<_> = frames.iter().skip(1).map(|frame| frame.address).collect();
            if ours.starts_with(&state.callers) {
                continue;
            }
            let same = ours.iter().zip(&state.callers).take_while(|(ours, truth)| ours == truth).count();
            // What is wrong is the step from the last right frame.
            let place = frames[same].address;
            let path = self.path(place);
            compared.wrong_in_program += usize::from(path.contains("/program "));
            *compared.wrong.entry(format!("{place:#x} in {path}: {:?}", unwound.stop)).or_default() += 1;
        }
        compared
    }

    fn path(&self, address: u64) -> String {
        let mut found = String::new();
        for path in &self.paths {
            let start = path.split(' ').nth(1).and_then(|start| u64::from_str_radix(start, 16).ok());
            if start.is_some_and(|start| start <= address) {
                found.clone_from(path);
            }
        }
        found
    }
}

/// Compares a program. Nothing may differ in code that the compiler made for it, and elsewhere at most so many of a
/// thousand states: what differs there is listed where it is expected.
#[track_caller]
fn check(compiler: &str, source: &str, flags: &[&str], of_thousand: usize) {
    let Some(stepped) = step(compiler, source, flags) else { return };
    let compared = stepped.compare();
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
    let compared = stepped.compare();
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
