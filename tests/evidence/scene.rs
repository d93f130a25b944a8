//! A case: where a build lies, how it is recorded, and how what `inject -b` gives it is judged.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{PipeWriter, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use perf_format::testing::{ids_in, injected, records};
use perf_format::{BuildId, Endian};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tempfile::TempDir;

use crate::builds::{Build, Builds, Part, directory};
use crate::common::running::wait_until;
use crate::common::{perftool, run, stderr};
use crate::mounts::MountNamespace;

/// How a case went, or what is wrong with it.
pub(crate) type Judged<T = ()> = Result<T, String>;

/// A directory in which a build has its place, with what is needed to run and record it.
pub(crate) struct Scene<'b> {
    pub(crate) builds: &'b Builds,
    pub(crate) part: Part,
    dir: TempDir,
    /// The mount namespace in which the recording is made and read, if it is another.
    mounts: Option<MountNamespace>,
}

/// In which format perf writes the recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Stream,
    File,
}

/// A recording, and what still runs of it.
pub(crate) struct Recording {
    data: Data,
    process: Option<Process>,
}

/// The end of the program's input, with which it ends, and the process that was started for it.
struct Process {
    input: PipeWriter,
    _child: Option<Reaped>,
}

enum Data {
    Stream(Vec<u8>),
    File(PathBuf),
}

impl<'b> Scene<'b> {
    /// A place where nothing is yet.
    pub(crate) fn empty(builds: &'b Builds, part: Part) -> Self {
        let scene = Self { builds, part, dir: directory(), mounts: None };
        fs::create_dir(scene.here()).expect("made");
        scene
    }

    /// A place with one of the builds.
    pub(crate) fn new(builds: &'b Builds, part: Part, build: Build) -> Self {
        let scene = Self::empty(builds, part);
        fs::copy(builds.file(part, build), scene.path()).expect("copied");
        scene
    }

    /// A place without anything, recorded and read where others do not see its mounts.
    pub(crate) fn with_mounts(builds: &'b Builds, part: Part, mounts: MountNamespace) -> Self {
        Self { mounts: Some(mounts), ..Self::empty(builds, part) }
    }

    /// A path of the scene's own.
    pub(crate) fn own(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().expect("it is there").join(name)
    }

    /// The directory of the place.
    pub(crate) fn here(&self) -> PathBuf {
        self.own("here")
    }

    /// The place, which is the DSO's name.
    pub(crate) fn path(&self) -> PathBuf {
        self.here().join(match self.part {
            Part::Program => "program",
            Part::Library => "libwork.so",
        })
    }

    pub(crate) fn old(&self) -> PathBuf {
        self.builds.file(self.part, Build::Old)
    }

    pub(crate) fn new_build(&self) -> PathBuf {
        self.builds.file(self.part, Build::New)
    }

    /// The command that maps and hits what is in the place.
    pub(crate) fn command(&self) -> Vec<OsString> {
        match self.part {
            Part::Program => vec![self.path().into()],
            Part::Library => vec![self.builds.host().into(), self.path().into()],
        }
    }

    /// Runs a shell's script, which ends with an error where one of its commands does. It knows `$HERE`, `$PLACE`, `$OLD`,
    /// `$NEW` and `$OWN`, a directory for what else it needs.
    pub(crate) fn shell(&self, script: &str) -> Judged {
        let mut sh = Command::new("sh");
        sh.args(["-ec", script]).stdin(Stdio::null());
        let mut sh = self.prepared(sh);
        done(&sh.output().expect("sh runs")).map(drop)
    }

    /// A command where the mounts are, with the names of the scene in its environment.
    pub(crate) fn prepared(&self, command: Command) -> Command {
        let mut command = match &self.mounts {
            Some(mounts) => mounts.enter(&command),
            None => command,
        };
        command.env("HERE", self.here()).env("PLACE", self.path());
        command.env("OLD", self.old()).env("NEW", self.new_build()).env("OWN", self.own(""));
        command
    }

    /// `perf record`, without what takes time and changes files: its cache links to each file that is hit.
    fn perf(&self, form: Form, args: &[&str]) -> Command {
        let mut perf = Command::new("perf");
        perf.args(["record", "-q", "--no-bpf-event", "-e", "cpu-clock", "-F", "2000"]);
        match form {
            Form::Stream => perf.args(["-o", "-"]),
            Form::File => perf.args(["-B", "-N", "-o"]).arg(self.own("recorded")),
        };
        perf.args(args);
        perf
    }

