//! Stacks of real code for aarch64, which an emulator runs: the program hands out its registers, its stack and its true
//! callers, and a stream of samples that is made of these is converted.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{perftool, run, stderr};
use perf_format::record::{CpuMode, Inode, MapFile, Misc, Mmap2};
use perf_format::testing::{At, StreamBuilder, UserStack, stack_attr};
use perf_format::{Endian, PerfReader, Record, RecordType, SampleFormat};

/// x0 to x30, sp and pc.
const REGISTERS: u64 = 0x1_ffff_ffff;
const PC: usize = 32;

const COMPILERS: [&str; 2] = ["aarch64-linux-gnu-gcc", "aarch64-linux-gnu-gcc-12"];
const EMULATOR: &str = "qemu-aarch64";

/// What a program told.
struct ProgramRun {
    states: Vec<State>,
    /// As `/proc/PID/maps` has them.
    maps: String,
}

/// A thread's state at an instruction, and its true callers.
struct State {
    registers: Vec<u64>,
    callers: Vec<u64>,
    stack: Vec<u64>,
}

/// Compiles the program and runs it. `None` where the compiler or the emulator is not there, which CI does not let pass.
fn run_program(flags: &[&str], program: &Path) -> Option<ProgramRun> {
    let is_there = |command: &&str| Command::new(command).arg("--version").output().is_ok();
    let (Some(compiler), true) = (COMPILERS.into_iter().find(is_there), is_there(&EMULATOR)) else {
        assert!(std::env::var_os("CI").is_none(), "neither of {COMPILERS:?} is here, or no {EMULATOR}");
        return None;
    };
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("perf-unwind/tests/programs/sampled.c");
    let mut compile = Command::new(compiler);
    compile.args(["-finstrument-functions", "-static"]).args(flags).arg("-o").arg(program).arg(source);
    assert!(compile.status().unwrap().success());
    // The shell gives the program its file descriptors: the states go to the third, an image of the vdso to the fourth.
    let states = program.with_extension("states");
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$2\" -cpu max \"$3\" 3>\"$1\" 4>/dev/null", "sh"]);
    let output = shell.arg(&states).arg(EMULATOR).arg(program).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let states = states_of(&fs::read(states).unwrap());
    Some(ProgramRun { states, maps: String::from_utf8(output.stdout).unwrap() })
}

/// Of each state there are the registers, the callers and the stack, each behind its length: of the stack in bytes.
fn states_of(bytes: &[u8]) -> Vec<State> {
    let mut words = bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()));
    let mut states = Vec::new();
    while let Some(count) = words.next() {
        let mut take = |count: u64| words.by_ref().take(usize::try_from(count).unwrap()).collect::<Vec<_>>();
        let registers = take(count);
        let [count] = take(1)[..] else { panic!() };
        let callers = take(count);
        let [len] = take(1)[..] else { panic!() };
        assert_eq!(len % 8, 0);
        states.push(State { registers, callers, stack: take(len / 8) });
    }
    states
}

fn at(time: u64) -> At {
    At { pid: 1000, tid: 1000, time }
}

/// The stream that perf would have recorded: the program's maps with code, and a sample for each state.
fn stream(ProgramRun { states, maps }: &ProgramRun) -> Vec<u8> {
    let mut attr = stack_attr(32768);
    attr.fields.sample_regs_user = REGISTERS;
    let mut stream =
        StreamBuilder::new(Endian::Little).attr(&attr, &[1]).recorded_on("arm", "6.1.0", "aarch64");
    for line in maps.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        let (start, end) = words[0].split_once('-').unwrap();
        if words[1].contains('x') {
            let map = Mmap2 {
                pid: 1000,
                tid: 1000,
                start: number(start),
                len: number(end) - number(start),
                pgoff: number(words[2]),
                file: MapFile::Inode(Inode::default()),
                prot: 5,
                flags: 2,
                filename: words.get(5).copied().unwrap_or("//anon").into(),
            };
            stream = stream.traced(Misc::of(CpuMode::User), &Record::Mmap2(map), at(1));
        }
    }
    for (state, time) in states.iter().zip(2..) {
        let most = state.stack.len().min(7500);
        let stack = UserStack::of_words(Endian::Little, 0, &state.stack[..most]);
        let stack = stack.with_registers(2, REGISTERS, &state.registers);
        stream = stream.stack_sample(CpuMode::User, at(time), state.registers[PC], &[], &stack);
    }
    stream.finished_round().bytes()
}

/// The addresses of user space of each sample.
fn chains(output: &[u8]) -> Vec<Vec<u64>> {
    let mut reader = PerfReader::open_stream(output).unwrap();
    let format = SampleFormat::new(&reader.preamble().event_infos().unwrap()[0].attr);
    let mut chains = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        if record.record_type() == RecordType::SAMPLE {
            let chain = format.callchain(&record).unwrap().unwrap();
            // In front of them is PERF_CONTEXT_USER.
            chains.push(chain.iter().skip(1).collect());
        }
    }
    chains
}

/// All true callers are in each chain, in their order, as addresses inside the calls; beside them are the innermost ones, of
/// which the program does not know at its functions' ends, its C library's, and those of main.
#[track_caller]
fn check(flags: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = run_program(flags, &folder.path().join("program")) else { return };
    assert!(program.states.len() >= 400);
    // The recording is none of this machine, but the file is the one that ran.
    let output = run(perftool(&["inject", "--convert-callchain", "--allow-changed"]), &stream(&program));
    assert!(output.status.success(), "{}", stderr(&output));
    let chains = chains(&output.stdout);
    assert_eq!(chains.len(), program.states.len());
    for (chain, state) in chains.iter().zip(&program.states) {
        let report = format!("{flags:?} {chain:x?}, {:x?} in {}", state.callers, program.maps);
        assert_eq!(chain[0], state.registers[PC], "{report}");
        let mut left = chain.iter().skip(1);
        let is_there = |caller: &u64| left.any(|address| [*caller, *caller - 1].contains(address));
        assert!(state.callers.iter().all(is_there), "{report}");
        assert!(chain.len() <= state.callers.len() + 15, "{report}");
    }
}

#[test]
fn stacks_of_a_program_of_aarch64_are_converted() {
    check(&["-O2"]);
}

#[test]
fn stacks_without_frame_pointers_are_converted() {
    check(&["-O2", "-fomit-frame-pointer"]);
}

#[test]
fn stacks_with_pointer_authentication_are_converted() {
    check(&["-O2", "-fomit-frame-pointer", "-mbranch-protection=pac-ret+leaf"]);
}

#[test]
fn stacks_without_optimization_are_converted() {
    check(&["-O0", "-mbranch-protection=standard"]);
}
