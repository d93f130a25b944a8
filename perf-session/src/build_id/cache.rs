//! A cache of the ids of files: each file is read once, whatever names and processes lead to it, whether it has an id
//! or not.

use std::cell::RefCell;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::rc::Rc;

use hashbrown::HashMap;
use perf_format::BuildId;

use super::{ElfError, NoBuildId, build_id_of};

/// A file in one state: writing to it changes its times or its size.
type Identity = (u64, u64, i64, i64, u64);

/// The ids of files, shared by the sources that read files.
#[derive(Debug, Clone, Default)]
pub struct BuildIdCache {
    read: Rc<RefCell<HashMap<Identity, InBytes>>>,
}

/// The id in a file's bytes, the same under every name. An error of reading is not a property of the bytes, and is not
/// cached.
type InBytes = Result<Option<BuildId>, ElfError>;

impl BuildIdCache {
    /// The id in an open file.
    ///
    /// # Errors
    /// Where it cannot be read, is no ELF file, or has no id.
    pub(super) fn id_in(&self, file: File) -> Result<BuildId, NoBuildId> {
        let identity = identity(&file.metadata()?);
        let known = self.read.borrow().get(&identity).cloned();
        let answer = match known {
            Some(answer) => answer,
            None => {
                let answer = match build_id_of(file) {
                    Ok(id) => Ok(id),
                    Err(NoBuildId::Elf(error)) => Err(error),
                    Err(passing) => return Err(passing),
                };
                self.read.borrow_mut().insert(identity, answer.clone());
                answer
            }
        };
        answer.map_err(NoBuildId::Elf)?.ok_or(NoBuildId::NoNote)
    }
}

fn identity(meta: &Metadata) -> Identity {
    (meta.dev(), meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.size())
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
        let refused = cache.id_in(unreadable);
        assert!(matches!(refused, Err(NoBuildId::Io(_))), "{refused:?}");
        let id = cache.id_in(File::open(&path).expect("there"));
        assert_eq!(id.expect("it can be read now"), BuildId::new(&[7; 20]).expect("an id"));
    }
}
