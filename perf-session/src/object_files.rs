//! Object files of DSOs, for those who need the file itself and not only its build-id: out of the same places as
//! [build-ids](crate::build_id), and only where the same [evidence](crate::evidence) says that they are the recorded ones.
//!
//! Where the recording carries the id of a DSO, or the user gave it, that decides in place of all else: a file with that
//! id is the recorded one, on whatever machine and whenever it was changed, and a file with another id never is. So the
//! files of another machine's recording are found, too, if this one has the same builds.

use std::fmt;
use std::fs::File;

use perf_format::BuildId;

use crate::build_id::{
    BuildIdCache, DebugDir, FileSource, InRoot, Known, LiveSource, NoBuildId, NoFiles, ObjectSource, Origin,
    RootSource, SourceConfig, SymfsSource, VdsoSource, WantedFile, first_found,
};
use crate::dso::Dso;
use crate::evidence::{Evidence, Proof, Unproven};
use crate::recording::Recording;

mod alternate_file;
mod debug_file;
mod kernel;

pub use alternate_file::AlternateFile;
pub use kernel::{KernelSymbols, running_kernel_symbols};

/// Opens the object files of DSOs where it is proven, or likely ([`Unproven`]), that they are the recorded ones.
pub struct ObjectFiles {
    known: Known,
    sources: Vec<Box<dyn ObjectSource>>,
    roots: Vec<(i32, InRoot)>,
    symfs: Option<InRoot>,
    debug_dirs: Vec<InRoot>,
    cache: BuildIdCache,
    evidence: Evidence,
}

impl fmt::Debug for ObjectFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectFiles from {} places", self.sources.len())
    }
}

/// The object file of a DSO.
#[derive(Debug)]
#[non_exhaustive]
pub struct ObjectFile {
    /// Where its bytes are.
    pub image: ObjectImage,
    /// Its own build-id, if it has one.
    pub build_id: Option<BuildId>,
    /// The place where it was found.
    pub origin: Origin,
    /// Why nothing proves that it is the recorded one; `None` where that is proven.
    pub unproven: Option<Unproven>,
}

/// The bytes of an object file.
#[derive(Debug)]
#[non_exhaustive]
pub enum ObjectImage {
    /// A regular file, open for reading. It is somebody else's, who may still change it.
    File(File),
    /// An image that is in no file: the vdso.
    Memory(Vec<u8>),
}

impl ObjectFile {
    /// A file that a source has opened.
    pub(crate) fn of(file: File, build_id: Option<BuildId>, origin: Origin, proof: Proof) -> Self {
        Self { image: ObjectImage::File(file), build_id, origin, unproven: proof.unproven() }
    }
}

/// Why the object file of a DSO is not opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum NoObjectFile {
    /// It is code of the kernel: [`ObjectFiles::kernel_symbols`], [`ObjectFiles::kernel_image`] and [`ObjectFiles::module`]
    /// have what there is of that.
    Kernel,
    /// The kernel shows its addresses to others than this user (`kernel.kptr_restrict`).
    HiddenAddresses,
    /// For what keeps a file's build-id from being used, too: there is none, it cannot be read, or it is not the recorded one.
    Refused(NoBuildId),
    /// No place has a file for it.
    NotFound,
}

impl fmt::Display for NoObjectFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel => f.write_str("it is code of the kernel, whose files are not looked for"),
            Self::HiddenAddresses => f.write_str("the kernel hides its addresses from this user"),
            Self::Refused(reason) => reason.fmt(f),
            Self::NotFound => f.write_str("no place has a file for it"),
        }
    }
}

impl std::error::Error for NoObjectFile {}

impl From<NoBuildId> for NoObjectFile {
    fn from(reason: NoBuildId) -> Self {
        match reason {
            NoBuildId::Unknown => Self::NotFound,
            reason => Self::Refused(reason),
        }
    }
}

impl ObjectFiles {
    /// Looks in the places of [`Chain::of_recording`](crate::build_id::Chain::of_recording), in the same order. The vdso,
    /// which has no id there, has its image here.
    #[must_use]
    pub fn of_recording(config: SourceConfig) -> Self {
        let SourceConfig { known, vmlinux: _, evidence, symfs, roots, debug_dirs } = config;
        let (cache, evidence) = (BuildIdCache::default(), Evidence::new(evidence));
        let mut sources: Vec<Box<dyn ObjectSource>> = vec![
            Box::new(RootSource::new(roots.clone(), evidence.clone(), cache.clone())),
            Box::new(NoFiles),
        ];
        match symfs.clone() {
            Some(dir) => sources.push(Box::new(SymfsSource::new(dir, evidence.clone(), cache.clone()))),
            None => sources.extend([
                Box::new(VdsoSource::new(evidence.clone())) as Box<dyn ObjectSource>,
                Box::new(LiveSource::new(evidence.clone(), cache.clone())),
                Box::new(FileSource::new(evidence.clone(), cache.clone())),
            ]),
        }
        let kept = debug_dirs.iter().map(|dir| {
            Box::new(DebugDir::new(dir.clone(), cache.clone()).with_evidence(evidence.clone())) as _
        });
        sources.extend(kept);
        Self { known, sources, roots, symfs, debug_dirs, cache, evidence }
    }

    /// The file of a DSO. Only regular files are opened, whatever has their name.
    ///
    /// # Errors
    /// Why it is not opened. Of a stream that still runs, more may be known later: after [`NoBuildId::NotHere`], and after
    /// [`NoBuildId::Changed`] for a [doubt](crate::evidence::Mismatch::Doubt), it can be asked for again.
    pub fn open(&mut self, dso: &Dso, recording: &Recording) -> Result<ObjectFile, NoObjectFile> {
        if dso.kind.is_kernel() {
            return Err(NoObjectFile::Kernel);
        }
        let recorded = dso.build_id.filter(|_| !dso.shares_id);
        let wanted = self.known.id_of(dso).or(recorded).map_or(WantedFile::Any, WantedFile::OfBuild);
        // Of a build that is known, a file below another root will do as well.
        let ends = |reason: &NoBuildId| {
            reason.ends_search() && !(wanted.proves() && matches!(reason, NoBuildId::BelowRoot(_)))
        };
        let opened = first_found(&mut self.sources, ends, |source| source.object(dso, recording, wanted));
        opened?.ok_or(NoObjectFile::NotFound)
    }
}
