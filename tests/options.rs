//! Options as perf's users type them: cut, taken back, before the command, and those that perf alone has.

mod common;

use std::fs;

use assert_cmd::prelude::*;
use common::{perftool, run, stderr};
use perf_format::Endian;
use perf_format::record::CpuMode;
use perf_format::testing::{At, StreamBuilder, ids_in};
use perf_session::testing::Elf;

/// A stream with a sample in a file, and one in the kernel.
fn stream() -> Vec<u8> {
    StreamBuilder::with_callchains(Endian::Little)
        .kernel(0xffff_ffff_8000_0000, 0x1000)
        .mmap2(At::new(7, 1), 0x1000, 0x2000, "/nowhere/a")
        .sample(CpuMode::User, At::new(7, 2), 0x1800, &[])
        .sample(CpuMode::Kernel, At::new(7, 3), 0xffff_ffff_8000_0010, &[])
        .bytes()
}

/// The ids that a run injects: names and hex.
fn injected(args: &[&str]) -> Vec<(String, String)> {
    let output = run(perftool(&[&["inject"], args].concat()), &stream());
    assert!(output.status.success(), "{}", stderr(&output));
    let records = perf_format::testing::injected(&stream(), &output.stdout);
    let ids = ids_in(&records, Endian::Little).into_iter();
    ids.map(|(name, id)| (name.to_string(), id.to_string())).collect()
}

fn usage_error(args: &[&str]) -> String {
    let output = perftool(args).output().expect("it runs");
    assert_eq!(output.status.code(), Some(129), "{args:?}");
    assert_eq!(output.stdout, b"");
    stderr(&output)
}

#[test]
fn a_cut_option_is_perfs_own_and_what_can_be_several_names_them() {
    // perf has --jit and --buildid-all; that there are --jit-dir and --buildid-to here is no reason to refuse them.
    perftool(&["inject", "--ji", "--list-opts"]).assert().success();
    let all = run(perftool(&["inject", "--buildid", "--allow-changed"]), &stream());
    let none = run(perftool(&["inject"]), &stream());
    assert!(all.status.success() && all.stdout.len() >= none.stdout.len());
    let told = usage_error(&["inject", "--buil"]);
    assert!(
        told.starts_with(
            "perftool: error: --buil is cut too short: it could be --build-ids or --buildid-all\n"
        )
    );
    let told = usage_error(&["inject", "--jit-"]);
    assert!(told.contains("it could be --jit-dir or --jit-clock"), "{told}");
}

#[test]
fn what_is_cut_keeps_its_value() {
    let known = format!("--known={} /nowhere/a", "ab".repeat(20));
    assert_eq!(injected(&["-b", &known]), [("/nowhere/a".to_owned(), "ab".repeat(20))]);
}

#[test]
fn each_option_can_be_taken_back() {
    let known = format!("{} /nowhere/a", "ab".repeat(20));
    let nothing: [(String, String); 0] = [];
    assert_eq!(injected(&["-b", "--known-build-ids", &known, "--no-known-build-ids"]), nothing);
    assert_eq!(injected(&["-b", "-i", "/nowhere", "--no-input", "--no-verbose", "--no-jit"]), nothing);
}

#[test]
fn what_perf_alone_has_is_told_as_that() {
    for (args, option) in [
        (&["inject", "-b", "--aslr"][..], "aslr"),
        (&["inject", "--itrace=i10us"], "itrace"),
        (&["inject", "--itr"], "itrace"),
        (&["inject", "--strip"], "strip"),
        (&["inject", "--guestmount", "/mnt"], "guestmount"),
    ] {
        let told = usage_error(args);
        let expected = format!("perftool: error: perf inject has --{option}, and perftool inject does not\n");
        assert!(told.starts_with(&expected), "{told}");
        assert!(!told.contains("tip:"), "{told}");
    }
}

#[test]
fn an_input_without_its_option_is_told_how_it_is_named() {
    for command in ["inject", "buildid-list"] {
        let told = usage_error(&[command, "perf.data"]);
        assert!(told.starts_with(
            "perftool: error: perf.data belongs to no option; inputs are named with -i: -i perf.data\n"
        ));
    }
}

