//! `perftool inject` as a person meets it: help, messages, errors, exit codes.

mod common;

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use assert_cmd::prelude::*;
use common::{WITH_VDSO, perftool, run, stderr};
use insta::assert_snapshot;
use perf_format::record::{CpuMode, MapFile, Misc, Mmap2, Record};
use perf_format::testing::{At, StreamBuilder, callchain_attr};
use perf_format::{BuildId, Endian};
use perf_session::testing::Elf;

/// What was said and how it ended, as one text.
fn told(output: &Output) -> String {
    let code = output.status.code().map_or("a signal".to_owned(), |code| code.to_string());
    format!("{}(exit {code}, {} bytes out)", stderr(output), output.stdout.len())
}

fn inject(args: &[&str], input: &[u8]) -> String {
    told(&run(perftool(&[&["inject"], args].concat()), input))
}

fn stream() -> StreamBuilder {
    StreamBuilder::with_callchains(Endian::Little)
}

#[test]
fn help_is_on_standard_output() {
    for (name, args) in [
        ("help", &["-h"][..]),
        ("help_inject", &["inject", "-h"]),
        ("help_buildid_list", &["buildid-list", "-h"]),
        ("help_dump", &["dump", "-h"]),
        ("help_diff", &["diff", "-h"]),
        ("help_bundle", &["bundle", "-h"]),
        ("help_unbundle", &["unbundle", "-h"]),
        ("help_man", &["man", "-h"]),
        ("help_completions", &["completions", "-h"]),
        ("help_long", &["--help"]),
        ("help_long_inject", &["inject", "--help"]),
        ("help_long_buildid_list", &["buildid-list", "--help"]),
        ("help_long_dump", &["dump", "--help"]),
        ("help_long_diff", &["diff", "--help"]),
        ("help_long_bundle", &["bundle", "--help"]),
        ("help_long_unbundle", &["unbundle", "--help"]),
        ("help_long_man", &["man", "--help"]),
        ("help_long_completions", &["completions", "--help"]),
    ] {
        let output = perftool(args).output().expect("it runs");
        assert!(output.status.success());
        assert_eq!(stderr(&output), "");
        assert_snapshot!(name, String::from_utf8(output.stdout).expect("text"));
    }
}

