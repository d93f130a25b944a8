//! Files whose ids were read: each once, whatever names and processes lead to it.

use std::cell::RefCell;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::rc::Rc;

use hashbrown::HashMap;
use perf_format::BuildId;

use super::{NoBuildId, build_id_of};

/// Which file, and in which state: what is written into changes its times or its size.
type Identity = (u64, u64, i64, i64, u64);

/// The ids of files, shared by the sources that read files.
#[derive(Debug, Clone, Default)]
pub struct BuildIdCache {
    read: Rc<RefCell<HashMap<Identity, Option<BuildId>>>>,
}

impl BuildIdCache {
    /// The id in an open file.
    ///
    /// # Errors
    /// Where it is no ELF file, or has no id.
    pub(super) fn id_in(&self, file: File) -> Result<BuildId, NoBuildId> {
        let identity = identity(&file.metadata()?);
        let known = self.read.borrow().get(&identity).copied();
        let id = match known {
            Some(id) => id,
            None => {
                let id = build_id_of(file).map_err(NoBuildId::Elf)?;
                self.read.borrow_mut().insert(identity, id);
                id
            }
        };
        id.ok_or(NoBuildId::NoNote)
    }
}

fn identity(meta: &Metadata) -> Identity {
    (meta.dev(), meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.size())
}
