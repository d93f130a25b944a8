//! The timeline of a process's jitted code: which function stood at an address, and when. Addresses are used again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use bstr::BString;
use hashbrown::HashMap;
use perf_format::jitdump::{DebugInfo, Extent, Unwinding};

use crate::limits::{
    ENDS_AT_MOST, FUNCTIONS_AT_MOST, IN_A_PAGE_AT_MOST, LARGE_AT_MOST, LARGE_FROM, PAGES_AT_MOST,
};

/// The addresses that are remembered together, as a power of two of bytes.
const PAGE_SHIFT: u32 = 12;

/// A function of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FunctionId(usize);

/// A function at an address for a time, of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LiveRangeId(usize);

impl LiveRangeId {
    /// Its number among the process's live ranges, which are counted from 0.
    pub(super) fn index(self) -> usize {
        self.0
    }
}

/// A file that describes functions of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SourceId(pub(super) usize);

/// A function, wherever it stood. Its large parts are still in its source.
#[derive(Debug)]
pub(super) struct JitFunction {
    pub(super) name: Name,
    pub(super) source: SourceId,
    /// The number that its source gives it.
    pub(super) index: u64,
    /// The process that made it, by the pid that its source has, where that is another one than the source's own.
    pub(super) by: Option<i32>,
    /// Where it was made.
    pub(super) address: u64,
    /// Bytes of code.
    pub(super) size: u64,
    /// `None` where nobody kept it.
    pub(super) code: Option<Extent>,
    pub(super) lines: Option<DebugInfo>,
    pub(super) unwinding: Option<Unwinding>,
}

/// The name of a function.
#[derive(Debug)]
pub(super) enum Name {
    /// The text at this place in the dump.
    At(Extent),
    Is(BString),
}

impl JitFunction {
    /// Bytes that its unwinding tables may have in an image at the most.
    pub(super) fn max_tables_size(&self) -> u64 {
        match self.unwinding.as_ref().map_or(0, |unwinding| unwinding.eh_frame.len as u64) {
            0 => 0,
            // As long as they are; and, since the shortest entry that can be read has eleven bytes, for each of those twice
            // as many for what is filled up and for its place in the table that is searched.
            len => 3 * len + 128,
        }
    }
}

/// A function at an address for a time: from when it was made or moved there until it was moved away. That another
/// function stands there later ends nothing; of several that hold an address the last counts.
#[derive(Debug)]
pub(super) struct LiveRange {
    pub(super) start: u64,
    pub(super) end: u64,
    /// The time from which it holds, in ns.
    pub(super) since: u64,
    /// When it was moved away, in ns.
    until: u64,
    /// The process that made it, as in the function.
    pub(super) by: Option<i32>,
    pub(super) function: FunctionId,
}

/// A number that a source gives a function, and the process that made it.
type Number = (SourceId, Option<i32>, u64);

/// What one process sees of a timeline, its own or an ancestor's: code that was made by a time in ns, which depends on who
/// made it.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    /// By when the process of the timeline made it: before the other was born.
    pub(super) own: u64,
    /// The same of others that made code in it: the one that looks, and those that it descends from.
    pub(super) by: Vec<(i32, u64)>,
    /// In memory that all share, by when anybody made it.
    pub(super) shared: Option<u64>,
}

impl View {
    /// What the process of a timeline sees at a time in ns, in memory of its own.
    pub(super) fn own(time: u64) -> Self {
        Self { own: time, ..Self::default() }
    }

    /// The time as of which code of a process is seen; `None` where it is not.
    fn time(&self, by: Option<i32>) -> Option<u64> {
        self.shared.or_else(|| match by {
            None => Some(self.own),
            Some(by) => self.by.iter().find(|(pid, _)| *pid == by).map(|(_, time)| *time),
        })
    }

    fn latest(&self) -> u64 {
        let by = self.by.iter().map(|(_, time)| *time);
        by.chain([self.own]).chain(self.shared).max().unwrap_or(0)
    }

