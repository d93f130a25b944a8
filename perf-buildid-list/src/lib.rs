//! The build-ids that a recording carries: one tool that collects them, and a printer.
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod collect;
mod print;

pub use collect::{Entry, List, from_file, from_pipe};
pub use print::print;
