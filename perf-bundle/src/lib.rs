//! Packs a recording together with the files that its symbols are in, so that it can be read elsewhere.
//!
//! A [`Survey`] finds which DSOs samples of a recording hit; [`gather`] opens the files of these, by the checks of
//! [`perf_session::object_files`], and says of each that is not there why; [`RemoteFiles`] may have it. [`pack`] writes both as a bundle, a tar that
//! zstd packs; [`unpack`] reads one that may be anybody's. What it unpacks is a [`Store`]: a folder in the layout of perf's
//! buildid-cache, which perf reads as it is (`perf --buildid-dir DIR report`). A [`Collector`] fills one while a stream passes.
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod collect;
mod contents;
mod gather;
mod hash;
mod layout;
mod limits;
mod manifest;
mod pack;
mod packing;
mod remote;
mod separate;
mod store;
mod survey;
mod unpack;

pub use collect::{CollectQueue, CollectReport, Collector};
pub use contents::{FileContents, PackedContents};
pub use gather::{Bundle, BundledFile, MissingFile, gather};
pub use hash::Sha256Hash;
pub use layout::{FileRole, RECORDING_NAME, SYMFS_DIR};
pub use manifest::{FORMAT_VERSION, Manifest, ManifestFile, ManifestMissing, ManifestRecording};
pub use pack::{PackError, pack};
pub use remote::RemoteFiles;
pub use store::{Store, StoreError, Stored};
pub use survey::{Survey, SurveyScope, SurveyedDso};
pub use unpack::{UnbundleError, UnbundleLimits, Unbundled, unpack};

/// The example of the README, to see that it compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
