//! The summary of a process's jitted code.

use std::path::PathBuf;

use bstr::BString;

/// The jitted code of a process: what was found, and how many samples it names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JitSummary {
    /// The process.
    pub pid: i32,
    /// Its dump or perf map, if one could be read.
    pub path: Option<PathBuf>,
    /// Why there are no names, or fewer than there could be.
    pub missing: Option<String>,
    /// Functions that were read.
    pub functions: u64,
    /// Of those, in the images.
    pub kept: u64,
    /// The images.
    pub images: Vec<BString>,
    /// Samples with an address of the process, from where it was known to have such code.
    pub samples: u64,
    /// Of those, in files that have names.
    pub named_before: u64,
    /// The same, and those in functions that were announced.
    pub named_after: u64,
}
