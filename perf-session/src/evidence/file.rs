//! Whether a file is the recorded one: its device, inode and generation, what was mapped of it, and when it was last
//! changed.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::UNIX_EPOCH;

use name_to_handle_at::{AT_EMPTY_PATH, FileHandle, name_to_handle_at};
use perf_format::BuildId;
use perf_format::record::Inode;

use super::clock::{Nanos, Span, TICK};
use super::segments::Fit;

/// What a file is, as far as it can be compared with what was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileFacts {
    /// Its device, major and minor.
    pub device: (u32, u32),
    /// Its inode number.
    pub ino: u64,
    /// The generation of its inode: file systems give the number of a deleted file to another one, with another
    /// generation.
    pub generation: Option<u32>,
    /// Whether its file system shows the same device in the maps of processes as in the metadata of files.
    pub has_own_device: bool,
    /// How many names lead to it.
    pub links: u64,
    /// When its contents were last written, in ns since the epoch: the owner can set that.
    pub modified: Nanos,
    /// When it was last changed in any way, in ns since the epoch.
    pub changed: Nanos,
    /// When it was made, in ns since the epoch, where the file system has that.
    pub made: Option<Nanos>,
}

/// File systems that show one device in the maps of processes, and another in the metadata of files.
const WITHOUT_OWN_DEVICE: [i64; 3] = [OVERLAYFS, BTRFS, BCACHEFS];
/// `OVERLAYFS_SUPER_MAGIC`
const OVERLAYFS: i64 = 0x794c_7630;
/// `BTRFS_SUPER_MAGIC`
const BTRFS: i64 = 0x9123_683e;
/// `BCACHEFS_SUPER_MAGIC`
const BCACHEFS: i64 = 0xca45_1a4e;

impl FileFacts {
    /// Asks the file system.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn of(file: &File) -> io::Result<Self> {
        let meta = file.metadata()?;
        let kind = rustix::fs::fstatfs(file)?.f_type;
        let nanos = |s: i64, ns: i64| Nanos::from(s) * 1_000_000_000 + Nanos::from(ns);
        let made = meta.created().ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok());
        Ok(Self {
            device: (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev())),
            ino: meta.ino(),
            generation: generation(file, meta.ino()),
            has_own_device: !WITHOUT_OWN_DEVICE.contains(&(kind & i64::from(u32::MAX))),
            links: meta.nlink(),
            modified: nanos(meta.mtime(), meta.mtime_nsec()),
            changed: nanos(meta.ctime(), meta.ctime_nsec()),
            made: made.and_then(|made| Nanos::try_from(made.as_nanos()).ok()),
        })
    }

    fn is_on(&self, recorded: Inode) -> bool {
        self.device == (recorded.maj, recorded.min)
    }
}

/// The generation of a file's inode, out of its handle (`FILEID_INO32_GEN` and its kin in the kernel's exportfs.h, and
/// the handles of tmpfs and btrfs): taken only where the handle has the inode's number where it is to be.
fn generation(file: &File, ino: u64) -> Option<u32> {
    let (FileHandle { handle_type, handle }, _) =
        name_to_handle_at(file, Path::new(""), AT_EMPTY_PATH).ok()?;
    let words: Vec<u32> =
        handle.chunks_exact(4).filter_map(|word| Some(u32::from_ne_bytes(word.try_into().ok()?))).collect();
    let [a, b, c, d, e, f, g, h] = ino.to_le_bytes();
    let (low, high) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    let wide = if cfg!(target_endian = "little") { [low, high] } else { [high, low] };
    match (handle_type, words.as_slice()) {
        (1 | 2, [number, generation, ..]) if *number == low && words.len() != 3 => Some(*generation),
        // tmpfs
        (1, [generation, a, b]) if [*a, *b] == [low, high] => Some(*generation),
        (0x81 | 0x82, [a, b, generation, ..]) if [*a, *b] == wide => Some(*generation),
        (0x4d, [a, b, _, _, generation]) if [*a, *b] == wide => Some(*generation),
        _ => None,
    }
}

