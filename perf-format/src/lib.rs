//! perf.data and perf's pipe format: bytes to records and back, in either byte order.
//!
//! [`PerfReader`] reads a recording whatever holds it: a perf.data file, the stream of `perf record -o -`, either of
//! them compressed. It has the events with their names ([`Preamble::event_infos`]) and gives one record after the other.
//!
//! ```
//! use std::collections::HashMap;
//!
//! use perf_format::{PerfReader, Record};
//!
//! # let bytes = perf_format::testing::StreamBuilder::new(perf_format::Endian::Little).finished_round().bytes();
//! # let source = std::io::Cursor::new(bytes);
//! // A `File`, or anything else that is `Read` and `Seek`; `open_stream` takes what cannot seek.
//! let mut reader = PerfReader::open(source)?;
//! for event in reader.preamble().event_infos()? {
//!     println!("{}: {} instances", event.name, event.ids.len());
//! }
//! let mut counts = HashMap::new();
//! while let Some(record) = reader.next_record()? {
//!     *counts.entry(record.record_type()).or_insert(0) += 1;
//!     if let Record::Mmap2(map) = record.parse()? {
//!         println!("{:#x} {}", map.start, map.filename);
//!     }
//! }
//! # Ok::<(), perf_format::Error>(())
//! ```
//!
//! A record is a [`RawRecord`]: its bytes as they stood, its offset, its byte order. What it says is parsed from it on
//! demand: [`RawRecord::parse`] gives a [`Record`], [`SampleFormat`] knows how an event's samples are laid out and
//! [`Sample`] has all of their fields, [`EventFormat`] those of a tracepoint. [`Attr`] is an event's `perf_event_attr`, and
//! [`EventType`] what it counts. Each record type is one file under `record/` that declares its layout once, for reading
//! and for writing.
//!
//! For repiping, which writes a recording again as it stood, [`PerfData`], [`PerfFile`] and [`PipeStream`] show the
//! formats as they are, and [`RecordReader`] gives the records in batches.
//!
//! This crate opens no files by name and prints nothing; the caller hands it the sources that it reads.
#![cfg_attr(
    not(any(test, feature = "testing")),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod attr;
mod build_id;
#[doc(hidden)]
pub mod codec;
mod compressed;
mod endian;
mod error;
mod event_info;
mod event_type;
pub mod feature;
mod file;
mod foreign;
pub mod header;
pub mod jitdump;
mod limits;
mod misc;
mod open;
mod perf_reader;
mod preamble;
mod raw;
mod read;
mod reader;
pub mod record;
mod record_type;
mod recover;
pub mod sample;
#[cfg(feature = "strategies")]
pub mod strategies;
#[cfg(feature = "testing")]
pub mod testing;
mod tracepoint;
pub mod tracing_data;
pub mod visit;

pub use attr::Attr;
pub use build_id::{BuildId, BuildIdError};
pub use codec::{Array, ArrayIter, FieldError, Problem, Words};
pub use compressed::Inflater;
pub use endian::Endian;
pub use error::{Error, SectionProblem};
pub use event_info::EventInfo;
pub use event_type::{Cache, CacheOp, CacheResult, EventType, HardwareEvent, SoftwareEvent};
pub use feature::{
    EventName, Feature, FeatureValue, PipeRefusal, build_id_table, event_names, push_build_id,
};
pub use file::{FilePreamble, PerfFile};
pub use header::{FileHeader, FileHeaderWords, Format, Head, Section};
pub use open::{PerfData, PipeStream};
pub use perf_reader::PerfReader;
pub use preamble::{DataPlacement, EventAttr, PipeFeatures, Preamble};
pub use reader::{Batch, RecordReader, Skipped};
pub use record::{CpuMode, Misc, RawRecord, Record, RecordHeader, RecordType};
pub use recover::{Damage, Recovering};
pub use sample::{Arch, Sample, SampleContext, SampleFormat, SampleId};
pub use tracepoint::{EventFormat, FieldFormat, FieldShape, FieldValue, Numbers};
pub use visit::{FieldData, FieldKind, FieldVisitor, VisitFields};

/// The example of the README, to see that it compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
