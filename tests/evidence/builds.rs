//! Two builds of one program, and of one library, that differ in nothing but their build-ids: size and segments of a file
//! tell nothing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use perf_format::BuildId;
use tempfile::TempDir;

use crate::common::{oracle, stderr};

/// What samples hit.
const WORK: &str = "
#include <time.h>
void work(long ms) {
    volatile long n;
    clock_t end = clock() + ms * (CLOCKS_PER_SEC / 1000);
    while (clock() < end)
        for (n = 0; n < 100000; n++)
            ;
}
";

/// Works, writes a line to descriptor 3 if it has one, and works on now and then until its input ends. It writes nothing
/// to its output, which may be a recording. With HOST, the work is in the library that it is given, over which it first
/// writes another file if it is given one.
const MAIN: &str = "
#include <poll.h>
#include <unistd.h>
#ifdef HOST
#include <dlfcn.h>
#include <fcntl.h>
static char bytes[1 << 20];
#endif
void work(long ms);
int main(int argc, char **argv) {
    struct pollfd in = {0, POLLIN, 0};
#ifdef HOST
    void (*work)(long) = (void (*)(long))dlsym(dlopen(argv[1], RTLD_NOW), \"work\");
    if (argc > 2) {
        long len = read(open(argv[2], O_RDONLY), bytes, sizeof(bytes));
        len = write(open(argv[1], O_WRONLY), bytes, len);
    }
#endif
    work(50);
    argc = write(3, \"\\n\", 1);
    while (poll(&in, 1, 10) == 0)
        work(10);
    return 0;
}
";

/// The build that is recorded, and the one that comes after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    Old,
    New,
}

impl Build {
    fn hex(self) -> String {
        match self {
            Self::Old => "01d0".repeat(10),
            Self::New => "2e3f".repeat(10),
        }
    }

    pub(crate) fn id(self) -> BuildId {
        self.hex().parse().expect("hex digits")
    }
}

/// The DSO that a case is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// A program, linked statically: it runs below any root.
    Program,
    /// A library, which a program opens.
    Library,
}

/// A directory on a disk, as programs that are built lie on one: a temporary directory may be in memory.
pub(crate) fn directory() -> TempDir {
    tempfile::Builder::new().prefix("evidence").tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory")
}

/// Both builds of both parts, a day old.
pub(crate) struct Builds {
    dir: TempDir,
}

impl Builds {
    /// The builds, which tests that run at a time share; `None` where they cannot be compiled and recorded here.
    pub(crate) fn for_test(test: &str) -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Builds>> = Mutex::new(Weak::new());
        oracle::recorder(test)?;
        // A test that failed has left it as it was.
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(builds) = shared.upgrade() {
            return Some(builds);
        }
        let builds = Arc::new(Self { dir: directory() });
        if let Err(said) = builds.compile_all() {
            oracle::cannot_set_up(test, &said);
            return None;
        }
        let mut perf = Command::new("perf");
        perf.args(["record", "-q", "--no-bpf-event", "-e", "cpu-clock", "-o", "-", "--", "true"]);
        let output = perf.output().expect("perf runs");
        if !output.status.success() || output.stdout.len() < 1000 {
            oracle::cannot_record(&stderr(&output));
            return None;
        }
        *shared = Arc::downgrade(&builds);
        Some(builds)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// One of the builds.
    pub(crate) fn file(&self, part: Part, build: Build) -> PathBuf {
        self.path(&format!("{part:?}-{build:?}"))
    }

    /// The program that opens the library.
    pub(crate) fn host(&self) -> PathBuf {
        self.path("host")
    }

    fn compile_all(&self) -> Result<(), String> {
        fs::write(self.path("work.c"), WORK).expect("written");
        fs::write(self.path("main.c"), MAIN).expect("written");
        self.cc(&["-DHOST", "main.c", "-ldl"], &self.host())?;
        for part in [Part::Program, Part::Library] {
            for build in [Build::Old, Build::New] {
                let path = self.file(part, build);
                self.compile(part, build, &path)?;
                let file = File::options().write(true).open(&path).expect("it is there");
                let yesterday = SystemTime::now() - Duration::from_secs(86400);
                file.set_modified(yesterday).expect("the file is ours");
            }
            let len = |build| fs::metadata(self.file(part, build)).expect("it is there").len();
            assert_eq!(len(Build::Old), len(Build::New), "{part:?}");
        }
        Ok(())
    }

    /// Compiles a build to a path, over whatever is there.
    pub(crate) fn compile(&self, part: Part, build: Build, to: &Path) -> Result<(), String> {
        let id = format!("-Wl,--build-id=0x{}", build.hex());
        match part {
            Part::Program => self.cc(&["-static", &id, "main.c", "work.c"], to),
            Part::Library => self.cc(&["-shared", "-fPIC", &id, "work.c"], to),
        }
    }

    fn cc(&self, args: &[&str], to: &Path) -> Result<(), String> {
        let mut cc = Command::new("cc");
        cc.arg("-O1").arg("-o").arg(to).args(args).current_dir(self.dir.path());
        let output = cc.output().expect("cc is where Rust links");
        if output.status.success() { Ok(()) } else { Err(stderr(&output)) }
    }
}
