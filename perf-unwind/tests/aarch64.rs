//! Stacks of programs for aarch64, which an emulator runs, with and without pointer authentication.

use std::process::Command;
use std::sync::Arc;

use common::ProgramRun;
use perf_unwind::{Architecture, Code, Module, RuleCache, StopReason};

mod common;

/// The trampoline of the emulator, which stands where the kernel has the vdso's, as a library without tables.
fn trampoline(compiler: &str) -> Option<Module> {
    let directory = tempfile::tempdir().unwrap();
    let [source, library] = ["trampoline.s", "trampoline.so"].map(|name| directory.path().join(name));
    std::fs::write(&source, "mov x8, #139\nsvc #0\n").unwrap();
    let flags = ["-nostdlib", "-shared", "-Wl,-z,max-page-size=4096", "-Wl,-Ttext=0x1000"];
    let output = Command::new(compiler).args(flags).arg("-o").arg(&library).arg(source).output().ok()?;
    assert!(output.status.success(), "{output:?}");
    Some(Module::from_bytes(std::fs::read(library).unwrap()).unwrap())
}

fn run(flags: &[&str]) -> Option<ProgramRun> {
    let compilers = ["aarch64-linux-gnu-gcc", "aarch64-linux-gnu-gcc-12"];
    let is_there = |compiler: &&str| Command::new(compiler).arg("--version").output().is_ok();
    let compiler = compilers.into_iter().find(is_there).unwrap_or(compilers[0]);
    let flags = [&["-finstrument-functions", "-static"], flags].concat();
    let emulator = ["qemu-aarch64", "-cpu", "max"];
    common::run(Architecture::Aarch64, compiler, "sampled.c", &flags, &emulator, |path, start, _| {
        // It has one page without a name.
        let module = (path.is_empty() && start > 1 << 32).then(|| trampoline(compiler))??;
        Some(Code::Module { module: Arc::new(module), offset: 0x1000 })
    })
}

/// All true callers are among the frames in their order; beside them are the innermost ones, of which the program does not
/// know at its functions' ends, its C library's, and those of main.
#[track_caller]
fn check(flags: &[&str]) {
    let Some(run) = run(flags) else { return };
    assert!(run.states.len() >= 400);
    let mut cache = RuleCache::default();
    for state in &run.states {
        let (frames, unwound) = run.unwind(state, &mut cache);
        let ours: Vec<_> = frames.iter().map(|frame| frame.address).collect();
        let report = format!("{flags:?} {unwound:?} {ours:x?}, {:x?} in {:?}", state.callers, run.paths);
        let mut left = ours.iter().skip(1);
        assert!(state.callers.iter().all(|caller| left.any(|address| address == caller)), "{report}");
        assert_eq!((unwound.stop, unwound.by_frame_pointer), (StopReason::EndOfStack, 0), "{report}");
        assert!(ours.len() <= state.callers.len() + 15, "{report}");
    }
}

#[test]
fn a_program_of_aarch64_is_unwound() {
    check(&["-O2"]);
}

#[test]
fn a_program_of_aarch64_without_frame_pointers_is_unwound() {
    check(&["-O2", "-fomit-frame-pointer"]);
}

#[test]
fn return_addresses_with_pointer_authentication_are_unwound() {
    check(&["-O2", "-fomit-frame-pointer", "-mbranch-protection=pac-ret+leaf"]);
}

#[test]
fn a_program_of_aarch64_without_optimization_is_unwound() {
    check(&["-O0", "-mbranch-protection=standard"]);
}
