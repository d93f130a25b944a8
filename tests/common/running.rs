//! Processes whose ends a test holds in its hands: what goes in, what comes out and when, and how they end. Nothing
//! here waits for ever.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::ioctl_fionread;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, kill_process};

/// A program that does not do what it should would let the test wait for ever; this long is for ever, also where a
/// machine is busy with many tests.
pub const FOR_EVER: Duration = Duration::from_secs(300);

/// Looks again and again until something is so.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < FOR_EVER, "waited for ever until {what}");
        std::thread::yield_now();
    }
}

/// A process that the test has started, and that does not outlive it.
#[derive(Debug)]
pub struct Running {
    pub child: Child,
    stderr: File,
}

/// How a process ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub told: String,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let stderr = tempfile::tempfile().expect("a file");
        command.stderr(stderr.try_clone().expect("the same file"));
        let child = command.spawn().expect("the program starts");
        // What the command holds of pipes is closed, so that their ends are seen.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { child, stderr }
    }

    /// What the kernel says of it in a word: `R` where it runs, `S` where it waits, `Z` where it has ended.
    fn state(&self) -> String {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it is there");
        let state = stat.rsplit(") ").next().and_then(|state| state.split(' ').next());
        state.expect("a state").to_owned()
    }

    /// Whether it waits for something, be it input or room in a pipe, or has ended.
    pub fn waits(&self) -> bool {
        matches!(&*self.state(), "S" | "Z")
    }

    /// Waits until it has taken all that is in its input's pipe, and waits for more, or has ended.
    pub fn wait_until_it_wants_more(&self, stdin: &File) {
        wait_until("all is read", || {
            let state = self.state();
            state == "Z" || ioctl_fionread(stdin).expect("a pipe") == 0 && self.state() == "S"
        });
    }

    /// Sends a signal, and waits until it has been heard: one that is still pending would swallow a second.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is there");
        wait_until("the signal is heard", || {
            let status =
                fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it is there");
            let pending =
                status.lines().filter(|line| line.starts_with("SigPnd:") || line.starts_with("ShdPnd:"));
            pending.clone().all(|line| line.ends_with(&"0".repeat(16))) || status.contains("State:\tZ")
        });
    }

    /// Waits for its end; whatever that is, it is none that the README does not know.
    pub fn end(mut self) -> Ended {
        let mut status = None;
        wait_until("the program ends", || {
            status = self.child.try_wait().expect("it runs or has ended");
            status.is_some()
        });
        let status = status.expect("it has ended");
        let mut told = String::new();
        self.stderr.rewind().expect("a file");
        self.stderr.read_to_string(&mut told).expect("messages are text");
        assert!(!told.contains("panicked"), "{told}");
        // The files of made recordings are nowhere, which is said, and is no matter here.
        let matters = |line: &&str| !line.contains("% of the samples have no name to come");
        let told: String = told.split_inclusive('\n').filter(matters).collect();
        match status.code() {
            Some(code) => assert!([0, 1, 129, 141].contains(&code), "{status}: {told}"),
            None => assert_ne!(status.signal(), Some(Signal::BUS.as_raw()), "{told}"),
        }
        Ended { status, told }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Ended {
    pub fn well(&self) {
        assert!(self.status.success(), "{}: {}", self.status, self.told);
        assert_eq!(self.told, "");
    }

    /// An error of one line, and each of its causes in a line of its own.
    pub fn causes(&self) -> Vec<&str> {
        assert_eq!(self.status.code(), Some(1), "{}: {}", self.status, self.told);
        let mut lines = self.told.lines();
        assert!(lines.next().is_some_and(|line| line.starts_with("perftool: error: ")), "{}", self.told);
        let causes: Vec<_> = lines.map(|line| line.strip_prefix("  caused by: ").expect("a cause")).collect();
        assert!(!causes.is_empty(), "{}", self.told);
        causes
    }

    pub fn by(&self, signal: Signal) {
        assert_eq!(self.status.signal(), Some(signal.as_raw()), "{}: {}", self.status, self.told);
        assert_eq!(self.told, "", "quietly");
    }
}

/// A pipe: where it is read, and where it is written.
pub fn pipe() -> (File, File) {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
    (read.into(), write.into())
}

pub fn set_nonblocking(file: &File, nonblocking: bool) {
    let mut flags = fcntl_getfl(file).expect("flags");
    flags.set(OFlags::NONBLOCK, nonblocking);
    fcntl_setfl(file, flags).expect("flags");
}

/// Waits until a pipe has bytes in it, or is closed.
pub fn wait_for_bytes(pipe: &File) {
    let limit = Timespec { tv_sec: FOR_EVER.as_secs().try_into().expect("small"), tv_nsec: 0 };
    let ready = poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&limit)).expect("a pipe");
    assert_eq!(ready, 1, "waited for ever for bytes");
}

/// Reads until so many bytes have come out in all.
pub fn read_up_to(pipe: &mut File, out: &mut Vec<u8>, len: usize) {
    let mut buffer = vec![0; 1 << 16];
    while out.len() < len {
        wait_for_bytes(pipe);
        let read = pipe.read(&mut buffer).expect("a pipe");
        assert!(read > 0, "it ended after {} of {len} bytes", out.len());
        out.extend(&buffer[..read]);
    }
}

/// All that still comes out.
pub fn rest(mut pipe: File) -> Vec<u8> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("a pipe");
        sender.send(bytes).ok();
    });
    receiver.recv_timeout(FOR_EVER).expect("the output ends")
}

/// Writes from a thread of its own. A program that ends before has its reasons, which are what the test looks at.
pub fn feed(mut pipe: File, bytes: Vec<u8>) {
    std::thread::spawn(move || pipe.write_all(&bytes));
}

/// Opens a FIFO whether or not somebody writes to it.
pub fn open_to_read(fifo: &Path) -> File {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(fifo, flags, Mode::empty()).expect("a FIFO"));
    set_nonblocking(&file, false);
    file
}

/// Opens a FIFO as soon as somebody reads from it.
pub fn open_to_write(fifo: &Path) -> File {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = None;
    wait_until("somebody reads", || {
        file = rustix::fs::open(fifo, flags, Mode::empty()).ok().map(File::from);
        file.is_some()
    });
    let file = file.expect("it is open");
    set_nonblocking(&file, false);
    file
}
