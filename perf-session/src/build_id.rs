//! Build-ids of DSOs, from a chain of sources, each of which looks in one kind of place. Those that read files open them
//! for [`object_files`](crate::object_files), too. Only in these two rooms are object files opened.

use std::fmt;
use std::io;

use perf_format::BuildId;

use crate::dso::{Dso, DsoKind};
use crate::evidence::{Evidence, EvidenceConfig, Mismatch, Place, Unproven};
use crate::machine::HOST;
use crate::object_files::ObjectFile;
use crate::recording::Recording;

mod cache;
mod contents;
mod debug_dir;
mod elf;
mod extent;
mod file;
mod in_root;
mod kernel;
mod kernel_maps;
mod known;
mod live;
mod module;
mod notes;
mod packed;
mod root;
mod sections;
mod symfs;
mod vdso;
mod wanted_file;

pub use cache::BuildIdCache;
pub use debug_dir::DebugDir;
pub(crate) use debug_dir::by_build_id;
pub use elf::{ElfError, build_id_of};
pub use extent::{ElfExtent, elf_extent};
pub use file::FileSource;
pub(crate) use file::open_regular;
pub use in_root::InRoot;
pub use kernel::{KernelSource, VmlinuxSource, running_kernel};
pub(crate) use kernel_maps::module_files;
pub use kernel_maps::{KernelMap, kernel_maps};
pub use known::{BadEntry, Known};
pub use live::LiveSource;
pub use module::ModuleSource;
pub use notes::gnu_build_id;
pub use packed::UnpackError;
pub use root::RootSource;
pub(crate) use root::root_of;
pub(crate) use sections::{AlternateLink, DebugLink, separation_of};
pub use symfs::SymfsSource;
pub(crate) use symfs::{kernel_images, part_of_path};
pub use vdso::VdsoSource;
pub(crate) use wanted_file::WantedFile;

/// Knows build-ids of some DSOs.
pub trait BuildIdSource {
    /// The build-id of a DSO; `None` where this source has none for it, so that the next one is tried.
    ///
    /// # Errors
    /// Why the DSO has no build-id, where this source is responsible for it.
    fn build_id(&mut self, dso: &Dso, recording: &Recording) -> Result<Option<FoundId>, NoBuildId>;
}

/// Opens the object files of some DSOs, by the same checks as a source of ids: where it is one, the ids are those of the
/// files that it opens.
pub(crate) trait ObjectSource {
    /// The file of a DSO; `None` where this source has none of it, so that the next one is tried.
    ///
    /// # Errors
    /// Why the file of the DSO is not opened, where this source is responsible for it.
    fn object(
        &mut self,
        dso: &Dso,
        recording: &Recording,
        wanted: WantedFile,
    ) -> Result<Option<ObjectFile>, NoBuildId>;
}

/// A build-id, and the source that found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FoundId {
    /// The id.
    pub build_id: BuildId,
    /// The source.
    pub origin: Origin,
    /// Why nothing proves that the file is the recorded one; `None` where that is proven.
    pub unproven: Option<Unproven>,
}

impl FoundId {
    /// An id that needs no proof.
    #[must_use]
    pub fn from(origin: Origin, build_id: BuildId) -> Self {
        Self { build_id, origin, unproven: None }
    }

    /// The id of a file that was opened for it ([`WantedFile::WithId`]).
    pub(crate) fn of(object: Result<Option<ObjectFile>, NoBuildId>) -> Result<Option<Self>, NoBuildId> {
        let Some(ObjectFile { build_id, origin, unproven, .. }) = object? else { return Ok(None) };
        Ok(Some(Self { build_id: build_id.ok_or(NoBuildId::NoNote)?, origin, unproven }))
    }
}

/// The sources, in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// The user gave the id (`--known-build-ids`).
    Known,
    /// The recording carries it.
    Recording,
    /// The image that the user says is the recorded kernel's (`--vmlinux`).
    Vmlinux,
    /// The running kernel.
    Kernel,
    /// A module of the running kernel.
    Module,
    /// The running kernel's vdso.
    Vdso,
    /// The file, reached through a process that has it mapped.
    Process,
    /// A directory that stands for a process's root.
    Root,
    /// A directory that stands for the recorded machine's root.
    Symfs,
    /// The file, by its name.
    File,
    /// A directory of files kept for their symbols.
    DebugDir,
    /// A debuginfod server, or the cache of what such servers sent.
    Debuginfod,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Known => "known",
            Self::Recording => "recording",
            Self::Vmlinux => "vmlinux",
            Self::Kernel => "kernel",
            Self::Module => "module",
            Self::Vdso => "vdso",
            Self::Process => "process",
            Self::Root => "root",
            Self::Symfs => "symfs",
            Self::File => "file",
            Self::DebugDir => "debug-dir",
            Self::Debuginfod => "debuginfod",
        })
    }
}

