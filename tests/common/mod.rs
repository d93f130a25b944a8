//! What several test files share: the program run on bytes, the recordings in tests/data, made-up streams.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of it")]

use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Once;
use std::time::Duration;

use perf_format::testing::StreamBuilder;
use perf_inject::{DsoSelection, IdsTo, Plan};
use perf_session::build_id::{Chain, NoFiles, Recorded};
use perf_session::testing::{Named, Ran, process};

pub mod chains;
pub mod oracle;
pub mod running;

/// An option that gives the vdso an id, which readers find by its name otherwise: every machine has one.
pub const WITH_VDSO: &str = "--known-build-ids=abababababababababababababababababababab [vdso]";

/// The same stream, recorded on this machine, as its features say.
pub fn recorded_here(stream: StreamBuilder) -> StreamBuilder {
    let uname = rustix::system::uname();
    let [name, release, arch] =
        [uname.nodename(), uname.release(), uname.machine()].map(|text| text.to_str().expect("text"));
    stream.recorded_on(name, release, arch)
}

/// The program under test. Where it hangs, the tests that run it end, all of them, long after they should have.
pub fn perftool(args: &[&str]) -> Command {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| drop(std::thread::spawn(watch)));
    let mut command = Command::new(env!("CARGO_BIN_EXE_perftool"));
    // Nobody elsewhere is asked, whatever this machine's user asks.
    command.args(args).env_remove("DEBUGINFOD_URLS");
    command
}

/// How long the tests of a file may take together, on a machine that is busy with much else.
const FOR_EVER: Duration = Duration::from_secs(900);

#[expect(clippy::print_stderr, reason = "nobody else says why the tests end")]
fn watch() {
    std::thread::sleep(FOR_EVER);
    eprintln!(
        "a test waited for ever for a program that hangs; those that still run are above, or have no line yet"
    );
    std::process::abort();
}

/// Runs a command with these bytes on its standard input.
pub fn run(mut command: Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    std::thread::scope(|scope| {
        // A program that refuses its input closes it; what it then says is what the test looks at.
        scope.spawn(move || stdin.write_all(input).or_else(broken_pipe_is_fine));
        child.wait_with_output().expect("the program ends")
    })
}

fn broken_pipe_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("messages are text")
}

/// The folder of recordings.
pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// The recordings in tests/data in pipe format, by name.
pub fn pipe_recordings() -> Vec<(String, Vec<u8>)> {
    let mut recordings: Vec<_> = std::fs::read_dir(data())
        .expect("tests/data is there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pipe"))
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read(path).expect("a recording"))
        })
        .collect();
    recordings.sort();
    assert!(recordings.len() >= 10, "a dozen recordings are kept; {} are there", recordings.len());
    recordings
}

/// Where ids go in a pipe.
pub const EVENTS: IdsTo = IdsTo { header: false, events: true, mmap2: false };

/// `-b`.
pub const HIT: Plan = Plan { build_ids: Some(DsoSelection::Hit), ..Plan::NOTHING };

/// The chain of a live pipeline, with [`Named`] in the place of this machine's files.
pub fn named() -> Chain {
    Chain(vec![Box::new(Recorded), Box::new(NoFiles), Box::new(Named)])
}

/// Runs `-b` over a stream, with [`named`] ids.
pub fn inject(source: impl Read) -> Ran {
    process(source, &mut HIT.tools(named(), EVENTS).as_tools())
}