/// What a help prints.
fn help(args: &[&str]) -> String {
    let output = perftool(args).output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{args:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn help_of_a_subcommand_is_its_long_help_as_in_perf() {
    assert_eq!(help(&["help"]), help(&["--help"]));
    for subcommand in ["inject", "buildid-list", "man", "completions"] {
        assert_eq!(help(&["help", subcommand]), help(&[subcommand, "--help"]));
    }
    perftool(&["help", "report"]).assert().code(129).stdout("");
}

#[test]
fn the_short_help_has_one_line_for_each_option_and_the_long_one_a_paragraph() {
    for subcommand in ["inject", "buildid-list"] {
        let short = help(&[subcommand, "-h"]);
        let options: Vec<_> = short.lines().filter(|line| line.trim_start().starts_with('-')).collect();
        // Between the title of the first group and the examples there are but these, titles and empty lines.
        let lines =
            short.lines().skip_while(|line| *line != "Options:").take_while(|line| *line != "Examples:");
        let others: Vec<_> = lines.filter(|line| !options.contains(line)).collect();
        assert!(others.iter().all(|line| line.is_empty() || line.ends_with(':')), "{others:?}");
        assert!(short.lines().all(|line| line.len() <= 100), "{short}");
        let long = help(&[subcommand, "--help"]);
        for option in
            options.iter().filter_map(|line| line.split_whitespace().find(|word| word.starts_with("--")))
        {
            assert!(long.contains(option), "{option}");
        }
    }
}

#[test]
fn wrong_usage_ends_with_perfs_code() {
    for args in [
        &[][..],
        &["enject"],
        &["inject", "--no-such"],
        &["inject", "-i"],
        &["inject", "file"],
        &["inject", "--verb=1"],
    ] {
        perftool(args).assert().code(129).stdout("");
    }
    assert_snapshot!(stderr(&perftool(&["inject", "--buildids"]).output().expect("it runs")));
}

#[test]
fn options_are_parsed_as_perf_parses_them() {
    let stream = with_vdso(&stream()).bytes();
    let len = |args: &[&str]| run(perftool(args), &stream).stdout.len();
    let (plain, with_id) = (len(&["inject"]), len(&["inject", "-b", WITH_VDSO]));
    // A unique prefix is enough, a switch can be taken back, and the last word counts.
    assert_eq!(len(&["inject", "--build-", WITH_VDSO]), with_id);
    assert_eq!(len(&["inject", WITH_VDSO, "--build-ids", "--no-build-ids"]), plain);
    assert_eq!(len(&["inject", WITH_VDSO, "--no-build-ids", "-b", "-b"]), with_id);
    assert_eq!(len(&["inject", WITH_VDSO, "-b", "-i", "/nowhere", "--input", "-", "-vvq"]), with_id);
}

/// A stream with a sample in what every machine has that runs this: the vdso.
fn with_vdso(stream: &StreamBuilder) -> StreamBuilder {
    stream.clone().mmap2(At::new(7, 1), 0x1000, 0x2000, "[vdso]").sample(
        CpuMode::User,
        At::new(7, 2),
        0x1800,
        &[],
    )
}

#[test]
fn what_cannot_be_read_is_said_in_a_line_with_its_causes() {
    let whole = stream().mmap2(At::new(1, 1), 0x1000, 0x1000, "/a").bytes();
    let small = stream().raw(&[9, 0, 0, 0, 0, 0, 4, 0, 0, 0]).bytes();
    let payload = stream().tracing_data(&[1; 64]).bytes();
    let cases = [
        ("not perf data", &b"\x7fELF\x02\x01\x01\x00 and so on"[..]),
        ("nothing", b""),
        ("a header cut short", b"PERFILE2\x10\0"),
        ("an impossible header size", b"PERFILE2\x11\0\0\0\0\0\0\0"),
        ("a record smaller than its header", &small),
        ("a cut record", &whole[..whole.len() - 3]),
        ("a cut record header", &whole[..whole.len() - 100]),
        ("a payload that ends early", &payload[..payload.len() - 10]),
        ("a payload that never comes", &payload[..payload.len() - 64]),
    ];
    let told: Vec<String> =
        cases.iter().map(|(what, input)| format!("--- {what}\n{}\n", inject(&["-b"], input))).collect();
    assert_snapshot!(told.concat());
}

#[test]
fn all_that_was_whole_before_an_error_has_been_written() {
    let whole = stream().mmap2(At::new(1, 1), 0x1000, 0x1000, "/a").finished_round().bytes();
    for cut in 16..whole.len() {
        let output = run(perftool(&["inject", "-b"]), &whole[..cut]);
        let records = perf_format::testing::records(&whole);
        let ends = records.iter().scan(16, |at, record| {
            *at += record.bytes.len();
            Some(*at)
        });
        let expected = std::iter::once(16).chain(ends).filter(|end| *end <= cut).last().expect("the header");
        assert_eq!(output.stdout.len(), expected, "cut at {cut}");
        assert_eq!(output.status.code(), Some(i32::from(cut != expected)), "cut at {cut}");
        if cut.is_multiple_of(16) {
            assert_eq!(&output.stdout[..], &whole[..expected]);
        }
    }
}

#[test]
fn odd_records_are_a_warning_and_pass() {
    let no_nul = [10u8; 100];
    let stream = stream()
        .record(Misc::of(CpuMode::User), &Record::Other(perf_format::RecordType::MMAP2, &no_nul))
        .record(Misc::of(CpuMode::User), &Record::Other(perf_format::RecordType::MMAP2, &no_nul[..90]))
        .record(Misc::of(CpuMode::User), &Record::Other(perf_format::RecordType::SAMPLE, &[255; 48]))
        .record(Misc::default(), &Record::Other(perf_format::RecordType::COMM, b"1234"))
        .unknown(127, b"carried")
        .finished_round()
        .bytes();
    let output = run(perftool(&["inject", "-b"]), &stream);
    assert!(output.stdout == stream);
    assert_snapshot!(told(&output));
    assert_snapshot!("odd_records_quietly", inject(&["-b", "-q"], &stream));
}

#[test]
fn a_sample_of_no_known_event_is_a_warning_and_passes() {
    let mut other = callchain_attr();
    other.fields.sample_type |=
        perf_format::attr::SampleType::IDENTIFIER | perf_format::attr::SampleType::CPU;
    let mut first = callchain_attr();
    first.fields.sample_type |= perf_format::attr::SampleType::IDENTIFIER;
    let stream = StreamBuilder::new(Endian::Little)
        .attr(&other, &[7])
        .attr(&first, &[8])
        .sample(CpuMode::User, At::new(1, 1), 0x1000, &[])
        .bytes();
    let output = run(perftool(&["inject", "-b"]), &stream);
    assert!(output.stdout == stream);
    assert_snapshot!(told(&output));
}

#[test]
fn verbose_says_each_id_as_perf_words_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let program = dir.path().join("program");
    fs::write(&program, Elf::with_build_id(&[0xab; 20]).bytes()).expect("written");
    fs::write(dir.path().join("text"), "no ELF file").expect("written");
    let name = |file: &str| dir.path().join(file).into_os_string().into_string().expect("text");
    // As of programs that ran before the recording: made-up times say nothing true of files.
    let at = At::new(1, 0);
    let recorded = MapFile::BuildId(Some(BuildId::new(&[1, 2, 3]).expect("an id")));
    let stream = stream()
        .mmap2(at, 0x1000, 0x1000, &name("program"))
        .mmap2(at, 0x2000, 0x1000, &name("text"))
        .mmap2(at, 0x3000, 0x1000, &name("gone"))
        .mmap2(at, 0x4000, 0x1000, "//anon")
        .mmap2(at, 0x5000, 0x1000, "[uprobes]")
        .mapped(at, 0x6000, 0x1000, "/recorded/by/its/id", recorded)
        .mmap2(at, 0x7000, 0x1000, &name("never hit"))
        .mmap2(at, 0x8000, 0x1000, "relative")
        .mmap2(at, 0x9000, 0x1000, &name("."))
        .sample(
            CpuMode::User,
            At::new(1, 2),
            0x1000,
            &[0x2000, 0x3000, 0x4000, 0x5000, 0x6000, 0x8000, 0x9000],
        )
        .bytes();
    let output = run(perftool(&["inject", "-b", "-v", "--allow-changed"]), &stream);
    let text = told(&output).replace(&name(""), "DIR/");
    assert_snapshot!(text.replace(&*dir.path().to_string_lossy(), "DIR"));
    let ids = perf_format::testing::ids_in(
        &perf_format::testing::injected(&stream, &output.stdout),
        Endian::Little,
    );
    assert_eq!(ids.len(), 2, "{ids:?}");
    assert_eq!(ids[1].1.as_bytes(), [1, 2, 3], "an id keeps its length");
}

#[test]
fn inputs_by_name_are_opened_with_care() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("in.pipe");
    fs::write(&path, stream().bytes()).expect("written");
    let by_name = |args: &[&str], path: &Path| {
        let name = std::ffi::OsStr::from_bytes(path.as_os_str().as_bytes());
        told(&perftool(&["inject", "-b"]).args(args).arg("-i").arg(name).output().expect("it runs"))
            .replace(&*dir.path().to_string_lossy(), "DIR")
    };
    let told = [by_name(&[], &path), by_name(&[], &dir.path().join("nowhere")), by_name(&[], dir.path())];
    assert_snapshot!(told.join("\n"));
    // Who may not give files away may not run this part; root, as whom CI runs, may.
    if rustix::process::geteuid().is_root() {
        chown(&path, Some(12345), None).expect("root may");
        assert_snapshot!(
            "a_file_of_somebody_else",
            [by_name(&[], &path), by_name(&["-f"], &path)].join("\n")
        );
    } else {
        assert!(std::env::var_os("CI").is_none(), "CI runs as root");
    }
}

