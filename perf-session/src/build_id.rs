//! Build-ids, from wherever they are: a chain of sources, each of which knows one kind of place. Only here are
//! object files opened.

use std::fmt;
use std::io;

use bstr::BString;
use perf_format::BuildId;

use crate::dso::{Dso, DsoKind};
use crate::machine::HOST;
use crate::session::Recording;

mod elf;
mod file;
mod kernel;
mod kernel_maps;
mod known;
mod live;
mod module;
mod notes;
mod packed;
mod trust;
mod vdso;

pub use elf::{ElfError, build_id_of};
pub use file::FileSource;
pub use kernel::KernelSource;
pub use kernel_maps::{KernelMap, kernel_maps};
pub use known::{BadEntry, Known};
pub use live::LiveSource;
pub use module::ModuleSource;
pub use notes::gnu_build_id;
pub use trust::Trust;
pub use vdso::VdsoSource;

/// Knows build-ids of some DSOs.
pub trait BuildIdSource {
    /// The id of a DSO; `None` where this source knows nothing of such DSOs.
    ///
    /// # Errors
    /// Why there is no id, where the source is the one to ask.
    fn build_id(&mut self, dso: &Dso, recording: &Recording) -> Result<Option<BuildId>, NoBuildId>;
}

/// Why a DSO has no build-id.
#[derive(Debug)]
pub enum NoBuildId {
    /// It is of no file.
    NoDso,
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
    /// What is here now is not what was recorded, and how one knows.
    Changed(Change),
    /// No source knows of it.
    Unknown,
}

/// How what is here now was found to be another than what was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// On the device of the recorded file, another inode has its name.
    Inode {
        /// The inode that was mapped.
        recorded: u64,
        /// The inode that is there.
        here: u64,
    },
    /// The file was written after it was mapped.
    Younger,
    /// Another release of the kernel runs.
    Release(BString),
    /// Another boot of the kernel runs: its symbols are elsewhere.
    Boot,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inode { recorded, here } => {
                write!(f, "another file is there now (inode {here}, recorded was {recorded})")
            }
            Self::Younger => f.write_str("it was written after it was mapped"),
            Self::Release(release) => write!(f, "recorded was kernel {release}, which does not run here"),
            Self::Boot => f.write_str("recorded was another boot of the kernel"),
        }
    }
}

impl fmt::Display for NoBuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDso => f.write_str("it is of no file"),
            Self::OtherMachine => f.write_str("it is on a guest machine"),
            Self::NotAPath => f.write_str("its name is no path"),
            Self::NotAFile => f.write_str("it is no regular file"),
            Self::Io(error) => error.fmt(f),
            Self::Elf(error) => error.fmt(f),
            Self::NoNote => f.write_str("it has no build-id note"),
            Self::Changed(change) => change.fmt(f),
            Self::Unknown => f.write_str("nothing is known of it"),
        }
    }
}

impl From<io::Error> for NoBuildId {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The id that the recording itself carries.
#[derive(Debug, Default, Clone, Copy)]
pub struct Recorded;

impl BuildIdSource for Recorded {
    fn build_id(&mut self, dso: &Dso, _: &Recording) -> Result<Option<BuildId>, NoBuildId> {
        Ok(dso.build_id)
    }
}

/// Sources asked one after the other, until one knows.
#[derive(Default)]
pub struct Chain(pub Vec<Box<dyn BuildIdSource>>);

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chain of {}", self.0.len())
    }
}

impl Chain {
    /// What can be asked of a recording: what somebody knows, the recording itself, and this machine as far as it
    /// can be trusted.
    #[must_use]
    pub fn of_recording(known: Known, trust: Trust) -> Self {
        let mut sources: Vec<Box<dyn BuildIdSource>> = vec![Box::new(known), Box::new(Recorded)];
        sources.extend(Self::files(trust).0);
        Self(sources)
    }

    /// This machine's kernel, modules, vdso, running processes and files.
    #[must_use]
    pub fn files(trust: Trust) -> Self {
        Self(vec![
            Box::new(ThisMachine),
            Box::new(KernelSource::new(trust)),
            Box::new(ModuleSource::default()),
            Box::new(VdsoSource),
            Box::new(LiveSource),
            Box::new(FileSource::new(trust)),
        ])
    }
}

impl BuildIdSource for Chain {
    /// The first id that a source knows; otherwise the first reason that one gave.
    fn build_id(&mut self, dso: &Dso, recording: &Recording) -> Result<Option<BuildId>, NoBuildId> {
        let mut reason = None;
        for source in &mut self.0 {
            match source.build_id(dso, recording) {
                Ok(Some(id)) => return Ok(Some(id)),
                Ok(None) => {}
                // A DSO of no file or of another machine is nothing for the sources behind this one.
                Err(end @ (NoBuildId::NoDso | NoBuildId::OtherMachine)) => return Err(end),
                Err(error) => _ = reason.get_or_insert(error),
            }
        }
        Err(reason.unwrap_or(NoBuildId::Unknown))
    }
}

/// Ends the chain for what this machine's files say nothing of.
#[derive(Debug, Default, Clone, Copy)]
pub struct ThisMachine;

impl BuildIdSource for ThisMachine {
    fn build_id(&mut self, dso: &Dso, _: &Recording) -> Result<Option<BuildId>, NoBuildId> {
        match dso {
            Dso { kind: DsoKind::NoDso, .. } => Err(NoBuildId::NoDso),
            Dso { machine, .. } if *machine != HOST => Err(NoBuildId::OtherMachine),
            _ => Ok(None),
        }
    }
}
