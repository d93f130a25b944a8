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
use rustix::fs::{FileType, Mode, OFlags, fstat, major, minor, open};
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

/// The pid in the name that a process maps its dump by, `jit-PID.dump`: its own in its innermost namespace.
fn pid_of_marker(name: &BStr) -> Option<u32> {
    let base = name.rsplit(|byte| *byte == b'/').next()?;
    let digits = base.strip_prefix(b"jit-")?.strip_suffix(b".dump")?;
    digits.to_str().ok().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

impl Finder {
    /// Opens the dump that a process mapped, where one of the places that it may be in now has it.
    pub(crate) fn dump(&self, marker: &Marker) -> Result<(File, PathBuf), NoNames> {
        let inode = match marker.file {
            MapFile::Inode(inode) if inode.ino != 0 => Some(inode),
            MapFile::Inode(_) | MapFile::BuildId(_) => None,
        };
        let name = Path::new(OsStr::from_bytes(&marker.name));
        let mut places: Vec<PathBuf> = self.in_dir(name).into_iter().collect();
        let copied = places.len();
        if let (Some(_), Ok(below)) = (inode, name.strip_prefix("/")) {
            // The inode shows whether the process that has the pid now is the recorded one.
            places.push(Path::new("/proc").join(marker.pid.to_string()).join("root").join(below));
        }
        places.push(name.to_owned());
        // A copy is another file.
        let inodes = (0..).map(|place| inode.filter(|_| place >= copied));
        self.first(marker.pid.cast_unsigned(), places.into_iter().zip(inodes))
    }

    /// Opens the text file in which a process that runs, or ran, leaves the names of its code.
    pub(crate) fn perf_map(&self, pid: u32) -> Result<(File, PathBuf), NoNames> {
        let name = PathBuf::from(format!("/tmp/perf-{pid}.map"));
        let root = Path::new("/proc").join(pid.to_string()).join("root/tmp");
        let inner = inner_pid(pid).unwrap_or(pid);
        let mut places: Vec<PathBuf> = self.in_dir(&name).into_iter().collect();
        places.extend([root.join(format!("perf-{inner}.map")), name]);
        self.first(pid, places.into_iter().map(|place| (place, None)))
    }

    fn in_dir(&self, name: &Path) -> Option<PathBuf> {
        Some(self.dir.as_deref()?.join(name.file_name()?))
    }

    /// The first file that can be read; otherwise the most telling error.
    fn first(
        &self,
        pid: u32,
        places: impl Iterator<Item = (PathBuf, Option<Inode>)>,
    ) -> Result<(File, PathBuf), NoNames> {
        let mut why: Option<NoNames> = None;
        for (place, inode) in places {
            match self.open(pid, &place, inode) {
                Ok(file) => return Ok((file, place)),
                Err(error) if error.is_missing() && why.as_ref().is_some_and(|why| !why.is_missing()) => {}
                Err(error) => why = Some(error),
            }
        }
        Err(why
            .unwrap_or_else(|| NoNames::Io { path: PathBuf::new(), source: io::ErrorKind::NotFound.into() }))
    }

    fn open(&self, pid: u32, path: &Path, inode: Option<Inode>) -> Result<File, NoNames> {
        let io = |source: Errno| NoNames::Io { path: path.to_owned(), source: source.into() };
        // Nothing is waited for, and no link is followed.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
        let file = match open(path, flags, Mode::empty()) {
            Err(Errno::LOOP) => return Err(NoNames::NotRegular(path.to_owned())),
            opened => opened.map_err(io)?,
        };
        let stat = fstat(&file).map_err(io)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(NoNames::NotRegular(path.to_owned()));
        }
        let is_mapped = |inode: Inode| (major(stat.st_dev), minor(stat.st_dev)) == (inode.maj, inode.min);
        if let Some(inode) = inode
            && is_mapped(inode)
            && inode.ino != stat.st_ino
        {
            return Err(NoNames::OtherFile { path: path.to_owned(), is: stat.st_ino, was: inode.ino });
        }
        let mine = rustix::process::geteuid().as_raw();
        // The owner of a process that is gone is not known.
        let its = || std::fs::metadata(format!("/proc/{pid}")).ok().map(|meta| meta.uid());
        let owner = stat.st_uid;
        if !self.any_owner && owner != 0 && owner != mine && its() != Some(owner) {
            return Err(NoNames::Owner { path: path.to_owned(), owner });
        }
        Ok(file.into())
    }
}

/// The pid by which a process that runs knows itself.
fn inner_pid(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    pids.split_whitespace().next_back()?.parse().ok()
}
