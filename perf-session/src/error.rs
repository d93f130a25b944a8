//! Errors of passing a stream: of reading it, of writing it, or of a tool.

use std::io;
use std::path::PathBuf;

use perf_format::RecordType;

use crate::tool::Verdict;

/// An error of a session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A recording cannot be opened by its name.
    #[error("cannot open {}", path.display())]
    Open {
        /// Its name.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The input cannot be read on.
    #[error(transparent)]
    Format(#[from] perf_format::Error),
    /// The output cannot be written.
    #[error("writing failed after {written} bytes")]
    Write {
        /// Bytes that were written before.
        written: u64,
        /// Why.
        source: io::Error,
    },
    /// A tool dropped a record, or injected behind it, and [`Tool::cuts`](crate::Tool::cuts) does not say that it does that
    /// with records of this type: a fault of the tool, in a stream that is compressed it would have had no effect.
    #[error(
        "a tool's verdict {verdict:?} on the {record_type} record at offset {offset:#x}: it cuts at no such records"
    )]
    Uncut {
        /// Where the record stands in the input.
        offset: u64,
        /// Its type.
        record_type: RecordType,
        /// The verdict.
        verdict: Verdict,
    },
    /// A tool ends the run.
    #[error(transparent)]
    Tool(Box<dyn std::error::Error + Send + Sync>),
}