    /// What perf wrote.
    fn recorded(&self, form: Form, output: Output, process: Option<Process>) -> Judged<Recording> {
        let said = done(&output)?;
        let data = match form {
            Form::Stream => Data::Stream(output.stdout),
            Form::File => Data::File(self.own("recorded")),
        };
        let len = match &data {
            Data::Stream(stream) => stream.len() as u64,
            Data::File(path) => fs::metadata(path).map_or(0, |meta| meta.len()),
        };
        if len < 2000 {
            return Err(format!("nothing was recorded: {said}"));
        }
        Ok(Recording { data, process })
    }

    /// Records a command to its end.
    pub(crate) fn record(&self, form: Form, command: &[OsString]) -> Judged<Recording> {
        let mut perf = self.perf(form, &["--"]);
        perf.args(command).stdin(Stdio::null());
        let output = self.prepared(perf).output().expect("perf runs");
        self.recorded(form, output, None)
    }

    /// `perf record -o - COMMAND | perftool inject -b`, and what came out.
    pub(crate) fn live_pipe(&self, command: &[OsString]) -> Judged<Injected> {
        let mut perf = self.perf(Form::Stream, &["--"]);
        let mut perf =
            perf.args(command).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("perf runs");
        let stream = perf.stdout.take().expect("a pipe");
        let output = perftool(&["inject", "-b"]).stdin(stream).output().expect("it runs");
        perf.wait().expect("perf ends");
        let said = done(&output)?;
        Ok(Injected { ids: ids_in(&records(&output.stdout), Endian::NATIVE), said })
    }

    /// Records a command that still runs when perf has ended: the maps are told as they are made.
    pub(crate) fn record_child(&self, form: Form, command: &[OsString]) -> Judged<Recording> {
        let script = r#"{ "$@" <&4 3>&1 >/dev/null 2>&1 4<&- & } 4<&0 | head -n 1 >/dev/null"#;
        let mut perf = self.perf(form, &["--", "sh", "-c", script, "sh"]);
        perf.args(command);
        let (input, lifeline) = std::io::pipe().expect("a pipe");
        let output = self.prepared(perf).stdin(input).output().expect("perf runs");
        self.recorded(form, output, Some(Process { input: lifeline, _child: None }))
    }