/// What was recorded of a mapped file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mapped {
    /// The inode, if the map told it.
    pub inode: Option<Inode>,
    /// How the map fits the file's segments; `None` where nothing tells what was mapped.
    pub fit: Option<Fit>,
    /// When it was mapped, on the wall clock.
    pub at: Span,
    /// Whether it was recorded in this boot.
    pub in_this_boot: bool,
    /// Whether the file is a program: while one runs, nobody can write into it.
    pub is_program: bool,
}

/// How sure it is that a file is the recorded one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum Proof {
    /// It is.
    Proven,
    /// Nothing speaks against it, and nothing proves it.
    Unproven(Unproven),
}

impl Proof {
    /// Why nothing proves it; `None` where it is proven.
    #[must_use]
    pub(crate) fn unproven(self) -> Option<Unproven> {
        match self {
            Self::Proven => None,
            Self::Unproven(why) => Some(why),
        }
    }
}

/// Why nothing proves that a file is the recorded one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Unproven {
    /// Its file system shows another device in the maps of processes than in the metadata of files.
    Device,
    /// The recording does not tell the inode.
    NoInode,
    /// It is in a directory that the user named.
    Named,
    /// It was changed since, though not written: it has more than one name, and may have got one of them.
    Linked,
}

/// How a file that is here now differs from the recorded one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mismatch {
    /// On the device of the recorded file, another inode has its name.
    Inode {
        /// The inode that was mapped.
        recorded: u64,
        /// The inode that is there.
        here: u64,
    },
    /// The inode's number is that of another file now.
    Generation,
    /// It is on another device.
    Device {
        /// The device that the mapped file was on.
        recorded: (u32, u32),
        /// The device of the file that is there.
        here: (u32, u32),
    },
    /// None of its segments is where it was mapped.
    Segments,
    /// It was changed after it was mapped.
    Younger,
    /// It is not known whether it was changed before or after it was mapped.
    Doubt {
        /// The uncertainty, in ns; `None` where it is not known when it was mapped.
        within: Option<Nanos>,
    },
    /// It has another build-id than the recorded one.
    Build {
        /// The id that was recorded.
        recorded: BuildId,
        /// The id of the file that is there, if it has one.
        here: Option<BuildId>,
    },
    /// Nothing proves that it is the recorded one.
    Unproven(Unproven),
}

/// How long it takes to link most programs, in ns. Of one that took longer, or was older, a change that was perhaps
/// before it was mapped was perhaps not.
const MADE_WITHIN: Nanos = 100_000_000;

/// Compares a file with what was recorded.
///
/// # Errors
/// How it differs, or why that cannot be told.
pub(crate) fn compare(mapped: &Mapped, file: &FileFacts) -> Result<Proof, Mismatch> {
    let inode = mapped.inode.filter(|inode| inode.ino != 0);
    let mut proof = Proof::Unproven(if inode.is_some() { Unproven::Device } else { Unproven::NoInode });
    let mut same_generation = false;
    if let Some(recorded) = inode {
        if file.is_on(recorded) {
            same_inode(recorded, file)?;
            // A file system that shows other devices in maps may show this one by chance.
            same_generation = is_same_generation(recorded, file);
            if file.has_own_device || same_generation {
                proof = Proof::Proven;
            }
        } else if file.has_own_device {
            return Err(Mismatch::Device { recorded: (recorded.maj, recorded.min), here: file.device });
        }
    }
    let fits = match mapped.fit {
        Some(fit) => fit == Fit::Exact || fit == Fit::Within && same_generation,
        None => proof == Proof::Proven,
    };
    if !fits {
        return Err(Mismatch::Segments);
    }
    let is_kept = same_generation && (mapped.is_program || is_as_made(file, mapped.at));
    match unchanged(file.changed, mapped.at, is_kept) {
        // perf itself does that: it links what it has recorded into its cache, and so changes system libraries.
        Err(Mismatch::Younger | Mismatch::Doubt { .. }) if may_be_linked(file, mapped.at) => {
            proof = Proof::Unproven(Unproven::Linked);
        }
        checked => checked?,
    }
    // What cannot be compared was looked at by its name, which leads elsewhere in another boot.
    match proof {
        Proof::Unproven(why) if !mapped.in_this_boot => Err(Mismatch::Unproven(why)),
        _ => Ok(proof),
    }
}

