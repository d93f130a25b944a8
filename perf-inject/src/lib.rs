//! Tools that put records into a passing stream of perf data, and the run that passes it: from a pipe, a file or a
//! directory, to a pipe or a file.
//!
//! [`Plan`] has what is to be injected, and makes the tools that do it; each injector is one file and one row there.
//! Records are injected through [`perf_session::Injection`], in front of the record that needs them; the recording's
//! own bytes are never touched. [`Run`] knows the pairings of input and output.
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod announce;
mod build_ids;
mod drop_feature;
pub mod jit;
mod limits;
mod names;
mod plan;
mod remap_text;
mod run;
mod summary;
mod watermark;

pub use build_ids::{DsoSelection, Ids, IdsByName, IdsInMaps, IdsTo, SharedIds, shared_ids};
pub use drop_feature::DropFeature;
pub use jit::Jit;
pub use names::{Cause, NameSummary, Unnamed};
pub use plan::{Plan, Tools};
pub use remap_text::RemapText;
pub use run::{Run, RunReport};
pub use summary::{IdSummary, Reasoned};

/// The example of the README, to see that it compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
