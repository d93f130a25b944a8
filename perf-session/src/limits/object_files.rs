//! Limits of what is read of object files and of this machine's notes.

/// How many segments of a file are noted. Linkers write a dozen at the most.
pub(crate) const SEGMENTS_AT_MOST: usize = 256;

/// The most bytes of headers and notes that are looked at in one file, and so kept while it is read. The tables of files
/// with a section for each function have tens of thousands of headers of 64 bytes; notes are a few hundred bytes. There is
/// one limit for all of them since sections may overlap: a file of 1.6 MB has room for 8,000 that share a megabyte.
pub(crate) const ELF_AT_MOST: u64 = 1 << 24;

/// The most bytes that a file is unpacked to, all passes over it together. The largest modules have some 20 MB; those that
/// were not stripped have several times that.
pub(crate) const UNPACKED_AT_MOST: u64 = 1 << 28;

/// The most bytes of a packed file that are read, all passes over it together. Modules of the size above are packed to a
/// quarter of it. Time goes by these bytes: some 55 ms for each MB of an xz file.
pub(crate) const PACKED_AT_MOST: u64 = 1 << 26;

/// How many bytes of a packed file may be read beyond as many as were unpacked of it. What cannot be packed grows by less
/// than a thousandth; padding, frames to be skipped and blocks of nothing are read without an end, and a sparse file has
/// them for nothing.
pub(crate) const PACKED_SLACK: u64 = 1 << 20;

/// The most bytes of notes that are read from sysfs; a kernel has a few hundred.
pub(crate) const SYS_NOTES_AT_MOST: u64 = 1 << 16;

/// The most bytes that a vdso has; it has two pages.
pub(crate) const VDSO_AT_MOST: usize = 1 << 20;

/// The most bytes of a debug file that are read for its CRC-32, where nothing else tells whether it is the right one: a
/// sparse file has any size for nothing.
pub(crate) const DEBUG_FILE_AT_MOST: u64 = 1 << 31;

/// The most bytes of `/proc/kallsyms`, or of a copy of it; a kernel with many modules has some 20 MB.
pub(crate) const KALLSYMS_AT_MOST: u64 = 1 << 28;
