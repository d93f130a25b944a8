//! perf.data and perf's pipe format: bytes to records and back, in either byte order.
//!
//! [`PerfData::open`] distinguishes a file from a pipe's stream by its first bytes. What is passed around is the raw
//! record ([`RawRecord`]: its bytes as they stood, its offset, its byte order); a typed [`Record`] is a view that is
//! parsed from it on demand. [`RecordReader`] cuts a stream into batches of raw records, [`SampleFormat`] knows how an
//! event's samples are laid out, [`Attr`] is an event's `perf_event_attr`, [`Preamble`] holds the events and features
//! of a recording. Each record type is one file under `record/` that declares its layout once, for reading and for
//! writing.
//!
//! This crate opens no files by name and prints nothing; the caller hands it the sources that it reads.
//!
//! ```
//! use std::io::Read;
//!
//! use perf_format::{Error, PerfData, PerfFile, Record, RecordReader, RecordType};
//!
//! fn print_maps(mut reader: RecordReader<impl Read>) -> Result<(), Error> {
//!     while let Some(batch) = reader.next_batch()? {
//!         for record in batch {
//!             let record = record?;
//!             if record.record_type() == RecordType::MMAP2 {
//!                 if let Record::Mmap2(map) = record.parse()? {
//!                     println!("{:#x} {}", map.start, map.filename);
//!                 }
//!             }
//!         }
//!     }
//!     Ok(())
//! }
//!
//! # let source = perf_format::testing::StreamBuilder::new(perf_format::Endian::Little).finished_round().bytes();
//! # let source = std::io::Cursor::new(source);
//! match PerfData::open(source)? {
//!     PerfData::Pipe(stream) => print_maps(stream.records())?,
//!     PerfData::File(source) => print_maps(PerfFile::open(source)?.records()?)?,
//! }
//! # Ok::<(), Error>(())
//! ```
#![cfg_attr(
    not(any(test, feature = "testing")),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod attr;
mod build_id;
pub mod codec;
mod compressed;
mod endian;
mod error;
mod feature;
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
pub mod tracing_data;

pub use attr::Attr;
pub use build_id::{BuildId, BuildIdError};
pub use compressed::Inflater;
pub use endian::Endian;
pub use error::{Error, SectionProblem};
pub use feature::{EventName, Feature, PipeRefusal, build_id_table, event_names, push_build_id};
pub use file::{FilePreamble, PerfFile};
pub use header::{FileHeader, FileHeaderWords, Format, Head, Section};
pub use open::{PerfData, PipeStream};
pub use perf_reader::PerfReader;
pub use preamble::{DataPlacement, EventAttr, PipeFeatures, Preamble};
pub use read::read_full;
pub use reader::{Batch, RecordReader, Skipped};
pub use record::{CpuMode, Misc, RawRecord, Record, RecordHeader, RecordType};
pub use recover::{Damage, Recovering};
pub use sample::{Sample, SampleFormat, SampleId};
