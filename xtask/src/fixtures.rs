//! `cargo xtask fixtures`: records tests/data again with real perf, in a room of its own that shows nothing of the
//! machine round it, and writes its README.md out of the same table.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::newest_perf::NewestPerf;
use crate::run;
use crate::tidy;
use crate::workspace::Workspace;

mod readme;
mod table;

const FOLDER: &str = "tests/data";

/// Git keeps every one of them for ever.
const MAX_BYTES: usize = 200_000;

/// Runs perf record among no other processes, under a name that is nobody's, with /tmp, the tracepoints and the
/// cgroups in known places, and writes what it recorded to standard output. Any perf stands where the system's does,
/// whose path is in the recording.
const ROOM: &str = r#"set -e
hostname debian
perf=$1
shift
[ "$perf" = perf ] || mount --bind "$perf" "$(command -v perf)"
mount -t tmpfs none /tmp
mountpoint -q /sys/kernel/tracing || mount -t tracefs none /sys/kernel/tracing
mount -t cgroup2 none /mnt
cd /
out=$1
shift
if [ "$out" = - ]; then
    exec perf record -o - "$@"
fi
perf record -o "$out" "$@" >&2
cat "$out"
"#;

/// Which perf records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// The system's.
    Perf,
    /// The newest, which `.ci/newest-perf` builds.
    Newest,
}

/// The perfs that are here.
struct Perfs {
    newest: Option<PathBuf>,
}

impl Perfs {
    /// # Errors
    /// The newest is not built.
    fn program(&self, by: By) -> anyhow::Result<&Path> {
        match by {
            By::Perf => Ok(Path::new("perf")),
            By::Newest => self.newest.as_deref().context("it takes .ci/newest-perf target/newest-perf"),
        }
    }
}

/// One recording, and how it is made: `perf record OPTIONS -- sh -c SCRIPT`.
struct Fixture {
    /// NAME.pipe is what perf writes to a pipe, NAME.data what it writes to a file.
    file: &'static str,
    by: By,
    options: &'static str,
    script: &'static str,
    /// What it is there to show.
    shows: &'static str,
}

impl Fixture {
    /// What follows `perf record -o`.
    fn args(&self) -> Vec<String> {
        let out = if self.file.ends_with(".pipe") { "-".to_owned() } else { format!("/tmp/{}", self.file) };
        let mut args = vec![out];
        args.extend(self.options.split_whitespace().map(str::to_owned));
        args.extend(["--", "sh", "-c", self.script].map(str::to_owned));
        args
    }

    fn path(&self) -> String {
        format!("{FOLDER}/{}", self.file)
    }

    fn record(&self, perfs: &Perfs) -> anyhow::Result<()> {
        let mut room = Command::new("unshare");
        room.args(["--mount", "--uts", "--pid", "--mount-proc", "--kill-child", "sh", "-c", ROOM, "sh"]);
        room.arg(perfs.program(self.by)?);
        // The environment is on the stack of every program, and with --call-graph dwarf in the recording.
        room.args(self.args()).env_clear();
        room.envs([("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("HOME", "/tmp"), ("LC_ALL", "C")]);
        let recorded = run::output(room).context("recording takes root and Linux with perf")?;
        if recorded.len() > MAX_BYTES {
            bail!("it has {} bytes; {MAX_BYTES} are allowed", recorded.len());
        }
        if let Some(path) = tidy::private(&recorded) {
            bail!("it names a path in {path}: record again when nobody else is at work");
        }
        fs::write(self.path(), recorded).with_context(|| format!("cannot write {}", self.path()))
    }

    /// What perf itself reads in it.
    fn script(&self, perfs: &Perfs) -> anyhow::Result<String> {
        let mut perf = Command::new(perfs.program(self.by)?);
        perf.args(["script", "--header", "-f", "-i", &self.path()]);
        let lines = String::from_utf8_lossy(&run::output(perf)?).into_owned();
        if lines.lines().all(|line| line.starts_with('#')) {
            bail!("perf script sees no sample in it");
        }
        Ok(lines)
    }
}

pub(crate) fn run(workspace: &Workspace, files: &[String]) -> anyhow::Result<()> {
    if let Some(unknown) = files.iter().find(|file| table::FIXTURES.iter().all(|row| row.file != **file)) {
        bail!("no fixture is called {unknown}: see xtask/src/fixtures/table.rs");
    }
    fs::create_dir_all(FOLDER)?;
    let perfs = Perfs { newest: NewestPerf::built(workspace) };
    for fixture in table::FIXTURES {
        if files.is_empty() || files.iter().any(|file| file == fixture.file) {
            fixture.record(&perfs).with_context(|| format!("cannot record {}", fixture.file))?;
        }
    }
    let readme = readme::render(table::FIXTURES, &perfs)?;
    fs::write(format!("{FOLDER}/README.md"), readme).context("cannot write the README.md")
}
