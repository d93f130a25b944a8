//! Directories of files that are kept for their symbols: perf's own cache (`~/.debug`), and those of debug packages
//! (`/usr/lib/debug`).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use perf_format::BuildId;

use super::sections::separation_of;
use super::{BuildIdCache, BuildIdSource, FoundId, InRoot, NoBuildId, ObjectSource, Origin, WantedFile};
use crate::dso::{Dso, DsoKind};
use crate::evidence::{Evidence, Unproven};
use crate::object_files::ObjectFile;
use crate::recording::Recording;

/// Looks for what is kept of a DSO: `DIR/PATH/ID/elf` as perf's cache has it, `DIR/PATH.debug` and `DIR/PATH` as
/// debug packages do. Of several builds none is taken.
///
/// For [`object_files`](crate::object_files), which needs code, the second of these is none; of a build whose id is known,
/// `DIR/.build-id/xx/yyyy/elf` is looked at first.
#[derive(Debug)]
pub struct DebugDir {
    dir: InRoot,
    evidence: Evidence,
    cache: BuildIdCache,
}

/// What perf's cache calls the file in the directory of a build: a program, the kernel's symbols, a vdso.
const KEPT_AS: [&str; 3] = ["elf", "kallsyms", "vdso"];
/// Those of them that are object files.
const KEPT_FILES: [&str; 2] = ["elf", "vdso"];

impl DebugDir {
    /// A source below a directory.
    #[must_use]
    pub fn new(dir: InRoot, cache: BuildIdCache) -> Self {
        Self { dir, evidence: Evidence::default(), cache }
    }

    /// Has files pass the evidence, as far as their segments tell.
    pub(crate) fn with_evidence(self, evidence: Evidence) -> Self {
        Self { evidence, ..self }
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
            self.cache.id_in(&file).ok()
        });
        Ok(ids.map(found).next().flatten())
    }
}

impl ObjectSource for DebugDir {
    fn object(
        &mut self,
        dso: &Dso,
        recording: &Recording,
        wanted: WantedFile,
    ) -> Result<Option<ObjectFile>, NoBuildId> {
        let name = Path::new(OsStr::from_bytes(&dso.name));
        let mut candidates = Vec::new();
        if let WantedFile::OfBuild(id) = wanted {
            let kept = by_build_id(id, "");
            candidates.extend(KEPT_FILES.iter().map(|file| (kept.join(file), wanted)));
            // Old versions of perf had the file itself where the directory of a build is now.
            candidates.push((kept, wanted));
        }
        if dso.kind == DsoKind::File && name.is_absolute() {
            let builds = match wanted {
                WantedFile::OfBuild(id) => vec![id],
                WantedFile::WithId | WantedFile::Any => self.cached(name),
            };
            if builds.len() > 1 {
                return Err(NoBuildId::Ambiguous(builds.len()));
            }
            // The file in the directory of a build has to be that build.
            let of_build = |id: &BuildId| (name.join(id.to_string()).join("elf"), WantedFile::OfBuild(*id));
            candidates.extend(builds.iter().map(of_build));
            candidates.push((name.to_owned(), wanted));
        }
        let mut reason = None;
        for (path, needed) in candidates {
            let Ok(file) = self.dir.open_regular(&path) else { continue };
            let object = self.cache.notes_in(&file, needed).and_then(|notes| {
                let proof = self.evidence.copy(dso, &notes.layout, wanted, recording)?;
                // What holds symbols alone is not the file.
                let is_separate = separation_of(&file)?.is_separate;
                Ok((!is_separate).then(|| ObjectFile::of(file, notes.build_id, Origin::DebugDir, proof)))
            });
            match object {
                Ok(Some(object)) => return Ok(Some(object)),
                Ok(None) => {}
                Err(error) => _ = reason.get_or_insert(error),
            }
        }
        reason.map_or(Ok(None), Err)
    }
}

/// Where files are kept by their build-id: `.build-id/xx/yyyy` and an ending.
pub(crate) fn by_build_id(id: BuildId, end: &str) -> PathBuf {
    let hex = id.to_string();
    let (first, rest) = hex.split_at(hex.len().min(2));
    format!(".build-id/{first}/{rest}{end}").into()
}