    fn sees(&self, range: &LiveRange, began: u64) -> Option<u64> {
        // Only the process of the timeline ends with its programs.
        self.time(range.by).filter(|_| range.by.is_some() || range.is_of(began))
    }
}

impl LiveRange {
    fn new(start: u64, size: u64, since: u64, by: Option<i32>, function: FunctionId) -> Self {
        Self { start, end: start.saturating_add(size), since, until: u64::MAX, by, function }
    }

    /// Whether it is of the program that began then. A perf map has no times, and is the last program's.
    fn is_of(&self, began: u64) -> bool {
        self.since >= began || self.since == 0
    }

    fn holds(&self, addr: u64, time: u64) -> bool {
        (self.start..self.end).contains(&addr) && (self.since..self.until).contains(&time)
    }
}

/// All functions of a process.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    functions: Vec<JitFunction>,
    ranges: Vec<LiveRange>,
    /// The live ranges with a byte in a page, in the order of their times.
    pages: BTreeMap<u64, Vec<LiveRangeId>>,
    /// How many pages all live ranges have, each with its own.
    paged: u64,
    /// The live ranges that have too many pages, likewise in order.
    large: Vec<LiveRangeId>,
    /// Pages whose live ranges are not in order yet, and whether the large ones are not.
    unsorted: BTreeSet<u64>,
    large_unsorted: bool,
    /// Bytes that the unwinding tables of all may have in an image.
    tables: u64,
    /// When all of it ended, with an exec or a new process of that pid, in ns; in order.
    ends: Vec<u64>,
    /// Where the function that a source has under a number stands now.
    now: HashMap<Number, LiveRangeId>,
    /// Whether other processes than its own made some.
    has_others: bool,
}

impl Timeline {
    pub(super) fn function(&self, id: FunctionId) -> Option<&JitFunction> {
        self.functions.get(id.0)
    }

    pub(super) fn live_range(&self, id: LiveRangeId) -> Option<&LiveRange> {
        self.ranges.get(id.0)
    }

    /// How many functions were made.
    pub(super) fn function_count(&self) -> usize {
        self.functions.len()
    }

    /// Adds a function that was made at a time in ns. Returns whether there is room for it.
    pub(super) fn load(&mut self, function: JitFunction, since: u64) -> bool {
        let (start, size) = (function.address, function.size);
        if size == 0 {
            return true;
        }
        if self.functions.len() >= FUNCTIONS_AT_MOST {
            return false;
        }
        let (by, id) = (function.by, FunctionId(self.functions.len()));
        let number = (function.source, by, function.index);
        self.has_others |= by.is_some();
        self.functions.push(function);
        self.put(number, LiveRange::new(start, size, since, by, id))
    }

    /// Moves a function at a time in ns. Returns whether the function is known, and there is room for it.
    pub(super) fn relocate(&mut self, number: Number, start: u64, since: u64) -> bool {
        let Some(range) = self.now.get(&number).and_then(|range| self.ranges.get_mut(range.0)) else {
            return false;
        };
        range.until = since;
        let (function, size, by) = (range.function, range.end - range.start, range.by);
        self.ranges.len() < 2 * FUNCTIONS_AT_MOST
            && self.put(number, LiveRange::new(start, size, since, by, function))
    }

    fn put(&mut self, number: Number, range: LiveRange) -> bool {
        let id = LiveRangeId(self.ranges.len());
        let tables = self.function(range.function).map_or(0, JitFunction::max_tables_size);
        if range.end - range.start >= LARGE_FROM {
            if self.large.len() >= LARGE_AT_MOST {
                return false;
            }
            let last = self.large.last().map(|last| self.since(*last));
            self.large_unsorted |= last.is_some_and(|last| last > range.since);
            self.large.push(id);
        } else {
            let pages = range.start >> PAGE_SHIFT..=(range.end - 1) >> PAGE_SHIFT;
            let paged = self.paged.saturating_add(pages.end() - pages.start() + 1);
            let is_full =
                |page| self.pages.get(&page).is_some_and(|ranges| ranges.len() >= IN_A_PAGE_AT_MOST);
            if paged > PAGES_AT_MOST || pages.clone().any(is_full) {
                return false;
            }
            self.paged = paged;
            for page in pages {
                let ranges = self.pages.entry(page).or_default();
                let last = ranges.last().and_then(|last| self.ranges.get(last.0));
                if last.is_some_and(|last| last.since > range.since) {
                    self.unsorted.insert(page);
                }
                ranges.push(id);
            }
        }
        self.tables = self.tables.saturating_add(tables);
        self.ranges.push(range);
        self.now.insert(number, id);
        true
    }

