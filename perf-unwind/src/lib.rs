//! Call stacks out of what a profiler recorded of a thread, its registers and a piece of its stack, by the unwinding
//! tables of the files that were mapped.
//!
//! A [`Module`] is a file or an image and its tables. [`Modules`] are those of one process at their addresses; modules
//! are shared between processes, and what forks shares its parent's until either changes. [`unwind`] goes from
//! [`Registers`] and a [`StackMemory`] to the return addresses, innermost first, and says why it stopped. What it
//! decoded of tables it keeps in a [`RuleCache`], one for each thread that unwinds.
//!
//! ```
//! use perf_unwind::{Architecture, ByteOrder, Modules, Registers, RuleCache, StackMemory, StopReason, unwind};
//!
//! let modules = Modules::default();
//! let mut cache = RuleCache::default();
//! // Values in the order of the bits of `sample_regs_user`: here the stack pointer (bit 7) and the address (bit 8).
//! let registers = Registers::from_perf(Architecture::X86_64, 0x180, [0x7ffc_0000_1000, 0x40_1136]);
//! let stack = StackMemory::new(0x7ffc_0000_1000, &[0; 64], ByteOrder::Little);
//! let mut frames = Vec::new();
//! let unwound = unwind(&modules, &registers, &stack, &mut cache, 127, &mut frames);
//! assert_eq!(frames[0].address, 0x40_1136);
//! assert_eq!(unwound.stop, StopReason::Unmapped { address: 0x40_1136 });
//! ```
//!
//! It knows x86-64, x86-32 and aarch64, and nothing of perf's records but the order of their registers. Nothing here
//! opens a file by name or prints. A file is mapped into memory (`mapping.rs` has the one piece of unsafe code, and says
//! what remains to be careful of); everything in it may be hostile: no panic, no endless loop, no allocation from a length
//! that was not checked.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod architecture;
mod cache;
mod error;
mod expression;
mod frame;
mod known_code;
mod limits;
mod mapping;
mod module;
mod modules;
mod registers;
mod rule;
mod stack;
mod unpack;
mod unwind;

pub use architecture::{Architecture, ByteOrder};
pub use cache::RuleCache;
pub use error::Error;
pub use frame::{CallFrame, FoundBy, StopReason, Unwound};
pub use module::{EhFrameTables, Module};
pub use modules::{Code, Modules};
pub use registers::Registers;
pub use stack::StackMemory;
pub use unwind::unwind;

/// The example of the README, to see that it compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
