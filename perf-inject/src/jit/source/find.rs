//! Finds the jitdump or perf map of a process, and opens it with care: the name comes out of a recording, and the file
//! mostly lies where anybody may write.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bstr::{BStr, BString, ByteSlice as _};
use perf_format::record::{Inode, MapFile, Mmap2};
use perf_session::build_id::{InRoot, NoBuildId};
use perf_session::evidence::FileFacts;
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;

/// Where dumps and perf maps are looked for, and whose are read.
#[derive(Debug, Clone, Default)]
pub struct Finder {
    /// The first place to look, for recordings from elsewhere.
    pub dir: Option<PathBuf>,
    /// Whether files are read that belong neither to the user, nor to root, nor to the recorded process's user.
    pub any_owner: bool,
}

/// Why a process's code has no names.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoNames {
    /// The file cannot be opened or read.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is a directory, a link, a FIFO, a device.
    #[error("{path}: it is no regular file", path = .0.display())]
    NotRegular(PathBuf),
    /// Somebody else may have put it there.
    #[error("{path}: it belongs to user {owner}: neither to you, nor to root, nor to the process (-f reads it all the same)", path = .path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// The process had mapped another file.
    #[error("{path}: another file is there now (inode {is}, recorded was {was})", path = .path.display())]
    OtherFile {
        /// The file.
        path: PathBuf,
        /// The inode that the path has now.
        is: u64,
        /// The inode of the file that was mapped.
        was: u64,
    },
    /// The process had mapped another file, whose inode number this one has now.
    #[error("{path}: another file is there now, with the recorded file's inode number", path = .0.display())]
    OtherGeneration(PathBuf),
    /// Its contents cannot be read.
    #[error("{path}: {source}", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        source: perf_format::Error,
    },
    /// Its header has another process than its name.
    #[error("{path}: it is of process {pid}", path = .path.display())]
    OtherProcess {
        /// The file.
        path: PathBuf,
        /// The process in its header.
        pid: u32,
    },
    /// The recording's clock is not the dump's.
    #[error("{path}: {why}", path = .path.display())]
    Clock {
        /// Which.
        path: PathBuf,
        /// The reason.
        why: &'static str,
    },
}

impl NoNames {
    /// Whether it has not even a header: a runtime may still have that in a buffer.
    pub(crate) fn is_yet_to_begin(&self) -> bool {
        matches!(self, Self::Damaged { source: perf_format::Error::HeaderTruncated { .. }, .. })
    }

    /// Whether there is no such file.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// The map that a process made of its dump, so that perf records where the dump is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marker {
    /// The process.
    pub(crate) pid: i32,
    /// Its pid in its innermost namespace.
    pub(crate) inner: u32,
    pub(crate) name: BString,
    pub(crate) file: MapFile,
    /// When, in ns.
    pub(crate) time: Option<u64>,
}

impl Marker {
    /// The dump that a map is of, if it is of one.
    pub(crate) fn of(map: &Mmap2<'_>, time: Option<u64>) -> Option<Self> {
        let inner = pid_of_marker(map.filename)?;
        let (pid, name) = (map.pid.cast_signed(), map.filename.to_owned());
        Some(Self { pid, inner, name, file: map.file, time })
    }
}

/// Whether a file has the name of a dump.
pub(crate) fn is_jitdump(name: &BStr) -> bool {
    pid_of_marker(name).is_some()
}

