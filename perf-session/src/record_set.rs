//! Sets of record types: what tools and the session want to see.

use perf_format::RecordType;

/// A set of record types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordSet(u128);

impl RecordSet {
    /// No type.
    pub const EMPTY: Self = Self(0);

    /// All types that the kernel writes.
    pub const KERNEL: Self = Self((1 << RecordType::USER_START.0) - 1);

    /// These types. Types from 128 up are not known here and cannot be in a set.
    #[must_use]
    pub const fn of(types: &[RecordType]) -> Self {
        let mut set = 0;
        let mut rest = types;
        while let [first, others @ ..] = rest {
            if first.0 < 128 {
                set |= 1 << first.0;
            }
            rest = others;
        }
        Self(set)
    }

    /// The types of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether a type is in it.
    #[must_use]
    #[inline]
    pub const fn contains(self, record_type: RecordType) -> bool {
        record_type.0 < 128 && self.0 >> record_type.0 & 1 == 1
    }

    /// The types of this set that the other has not.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether no type is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}
