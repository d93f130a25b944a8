//! A DSO's own file, by its path.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use super::{BuildIdCache, BuildIdSource, FoundId, NoBuildId, ObjectSource, Origin, WantedFile};
use crate::dso::{Dso, DsoKind};
use crate::evidence::{Evidence, Proof};
use crate::object_files::ObjectFile;
use crate::recording::Recording;

/// Reads the id out of the file that the DSO is named after, if it is proven to be the recorded one.
#[derive(Debug, Default, Clone)]
pub struct FileSource {
    evidence: Evidence,
    cache: BuildIdCache,
}

impl FileSource {
    /// A source of files that pass the evidence.
    #[must_use]
    pub fn new(evidence: Evidence, cache: BuildIdCache) -> Self {
        Self { evidence, cache }
    }
}

impl BuildIdSource for FileSource {
    fn build_id(&mut self, dso: &Dso, recording: &Recording) -> Result<Option<FoundId>, NoBuildId> {
        FoundId::of(self.object(dso, recording, WantedFile::WithId))
    }
}

impl ObjectSource for FileSource {
    fn object(
        &mut self,
        dso: &Dso,
        recording: &Recording,
        wanted: WantedFile,
    ) -> Result<Option<ObjectFile>, NoBuildId> {
        if !matches!(dso.kind, DsoKind::File | DsoKind::Module) {
            return Ok(None);
        }
        let path = Path::new(OsStr::from_bytes(&dso.name));
        if !path.is_absolute() {
            return Err(NoBuildId::NotAPath);
        }
        if wanted.proves() {
            let file = open_regular(path)?;
            let notes = self.cache.notes_in(&file, wanted)?;
            return Ok(Some(ObjectFile::of(file, notes.build_id, Origin::File, Proof::Proven)));
        }
        self.evidence.is_here(recording)?;
        let file = open_regular(path)?;
        // What it is comes before what is in it: that may be of another file.
        self.evidence.file(dso, &file, None, recording)?;
        let notes = self.cache.notes_in(&file, wanted)?;
        let proof = self.evidence.file(dso, &file, Some(&notes.layout), recording)?;
        Ok(Some(ObjectFile::of(file, notes.build_id, Origin::File, proof)))
    }
}

/// Opens a regular file, and nothing else: the path is somebody else's text, and opening a FIFO waits, a device
/// may act. The second look, at what was opened, is for a file that was exchanged between.
pub(crate) fn open_regular(path: &Path) -> Result<File, NoBuildId> {
    let is_file = |stat: rustix::fs::Stat| FileType::from_raw_mode(stat.st_mode).is_file();
    let io = |error: rustix::io::Errno| NoBuildId::Io(error.into());
    if !is_file(rustix::fs::stat(path).map_err(io)?) {
        return Err(NoBuildId::NotAFile);
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(io)?;
    if !is_file(rustix::fs::fstat(&file).map_err(io)?) {
        return Err(NoBuildId::NotAFile);
    }
    Ok(File::from(file))
}