/// The pid in the name that a process maps its dump by, `jit-PID.dump`: its own in its innermost namespace.
fn pid_of_marker(name: &BStr) -> Option<u32> {
    let base = name.rsplit(|byte| *byte == b'/').next()?;
    let digits = base.strip_prefix(b"jit-")?.strip_suffix(b".dump")?;
    digits.to_str().ok().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

/// A place in which a file may be.
#[derive(Debug)]
struct Candidate {
    path: PathBuf,
    /// The process below whose root it is, if not below this one's.
    root: Option<u32>,
    /// The inode that it has if it is the recorded one.
    inode: Option<Inode>,
}

impl Finder {
    /// Opens the dump that a process mapped, where one of the places that it may be in now has it.
    pub(crate) fn dump(&self, marker: &Marker) -> Result<(File, PathBuf), NoNames> {
        let inode = match marker.file {
            MapFile::Inode(inode) if inode.ino != 0 => Some(inode),
            MapFile::Inode(_) | MapFile::BuildId(_) => None,
        };
        let pid = marker.pid.cast_unsigned();
        let name = Path::new(OsStr::from_bytes(&marker.name));
        // A copy is another file.
        let mut places: Vec<_> = self.in_dir(name).into_iter().collect();
        if inode.is_some() && name.is_absolute() {
            // The inode shows whether the process that has the pid now is the recorded one.
            places.push(Candidate { path: name.to_owned(), root: Some(pid), inode });
        }
        places.push(Candidate { path: name.to_owned(), root: None, inode });
        self.first(pid, places)
    }

    /// Opens the text file in which a process that runs, or ran, leaves the names of its code. In a namespace of pids its
    /// name has the pid by which the process knows itself, which it tells while it runs, or has told by its dump.
    pub(crate) fn perf_map(&self, pid: u32, inner: Option<u32>) -> Result<(File, PathBuf), NoNames> {
        let of = |pid: u32| PathBuf::from(format!("/tmp/perf-{pid}.map"));
        let inner = inner_pid(pid).or(inner).unwrap_or(pid);
        let mut places: Vec<_> = self.in_dir(&of(pid)).into_iter().collect();
        if inner != pid {
            places.extend(self.in_dir(&of(inner)));
        }
        places.push(Candidate { path: of(inner), root: Some(pid), inode: None });
        places.push(Candidate { path: of(pid), root: None, inode: None });
        self.first(pid, places)
    }

    fn in_dir(&self, name: &Path) -> Option<Candidate> {
        let path = self.dir.as_deref()?.join(name.file_name()?);
        Some(Candidate { path, root: None, inode: None })
    }

    /// The first file that can be read; otherwise the most telling error.
    fn first(&self, pid: u32, places: Vec<Candidate>) -> Result<(File, PathBuf), NoNames> {
        let mut why: Option<NoNames> = None;
        for place in places {
            let path = place.shown();
            match self.open(pid, &place, &path) {
                Ok(file) => return Ok((file, path)),
                Err(error) if error.is_missing() && why.as_ref().is_some_and(|why| !why.is_missing()) => {}
                Err(error) => why = Some(error),
            }
        }
        Err(why
            .unwrap_or_else(|| NoNames::Io { path: PathBuf::new(), source: io::ErrorKind::NotFound.into() }))
    }

    fn open(&self, pid: u32, place: &Candidate, path: &Path) -> Result<File, NoNames> {
        let io = |source: io::Error| NoNames::Io { path: path.to_owned(), source };
        let file = place.open(path)?;
        let stat = fstat(&file).map_err(|errno| io(errno.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(NoNames::NotRegular(path.to_owned()));
        }
        let mut is_proven = false;
        if let Some(inode) = place.inode {
            let facts = FileFacts::of(&file).map_err(io)?;
            let is_there = facts.device == (inode.maj, inode.min);
            let generation = facts.generation.map(u64::from).filter(|_| inode.ino_generation != 0);
            let is_same_generation = generation == Some(inode.ino_generation);
            if is_there && facts.ino != inode.ino {
                return Err(NoNames::OtherFile { path: path.to_owned(), is: facts.ino, was: inode.ino });
            }
            if is_there && generation.is_some() && !is_same_generation {
                return Err(NoNames::OtherGeneration(path.to_owned()));
            }
            // File systems give the number of a deleted file to another one, with another generation.
            is_proven = is_there && is_same_generation;
        }
        let mine = rustix::process::geteuid().as_raw();
        // The owner of a process that is gone is not known.
        let its = || std::fs::metadata(format!("/proc/{pid}")).ok().map(|meta| meta.uid());
        let owner = stat.st_uid;
        if !is_proven && !self.any_owner && owner != 0 && owner != mine && its() != Some(owner) {
            return Err(NoNames::Owner { path: path.to_owned(), owner });
        }
        Ok(file)
    }
}

impl Candidate {
    /// The path by which it is told.
    fn shown(&self) -> PathBuf {
        match (self.root, self.path.strip_prefix("/")) {
            (Some(pid), Ok(below)) => Path::new("/proc").join(pid.to_string()).join("root").join(below),
            _ => self.path.clone(),
        }
    }

    /// Opens it. Nothing is waited for, it is no link, and no link leads out of the root of its process.
    fn open(&self, shown: &Path) -> Result<File, NoNames> {
        let io = |source: io::Error| NoNames::Io { path: shown.to_owned(), source };
        if let Some(pid) = self.root {
            let root = InRoot::open(&Path::new("/proc").join(pid.to_string()).join("root")).map_err(io)?;
            return root.open_itself(&self.path).map_err(|error| match error {
                NoBuildId::Io(source) => io(source),
                _ => NoNames::NotRegular(shown.to_owned()),
            });
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
        match open(&self.path, flags, Mode::empty()) {
            Err(Errno::LOOP) => Err(NoNames::NotRegular(shown.to_owned())),
            opened => opened.map(File::from).map_err(|errno| io(errno.into())),
        }
    }
}

/// The pid by which a process that runs knows itself.
pub(crate) fn inner_pid(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    pids.split_whitespace().next_back()?.parse().ok()
}