    /// Attaches to a command that runs already, and runs on: perf reads its maps from /proc.
    pub(crate) fn record_attached(&self, form: Form, command: &[OsString]) -> Judged<Recording> {
        let (input, lifeline) = std::io::pipe().expect("a pipe");
        let mut sh = Command::new("sh");
        sh.args(["-c", r#"exec "$@" 3>&1 >/dev/null"#, "sh"]).args(command);
        let mut sh = self.prepared(sh);
        let child = sh.stdin(input).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = Reaped(child.expect("sh runs"));
        // The command's own copies of pipes are closed.
        drop(sh);
        let mut worked = [0];
        let heard = child.0.stdout.take().expect("a pipe").read_exact(&mut worked);
        heard.map_err(|error| format!("it did not run: {error}"))?;
        let pid = last_below(child.0.id());
        self.record_pid(form, pid, Process { input: lifeline, _child: Some(child) })
    }

    fn record_pid(&self, form: Form, pid: u32, process: Process) -> Judged<Recording> {
        // Perf records as long as its command runs, and starts that when it records.
        let (input, end) = std::io::pipe().expect("a pipe");
        let records = self.own("records");
        let mut perf =
            self.perf(form, &["-p", &pid.to_string(), "--", "sh", "-c", r#": >"$0"; read end; :"#]);
        perf.arg(&records).stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = perf.spawn().expect("perf runs");
        drop(perf);
        let mut from = None;
        wait_until("it is sampled", || {
            std::thread::sleep(Duration::from_millis(2));
            if from.is_none() && records.exists() {
                from = Some(ticks(pid));
            }
            let ended = child.try_wait().expect("it runs or has ended").is_some();
            ended || from.is_some_and(|from| ticks(pid) >= from + 5)
        });
        drop(end);
        let output = child.wait_with_output().expect("perf ends");
        self.recorded(form, output, Some(process))
    }

    /// What `inject -b` makes of a recording.
    pub(crate) fn inject(&self, recording: &Recording) -> Judged<Injected> {
        match &recording.data {
            Data::Stream(stream) => {
                let output = run(self.prepared(perftool(&["inject", "-b"])), stream);
                let said = done(&output)?;
                Ok(Injected { ids: ids_in(&injected(stream, &output.stdout), Endian::NATIVE), said })
            }
            Data::File(path) => {
                let mut inject = perftool(&["inject", "-b", "-i"]);
                inject.arg(path).stdin(Stdio::null());
                let output = self.prepared(inject).output().expect("it runs");
                let said = done(&output)?;
                Ok(Injected { ids: ids_in(&records(&output.stdout), Endian::NATIVE), said })
            }
        }
    }

    /// Whether the build that was recorded is found.
    pub(crate) fn found(&self, recording: &Recording) -> Judged {
        self.inject(recording)?.found(&self.path())
    }

    /// Whether no build is found, and a line says so.
    pub(crate) fn refused(&self, recording: &Recording) -> Judged {
        self.inject(recording)?.refused(&self.path())
    }

    /// The inode number of what is in the place.
    pub(crate) fn inode(&self) -> u64 {
        let root = self.mounts.as_ref().map_or("/".into(), MountNamespace::root);
        let place = self.path();
        let path = root.join(place.strip_prefix("/").expect("it is absolute"));
        fs::metadata(path).expect("it is there").ino()
    }
}

impl Recording {
    /// Lets the program end, and waits until all that ran with it is gone, its namespaces too: a process closes its files
    /// after it has left those.
    pub(crate) fn end_process(&mut self) {
        let Process { mut input, _child } = self.process.take().expect("it runs");
        // If nobody reads it, it has ended.
        input.write_all(b"\n").ok();
        wait_until("no process has the pipe open", || {
            let mut fds = [PollFd::new(&input, PollFlags::empty())];
            // It is woken by the error alone.
            poll(&mut fds, Some(&Timespec { tv_sec: 1, tv_nsec: 0 })).expect("a pipe");
            fds[0].revents().contains(PollFlags::ERR)
        });
    }
}

/// The last in the line of a process's children: others only wait for it.
fn last_below(pid: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let child = children.split_whitespace().next().and_then(|child| child.parse().ok());
    child.map_or(pid, last_below)
}

/// The CPU time of a process, in ticks.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    // utime and stime, fields 14 and 15; the state is field 3.
    fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// A process that does not outlive the test.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// What a command said that succeeded.
fn done(output: &Output) -> Judged<String> {
    let said = stderr(output);
    if output.status.success() { Ok(said) } else { Err(format!("{}: {said}", output.status)) }
}

/// The ids that were injected, and what was said.
#[derive(Debug)]
pub(crate) struct Injected {
    pub(crate) ids: Vec<(String, BuildId)>,
    pub(crate) said: String,
}

impl Injected {
    fn id(&self, path: &Path) -> Option<BuildId> {
        self.ids.iter().find(|(name, _)| Some(&**name) == path.to_str()).map(|(_, id)| *id)
    }

    pub(crate) fn found(&self, path: &Path) -> Judged {
        match self.id(path) {
            Some(id) if id == Build::Old.id() => Ok(()),
            Some(id) if id == Build::New.id() => Err(format!("the id is the new build's; {self}")),
            Some(id) => Err(format!("the id is {id}; {self}")),
            None => Err(format!("there is no id; {self}")),
        }
    }

    pub(crate) fn refused(&self, path: &Path) -> Judged {
        match self.id(path) {
            Some(id) if id == Build::New.id() => Err(format!("the new build's id was given; {self}")),
            Some(id) => Err(format!("the id {id} was given; {self}")),
            None => {
                let name = path.to_str().expect("text");
                let tells = |line: &str| {
                    line.starts_with("perftool: warning: ")
                        && line.contains("no build-id for")
                        && line.contains(name)
                };
                if self.said.lines().any(tells) { Ok(()) } else { Err(format!("no line tells why; {self}")) }
            }
        }
    }
}

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.said.trim_end() {
            "" => f.write_str("it said nothing"),
            said => write!(f, "it said: {said}"),
        }
    }
}

/// The cases of a table. All of them are tried; those that went wrong are told at the end.
#[derive(Default)]
pub(crate) struct Cases {
    tried: usize,
    wrong: Vec<String>,
}

impl Cases {
    pub(crate) fn judge(&mut self, case: impl fmt::Display, judged: Judged) {
        self.tried += 1;
        if let Err(what) = judged {
            self.wrong.push(format!("  {case}: {what}"));
        }
    }

    #[track_caller]
    pub(crate) fn end(self) {
        let Self { tried, wrong } = self;
        assert!(wrong.is_empty(), "{} of {tried} cases went wrong:\n{}", wrong.len(), wrong.join("\n"));
    }
}
