//! The store: a folder of files by their build-ids, in the layout of perf's buildid-cache, which perf reads as it is.
//!
//! A file enters whole or not at all: it is copied beside its place, checked there against its id, and linked to its name.
//! What is there already stays. No file is a hard link to one outside: that one could be changed in place, and with it the
//! store, and its mode and owner are not the store's. Blocks are shared where the file system can (`FICLONE`: XFS, btrfs): a
//! file that is written to gets blocks of its own then, and the store keeps what it had. Elsewhere the kernel copies.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use bstr::BStr;
use perf_format::BuildId;
use perf_session::build_id::{NoBuildId, build_id_of};
use rustix::fs::copy_file_range;
use rustix::io::Errno;

pub(crate) use self::folder::Folder;
use crate::contents::{FileContents, FileReader, FileState};
use crate::hash::hash_of;
use crate::layout::{FileRole, build_dir, id_link, symfs_links, unnamed_dir};

mod folder;

/// A folder of files by their build-ids. The folders and files in it are the user's own: one that somebody else could change
/// is refused, and no link but those by build-ids is followed.
#[derive(Debug)]
pub struct Store {
    root: Folder,
    path: PathBuf,
}

/// What became of a file that was put into a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stored {
    /// It is in it now.
    New,
    /// It was in it already.
    Known,
}

/// Why a file does not enter a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The system's reason.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A folder that is not the user's own, or that others may write to.
    #[error("{0}: others than you may change it")]
    NotOwn(PathBuf),
    /// Something else stands where the file would.
    #[error("{0}: something else stands there")]
    Occupied(PathBuf),
    /// The file has another id, or none.
    #[error("it is not the build {wanted}: {}", .here.map_or("it has no build-id".to_owned(), |id| format!("it is {id}")))]
    OtherBuild {
        /// The id that it should have.
        wanted: BuildId,
        /// The id that it has.
        here: Option<BuildId>,
    },
    /// The file is no object file that could have an id.
    #[error("it is not the build {wanted}: {reason}")]
    NoObject {
        /// The id that it should have.
        wanted: BuildId,
        /// What is wrong with it.
        reason: NoBuildId,
    },
    /// The file was changed while it was copied.
    #[error("it was changed while it was copied")]
    Changed,
    /// It is larger than what it may be.
    #[error("it has more than {0} bytes")]
    TooLarge(u64),
    /// The id has one byte, for which the layout has no place.
    #[error("a build-id of one byte has no place in perf's cache")]
    ShortId,
}

impl StoreError {
    /// Whether the store itself can take no more, whatever the file is: a disk is full, or may not be written to.
    #[must_use]
    pub fn is_of_store(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let Self::Io(error) = self else { return false };
        matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge | ReadOnlyFilesystem)
    }
}

