//! Separate debug files: what was taken out of an object file when it was stripped. They are found by the build-id of the
//! file, or by the name that it tells (`.gnu_debuglink`), where distributions and debuggers keep them.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use perf_format::BuildId;

use super::{ObjectFile, ObjectFiles, ObjectImage};
use crate::build_id::{DebugLink, InRoot, Origin, WantedFile, by_build_id, root_of, separation_of};
use crate::dso::Dso;
use crate::limits::DEBUG_FILE_AT_MOST;

/// Where systems keep debug files, below their root.
pub(super) const KEPT_IN: &str = "usr/lib/debug";

impl ObjectFiles {
    /// The separate debug file of an object file that was opened, such as `.debug_frame` of a stripped one may be in;
    /// `None` where there is none. One counts only if it has the same build-id or, where one of the two has none, the
    /// CRC-32 that the object file tells.
    ///
    /// It is looked for in the directories that are given for it, and where the file was found: below this machine's root,
    /// or below that of its process, or below the directory of `--symfs` or `--root` alone.
    #[must_use]
    pub fn debug_file(&self, object: &ObjectFile, dso: &Dso) -> Option<File> {
        self.debug_file_by(object, dso, |file, stripped, link| self.is_linked(file, stripped, object, link))
    }

    /// The [debug file](Self::debug_file) of an object file, if it has the same build-id: what readers find by the id alone. No
    /// CRC-32 is made, so that this takes no time that grows with the file.
    #[must_use]
    pub fn debug_file_of_build(&self, object: &ObjectFile, dso: &Dso) -> Option<File> {
        self.debug_file_by(object, dso, |file, stripped, _| {
            object.build_id.is_some_and(|id| self.is_of_build(file, id)) && !is_same_file(file, stripped)
        })
    }

    /// The debug file that is kept by the id, or the one of the name that the object file tells if it `is_it`: asked with it, the
    /// object file and what that tells.
    fn debug_file_by(
        &self,
        object: &ObjectFile,
        dso: &Dso,
        is_it: impl Fn(&File, &File, &DebugLink) -> bool,
    ) -> Option<File> {
        let systems = self.systems_of(object, dso);
        let kept = object.build_id.and_then(|id| self.kept_by_id(id, &systems));
        kept.or_else(|| self.linked(object, dso, &systems, is_it))
    }

    /// The roots of the systems whose files are looked at.
    pub(super) fn systems_of(&self, object: &ObjectFile, dso: &Dso) -> Vec<InRoot> {
        let here = || InRoot::open(Path::new("/")).ok();
        let of_process = || {
            let pid = dso.mapped_by?.pid;
            InRoot::open(Path::new(&format!("/proc/{pid}/root"))).ok()
        };
        let roots = match (object.origin, &self.symfs) {
            (Origin::Root, _) => [root_of(&self.roots, dso).cloned(), None],
            (_, Some(symfs)) => [Some(symfs.clone()), None],
            (Origin::Process, None) => [of_process(), here()],
            (_, None) => [here(), None],
        };
        roots.into_iter().flatten().collect()
    }

    /// The debug file of this build, where it is kept by its id.
    pub(super) fn kept_by_id(&self, id: BuildId, systems: &[InRoot]) -> Option<File> {
        let name = by_build_id(id, ".debug");
        // perf's cache has them in the directory of a build.
        let cached = by_build_id(id, "").join("debug");
        let in_systems = systems.iter().map(|root| (root, Path::new(KEPT_IN).join(&name)));
        let kept = self.debug_dirs.iter().flat_map(|dir| [(dir, name.clone()), (dir, cached.clone())]);
        kept.chain(in_systems).find_map(|(dir, path)| self.file_of_build(dir, &path, id))
    }

    /// A file of this build.
    pub(super) fn file_of_build(&self, dir: &InRoot, path: &Path, id: BuildId) -> Option<File> {
        dir.open_regular(path).ok().filter(|file| self.is_of_build(file, id))
    }

    fn is_of_build(&self, file: &File, id: BuildId) -> bool {
        self.cache.notes_in(file, WantedFile::OfBuild(id)).is_ok()
    }

    /// The file whose name the object file tells.
    fn linked(
        &self,
        object: &ObjectFile,
        dso: &Dso,
        systems: &[InRoot],
        is_it: impl Fn(&File, &File, &DebugLink) -> bool,
    ) -> Option<File> {
        let ObjectImage::File(stripped) = &object.image else { return None };
        let link = separation_of(stripped).ok()?.debug_link?;
        let own = Path::new(OsStr::from_bytes(&dso.name));
        let dir = own.parent().filter(|_| own.is_absolute())?;
        let below = dir.strip_prefix("/").ok()?;
        let name = Path::new(OsStr::from_bytes(&link.name));
        let beside = [
            dir.join(name),
            dir.join(".debug").join(name),
            Path::new("/").join(KEPT_IN).join(below).join(name),
        ];
        let in_systems = systems.iter().flat_map(|root| beside.iter().map(move |path| (root, path.clone())));
        let kept =
            self.debug_dirs.iter().map(|debug_dir| (debug_dir, PathBuf::from("/").join(below).join(name)));
        let mut files = in_systems.chain(kept).filter_map(|(root, path)| root.open_regular(&path).ok());
        files.find(|file| is_it(file, stripped, &link))
    }

    /// Whether a file is the one that an object file tells of, and not the object file itself.
    fn is_linked(&self, file: &File, stripped: &File, object: &ObjectFile, link: &DebugLink) -> bool {
        if is_same_file(file, stripped) {
            return false;
        }
        let Ok(notes) = self.cache.notes_in(file, WantedFile::Any) else { return false };
        match (object.build_id, notes.build_id) {
            (Some(id), Some(here)) => WantedFile::OfBuild(id).check(Some(here)).is_ok(),
            _ => crc_of(file) == Some(link.crc),
        }
    }
}

fn is_same_file(one: &File, other: &File) -> bool {
    let identity = |file: &File| file.metadata().map(|meta| (meta.dev(), meta.ino())).ok();
    identity(one) == identity(other)
}

/// The CRC-32 of a file; `None` where it cannot be read, or is too large.
fn crc_of(file: &File) -> Option<u32> {
    if file.metadata().ok()?.len() > DEBUG_FILE_AT_MOST {
        return None;
    }
    let (mut crc, mut part, mut at) = (flate2::Crc::new(), vec![0; 1 << 16], 0);
    // It may grow while it is read.
    while at <= DEBUG_FILE_AT_MOST {
        let read = file.read_at(&mut part, at).ok()?;
        if read == 0 {
            return Some(crc.sum());
        }
        crc.update(part.get(..read)?);
        at += u64::try_from(read).ok()?;
    }
    None
}
