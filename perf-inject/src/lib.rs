//! Tools that put records into a passing stream of perf data.
//!
//! [`Plan`] turns what was asked for into tools; each injector is one file and one row there. Records are
//! injected through [`perf_session::Injection`], in front of the record that needs them; the stream's own bytes
//! are never touched.
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod build_ids;
mod plan;

pub use build_ids::{BuildIds, Injected};
pub use plan::{Plan, Tools};