/// Runs the program with a terminal as its standard output, and its standard input if no file is given.
fn in_a_terminal(args: &str, input: Option<&Path>) -> String {
    let redirect = input.map(|path| format!(" < {}", path.display())).unwrap_or_default();
    let line = format!("{} {args}{redirect}", env!("CARGO_BIN_EXE_perftool"));
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .stdin(Stdio::null())
        .output()
        .expect("script(1) runs");
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stdout).expect("text").replace('\r', "")
}

#[test]
fn binary_data_is_kept_off_the_terminal() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("in.pipe");
    fs::write(&path, stream().bytes()).expect("written");
    assert_snapshot!(in_a_terminal("inject -b", Some(&path)));
    assert_snapshot!("nothing_is_read_from_a_terminal", in_a_terminal("inject -b > /dev/null", None));
}

#[test]
fn a_full_disk_is_an_error() {
    let mut command = perftool(&["inject"]);
    command.stdout(fs::File::options().write(true).open("/dev/full").expect("/dev/full"));
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("in.pipe");
    fs::write(&path, stream().bytes()).expect("written");
    let output = command.arg("-i").arg(&path).output().expect("it runs");
    assert_snapshot!(told(&output));
}

#[test]
fn what_is_injected_is_what_perf_defines() {
    let stream = with_vdso(&stream().kernel(0xffff_ffff_8000_0000, 0x1000))
        .sample(CpuMode::Kernel, At::new(7, 3), 0xffff_ffff_8000_0010, &[])
        .bytes();
    let output = run(perftool(&["inject", "-b", "--allow-changed", WITH_VDSO]), &stream);
    let injected = perf_format::testing::injected(&stream, &output.stdout);
    let heads: Vec<_> = injected
        .iter()
        .map(|record| {
            (record.bytes[..8].to_vec(), record.bytes[8..12].to_vec(), record.bytes[32..36].to_vec())
        })
        .collect();
    // Type 67, misc: size bit and user, then kernel; size 48 and 56; pid -1; 20 bytes of id, three of nothing.
    let vdso = (vec![67, 0, 0, 0, 2, 0x80, 48, 0], vec![255; 4], vec![20, 0, 0, 0]);
    let kernel = (vec![67, 0, 0, 0, 1, 0x80, 56, 0], vec![255; 4], vec![20, 0, 0, 0]);
    assert_eq!(heads, [vdso, kernel]);
    let names: Vec<_> =
        perf_format::testing::ids_in(&injected, Endian::Little).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["[vdso]", "[kernel.kallsyms]"]);
}

#[test]
fn a_map_whose_name_nearly_fills_its_record_does_not_end_the_run() {
    let name = format!("/{}", "n".repeat(65_430));
    let map = Mmap2 {
        pid: 1,
        tid: 1,
        start: 0x1000,
        len: 0x1000,
        pgoff: 0,
        file: MapFile::BuildId(Some(BuildId::new(&[7; 20]).expect("an id"))),
        prot: 5,
        flags: 2,
        filename: name.as_str().into(),
    };
    let stream = stream()
        .traced(Misc::of(CpuMode::User), &Record::Mmap2(map), At::new(1, 1))
        .sample(CpuMode::User, At::new(1, 2), 0x1000, &[])
        .bytes();
    let output = run(perftool(&["inject", "-b"]), &stream);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(perf_format::testing::injected(&stream, &output.stdout).len(), 1);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let stream = stream().bytes();
    assert_snapshot!(inject(&["--buildid-to=events"], &stream));
}

#[test]
fn nobody_to_tell_is_no_reason_to_panic() {
    let mut command = perftool(&["inject", "-i", "/nowhere"]);
    command.stderr(fs::File::options().write(true).open("/dev/full").expect("/dev/full"));
    assert_eq!(command.status().expect("it runs").code(), Some(1));
}
