//! Lists the build-ids that a recording carries.
//!
//! [`from_pipe`] and [`from_files`] collect a [`List`]: the DSOs with their ids, how often samples hit them, and which
//! places in the recording carry an id. [`check`] compares the ids with those of this machine's files. [`print()`] writes
//! the list as `perf buildid-list` does, [`json`] as a document for programs.
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod check;
mod collect;
mod json;
mod list;
mod print;

pub use check::check;
pub use collect::{Collected, Scope, from_files, from_pipe};
pub use json::json;
pub use list::{CarriedId, HitCounts, IdLocation, List, ListedDso, OnDisk, Sort};
pub use print::print;

/// The example of the README, to see that it compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
