//! Limits of what is read, each with its reason: how much a recording can make a reader hold.

/// The most bytes that a payload behind a record (TRACING_DATA, AUXTRACE) may have here: it is held until it is
/// whole. A larger one is taken for damage.
pub(crate) const PAYLOAD_AT_MOST: u64 = 1 << 27;

/// The most bytes that a COMPRESSED2 record can have whose size did not fit in its field: perf compresses no more at
/// once than it reads, and never more than this.
pub(crate) const OVERFLOWN_AT_MOST: u64 = 1 << 20;

/// The most bytes that a record of a jitdump is believed to have, 64 MiB. JITs keep all of their code in a cache of a few
/// hundred MiB at most, and no function takes such a part of it; to believe more would be to wait, behind a damaged size,
/// for bytes that never come.
pub(crate) const JIT_RECORD_AT_MOST: u32 = 1 << 26;
