//! ELF images of jitted code: functions with their names, line tables and unwinding information, for whoever reads a
//! recording after the process that ran them is gone.
//!
//! An image is a shared object without anything to run it by: a build-id, `.text`, a symbol for each function, and, as
//! far as functions bring them, DWARF lines and one `.eh_frame` with its search table. [`ImageWriter`] writes one into
//! a file that the caller has; [`ImageWriter::finish`] gives its build-id. The caller chooses where each function
//! stands in it: [`PackedLayout`] puts one behind the other, and any other order that does not let functions overlap
//! will do. The same functions in the same places give the same bytes.
//!
//! ```
//! use std::io::Cursor;
//!
//! use jit_image::{Function, ImageWriter, PackedLayout, Target};
//! use perf_format::Endian;
//!
//! let code = [0x31, 0xc0, 0xc3];
//! let mut layout = PackedLayout::default();
//! let offset = layout.place(code.len() as u64).expect("the first function has room");
//! let mut file = Cursor::new(Vec::new());
//! let mut image = ImageWriter::new(&mut file, Target { machine: 62, endian: Endian::Little });
//! image.add(&Function {
//!     name: "zero".into(),
//!     address: 0x7f00_0000_1000,
//!     offset,
//!     code: &code,
//!     lines: &[],
//!     unwinding: None,
//! })?;
//! let written = image.finish()?;
//! assert_eq!(written.build_id.as_bytes().len(), 20);
//! assert!(file.into_inner().starts_with(b"\x7fELF"));
//! # Ok::<(), jit_image::ImageError>(())
//! ```
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod elf;
mod error;
mod frames;
mod function;
mod layout;
mod lines;
mod output;
mod symbols;
mod target;
mod writer;

pub use error::ImageError;
pub use frames::take_out_omitted;
pub use function::{Function, LineRow, UnwindInfo};
pub use layout::{FUNCTION_OFFSET, PackedLayout, TEXT_OFFSET};
pub use target::{Target, machine_of_arch};
pub use writer::{ImageWriter, Written};

/// The example of the README, to see that it compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
