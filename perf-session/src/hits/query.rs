//! A query: an address that a sample looks up, as of a time.

use std::ops::RangeInclusive;

use perf_format::sample::AddressKind;

use crate::address_space::AddressSpace;
use crate::dso::{DsoId, MachinePid};

/// A hit: an address of a sample, and the DSO that is mapped there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Hit {
    /// The DSO.
    pub dso: DsoId,
    /// Whether it is the sample's own address, or one of its call chain.
    pub via: AddressKind,
    /// The machine of the sample.
    pub machine: MachinePid,
    /// The address space of the address.
    pub space: AddressSpace,
    /// The address.
    pub addr: u64,
    /// The time of the sample, in ns; `None` where the records have no times.
    pub time: Option<u64>,
}

/// An address that a sample looks up.
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