#[test]
fn a_value_in_the_next_word_is_told_that_it_belongs_behind_an_equals_sign() {
    for option in ["--jit", "--ji"] {
        let told = usage_error(&["inject", "-b", option, "per-process", "-o", "out"]);
        let expected = "perftool: error: --jit takes its value behind an equals sign: --jit=per-process\n";
        assert!(told.starts_with(expected), "{told}");
    }
    assert!(usage_error(&["inject", "--summary", "json"]).contains(": --summary=json\n"));
    // What stands before has no value to take.
    assert!(usage_error(&["inject", "-b", "json"]).contains("inputs are named with -i: -i json\n"));
}

#[test]
fn an_argument_too_many_of_what_reads_no_input_is_none_either() {
    for args in [&["man", "a", "b"][..], &["completions", "bash", "b"]] {
        let told = usage_error(args);
        assert!(told.starts_with("perftool: error: unexpected argument 'b' found\n"), "{told}");
    }
    assert!(usage_error(&["completions", "tcsh"]).contains("[possible values: bash, zsh, fish]"));
}

#[test]
fn values_that_are_none_are_a_usage_error() {
    let told = usage_error(&["inject", "-b", "--known-build-ids=zz"]);
    assert!(told.contains("\"zz\" is not an id, a blank and a name"), "{told}");
    assert!(
        usage_error(&["inject", "--buildid-to=events"]).contains("needs an option that injects build-ids")
    );
    assert!(usage_error(&["inject", "-b", "--buildid-to=header"]).contains("a pipe has no table"));
}

#[test]
fn what_perf_takes_before_its_command_is_taken() {
    let before = ["--no-pager", "-p", "--buildid-dir", "/d", "--debugfs-dir", "/d", "--debug", "verbose=2"];
    perftool(&[&before[..], &["inject", "--list-opts"]].concat()).assert().success();
    perftool(&["-v"]).assert().success().stdout(concat!("perftool ", env!("CARGO_PKG_VERSION"), "\n"));
    perftool(&["help", "inject"]).assert().success();
}

#[test]
fn completion_scripts_get_the_options_in_a_line() {
    let output = perftool(&["buildid-list", "--list-opts"]).output().expect("it runs");
    let line = String::from_utf8(output.stdout).expect("text");
    assert!(line.starts_with("--input --with-hits ") && line.ends_with(" \n"), "{line}");
    assert!(!line.contains("--no-") && !line.contains("list-opts"), "{line}");
}

#[test]
fn the_kernels_image_says_its_id() {
    let dir = tempfile::tempdir().expect("a directory");
    let (image, text) = (dir.path().join("vmlinux"), dir.path().join("text"));
    fs::write(&image, Elf::with_build_id(&[7; 20]).bytes()).expect("written");
    fs::write(&text, "no image").expect("written");
    let image = image.to_str().expect("a name");
    let kernels = [("[kernel.kallsyms]".to_owned(), "07".repeat(20))];
    assert_eq!(injected(&["-b", "-k", image]), kernels);
    assert_eq!(injected(&["-b", "--vmlinux", image, "--kallsyms", "/proc/kallsyms"]), kernels);
    let nothing: [(String, String); 0] = [];
    assert_eq!(injected(&["-b", "-k", image, "--ignore-vmlinux"]), nothing);
    let output = run(perftool(&["inject", "-b", "-k", text.to_str().expect("a name")]), &stream());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("it is no ELF file"));
}

#[test]
fn ids_that_a_recording_brings_are_told_as_perf_tells_them() {
    let known = format!("--known-build-ids={} /nowhere/a", "ab".repeat(20));
    let with_ids = run(perftool(&["inject", "-b", &known]), &stream()).stdout;
    let line = format!("build id event received for /nowhere/a: {}\n", "ab".repeat(20));
    for args in [&["inject", "-v", "-b"][..], &["inject", "-v", "-B"], &["buildid-list", "-v", "-i", "-"]] {
        let told = stderr(&run(perftool(args), &with_ids));
        assert_eq!(told.matches(&line).count(), 1, "{args:?}: {told}");
    }
    assert!(!stderr(&run(perftool(&["buildid-list"]), &with_ids)).contains("received"));
}
