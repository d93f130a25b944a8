//! What is kept of queries where there is no room for all of them: which pages queries were in, until when. It says yes
//! too often, and never too seldom.

use hashbrown::HashMap;

use super::query::{Query, Wanted};
use crate::address_space::AddressSpace;
use crate::dso::MachinePid;
use crate::limits::DIGEST_AT_MOST;

/// Pages that queries of one round were in.
#[derive(Debug)]
pub(crate) struct Digest {
    /// The time of the latest query in each, in ns.
    pages: HashMap<Page, u64>,
    /// The same in order, once there is a search.
    sorted: Vec<(Page, u64)>,
    /// How many bits of an address are its place in a page.
    shift: u32,
    /// The latest time of all, where there are too many processes to tell apart.
    anywhere: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Page {
    machine: MachinePid,
    space: AddressSpace,
    number: u64,
}

/// Pages have 4 KiB at first; where there are too many, sixteen become one.
const SHIFT: u32 = 12;
const SHIFT_STEP: u32 = 4;

/// How many pages with queries are looked at for a map that came late. Where there are more, one of them may have hit it.
const TRIES: usize = 64;

impl Default for Digest {
    fn default() -> Self {
        Self { pages: HashMap::new(), sorted: Vec::new(), shift: SHIFT, anywhere: None }
    }
}

fn number(addr: u64, shift: u32) -> u64 {
    addr.checked_shr(shift).unwrap_or(0)
}

impl Digest {
    /// Whether there was no query.
    pub(crate) fn is_empty(&self) -> bool {
        self.pages.is_empty() && self.anywhere.is_none()
    }

    /// Forgets all queries.
    pub(crate) fn clear(&mut self) {
        if !self.is_empty() {
            *self = Self::default();
        }
    }

    /// Adds a query.
    pub(crate) fn add(&mut self, query: &Query) {
        let Query { machine, space, addr, time, .. } = *query;
        let time = time.unwrap_or(u64::MAX);
        if let Some(latest) = &mut self.anywhere {
            *latest = time.max(*latest);
            return;
        }
        self.sorted.clear();
        let page = Page { machine, space, number: number(addr, self.shift) };
        let latest = self.pages.entry(page).or_insert(time);
        *latest = time.max(*latest);
        while self.pages.len() > DIGEST_AT_MOST {
            self.coarsen();
        }
    }

    fn coarsen(&mut self) {
        let pages = std::mem::take(&mut self.pages);
        if self.shift >= u64::BITS {
            self.anywhere = pages.into_values().max();
            return;
        }
        self.shift += SHIFT_STEP;
        for (page, time) in pages {
            let page = Page { number: page.number >> SHIFT_STEP, ..page };
            let latest = self.pages.entry(page).or_insert(time);
            *latest = time.max(*latest);
        }
    }

    /// Whether a query may be among those wanted.
    pub(crate) fn may_have(&mut self, wanted: &Wanted) -> bool {
        if let Some(latest) = self.anywhere {
            return latest >= wanted.since;
        }
        if self.pages.is_empty() {
            return false;
        }
        if self.sorted.is_empty() {
            self.sorted.extend(self.pages.iter().map(|(page, time)| (*page, *time)));
            self.sorted.sort_unstable();
        }
        let Wanted { machine, space, ref addrs, since } = *wanted;
        let page = |addr| Page { machine, space, number: number(addr, self.shift) };
        let (first, last) = (page(*addrs.start()), page(*addrs.end()));
        let from = self.sorted.partition_point(|(page, _)| *page < first);
        let behind = self.sorted.get(from..).unwrap_or_default();
        let mut pages = behind.iter().take_while(|(page, _)| *page <= last);
        pages.by_ref().take(TRIES).any(|(_, time)| *time >= since) || pages.next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perf_format::sample::AddressKind;

    fn query(pid: i32, addr: u64, time: u64) -> Query {
        let space = AddressSpace::Process(pid);
        Query { machine: -1, space, addr, time: Some(time), via: AddressKind::Ip }
    }

    fn wanted(pid: i32, start: u64, last: u64, since: u64) -> Wanted {
        Wanted { machine: -1, space: AddressSpace::Process(pid), addrs: start..=last, since }
    }

    #[test]
    fn a_page_that_was_asked_for_late_enough_is_found() {
        let mut digest = Digest::default();
        digest.add(&query(7, 0x5123, 30));
        digest.add(&query(7, 0x5fff, 20));
        for (wanted, expected) in [
            (wanted(7, 0x5000, 0x5fff, 30), true),
            (wanted(7, 0x5000, 0x5fff, 31), false),
            (wanted(7, 0x1000, 0x4fff, 0), false),
            (wanted(7, 0x0, u64::MAX, 0), true),
            (wanted(8, 0x5000, 0x5fff, 0), false),
        ] {
            assert_eq!(digest.may_have(&wanted), expected, "{wanted:?}");
        }
    }

    #[test]
    fn with_too_many_pages_or_processes_it_says_yes_too_often_and_never_too_seldom() {
        for (spread, spaces) in [(1 << 30, 1), (0x1000, 1 << 20)] {
            let mut digest = Digest::default();
            let queries: Vec<_> =
                (0..100_000).map(|n| query(i32::try_from(n % spaces).unwrap(), n * spread, n)).collect();
            queries.iter().for_each(|query| digest.add(query));
            assert!(digest.pages.len() <= DIGEST_AT_MOST);
            for (n, query) in queries.iter().enumerate().step_by(997) {
                let AddressSpace::Process(pid) = query.space else { continue };
                assert!(digest.may_have(&wanted(pid, query.addr, query.addr, n as u64)), "{query:?}");
            }
            assert!(!digest.may_have(&wanted(1, 0, u64::MAX, 100_000)), "nobody asked that late");
        }
    }
}
