//! The laws that hold whatever the bytes: no panic, no hang, no allocation from an unchecked length, and what each
//! target says besides. A target is one function in one file; a law that is broken is a panic.
//!
//! `fuzz/` hands the targets what libFuzzer makes up, tests/corpus.rs what is kept in fuzz/corpus, and
//! tests/mutations.rs asks for the laws of [`laws`] over damaged recordings. [`seeds`] makes what the fuzzer begins
//! with.

mod buildid_list;
mod callchain;
mod compressed;
mod cut;
mod dump;
mod elf_notes;
mod features;
mod file;
mod folder;
mod framing;
mod header;
mod inject;
mod jit;
mod jit_image;
mod jitdump;
pub mod laws;
mod made;
mod off_cpu;
mod pieces;
mod record;
mod recover;
mod sample;
pub mod seeds;
pub mod sources;
mod tracing_data;
mod unbundle;
mod unwind;

pub use self::jit_image::jit_image;
pub use buildid_list::buildid_list;
pub use callchain::callchain;
pub use compressed::compressed;
pub use cut::{Cut, cut};
pub use dump::{diff, dump, dumps_as_far_as_inject, is_dumped_with_an_error};
pub use elf_notes::elf_notes;
pub use features::features;
pub use file::file;
pub use framing::framing;
pub use header::header;
pub use inject::inject;
pub use jit::jit;
pub use jitdump::jitdump;
pub use off_cpu::off_cpu;
pub use pieces::FuzzPieces;
pub use record::record;
pub use recover::recover;
pub use sample::sample;
pub use tracing_data::tracing_data;
pub use unbundle::unbundle;
pub use unwind::unwind;

/// Bytes go in; a law that they break is a panic.
pub type FuzzTarget = fn(&[u8]);

/// Every target, by its name in fuzz/.
pub const TARGETS: &[(&str, FuzzTarget)] = &[
    ("header", header),
    ("framing", framing),
    ("record", record),
    ("sample", sample),
    ("features", features),
    ("tracing_data", tracing_data),
    ("compressed", compressed),
    ("elf_notes", elf_notes),
    ("file", file),
    ("inject", inject),
    ("buildid_list", buildid_list),
    ("dump", dump),
    ("diff", diff),
    ("recover", recover),
    ("jitdump", jitdump),
    ("jit_image", jit_image),
    ("jit", jit),
    ("unwind", unwind),
    ("callchain", callchain),
    ("off_cpu", off_cpu),
    ("unbundle", unbundle),
];
