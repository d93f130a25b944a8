//! The type of a record, a number. `record.rs` has the table of those that are known, with their names.

use std::fmt;

/// The type of a record: `enum perf_event_type` of include/uapi/linux/perf_event.h below 64, perf's own
/// `enum perf_user_event_type` from there. Any number is a type; those unknown here pass untouched.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordType(pub u32);

impl RecordType {
    /// The first type that a tool writes and not the kernel (`PERF_RECORD_USER_TYPE_START`).
    pub const USER_START: Self = Self(64);

    /// Whether the kernel writes it, so that a `sample_id` trailer may follow it.
    #[must_use]
    pub fn is_kernel(self) -> bool {
        self < Self::USER_START
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => f.pad(&format!("unknown ({})", self.0)),
        }
    }
}

impl fmt::Debug for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
