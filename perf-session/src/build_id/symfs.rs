//! A directory that holds the recorded machine's files: for recordings from elsewhere.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use bstr::{BStr, ByteSlice as _};

use super::{BuildIdCache, BuildIdSource, FoundId, InRoot, NoBuildId, ObjectSource, Origin, WantedFile};
use crate::dso::{Dso, DsoKind};
use crate::evidence::Evidence;
use crate::object_files::ObjectFile;
use crate::recording::Recording;

/// Reads the file of a DSO's name below a directory, and the kernel's image where systems keep it.
#[derive(Debug)]
pub struct SymfsSource {
    dir: InRoot,
    evidence: Evidence,
    cache: BuildIdCache,
}

/// Where the image of a kernel is kept, before and behind its release.
const KERNELS: [(&str, &str); 4] = [
    ("/usr/lib/debug/boot/vmlinux-", ""),
    ("/boot/vmlinux-", ""),
    ("/usr/lib/debug/lib/modules/", "/vmlinux"),
    ("/lib/modules/", "/build/vmlinux"),
];

/// Where systems keep the image of the kernel of a release.
pub(crate) fn kernel_images(release: &BStr) -> impl Iterator<Item = PathBuf> + '_ {
    let of_release = part_of_path(release).map(|release| {
        KERNELS.iter().map(move |(before, behind)| {
            let mut path = OsString::from(before);
            path.extend([release, OsStr::new(behind)]);
            PathBuf::from(path)
        })
    });
    of_release.into_iter().flatten()
}

/// A release as a part of a path: it is somebody else's text, and no way into other directories.
pub(crate) fn part_of_path(release: &BStr) -> Option<&OsStr> {
    let is_part = !release.is_empty() && !release.contains(&b'/') && !release.starts_with(b".");
    is_part.then(|| OsStr::from_bytes(release))
}

impl SymfsSource {
    /// A source below a directory.
    #[must_use]
    pub fn new(dir: InRoot, evidence: Evidence, cache: BuildIdCache) -> Self {
        Self { dir, evidence, cache }
    }

    /// Where the file of a DSO may be.
    fn candidates(dso: &Dso, recording: &Recording) -> Vec<PathBuf> {
        match (dso.kind, &recording.release) {
            (DsoKind::File | DsoKind::Module, _) if dso.name.starts_with(b"/") => {
                vec![Path::new(OsStr::from_bytes(&dso.name)).to_owned()]
            }
            (DsoKind::Kernel, Some(release)) => kernel_images(release.as_bstr()).collect(),
            _ => Vec::new(),
        }
    }
}

impl BuildIdSource for SymfsSource {
    fn build_id(&mut self, dso: &Dso, recording: &Recording) -> Result<Option<FoundId>, NoBuildId> {
        FoundId::of(self.object(dso, recording, WantedFile::WithId))
    }
}

impl ObjectSource for SymfsSource {
    fn object(
        &mut self,
        dso: &Dso,
        recording: &Recording,
        wanted: WantedFile,
    ) -> Result<Option<ObjectFile>, NoBuildId> {
        let mut reason = None;
        for path in Self::candidates(dso, recording) {
            let object = self.dir.open_regular(&path).and_then(|file| {
                let notes = self.cache.notes_in(&file, wanted)?;
                let proof = self.evidence.copy(dso, &notes.layout, wanted, recording)?;
                Ok(ObjectFile::of(file, notes.build_id, Origin::Symfs, proof))
            });
            match object {
                Ok(object) => return Ok(Some(object)),
                Err(error) => _ = reason.get_or_insert(error),
            }
        }
        reason.map_or(Ok(None), Err)
    }
}