impl Store {
    /// Opens a store; where nothing has its name, it is made, for its user alone.
    ///
    /// # Errors
    /// [`StoreError::NotOwn`] where others than the user could change what is in it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let root = Folder::make_at(path)?.ok_or_else(|| StoreError::NotOwn(path.to_owned()))?;
        Ok(Self { root, path: path.to_owned() })
    }

    /// The path by which it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts a file in, if it is of this build. `at_most` is how many bytes it may have.
    ///
    /// # Errors
    /// Why it did not enter; nothing of it is left then but empty folders.
    pub fn put(
        &self,
        name: &BStr,
        id: BuildId,
        role: FileRole,
        contents: &FileContents,
        at_most: u64,
    ) -> Result<Stored, StoreError> {
        let before = contents.state()?;
        let mut copied_whole = |file: &mut File| match contents {
            FileContents::File(source) => copy_file(source, file, at_most),
            FileContents::Memory(bytes) if bytes.len() as u64 <= at_most => Ok(file.write_all(bytes)?),
            contents => copy(&mut contents.reader(), file, at_most),
        };
        let checked = |copy: &mut File| check_unchanged(contents, before, copy);
        self.put_with(name, id, role, &mut copied_whole, checked)
    }

    /// Puts in what is read, if it is of this build and `check` has nothing against the copy.
    pub(crate) fn put_read(
        &self,
        name: &BStr,
        id: BuildId,
        role: FileRole,
        source: &mut dyn Read,
        at_most: u64,
        check: impl FnOnce(&mut File) -> Result<(), StoreError>,
    ) -> Result<Stored, StoreError> {
        self.put_with(name, id, role, &mut |file| copy(source, file, at_most), check)
    }

    /// Makes the links by which these files have the names of the recorded machine below `.symfs`, for
    /// `perf report --symfs`. A link that is there stays.
    /// None is in the way of the files that are there `themselves`.
    pub(crate) fn link_names(
        &self,
        files: &[(BuildId, FileRole)],
        themselves: &BTreeSet<PathBuf>,
    ) -> Result<(), StoreError> {
        let mut placed = Vec::new();
        for (id, role) in files {
            placed.extend(self.linked_dir(*id)?.map(|dir| (dir, *id, *role)));
        }
        let placed = placed.iter().map(|(dir, id, role)| (dir.as_path(), *id, *role));
        for (link, target) in symfs_links(placed, themselves) {
            self.root.make_link(&link, &target)?;
        }
        Ok(())
    }

    /// Whether a file of a build is in it.
    #[must_use]
    pub fn contains(&self, id: BuildId, role: FileRole) -> bool {
        let dir = self.linked_dir(id).ok().flatten();
        dir.and_then(|dir| self.root.enter(&dir).ok()).is_some_and(|dir| dir.open_file(role.name()).is_ok())
    }

    fn put_with(
        &self,
        name: &BStr,
        id: BuildId,
        role: FileRole,
        fill: &mut dyn FnMut(&mut File) -> Result<(), StoreError>,
        check: impl FnOnce(&mut File) -> Result<(), StoreError>,
    ) -> Result<Stored, StoreError> {
        let (dir, path) = self.dir_for(name, id)?;
        match dir.open_file(role.name()) {
            Ok(file) => {
                // Anybody's bytes may have been put there before; they are not replaced, and not taken for the build's.
                check_id(&file, id, role).map_err(|_| StoreError::Occupied(path.join(role.name())))?;
                self.link(id, &path)?;
                return Ok(Stored::Known);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => return Err(StoreError::Occupied(path.join(role.name()))),
        }
        let mut new = dir.new_file()?;
        fill(&mut new.file)?;
        check(&mut new.file)?;
        new.file.flush()?;
        new.file.rewind()?;
        check_id(&new.file, id, role)?;
        let stored = match new.give_name(role.name()) {
            Ok(()) => Stored::New,
            // Somebody was faster, and has put in the same.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Stored::Known,
            Err(error) => return Err(error.into()),
        };
        self.link(id, &path)?;
        Ok(stored)
    }

    /// The folder of a build: the one that its link leads to, or else the one of its name, made if it is new.
    fn dir_for(&self, name: &BStr, id: BuildId) -> Result<(Folder, PathBuf), StoreError> {
        if id_link(id, Path::new("")).is_none() {
            return Err(StoreError::ShortId);
        }
        if let Some(path) = self.linked_dir(id)? {
            return Ok((self.root.enter(&path)?, path));
        }
        let named = build_dir(name, id);
        match self.root.make(&named) {
            Ok(dir) => Ok((dir, named)),
            // A file stands in the way, such as one of another build's folder.
            Err(error) if is_in_the_way(&error) => {
                let path = unnamed_dir(id);
                Ok((self.root.make(&path)?, path))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The folder that the link of a build leads to; `None` where there is no link.
    fn linked_dir(&self, id: BuildId) -> Result<Option<PathBuf>, StoreError> {
        let Some((link, _)) = id_link(id, Path::new("")) else { return Ok(None) };
        let occupied = || StoreError::Occupied(link.clone());
        let Some(target) = self.root.read_link(&link).map_err(|_| occupied())? else { return Ok(None) };
        // Only what perf and this crate write leads anywhere: two steps up, then down to folders alone.
        let below = target.strip_prefix("../..").map_err(|_| occupied())?;
        let is_plain = below.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if !is_plain || self.root.enter(below).is_err() {
            return Err(occupied());
        }
        Ok(Some(below.to_owned()))
    }

    fn link(&self, id: BuildId, dir: &Path) -> Result<(), StoreError> {
        let Some((link, target)) = id_link(id, dir) else { return Err(StoreError::ShortId) };
        Ok(self.root.make_link(&link, &target)?)
    }
}

/// Whether a folder cannot be made since something else has the name of it or of one above it.
fn is_in_the_way(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists | io::ErrorKind::InvalidFilename
    ) || error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

/// Copies a file from its start: by sharing its blocks or, where the file system cannot, in the kernel, which takes half the
/// time of reading and writing.
fn copy_file(source: &File, file: &mut File, at_most: u64) -> Result<(), StoreError> {
    if source.metadata()?.len() <= at_most && rustix::fs::ioctl_ficlone(&*file, source).is_ok() {
        return Ok(());
    }
    let mut copied = 0;
    while let Some(left) = at_most.checked_sub(copied) {
        let len = usize::try_from(left.saturating_add(1)).unwrap_or(usize::MAX).min(COPIED_AT_ONCE);
        match copy_file_range(source, Some(&mut copied), &*file, None, len) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG | Errno::ROFS)) => {
                return Err(io::Error::from(error).into());
            }
            // Not all file systems can, and none between some two of them.
            Err(_) => break,
        }
    }
    // Of some files the kernel copies nothing, and says that it is all.
    let mut rest = FileReader { file: source, at: copied };
    let left = at_most.checked_sub(copied).ok_or(StoreError::TooLarge(at_most))?;
    copy(&mut rest, file, left).map_err(|error| match error {
        StoreError::TooLarge(_) => StoreError::TooLarge(at_most),
        error => error,
    })
}