    /// Ends all live ranges at a time in ns.
    pub(super) fn end(&mut self, time: u64) {
        let later = self.ends.iter().rev().take_while(|end| **end > time).count();
        if self.ends.len() < ENDS_AT_MOST {
            self.ends.insert(self.ends.len() - later, time);
        }
    }

    /// Puts in order what came out of order. Nothing is found right before.
    pub(super) fn sort(&mut self) {
        let Self { ranges, pages, large, .. } = self;
        let since = |id: &LiveRangeId| (ranges.get(id.0).map(|range| range.since), *id);
        for page in std::mem::take(&mut self.unsorted) {
            if let Some(ranges) = pages.get_mut(&page) {
                ranges.sort_unstable_by_key(since);
            }
        }
        if std::mem::take(&mut self.large_unsorted) {
            large.sort_unstable_by_key(since);
        }
    }

    /// Whether other processes than its own made some.
    pub(super) fn has_others(&self) -> bool {
        self.has_others
    }

    /// The live range at an address that is seen: of several the one that came last.
    pub(super) fn find(&self, addr: u64, view: &View) -> Option<LiveRangeId> {
        let (began, time) = (self.began(view.own), view.latest());
        let is_there =
            |range: &LiveRange| view.sees(range, began).is_some_and(|time| range.holds(addr, time));
        let last = |ranges: &[LiveRangeId]| {
            let before = ranges.partition_point(|id| self.since(*id) <= time);
            let mut before = ranges.get(..before).unwrap_or_default().iter().rev().copied();
            before.find(|id| self.live_range(*id).is_some_and(is_there))
        };
        let small = self.pages.get(&(addr >> PAGE_SHIFT)).and_then(|ranges| last(ranges));
        let large = last(&self.large);
        [small, large].into_iter().flatten().max_by_key(|id| (self.since(*id), *id))
    }

    /// Whether something that is seen stands between two addresses, the second not included.
    pub(super) fn is_between(&self, start: u64, end: u64, view: &View) -> bool {
        let began = self.began(view.own);
        let stands = |ranges: &Vec<LiveRangeId>| {
            let mut ranges = ranges.iter().filter_map(|id| self.live_range(*id));
            ranges.any(|range| {
                let is_seen = view.sees(range, began).is_some_and(|time| range.since <= time);
                is_seen && range.start < end && start < range.end
            })
        };
        let pages = start >> PAGE_SHIFT..=end.saturating_sub(1) >> PAGE_SHIFT;
        start < end && (self.pages.range(pages).any(|(_, ranges)| stands(ranges)) || stands(&self.large))
    }

    /// Whether something else stands between two addresses, the second not included, when a live range begins. What that
    /// range lies over is gone.
    pub(super) fn is_taken(&self, place: &Range<u64>, when: &LiveRange) -> bool {
        let began = self.began(when.since);
        let stands = |ids: &Vec<LiveRangeId>| {
            let mut ranges = ids.iter().filter_map(|id| self.live_range(*id));
            ranges.any(|range| {
                let is_over = range.start < when.end && when.start < range.end;
                range.is_of(began)
                    && (range.since..range.until).contains(&when.since)
                    && range.start < place.end
                    && place.start < range.end
                    && !is_over
            })
        };
        let pages = place.start >> PAGE_SHIFT..=place.end.saturating_sub(1) >> PAGE_SHIFT;
        place.start < place.end
            && (self.pages.range(pages).any(|(_, ranges)| stands(ranges)) || stands(&self.large))
    }