/// Why a DSO has no build-id.
#[derive(Debug)]
#[non_exhaustive]
pub enum NoBuildId {
    /// It is anonymous memory, and has no file.
    Anonymous,
    /// It is on another machine, and the recording does not carry its id.
    OtherMachine,
    /// Its name is no absolute path.
    NotAPath,
    /// Its file is no regular file.
    NotAFile,
    /// It could not be read.
    Io(io::Error),
    /// It is no ELF file, or a damaged one.
    Elf(ElfError),
    /// It has no build-id note.
    NoNote,
    /// The file that is here now is not the recorded one, or nothing proves that it is.
    Changed(Mismatch),
    /// The recording was made elsewhere or in another boot, or it is not known where, so that what is here is no evidence.
    NotHere(Place),
    /// The module is not loaded any more.
    NotLoaded,
    /// The recording gives the same id to another module, so that at most one of the two is right.
    Shared(BuildId),
    /// It cannot be read below the root of its process; a file of its name elsewhere is another one.
    BelowRoot(Box<NoBuildId>),
    /// Several builds of it are kept, and any of them may be the recorded one.
    Ambiguous(usize),
    /// The recording has another file of its name, to which a record that identifies DSOs by name would give this id.
    Namesake,
    /// Readers find it by its name: with an id, perf looks for it in `~/.debug` alone, and names none of its functions
    /// where that has none.
    FoundByName,
    /// No source has an id for it.
    Unknown,
}

impl fmt::Display for NoBuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("it is of no file"),
            Self::OtherMachine => f.write_str("it is on a guest machine"),
            Self::NotAPath => f.write_str("its name is no path"),
            Self::NotAFile => f.write_str("it is no regular file"),
            Self::Io(error) => error.fmt(f),
            Self::Elf(error) => error.fmt(f),
            Self::NoNote => f.write_str("it has no build-id note"),
            Self::Changed(change) => change.fmt(f),
            Self::NotHere(place) => place.fmt(f),
            Self::NotLoaded => f.write_str("it is not loaded"),
            Self::Shared(id) => write!(f, "the recording gives its id to several modules ({id})"),
            Self::BelowRoot(reason) => write!(f, "below the root of its process: {reason}"),
            Self::Ambiguous(count) => {
                write!(f, "{count} builds of it are kept, and any may be the recorded one")
            }
            Self::Namesake => f.write_str("another file of that name was recorded, too"),
            Self::FoundByName => f.write_str("readers find it by its name, and with an id in ~/.debug alone"),
            Self::Unknown => f.write_str("no source has an id for it"),
        }
    }
}

impl std::error::Error for NoBuildId {}

impl From<io::Error> for NoBuildId {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ElfError> for NoBuildId {
    fn from(error: ElfError) -> Self {
        Self::Elf(error)
    }
}

/// The id that the recording itself carries.
#[derive(Debug, Default, Clone, Copy)]
pub struct Recorded;

impl BuildIdSource for Recorded {
    fn build_id(&mut self, dso: &Dso, _: &Recording) -> Result<Option<FoundId>, NoBuildId> {
        match dso.build_id {
            Some(id) if dso.shares_id => Err(NoBuildId::Shared(id)),
            id => Ok(id.map(|id| FoundId::from(Origin::Recording, id))),
        }
    }
}

/// Sources that are tried one after the other, until one has the id or says why there is none. An empty one finds nothing.
#[derive(Default)]
pub struct Chain(pub Vec<Box<dyn BuildIdSource>>);

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chain of {}", self.0.len())
    }
}

/// Where the ids of a recording's DSOs are looked for, besides the recording itself. The default is this machine's files,
/// as far as there is [evidence](crate::evidence) that they are the recorded ones.
#[derive(Debug, Default, Clone)]
pub struct SourceConfig {
    /// Ids that the user gave.
    pub known: Known,
    /// The id of the recorded kernel's image ([`build_id_of`] reads it from a vmlinux).
    pub vmlinux: Option<BuildId>,
    /// The evidence for the files of this machine.
    pub evidence: EvidenceConfig,
    /// The files of the recorded machine, where that is not this one: then this machine's files are not used.
    pub symfs: Option<InRoot>,
    /// The root directories of some processes (containers), by pid.
    pub roots: Vec<(i32, InRoot)>,
    /// Directories of files that are kept for their symbols, such as `/usr/lib/debug` and perf's cache.
    pub debug_dirs: Vec<InRoot>,
}

