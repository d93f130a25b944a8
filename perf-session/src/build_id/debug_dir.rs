//! Directories of files that are kept for their symbols: perf's own cache (`~/.debug`), and those of debug packages
//! (`/usr/lib/debug`).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use perf_format::BuildId;

use super::{BuildIdCache, BuildIdSource, FoundId, InRoot, NoBuildId, Origin};
use crate::dso::{Dso, DsoKind};
use crate::evidence::Unproven;
use crate::recording::Recording;

/// Looks for what is kept of a DSO: `DIR/PATH/ID/elf` as perf's cache has it, `DIR/PATH.debug` and `DIR/PATH` as
/// debug packages do. Of several builds none is taken.
#[derive(Debug)]
pub struct DebugDir {
    dir: InRoot,
    cache: BuildIdCache,
}

/// What perf's cache calls the file in the directory of a build: a program, the kernel's symbols, a vdso.
const KEPT_AS: [&str; 3] = ["elf", "kallsyms", "vdso"];

impl DebugDir {
    /// A source below a directory.
    #[must_use]
    pub fn new(dir: InRoot, cache: BuildIdCache) -> Self {
        Self { dir, cache }
    }

    /// The builds that perf's cache has under a name.
    fn cached(&self, name: &Path) -> Vec<BuildId> {
        let names = self.dir.names_in(name);
        let builds = names.iter().filter_map(|build| {
            let id = build.parse().ok()?;
            let dir = name.join(build);
            KEPT_AS.iter().any(|kept| self.dir.open_regular(&dir.join(kept)).is_ok()).then_some(id)
        });
        builds.collect()
    }
}

impl BuildIdSource for DebugDir {
    fn build_id(&mut self, dso: &Dso, _: &Recording) -> Result<Option<FoundId>, NoBuildId> {
        let name = Path::new(OsStr::from_bytes(&dso.name));
        // The kernel's image has no path, and any kernel's symbols may be kept under its name.
        if !matches!(dso.kind, DsoKind::File | DsoKind::Module) || !name.is_absolute() {
            return Ok(None);
        }
        let found =
            |id| Some(FoundId { unproven: Some(Unproven::Named), ..FoundId::from(Origin::DebugDir, id) });
        match self.cached(name).as_slice() {
            [] => {}
            [one] => return Ok(found(*one)),
            several => return Err(NoBuildId::Ambiguous(several.len())),
        }
        let mut debug = name.as_os_str().to_owned();
        debug.push(".debug");
        let candidates = [PathBuf::from(debug), name.to_owned()];
        let ids = candidates.iter().filter_map(|path| {
            let file = self.dir.open_regular(path).ok()?;
            Some(self.cache.id_in(file).ok()?.build_id)
        });
        Ok(ids.map(found).next().flatten())
    }
}
