//! Why a file cannot be used.

use std::io;

/// Why a file or an image cannot be a module.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It cannot be looked at or mapped.
    #[error("it cannot be mapped: {0}")]
    Io(#[from] io::Error),
    /// It is a device, a pipe or a directory.
    #[error("it is no regular file")]
    NotRegular,
    /// It is no ELF file.
    #[error("it is no ELF file")]
    NotElf,
    /// It is an ELF file whose headers lie outside it, or contradict themselves.
    #[error("it is a damaged ELF file: {0}")]
    Damaged(String),
    /// It is for an architecture that is not known here.
    #[error("its architecture is not known here (ELF machine {machine})")]
    Architecture {
        /// Its `e_machine`.
        machine: u16,
    },
    /// It has no segment at that place of the file.
    #[error("it has no segment at {offset:#x}")]
    NoSegment {
        /// The place in the file, in bytes.
        offset: u64,
    },
    /// It is another architecture's than the module.
    #[error("it is for another architecture")]
    OtherArchitecture,
}