/// Whether a file on the recorded device has the recorded inode.
pub(super) fn same_inode(recorded: Inode, file: &FileFacts) -> Result<(), Mismatch> {
    if file.ino != recorded.ino {
        return Err(Mismatch::Inode { recorded: recorded.ino, here: file.ino });
    }
    // Of maps from before the recording, perf does not know it.
    match file.generation {
        Some(here) if recorded.ino_generation != 0 && u64::from(here) != recorded.ino_generation => {
            Err(Mismatch::Generation)
        }
        _ => Ok(()),
    }
}

pub(super) fn is_same_generation(recorded: Inode, file: &FileFacts) -> bool {
    recorded.ino_generation != 0 && file.generation.map(u64::from) == Some(recorded.ino_generation)
}

/// Whether a change of a file was before it was mapped. Where that cannot be told, it must be proven that its contents
/// were not changed.
pub(super) fn unchanged(changed: Nanos, mapped: Span, is_kept: bool) -> Result<(), Mismatch> {
    if changed > mapped.to {
        Err(Mismatch::Younger)
    } else if is_before(changed, mapped) || is_kept {
        Ok(())
    } else {
        let within = (mapped.from != Nanos::MIN).then(|| mapped.width() + TICK);
        Err(Mismatch::Doubt { within })
    }
}

/// Whether the last change of a recorded inode was hardly one of its contents: these were written before, and it got
/// another name or other permissions; or it was only just made, and the change is how.
pub(super) fn is_as_made(file: &FileFacts, mapped: Span) -> bool {
    let was_just_made = file.made.is_some_and(|made| file.changed.saturating_sub(made) <= MADE_WITHIN);
    was_just_made || is_before(file.modified, mapped)
}

/// Whether a file's contents are from before it was mapped, as far as their date tells, and its later change may be that
/// it got another name.
pub(super) fn may_be_linked(file: &FileFacts, mapped: Span) -> bool {
    file.links > 1 && is_before(file.modified, mapped)
}

fn is_before(changed: Nanos, mapped: Span) -> bool {
    changed.saturating_add(TICK) <= mapped.from
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inode { recorded, here } => {
                write!(f, "another file is there now (inode {here}, recorded was {recorded})")
            }
            Self::Generation => {
                f.write_str("another file is there now, with the recorded file's inode number")
            }
            Self::Device { recorded: (maj, min), here } => {
                let (here_maj, here_min) = here;
                write!(
                    f,
                    "another file is there now (on device {here_maj}:{here_min}, recorded was {maj}:{min})"
                )
            }
            Self::Segments => {
                f.write_str("another file is there now (it has no segment where it was mapped)")
            }
            Self::Younger => f.write_str("it was changed after it was mapped"),
            Self::Doubt { within: Some(within) } => {
                let ms = within / 1_000_000;
                write!(f, "it may have been changed after it was mapped (that cannot be told within {ms} ms)")
            }
            Self::Doubt { within: None } => {
                f.write_str("it may have been changed since it was mapped, and nothing tells when that was")
            }
            Self::Build { recorded, here: Some(here) } => {
                write!(f, "another build is there now ({here}, recorded was {recorded})")
            }
            Self::Build { recorded, here: None } => {
                write!(f, "another build is there now (without a build-id, recorded was {recorded})")
            }
            Self::Unproven(why) => write!(f, "nothing proves that it is the recorded one: {why}"),
        }
    }
}

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Device => "its file system shows other devices in maps than in files",
            Self::NoInode => "the recording does not tell its inode",
            Self::Named => "it is in a directory that was named",
            Self::Linked => "it was changed since it was mapped, perhaps only by another name that it got",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_those_that_the_kernel_records() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        std::fs::write(&path, "x").expect("written");
        let facts = || FileFacts::of(&File::open(&path).expect("there")).expect("it answers");
        let first = facts();
        std::fs::remove_file(&path).expect("removed");
        std::fs::write(&path, "x").expect("written");
        let second = facts();
        // Not all file systems tell; those that do tell two files apart.
        if let (Some(first), Some(second)) = (first.generation, second.generation) {
            assert_ne!(first, second);
        }
        assert!(second.changed >= first.changed);
    }
}
