//! perf's own shell tests of inject and buildid-list, with this program in the place of both. They come with perf's
//! sources, whose licence is another: they are run from where a perf was built, and nothing of them is here.

mod common;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::oracle::{self, Perf};
use common::stderr;

/// One of them, and how it is run.
struct ShellTest {
    name: &'static str,
    /// How often it has to run this program: one that never did would pass whatever this program does.
    at_least: usize,
    /// What it prints where it may leave itself out: something that this machine does not have.
    skips: &'static [&'static str],
    /// Whether what `perf report` reads in it comes through `inject -b`: it runs neither of the two by itself.
    report_through_inject: bool,
    /// Whether it looks into /tmp, where a runtime leaves its dumps. The others get a directory of their own for that.
    in_tmp: bool,
}

/// A test that neither may leave itself out nor needs anything.
const PLAIN: ShellTest =
    ShellTest { name: "", at_least: 1, skips: &[], report_through_inject: false, in_tmp: false };

const TESTS: [ShellTest; 8] = [
    ShellTest { name: "pipe_test.sh", at_least: 24, ..PLAIN },
    ShellTest { name: "inject-callchain.sh", skips: &["DWARF support is not available"], ..PLAIN },
    ShellTest { name: "buildid.sh", skips: &["no readelf", "no compiler"], ..PLAIN },
    // Of a file and of a pipe.
    ShellTest { name: "header.sh", at_least: 2, report_through_inject: true, ..PLAIN },
    ShellTest { name: "record+zstd_comp_decomp.sh", ..PLAIN },
    ShellTest {
        name: "record+zstd_comp_decomp_multi_record.sh",
        // As many records as this machine makes in the time.
        skips: &["less than two compressed records"],
        ..PLAIN
    },
    ShellTest {
        name: "jitdump-python.sh",
        skips: &["python JIT dump is not available", "python not detected"],
        in_tmp: true,
        ..PLAIN
    },
    ShellTest {
        name: "test_java_symbol.sh",
        skips: &["no jshell", "Fail to find libperf-jvmti.so"],
        ..PLAIN
    },
];

/// A perf whose inject and buildid-list are this program. Options in front of the subcommand are perf's alone.
const WRAPPER: &str = r#"#!/bin/sh
before=0 value=
for arg; do
    before=$((before + 1))
    case $arg in
        --buildid-dir) value=follows ;;
        -*) ;;
        *) [ "$value" ] || break
           value= ;;
    esac
done
case $arg in
    inject | buildid-list)
        shift "$before"
        echo "$arg" >> "$ASKED"
        exec "$PERFTOOL" "$arg" "$@" ;;
    report)
        [ "$REPORT_THROUGH_INJECT" ] || exec "$PERF" "$@"
        echo inject >> "$ASKED"
        input=
        for arg; do
            [ "$input" != follows ] || input=$arg
            [ "$arg" != -i ] || input=follows
        done
        if [ "$input" = - ]; then
            "$PERFTOOL" inject -b | "$PERF" "$@"
        else
            "$PERFTOOL" inject -b -i "$input" -o "$input" && "$PERF" "$@"
        fi ;;
    *) exec "$PERF" "$@" ;;
esac
"#;

/// Where the shell tests are of a perf that was built here, and beside it.
fn shell_tests(perf: &Perf) -> Option<PathBuf> {
    let dir = Path::new(&perf.program).parent()?.join("tests/shell");
    dir.is_dir().then_some(dir)
}

/// Says what was left out, where the output of a test that passes is seen as well.
fn say(line: &str) {
    // Nobody reads it where that fails.
    drop(writeln!(io::stderr(), "{line}"));
}

/// A Python that writes jitdumps, where one is here: 3.13 or later. Systems have an older one under the plain name.
fn python() -> OsString {
    let mut pythons: Vec<OsString> = ["python3", "python3.13", "python3.14"].map(OsString::from).to_vec();
    let home = std::env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv")));
    let versions = home.and_then(|home| fs::read_dir(home.join("versions")).ok());
    let versions = versions.into_iter().flatten().flatten();
    pythons.extend(versions.map(|version| version.path().join("bin/python3").into_os_string()));
    let writes_jitdumps = |python: &OsString| {
        let asked = "import sys; sys.exit(sys.version_info < (3, 13))";
        let mut command = Command::new(python);
        command.args(["-c", asked]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    pythons.into_iter().find(writes_jitdumps).unwrap_or_else(|| "python3".into())
}

/// Runs one of them, in a directory of its own.
fn run(perf: &Perf, tests: &Path, test: &ShellTest) {
    let name = test.name;
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    let program = fs::canonicalize(&perf.program).expect("there");
    let mut text = fs::read_to_string(tests.join(name)).expect("it comes with perf");
    if !test.in_tmp {
        text = text.replace("/tmp/", &format!("{}/", dir.path().display()));
    }
    for folder in ["shell", "bin", "home"] {
        fs::create_dir(path(folder)).expect("made");
    }
    fs::write(path("shell").join(name), text).expect("written");
    symlink(tests.join("lib"), path("shell/lib")).expect("linked");
    fs::write(path("bin/perf"), WRAPPER).expect("written");
    fs::set_permissions(path("bin/perf"), fs::Permissions::from_mode(0o755)).expect("set");
    let agent = program.with_file_name("libperf-jvmti.so");
    if agent.exists() {
        symlink(agent, path("bin/libperf-jvmti.so")).expect("linked");
    }
    let before = std::env::var("PATH").expect("text");
    let mut bash = Command::new("bash");
    bash.arg(path("shell").join(name)).current_dir(dir.path()).stdin(Stdio::null());
    bash.env("PATH", format!("{}:{before}", path("bin").display())).env("PYTHON", python());
    bash.env("HOME", path("home")).env("PERF", program).env("ASKED", path("asked"));
    bash.env("PERFTOOL", env!("CARGO_BIN_EXE_perftool"));
    bash.env("REPORT_THROUGH_INJECT", if test.report_through_inject { "1" } else { "" });
    let output = bash.output().expect("bash is here");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), stderr(&output));
    if output.status.code() == Some(2)
        && let Some(reason) = test.skips.iter().find(|reason| said.contains(*reason))
    {
        return say(&format!("left out, since it says \"{reason}\" here: {name} of {perf}"));
    }
    assert_eq!(output.status.code(), Some(0), "{name} of {perf}: {said}");
    let asked = fs::read_to_string(path("asked")).map_or(0, |asked| asked.lines().count());
    assert!(asked >= test.at_least, "{name} of {perf} ran this program {asked} times");
}

#[test]
fn perfs_own_tests_pass_with_this_program_in_the_place_of_inject_and_buildid_list() {
    let mut ran = 0;
    let perfs = oracle::perfs_from_7_on("perf's own shell tests");
    for perf in &perfs {
        let Some(tests) = shell_tests(perf) else { continue };
        let tests = fs::canonicalize(tests).expect("there");
        ran += 1;
        std::thread::scope(|scope| {
            let runs = TESTS.each_ref().map(|test| (test.name, scope.spawn(|| run(perf, &tests, test))));
            let failed = runs.map(|(name, run)| run.join().is_err().then_some(name));
            let failed: Vec<_> = failed.into_iter().flatten().collect();
            assert!(failed.is_empty(), "{failed:?} of {perf} do not pass: see above");
        });
    }
    if ran == 0 {
        let alone = "no perf of PERFTOOL_PERFS of version 7 or later has its tests/shell beside it";
        assert!(perfs.is_empty() || std::env::var_os("CI").is_none(), "{alone}");
        say(&format!("left out, since {alone}: perf's own shell tests"));
    }
}
