//! Adds records to perf data as it passes, or drops some: from a pipe, a file or a directory, to a pipe or a file.
//!
//! A [`Plan`] says what is injected: build-ids, in front of the first sample that needs each, or names of jitted code
//! ([`jit`]). A [`Run`] passes a recording: [`Run::any_to_pipe`] and [`Run::any_to_file`] take a file or a pipe's stream,
//! and [`Run::into_report`] says what was done. [`Run::with_tool`] adds a [`Tool`](perf_session::Tool) of your own, which
//! sees records as they pass and may drop them or inject others through [`perf_session::Injection`]. The recording's own
//! bytes are never re-encoded: a record passes as it is or is dropped.
//!
//! ```no_run
//! use std::fs::File;
//!
//! use perf_inject::{DsoSelection, Plan, Run};
//! use perf_session::build_id::{Chain, Recorded};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let plan = Plan { build_ids: Some(DsoSelection::Hit), ..Plan::NOTHING };
//! // Of the ids, those that the recording carries in its table or its MMAP2 records; `Chain::of_recording` has all sources.
//! let mut run = Run::new(plan, Chain(vec![Box::new(Recorded)]));
//! run.any_to_pipe(File::open("perf.data")?, &mut std::io::stdout())?;
//! let passed = run.into_report().passed;
//! eprintln!("{} records, {} bytes injected", passed.records, passed.injected);
//! # Ok(())
//! # }
//! ```
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod announce;
mod build_ids;
pub mod callchain;
mod drop_feature;
pub mod jit;
mod limits;
mod names;
mod off_cpu;
mod plan;
mod remap_text;
mod run;
mod sched_events;
mod sched_stat;
mod summary;
mod time_queue;
mod watermark;

pub use build_ids::{DsoSelection, IdsTo};
pub use callchain::ConvertCallchain;
pub use jit::Jit;
pub use names::{Cause, NameSummary, Unnamed};
pub use off_cpu::{OffCpuOptions, OffCpuSummary};
pub use plan::Plan;
#[doc(hidden)]
pub use plan::Tools;
pub use run::{Run, RunReport};
pub use sched_events::SchedError;
pub use sched_stat::SchedStatSummary;
pub use summary::{IdSummary, Reasoned};

/// The example of the README, to see that it compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