/// How many bytes the kernel copies at once. An interrupt waits no longer for it.
const COPIED_AT_ONCE: usize = 1 << 24;

fn copy(source: &mut dyn Read, file: &mut File, at_most: u64) -> Result<(), StoreError> {
    let (mut part, mut left) = (vec![0; 1 << 16], at_most);
    loop {
        let read = match source.read(&mut part) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        left = left.checked_sub(read as u64).ok_or(StoreError::TooLarge(at_most))?;
        file.write_all(part.get(..read).unwrap_or_default())?;
    }
}

/// Whether a copy is of a file that nobody wrote to since it was in a state. A program that is deleted meanwhile loses a name,
/// which changes its `ctime` as writing does: of one whose `mtime` is the same the bytes are compared.
fn check_unchanged(
    contents: &FileContents,
    before: Option<FileState>,
    copy: &mut File,
) -> Result<(), StoreError> {
    let is_same = match (before, contents.state()?) {
        (before, after) if before == after => true,
        (Some(before), Some(after)) if before.looks_written_as(&after) => {
            copy.rewind()?;
            hash_of(contents.reader(), &mut |_| Ok(()))? == hash_of(copy, &mut |_| Ok(()))?
        }
        _ => false,
    };
    if is_same { Ok(()) } else { Err(StoreError::Changed) }
}

/// Whether a file is of this build, by the id in it. Old recordings fill ids up with zeros.
pub(crate) fn check_id(file: &File, wanted: BuildId, role: FileRole) -> Result<(), StoreError> {
    if !role.has_build_id() {
        return Ok(());
    }
    let here = match build_id_of(file.try_clone()?) {
        Ok(here) => here,
        Err(NoBuildId::Io(error)) => return Err(error.into()),
        Err(reason) => return Err(StoreError::NoObject { wanted, reason }),
    };
    match here {
        Some(here) if here.padded() == wanted.padded() => Ok(()),
        here => Err(StoreError::OtherBuild { wanted, here }),
    }
}

#[cfg(test)]
mod tests;