impl Chain {
    /// The sources for a recording: the known ids, the recording itself, the kernel's image, then the places of `config`.
    #[must_use]
    pub fn of_recording(config: SourceConfig) -> Self {
        let SourceConfig { known, vmlinux, evidence, symfs, roots, debug_dirs } = config;
        let (cache, evidence) = (BuildIdCache::default(), Evidence::new(evidence));
        let mut sources: Vec<Box<dyn BuildIdSource>> =
            vec![Box::new(known), Box::new(Recorded), Box::new(NoVdso)];
        sources.extend(vmlinux.map(|id| Box::new(VmlinuxSource(id)) as _));
        if !roots.is_empty() {
            sources.push(Box::new(RootSource::new(roots, evidence.clone(), cache.clone())));
        }
        match symfs {
            Some(dir) => sources.extend([
                Box::new(NoFiles) as Box<dyn BuildIdSource>,
                Box::new(SymfsSource::new(dir, evidence, cache.clone())),
            ]),
            None => sources.extend(Self::of_this_machine(&evidence, &cache).0),
        }
        let kept = debug_dirs.into_iter().map(|dir| Box::new(DebugDir::new(dir, cache.clone())) as _);
        sources.extend(kept);
        Self(sources)
    }

    /// This machine's kernel, modules, vdso, running processes and files.
    #[must_use]
    pub fn files(evidence: EvidenceConfig) -> Self {
        Self::of_this_machine(&Evidence::new(evidence), &BuildIdCache::default())
    }

    fn of_this_machine(evidence: &Evidence, cache: &BuildIdCache) -> Self {
        Self(vec![
            Box::new(NoFiles),
            Box::new(KernelSource::new(evidence.clone())),
            Box::new(ModuleSource::new(evidence.clone())),
            Box::new(VdsoSource::new(evidence.clone())),
            Box::new(LiveSource::new(evidence.clone(), cache.clone())),
            Box::new(FileSource::new(evidence.clone(), cache.clone())),
        ])
    }
}

impl BuildIdSource for Chain {
    /// The first id that a source has; otherwise the first reason that is more than a missing file.
    fn build_id(&mut self, dso: &Dso, recording: &Recording) -> Result<Option<FoundId>, NoBuildId> {
        let found =
            first_found(&mut self.0, NoBuildId::ends_search, |source| source.build_id(dso, recording));
        found?.map_or(Err(NoBuildId::Unknown), |found| Ok(Some(found)))
    }
}

impl NoBuildId {
    /// Whether the sources behind one that says this have nothing either: they know nothing of anonymous memory, of other
    /// machines or of other roots.
    pub(crate) fn ends_search(&self) -> bool {
        matches!(self, Self::Anonymous | Self::OtherMachine | Self::FoundByName | Self::BelowRoot(_))
    }
}

/// The first answer that a source has; otherwise the first reason that is more than a missing file. Sources behind one
/// whose reason `ends` the search are not asked.
pub(crate) fn first_found<S, T>(
    sources: impl IntoIterator<Item = S>,
    ends: impl Fn(&NoBuildId) -> bool,
    mut ask: impl FnMut(S) -> Result<Option<T>, NoBuildId>,
) -> Result<Option<T>, NoBuildId> {
    let mut reason = None;
    for source in sources {
        match ask(source) {
            Ok(Some(found)) => return Ok(Some(found)),
            Err(end) if ends(&end) => return Err(end),
            // A missing file in one place is the least telling reason.
            Err(error) if matches!(reason, None | Some(NoBuildId::Io(_))) => reason = Some(error),
            Ok(None) | Err(_) => {}
        }
    }
    reason.map_or(Ok(None), Err)
}

/// Ends the chain for the vdso: this machine's id of it would take from readers the names that they have.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoVdso;

impl BuildIdSource for NoVdso {
    fn build_id(&mut self, dso: &Dso, _: &Recording) -> Result<Option<FoundId>, NoBuildId> {
        if dso.kind == DsoKind::Vdso { Err(NoBuildId::FoundByName) } else { Ok(None) }
    }
}

/// Ends the chain for DSOs of which no file can be read: anonymous memory and guests.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoFiles;

impl BuildIdSource for NoFiles {
    fn build_id(&mut self, dso: &Dso, recording: &Recording) -> Result<Option<FoundId>, NoBuildId> {
        FoundId::of(self.object(dso, recording, WantedFile::WithId))
    }
}

impl ObjectSource for NoFiles {
    fn object(&mut self, dso: &Dso, _: &Recording, _: WantedFile) -> Result<Option<ObjectFile>, NoBuildId> {
        match dso {
            Dso { kind: DsoKind::Anonymous, .. } => Err(NoBuildId::Anonymous),
            Dso { machine, .. } if *machine != HOST => Err(NoBuildId::OtherMachine),
            _ => Ok(None),
        }
    }
}
