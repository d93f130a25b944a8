//! What a stream of perf records adds up to, and the one loop that repipes it.
//!
//! A [`Session`] takes records in and keeps the picture: [machines](machine), [processes](thread), their
//! [maps](map) with the time from which they hold, the [DSOs](dso) in them, the [events](evlist).
//! [`Session::process_events`] reads batches of records, shows them to the session and to [tools](tool), and
//! repipes them; [`Session::process_in_order`] is for tools that repipe nothing. A [file](mod@file) and a
//! pipe have the same [frame] round their records, each in its way. [Hits](hits) tells which DSOs samples hit; [build-ids](build_id) come from a chain of sources.
//!
//! A session opens nothing; only the sources of build-ids open object files. Nothing here prints: what a person
//! may want to know goes to the `log` facade.
#![cfg_attr(
    not(any(test, feature = "testing")),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod build_id;
pub mod dso;
mod error;
pub mod evlist;
pub mod file;
pub mod frame;
pub mod hits;
mod limits;
pub mod machine;
pub mod map;
mod odd;
mod ordered;
mod pages;
mod process_events;
mod recent;
pub mod round;
mod session;
#[cfg(feature = "testing")]
pub mod testing;
pub mod thread;
mod told;
pub mod tool;

pub use error::Error;
pub use hits::{Hit, Hits, Via};
pub use odd::{Odd, Oddities};
pub use process_events::{Pass, Passed, Repipe};
pub use session::{Recording, Session};
pub use tool::{Injection, PassedOver, RecordSet, Tool, Verdict};
