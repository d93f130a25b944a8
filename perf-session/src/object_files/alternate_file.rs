//! Alternate debug files: what `dwz -m` took out of several debug files since it was in all of them. Each of those tells the
//! path and the build-id of it (`.gnu_debugaltlink`), and without it readers have no names of inlined functions and types.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use bstr::BString;
use perf_format::BuildId;

use super::debug_file::KEPT_IN;
use super::{ObjectFile, ObjectFiles};
use crate::build_id::{AlternateLink, InRoot, separation_of};
use crate::dso::Dso;

/// The alternate debug file that a file tells of.
#[derive(Debug)]
#[non_exhaustive]
pub struct AlternateFile {
    /// Its path on the recorded machine; where it is told from the directory of a file whose own path is not known, only that.
    pub path: BString,
    /// Its build-id.
    pub build_id: BuildId,
    /// The file, which has this id; `None` where no place has one.
    pub file: Option<File>,
}

impl ObjectFiles {
    /// The alternate debug file that an object file that was opened, or its debug file, tells of (`of`); `None` where it tells of
    /// none.
    ///
    /// It is looked for where [debug files](Self::debug_file) are, by its id and then by its path.
    #[must_use]
    pub fn alternate_file(&self, of: &File, object: &ObjectFile, dso: &Dso) -> Option<AlternateFile> {
        let AlternateLink { path, build_id } = separation_of(of).ok()?.alternate?;
        let told = Path::new(OsStr::from_bytes(&path));
        let systems = self.systems_of(object, dso);
        let own = Path::new(OsStr::from_bytes(&dso.name));
        // The path of a debug file is that of the file, whatever links led there.
        let real = systems.iter().chain(&self.debug_dirs).filter_map(|root| Some((root, root.path_of(of)?)));
        let named = systems.iter().filter(|_| own.is_absolute()).map(|root| (root, own.to_owned()));
        let from: Vec<(&InRoot, PathBuf)> = real
            .chain(named)
            .filter_map(|(root, from)| Some((root, absolute(from.parent()?, told))))
            .collect();
        let kept_below = Path::new("/").join(KEPT_IN);
        let in_kept = from.iter().filter_map(|(_, path)| path.strip_prefix(&kept_below).ok());
        let in_kept = in_kept.flat_map(|path| self.debug_dirs.iter().map(move |dir| (dir, path)));
        let by_path = from.iter().map(|(root, path)| (*root, path.as_path())).chain(in_kept);
        let file = self
            .kept_by_id(build_id, &systems)
            .or_else(|| by_path.clone().find_map(|(dir, path)| self.file_of_build(dir, path, build_id)));
        let path = from.first().map_or(told, |(_, path)| path);
        Some(AlternateFile { path: path.as_os_str().as_bytes().into(), build_id, file })
    }
}

/// A path that is told from a directory, without `..`.
fn absolute(dir: &Path, path: &Path) -> PathBuf {
    let mut whole = PathBuf::from("/");
    for part in dir.join(path).components() {
        match part {
            Component::Normal(part) => whole.push(part),
            Component::ParentDir => _ = whole.pop(),
            _ => {}
        }
    }
    whole
}