    /// From where to where there are functions, at any time, in a part of memory round an address of one, up to gaps of
    /// so many bytes.
    pub(super) fn span(&self, addr: u64, part: &Range<u64>, gap: u64) -> Option<Range<u64>> {
        let here = addr >> PAGE_SHIFT;
        let mut large = self.large.iter().filter_map(|id| self.live_range(*id));
        if let Some(large) = large.find(|range| (range.start..range.end).contains(&addr)) {
            return Some(large.start..large.end);
        }
        let apart = (gap >> PAGE_SHIFT).max(1);
        let run = |last: &mut u64, page: u64| {
            let is_near = page.abs_diff(*last) <= apart;
            *last = page;
            is_near.then_some(page)
        };
        let before = self.pages.range(part.start >> PAGE_SHIFT..=here).rev();
        let first = before.map(|(page, _)| *page).scan(here, run).last()?;
        let behind = self.pages.range(here..part.end >> PAGE_SHIFT);
        let last = behind.map(|(page, _)| *page).scan(here, run).last()?;
        Some(first << PAGE_SHIFT..(last + 1) << PAGE_SHIFT)
    }

    /// The pages from the first to the last with a function, at any time, in a part of memory.
    pub(super) fn extent(&self, part: &Range<u64>) -> Option<Range<u64>> {
        let mut pages = self.pages.range(part.start >> PAGE_SHIFT..=part.end.saturating_sub(1) >> PAGE_SHIFT);
        let (first, _) = pages.next()?;
        let last = pages.next_back().map_or(first, |(last, _)| last);
        let (start, end) = (first << PAGE_SHIFT, last.saturating_add(1) << PAGE_SHIFT);
        Some(start.max(part.start)..end.min(part.end))
    }

    /// The most bytes that the unwinding tables of all functions so far have in an image, wherever they stood.
    pub(super) fn max_tables_size(&self) -> u64 {
        self.tables
    }

    /// When the program of a time began, in ns.
    fn began(&self, time: u64) -> u64 {
        self.ends.iter().rev().find(|end| **end <= time).copied().unwrap_or(0)
    }

    fn since(&self, id: LiveRangeId) -> u64 {
        self.live_range(id).map_or(u64::MAX, |range| range.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(address: u64, size: u64, index: u64) -> JitFunction {
        let name = Name::Is("f".into());
        let (source, by, code, lines, unwinding) = (SourceId(0), None, None, None, None);
        JitFunction { name, source, index, by, address, size, code, lines, unwinding }
    }

    #[test]
    fn a_page_has_room_for_many_functions_and_no_more() {
        let mut timeline = Timeline::default();
        let many = IN_A_PAGE_AT_MOST as u64;
        // Each is older than the one before it.
        let taken =
            (0..many + 3).filter(|index| timeline.load(function(0x1000, 16, *index), many + 9 - index));
        assert_eq!(taken.count(), IN_A_PAGE_AT_MOST);
        timeline.sort();
        assert_eq!(timeline.find(0x1000, &View::own(many + 9)), Some(LiveRangeId(0)));
        assert_eq!(timeline.find(0x1008, &View::own(10)), Some(LiveRangeId(IN_A_PAGE_AT_MOST - 1)));
        assert_eq!(timeline.find(0x1008, &View::own(9)), None);
        assert!(!timeline.load(function(0xff0, 0x20, many), 0), "it would be in that page as well");
        assert!(timeline.load(function(0x2000, 16, many), 0));
    }

    #[test]
    fn pages_are_counted_for_each_function() {
        let mut timeline = Timeline { paged: PAGES_AT_MOST - 2, ..Timeline::default() };
        assert!(!timeline.load(function(0x1ff0, 0x1020, 0), 0), "three pages");
        assert!(timeline.load(function(0x1ff0, 0x20, 1), 0));
        assert!(!timeline.load(function(0x1000, 1, 2), 0));
        assert!(timeline.load(function(0x1000, LARGE_FROM, 3), 0));
    }
}
