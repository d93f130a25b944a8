//! Programs that hand out their registers, their stack and what is true of it, and what they were mapped as.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use perf_unwind::{
    Architecture, ByteOrder, CallFrame, Code, Module, Modules, Registers, RuleCache, StackMemory, Unwound,
    unwind,
};

/// A thread's state at an instruction, and its true stack.
pub(crate) struct State {
    pub(crate) registers: Vec<u64>,
    pub(crate) callers: Vec<u64>,
    pub(crate) stack: Vec<u8>,
}

/// What a run of a program gave.
pub(crate) struct ProgramRun {
    pub(crate) architecture: Architecture,
    pub(crate) states: Vec<State>,
    pub(crate) modules: Modules,
    /// The paths of the mapped files, by their tags.
    pub(crate) paths: Vec<String>,
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

/// Compiles a program and runs it, in an emulator if one is named. `None` where the compiler or the emulator is not there,
/// or cannot make such a program.
pub(crate) fn run(
    architecture: Architecture,
    compiler: &str,
    source: &str,
    flags: &[&str],
    emulator: &[&str],
    code: impl Fn(&str, u64, &Path) -> Option<Code>,
) -> Option<ProgramRun> {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("program");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(source);
    let compiled = Command::new(compiler).args(flags).arg("-o").arg(&program).arg(source).output();
    let emulates =
        emulator.first().is_none_or(|emulator| Command::new(emulator).arg("--version").output().is_ok());
    if !compiled.as_ref().is_ok_and(|output| output.status.success()) || !emulates {
        assert!(std::env::var_os("CI").is_none(), "{compiler} {flags:?} {emulator:?}: {compiled:?}");
        return None;
    }
    let [states, vdso] = ["states", "vdso"].map(|name| directory.path().join(name));
    // The shell gives the program its file descriptors.
    let mut shell = Command::new("sh");
    shell.args(["-c", "states=$1 vdso=$2; shift 2; exec \"$@\" 3>\"$states\" 4>\"$vdso\"", "sh"]);
    let run = shell.arg(&states).arg(&vdso).args(emulator).arg(&program).output().unwrap();
    assert!(run.status.success(), "{run:?}");
    let size = if architecture == Architecture::X86 { 4 } else { 8 };
    let states = parse(&fs::read(states).unwrap(), size);
    let maps = String::from_utf8(run.stdout).unwrap();
    let (modules, paths) = map(&maps, |path, start| code(path, start, &vdso));
    Some(ProgramRun { architecture, states, modules, paths })
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
fn map(maps: &str, code: impl Fn(&str, u64) -> Option<Code>) -> (Modules, Vec<String>) {
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
        let code = code(path, number(start)).unwrap_or_else(|| match File::open(path) {
            Ok(file) => {
                Code::Module { module: Arc::new(Module::from_file(&file).unwrap()), offset: number(offset) }
            }
            Err(_) => Code::NoTables,
        });
        modules.insert(number(start)..number(end), code, paths.len() as u64).unwrap();
        paths.push(format!("{path} {start} {offset}"));
    }
    (modules, paths)
}

impl ProgramRun {
    /// perf's mask for the registers that a program writes.
    fn mask(&self) -> u64 {
        match self.architecture {
            Architecture::X86 => 0x1ff,
            Architecture::X86_64 => 0xff_01ff,
            _ => 0x1_ffff_ffff,
        }
    }

    pub(crate) fn unwind(&self, state: &State, cache: &mut RuleCache) -> (Vec<CallFrame>, Unwound) {
        let registers = Registers::from_perf(self.architecture, self.mask(), state.registers.iter().copied());
        let sp = state.registers[if self.architecture == Architecture::Aarch64 { 31 } else { 7 }];
        let stack = StackMemory::whole(sp, &state.stack, ByteOrder::Little);
        let mut frames = Vec::new();
        let unwound = unwind(&self.modules, &registers, &stack, cache, 1000, &mut frames);
        (frames, unwound)
    }
}
