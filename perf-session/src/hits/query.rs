//! A query: an address that a sample asks for, and as of when.

use std::ops::RangeInclusive;

use perf_format::sample::AddressKind;

use crate::address_space::AddressSpace;
use crate::dso::{DsoId, MachinePid};

/// An address that a sample asked for, and what it hit there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Hit {
    /// What was hit.
    pub dso: DsoId,
    /// How.
    pub via: AddressKind,
    /// On which machine.
    pub machine: MachinePid,
    /// In whose addresses.
    pub space: AddressSpace,
    /// At which address.
    pub addr: u64,
    /// When, in ns; `None` where the records have no times.
    pub time: Option<u64>,
}

/// An address that a sample asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) machine: MachinePid,
    pub(crate) space: AddressSpace,
    pub(crate) addr: u64,
    /// In ns; `None` where the records have no times.
    pub(crate) time: Option<u64>,
    pub(crate) via: AddressKind,
}

/// Which queries a change may answer: those of a space at some addresses, from a time on.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) machine: MachinePid,
    pub(crate) space: AddressSpace,
    pub(crate) addrs: RangeInclusive<u64>,
    pub(crate) since: u64,
}

impl Wanted {
    pub(crate) fn contains(&self, query: &Query) -> bool {
        query.space == self.space
            && query.machine == self.machine
            && self.addrs.contains(&query.addr)
            && query.time.is_none_or(|time| time >= self.since)
    }
}

impl Query {
    /// That it hits a DSO.
    pub(crate) fn hit(self, dso: DsoId) -> Hit {
        let Self { machine, space, addr, time, via } = self;
        Hit { dso, via, machine, space, addr, time }
    }
}
