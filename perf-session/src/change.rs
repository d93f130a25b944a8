//! Changes of address spaces, which [`Session::update`](crate::Session::update) returns for each record.

use crate::address_space::AddressSpace;
use crate::dso::{DsoId, MachinePid};
use crate::map::Map;

/// A change of what is mapped in one address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MapChange {
    /// The machine.
    pub machine: MachinePid,
    /// The address space.
    pub space: AddressSpace,
    /// The change.
    pub what: Change,
}

/// The kinds of changes of an address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// A map came.
    Mapped {
        /// The first address.
        start: u64,
        /// The last address.
        last: u64,
        /// The DSO that is mapped.
        dso: DsoId,
        /// The time from which the map holds, in ns.
        since: u64,
    },
    /// A map came of a process that has no number of its own ([`OUTSIDE`](crate::machine::OUTSIDE)): no address is in it.
    MappedOutside {
        /// The DSO that is mapped.
        dso: DsoId,
    },
    /// The address space begins, with its parent's maps.
    Forked {
        /// The time of the fork, in ns; `None` where the records have no times.
        since: Option<u64>,
    },
    /// The process executes another program, and its address space begins again without maps.
    Executed,
}

impl Change {
    /// The change that a new map makes.
    #[must_use]
    pub fn mapped(map: &Map) -> Self {
        let last = map.end.saturating_sub(1);
        Self::Mapped { start: map.start, last, dso: map.dso, since: map.since }
    }
}

/// The changes that one record made: mostly none, or one. A map of a process that its children inherited changes theirs
/// as well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MapChanges {
    first: Option<MapChange>,
    others: Vec<MapChange>,
}

impl MapChanges {
    pub(crate) fn push(&mut self, change: MapChange) {
        if self.first.is_none() {
            self.first = Some(change);
        } else {
            self.others.push(change);
        }
    }

    /// All changes; that of the record's own address space is the first.
    pub fn iter(&self) -> impl Iterator<Item = &MapChange> {
        self.first.iter().chain(&self.others)
    }

    /// The DSO that the record maps, if it is a map.
    #[must_use]
    pub fn mapped_dso(&self) -> Option<DsoId> {
        match self.first?.what {
            Change::Mapped { dso, .. } | Change::MappedOutside { dso } => Some(dso),
            Change::Forked { .. } | Change::Executed => None,
        }
    }
}
