//! Real perf, in each version that is here: the judge of what comes out. The environment variable `PERFTOOL_PERFS` names
//! them, separated by colons; by default it is the perf of the PATH alone. The first of them records.
#![expect(clippy::print_stderr, reason = "a test that is left out says so")]

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// How a recording is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    File,
    Pipe,
}

impl Format {
    /// What a recording of tests/data is in.
    pub fn of(recording: &str) -> Self {
        if recording.ends_with(".data") { Self::File } else { Self::Pipe }
    }
}

/// A perf that runs here.
#[derive(Debug)]
pub struct Perf {
    /// A path, or a name in the PATH.
    pub program: OsString,
    version: String,
}

impl fmt::Display for Perf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "perf {}", self.version)
    }
}

impl Perf {
    /// `None` where it does not run.
    fn new(program: &OsStr) -> Option<Self> {
        let output = Command::new(program).arg("version").output().ok()?;
        let version = String::from_utf8(output.stdout).ok()?.trim().strip_prefix("perf version ")?.to_owned();
        output.status.success().then(|| Self { program: program.to_owned(), version })
    }

    /// Runs it as a reader, who must not depend on what the user of this machine has cached or configured.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("HOME", "/nonexistent").env("DEBUGINFOD_URLS", "");
        command
    }

    /// The first number of its version.
    pub fn major(&self) -> u32 {
        self.version.split('.').next().and_then(|major| major.parse().ok()).expect("a version")
    }

    /// Whether it reads a recording of tests/data, or what is made of it, in file format or in a pipe's. Those before 7
    /// refuse files whose attrs are longer than their own, as those of newest* are, but not pipes with such attrs; and
    /// COMPRESSED2 records. What is refused is named.
    pub fn reads(&self, recording: &str, format: Format) -> bool {
        let reads = self.major() >= 7
            || !recording.starts_with("newest")
            || (format == Format::Pipe && !recording.contains("compressed"));
        if !reads {
            eprintln!("left out, since {self} refuses it: {recording} as a {format:?}");
        }
        reads
    }
}

/// The perfs that are here. Where there is none, a test that needs one says that it was left out; in CI that is a
/// failure.
pub fn perfs(test: &str) -> &'static [Perf] {
    static PERFS: OnceLock<Vec<Perf>> = OnceLock::new();
    let perfs = PERFS.get_or_init(|| match std::env::var_os("PERFTOOL_PERFS") {
        Some(named) => {
            let programs = named.as_bytes().split(|byte| *byte == b':').map(OsStr::from_bytes);
            let runs = |program: &OsStr| {
                Perf::new(program).unwrap_or_else(|| panic!("{} is no perf", program.display()))
            };
            programs.map(runs).collect()
        }
        None => Perf::new("perf".as_ref()).into_iter().collect(),
    });
    assert!(
        !perfs.is_empty() || std::env::var_os("CI").is_none(),
        "perf is missing: CI has to install linux-perf"
    );
    if perfs.is_empty() {
        eprintln!("left out, since perf is missing: {test}");
    }
    perfs
}

/// The perf that records; `None`, and said, where there is none.
pub fn recorder(test: &str) -> Option<&'static Perf> {
    perfs(test).first()
}

/// The perfs whose lists are sorted by name and in which call chains hit, as those of 7.3 are. Where there is none, a test
/// that wants one says so.
pub fn perfs_from_7_on(test: &str) -> Vec<&'static Perf> {
    let perfs: Vec<_> = perfs(test).iter().filter(|perf| perf.major() >= 7).collect();
    if perfs.is_empty() {
        eprintln!("left out, since no perf of PERFTOOL_PERFS is of version 7 or later: {test}");
    }
    perfs
}

/// Whether the programs of a Debian package are here. Where one is not, a test that needs them says that it was left out; in CI
/// that is a failure.
pub fn are_here(package: &str, programs: &[&str], test: &str) -> bool {
    let is_here = |name: &&str| {
        Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    let here = programs.iter().all(is_here);
    assert!(here || std::env::var_os("CI").is_none(), "{package} is missing: CI has to install it");
    if !here {
        eprintln!("left out, since {package} is missing: {test}");
    }
    here
}

/// Records a program into a stream, a sample each half of a millisecond, with these options besides; `None` where that cannot
/// be done.
pub fn record_stream(recorder: &Perf, options: &[&str], program: &Path, stream: &Path) -> Option<()> {
    let mut perf = Command::new(&recorder.program);
    perf.args(["record", "-q", "-e", "cpu-clock", "-F", "2000", "-o", "-"])
        .args(options)
        .arg("--")
        .arg(program);
    perf.stdin(Stdio::null()).stdout(File::create(stream).expect("a file")).stderr(Stdio::piped());
    let output = perf.output().expect("perf runs");
    if !output.status.success() {
        cannot_record(&String::from_utf8_lossy(&output.stderr));
        return None;
    }
    Some(())
}

/// Says that a test was left out, since perf may not record; in CI that is a failure.
pub fn cannot_record(said: &str) {
    assert!(std::env::var_os("CI").is_none(), "perf cannot record here: {said}");
    eprintln!("left out, since perf cannot record here: {said}");
}

/// Says that a case was left out, since this machine does not let it be set up (mounts, namespaces); in CI that is a
/// failure.
pub fn cannot_set_up(case: &str, said: &str) {
    assert!(std::env::var_os("CI").is_none(), "{case}: it cannot be set up here: {said}");
    eprintln!("left out, since it cannot be set up here: {case}: {}", said.trim_end());
}
