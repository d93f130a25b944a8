//! A cache of the ids of files: each file is read once, whatever names and processes lead to it, whether it has an id
//! or not.

use std::cell::RefCell;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::rc::Rc;

use hashbrown::HashMap;
use perf_format::BuildId;

use super::elf::{ElfNotes, notes_of};
use super::{ElfError, NoBuildId, WantedFile};

/// A file in one state: whatever changes it changes its `ctime`, which nobody can set.
type Identity = (u64, u64, i64, i64, u64);

/// The ids of files, shared by the sources that read files.
#[derive(Debug, Clone, Default)]
pub struct BuildIdCache {
    read: Rc<RefCell<HashMap<Identity, InBytes>>>,
}

/// The id in a file's bytes, the same under every name, and its layout. An error of reading is not a property of the
/// bytes, and is not cached.
type InBytes = Result<ElfNotes, ElfError>;

impl BuildIdCache {
    /// The id in an open file.
    ///
    /// # Errors
    /// Where it cannot be read, is no ELF file, or has no id.
    pub(super) fn id_in(&self, file: &File) -> Result<BuildId, NoBuildId> {
        self.notes_in(file, WantedFile::WithId)?.build_id.ok_or(NoBuildId::NoNote)
    }

    /// The id in an open file, if it has one, and its layout.
    ///
    /// # Errors
    /// Where it cannot be read, is no ELF file, or is not what is wanted.
    pub(crate) fn notes_in(&self, file: &File, wanted: WantedFile) -> Result<ElfNotes, NoBuildId> {
        let identity = identity(&file.metadata()?);
        let known = self.read.borrow().get(&identity).cloned();
        let answer = match known {
            Some(answer) => answer,
            None => {
                let answer = match notes_of(file.try_clone()?) {
                    Ok(notes) => Ok(notes),
                    Err(NoBuildId::Elf(error)) => Err(error),
                    Err(passing) => return Err(passing),
                };
                self.read.borrow_mut().insert(identity, answer.clone());
                answer
            }
        };
        let notes = answer.map_err(NoBuildId::Elf)?;
        wanted.check(notes.build_id)?;
        Ok(notes)
    }
}

fn identity(meta: &Metadata) -> Identity {
    (meta.dev(), meta.ino(), meta.ctime(), meta.ctime_nsec(), meta.size())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};

    use super::*;
    use crate::testing::Elf;

    #[test]
    fn a_file_that_could_not_be_read_is_asked_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        fs::write(&path, Elf::with_build_id(&[7; 20]).bytes()).expect("written");
        let cache = BuildIdCache::default();
        // It may be opened, and not read.
        let unreadable = OpenOptions::new().write(true).open(&path).expect("there");
        let refused = cache.id_in(&unreadable);
        assert!(matches!(refused, Err(NoBuildId::Io(_))), "{refused:?}");
        let id = cache.id_in(&File::open(&path).expect("there"));
        assert_eq!(id.expect("it can be read now"), BuildId::new(&[7; 20]).expect("an id"));
    }

    #[test]
    fn a_file_is_read_once_whatever_its_names_and_whatever_is_in_it() {
        let whole = Elf::with_build_id(&[7; 20]).bytes();
        let broken = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            bytes
        };
        // No ELF file, a damaged one, one that cannot be unpacked, one without an id, one with one.
        let mut packed = whole.clone();
        packed[..4].copy_from_slice(&[0x28, 0xb5, 0x2f, 0xfd]);
        let without = Elf { notes: Vec::new(), ..Elf::with_build_id(&[7; 20]) }.bytes();
        for contents in [broken(0), broken(54), packed, without, whole.clone()] {
            let dir = tempfile::tempdir().expect("a directory");
            let (path, other) = (dir.path().join("file"), dir.path().join("another name"));
            fs::write(&path, contents).expect("written");
            fs::hard_link(&path, &other).expect("linked");
            let cache = BuildIdCache::default();
            let said = |file: File| cache.id_in(&file).map_err(|error| error.to_string());
            let first = said(File::open(&path).expect("there"));
            // What is open for writing alone cannot be read.
            let unreadable = OpenOptions::new().write(true).open(&other).expect("there");
            assert_eq!(said(unreadable), first);
        }
    }
}
