//! How much of anything is believed.

/// The most bytes of a manifest. One has some 400 bytes for each file; a recording of ten thousand files is large.
pub(crate) const MANIFEST_AT_MOST: u64 = 1 << 26;

/// The most bytes of a name that becomes a path in the store: its link's target has to fit in a page with what stands round it.
pub(crate) const NAME_AT_MOST: usize = 2048;

/// The most bytes of a part of a path, on all file systems of Linux.
pub(crate) const COMPONENT_AT_MOST: usize = 255;

/// The most bytes that a packed kernel module is unpacked to.
pub(crate) const MODULE_AT_MOST: u64 = 1 << 28;

/// The most bytes of a name that stands in front of an entry of a tar.
pub(crate) const ENTRY_NAME_AT_MOST: u64 = 1 << 14;

/// How many bytes of a tar each file has besides its own: headers, long names, folders, links. A path in the store has at most
/// 2 KiB, and as many parts at most half as many.
pub(crate) const OVERHEAD_A_FILE: u64 = 1 << 22;

/// How many files wait to be copied while a stream passes: each is open, and a process may have 1,024 of them.
pub(crate) const QUEUED_AT_MOST: usize = 256;

/// How many of the files that did not enter a store are named.
pub(crate) const REFUSALS_AT_MOST: usize = 16;

/// How many files are fetched from elsewhere at once.
pub(crate) const FETCHED_AT_ONCE: usize = 4;
