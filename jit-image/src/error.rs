//! Why an image cannot be written.

use std::io;

/// Why an image cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file cannot be written.
    #[error("writing the image failed")]
    Write(#[from] io::Error),
    /// A function was added at an offset before the end of the function before it.
    #[error("no function can be at {offset:#x} of an image that is written up to {end:#x}")]
    Offset {
        /// Where it should have stood.
        offset: u64,
        /// Where it could have.
        end: u64,
    },
    /// An offset or a size has no room in its field.
    #[error("the image is too large for its format")]
    TooLarge,
    /// The tables of lines cannot be written.
    #[error("the lines cannot be written")]
    Lines(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The unwinding information cannot be written.
    #[error("the unwinding information cannot be written")]
    Frames(#[source] Box<dyn std::error::Error + Send + Sync>),
}
