//! Where in an address space something may stand that has not been hit: the addresses that are worth a look-up.

use std::collections::BTreeMap;

/// Ranges of addresses in which maps of pending DSOs stand or stood. They may hold too much, which costs a look-up, and
/// never too little, which would lose a hit.
#[derive(Debug)]
pub(crate) struct Pending {
    /// First and last address of ranges that do not touch.
    ranges: BTreeMap<u64, u64>,
    /// From the first range to the last; none where there is no range, and all of a space of which nothing is known yet.
    bounds: Extent,
    /// The last gap between ranges in which an address was found to be.
    gap: Extent,
    /// Look-ups that found nothing pending, and how many of them are worth looking through all maps.
    vain: usize,
    vain_at_most: usize,
    /// Whether nothing is known of the space yet.
    whole: bool,
}

/// Some addresses in a row.
#[derive(Debug, Clone, Copy)]
struct Extent {
    start: u64,
    /// How many, less one where it is all of them.
    len: u64,
}

impl Extent {
    const NONE: Self = Self { start: 0, len: 0 };
    const ALL: Self = Self { start: 0, len: u64::MAX };

    #[inline(always)]
    fn contains(self, addr: u64) -> bool {
        addr.wrapping_sub(self.start) < self.len
    }
}

/// How many look-ups are made in vain in any case, before the maps are looked through.
const VAIN_AT_LEAST: usize = 4;

impl Default for Pending {
    /// A space of which nothing is known yet, so that each of its addresses is worth a look-up.
    fn default() -> Self {
        Self {
            ranges: BTreeMap::new(),
            bounds: Extent::ALL,
            gap: Extent::NONE,
            vain: 0,
            vain_at_most: VAIN_AT_LEAST,
            whole: true,
        }
    }
}

impl Pending {
    /// Whether an address may be in a range; quickly, and too often. Most addresses are in none, and this tells it.
    #[inline(always)]
    pub(crate) fn is_near(&self, addr: u64) -> bool {
        self.bounds.contains(addr) & !self.gap.contains(addr)
    }

    /// Whether an address is in a range.
    #[inline]
    pub(crate) fn contains(&mut self, addr: u64) -> bool {
        self.is_near(addr) && (self.whole || self.find(addr))
    }

    fn find(&mut self, addr: u64) -> bool {
        let before = self.ranges.range(..=addr).next_back();
        if before.is_some_and(|(_, last)| *last >= addr) {
            return true;
        }
        let start = before.map_or(0, |(_, last)| last + 1);
        let next = self.ranges.range(addr..).next().map_or(u64::MAX, |(next, _)| *next);
        self.gap = Extent { start, len: next - start };
        false
    }

    /// A map of a pending DSO came.
    pub(crate) fn add(&mut self, start: u64, last: u64) {
        if self.whole || start > last {
            return;
        }
        let (mut first, mut end) = (start, last);
        while let Some((other, other_last)) = self.ranges.range(..=end).next_back().map(|(a, b)| (*a, *b))
            && other_last >= first
        {
            self.ranges.remove(&other);
            (first, end) = (first.min(other), end.max(other_last));
        }
        self.ranges.insert(first, end);
        self.find_bounds();
    }

    fn find_bounds(&mut self) {
        self.gap = Extent::NONE;
        self.bounds = match (self.ranges.first_key_value(), self.ranges.last_key_value()) {
            (Some((start, _)), Some((_, last))) => {
                Extent { start: *start, len: (last - start).saturating_add(1) }
            }
            _ => Extent::NONE,
        };
    }

    /// Whether no address is worth a look-up.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.bounds.len == 0
    }

    /// How many ranges there are.
    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }

    /// What was known is so no longer.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Notes that a look-up found nothing pending. Whether all maps, of which there are so many, are worth to be looked
    /// through now: each of them costs less than a look-up, so that together they never cost more.
    #[inline]
    pub(crate) fn is_worth_refilling(&mut self, maps: impl FnOnce() -> usize) -> bool {
        self.vain += 1;
        if self.vain < self.vain_at_most {
            return false;
        }
        self.vain_at_most = (maps() / 4).max(VAIN_AT_LEAST);
        self.vain >= self.vain_at_most
    }

    /// Replaces all by these ranges, each with its last address.
    pub(crate) fn refill(&mut self, ranges: impl Iterator<Item = (u64, u64)>) {
        self.ranges.clear();
        (self.whole, self.vain) = (false, 0);
        let mut all: Vec<_> = ranges.filter(|(start, last)| start <= last).collect();
        all.sort_unstable();
        let mut merged: Option<(u64, u64)> = None;
        for (start, last) in all {
            match &mut merged {
                Some((_, end)) if start <= end.saturating_add(1) => *end = last.max(*end),
                _ => {
                    self.ranges.extend(merged);
                    merged = Some((start, last));
                }
            }
        }
        self.ranges.extend(merged);
        self.find_bounds();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_an_unknown_space_every_address_is_worth_a_look_up() {
        let mut pending = Pending::default();
        pending.add(10, 19);
        assert!([0, 15, 1 << 63, u64::MAX - 1].into_iter().all(|addr| pending.contains(addr)));
        assert!(!pending.is_worth_refilling(|| 0));
        let worth = (0..100).position(|_| pending.is_worth_refilling(|| 40));
        assert_eq!(worth, Some(8), "a quarter of the maps");
    }

    proptest! {
        #[test]
        fn an_address_is_in_it_if_a_range_has_it(
            filled in prop::collection::vec((0..250u64, 0..20u64), 0..12),
            added in prop::collection::vec((0..250u64, 0..20u64), 0..12),
        ) {
            let mut pending = Pending::default();
            pending.refill(filled.iter().map(|(start, len)| (*start, start + len)));
            let mut all = filled;
            for (start, len) in added {
                for addr in 0..300 {
                    let is_in = all.iter().any(|(start, len)| (*start..=start + len).contains(&addr));
                    prop_assert_eq!(pending.contains(addr), is_in, "{} in {:?}", addr, all);
                    prop_assert!(pending.is_near(addr) || !is_in);
                }
                pending.add(start, start + len);
                all.push((start, len));
            }
        }
    }
}
