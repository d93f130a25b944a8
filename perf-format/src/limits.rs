//! Limits of what is read, each with its reason: how much a recording can make a reader hold.

/// The most bytes that a payload behind a record (TRACING_DATA, AUXTRACE) may have here: it is held until it is
/// whole. A larger one is taken for damage.
pub(crate) const PAYLOAD_AT_MOST: u64 = 1 << 27;

/// The most bytes that a COMPRESSED2 record can have whose size did not fit in its field: perf compresses no more at
/// once than it reads, and never more than this.
pub(crate) const OVERFLOWN_AT_MOST: u64 = 1 << 20;
