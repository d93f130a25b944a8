//! Limits of what is read, each with its reason: how much a recording can make a reader hold.

/// The most bytes that a payload behind a record (TRACING_DATA, AUXTRACE) may have here: it is held until it is
/// whole. A larger one is taken for damage.
pub(crate) const PAYLOAD_AT_MOST: u64 = 1 << 27;

/// The most bytes that a COMPRESSED2 record can have whose size did not fit in its field: perf compresses no more at
/// once than it reads, and never more than this.
pub(crate) const OVERFLOWN_AT_MOST: u64 = 1 << 20;

/// The most bytes that may stand between the table of features and the first of them: as many places,
/// of 16 bytes each, as there are bits for features.
pub(crate) const SLACK_AT_MOST: u64 = 256 * 16;

/// How often a file's length may be read as sections of it: some are read twice.
pub(crate) const SECTIONS_READ_AT_MOST: u64 = 4;

/// Bytes of sections that may be read however small the file is.
pub(crate) const SECTION_AT_LEAST: u64 = 1 << 16;

/// The most bytes that one section other than the records may have: a table of a million DSOs is smaller.
pub(crate) const SECTION_AT_MOST: u64 = 1 << 28;

/// The most bytes that a record of a jitdump is believed to have, 64 MiB. JITs keep all of their code in a cache of a few
/// hundred MiB at most, and no function takes such a part of it; to believe more would be to wait, behind a damaged size,
/// for bytes that never come.
pub(crate) const JIT_RECORD_AT_MOST: u32 = 1 << 26;
