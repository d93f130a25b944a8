//! The state that the records of a perf recording describe: a reader of recordings, and drivers that pass records through
//! tools.
//!
//! A [`SessionReader`] opens a recording and gives its records in the order of time, each with what the records up to it
//! add up to: the [`Session`]. That keeps the [machines](machine), [processes](process), the maps of their
//! [address spaces](address_space) and when each was mapped, the [DSOs](dso), the [events](evlist).
//!
//! For filters, a [`Pipeline`] reads batches of records, shows them to the session and to [tools](tool), and repipes
//! them; [`InOrder`] shows them in the order of time, to tools that repipe nothing. [`Session::load_preamble`] takes in
//! the events and features of a recording. [`hits`] finds which DSOs samples hit; [build-ids](build_id) come from a chain
//! of sources.
//!
//! A session opens nothing: only [`SessionReader::open`] opens recordings, and only the sources of build-ids and
//! [`object_files`], which has the files themselves by the same checks, object files.
//! Nothing here prints: messages for people go to the `log` facade.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(any(test, feature = "testing")),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod address_space;
mod anomalies;
#[cfg(feature = "build-id")]
pub mod build_id;
mod change;
mod comms;
mod data_files;
mod delay_queue;
mod dispatch;
pub mod dso;
#[cfg(feature = "build-id")]
mod elf_address;
mod error;
#[cfg(feature = "build-id")]
pub mod evidence;
pub mod evlist;
pub mod hits;
mod in_order;
mod limits;
pub mod machine;
pub mod map;
mod module_name;
mod moved_text;
#[cfg(feature = "build-id")]
pub mod object_files;
mod ordered;
mod pipeline;
mod preamble;
pub mod process;
mod reader;
mod record_set;
mod recording;
pub mod round;
mod session;
mod session_record;
mod shared_ids;
mod sink;
mod stack;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tool;
pub mod unpack;
mod work;

pub use address_space::AddressSpace;
pub use anomalies::{Anomalies, Anomaly};
pub use change::{Change, MapChange, MapChanges};
pub use data_files::DataFiles;
#[cfg(feature = "build-id")]
pub use elf_address::elf_address;
pub use error::Error;
pub use hits::{Hit, Hits, hits_of};
pub use in_order::InOrder;
pub use pipeline::Pipeline;
pub use reader::SessionReader;
pub use record_set::RecordSet;
pub use recording::{Recording, Times};
pub use session::Session;
pub use session_record::{SessionRecord, TracepointFields};
pub use sink::{Pass, Passed, Repipe};
pub use stack::{StackFrame, StackFrames};
pub use tool::{Event, Injection, Tool, Verdict};

/// The example of the README, to see that it compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
