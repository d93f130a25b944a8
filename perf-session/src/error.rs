//! Errors of passing a stream: of reading it, of writing it, or of a tool.

use std::io;

/// An error of a session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
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
    /// A tool ends the run.
    #[error(transparent)]
    Tool(Box<dyn std::error::Error + Send + Sync>),
}
