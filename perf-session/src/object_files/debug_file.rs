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
        let systems = self.systems_of(object, dso);
        if let Some(id) = object.build_id {
            let found = self.kept_by_id(id, &systems);
            if found.is_some() {
                return found;
            }
        }
        self.linked(object, dso, &systems)
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
        let file = dir.open_regular(path).ok()?;
        self.cache.notes_in(&file, WantedFile::OfBuild(id)).ok()?;
        Some(file)
    }

    /// The file whose name the object file tells.
    fn linked(&self, object: &ObjectFile, dso: &Dso, systems: &[InRoot]) -> Option<File> {
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
        files.find(|file| self.is_linked(file, stripped, object.build_id, &link))
    }

    /// Whether a file is the one that an object file tells of, and not the object file itself.
    fn is_linked(&self, file: &File, stripped: &File, id: Option<BuildId>, link: &DebugLink) -> bool {
        let identity = |file: &File| file.metadata().map(|meta| (meta.dev(), meta.ino())).ok();
        if identity(file) == identity(stripped) {
            return false;
        }
        let Ok(notes) = self.cache.notes_in(file, WantedFile::Any) else { return false };
        match (id, notes.build_id) {
            (Some(id), Some(here)) => WantedFile::OfBuild(id).check(Some(here)).is_ok(),
            _ => crc_of(file) == Some(link.crc),
        }
    }
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
