//! Limits of what is read and kept, each with its reason.

/// How many segments of a file are noted. Linkers write a dozen at the most.
pub(crate) const SEGMENTS_AT_MOST: usize = 256;

/// How many sections of a file are looked at for tables; programs have some forty.
pub(crate) const SECTIONS_AT_MOST: usize = 1 << 14;

/// A table of at most this many bytes is copied when its file is loaded, so that a file that is cut short later does no
/// harm. Several hundred modules are then some ten megabytes.
pub(crate) const COPIED_AT_MOST: usize = 1 << 16;

/// The most bytes that a compressed table is unpacked to. That of a browser has some 40 MB.
pub(crate) const UNPACKED_AT_MOST: u64 = 1 << 28;

/// The most bytes of one entry of a table: what is read for one address. The longest that gcc's own compiler has is of 20,064
/// bytes, those of node and rustc have less.
pub(crate) const ENTRY_AT_MOST: u64 = 1 << 16;

/// The most bytes of an expression that is kept, and the steps that it may take.
pub(crate) const EXPRESSION_AT_MOST: usize = 1 << 10;
pub(crate) const EXPRESSION_STEPS_AT_MOST: u32 = 1 << 10;

/// How many different simple rules a cache has: 75,000 stacks of a build with rustc have 873. And how many bytes of others, of
/// which they have some 3,600, and one may have 30,000. Where there are more, all are forgotten.
pub(crate) const SIMPLE_RULES_AT_MOST: usize = 1 << 14;
pub(crate) const COMPLEX_BYTES_AT_MOST: usize = 1 << 23;

/// How far back zstd may refer in a compressed table, which is memory: 128 MiB, as its highest preset does.
#[cfg(feature = "zstd")]
pub(crate) const ZSTD_WINDOW_LOG_AT_MOST: u32 = 27;
