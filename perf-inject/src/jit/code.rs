//! The code that a process made as it ran: which function stood at an address, and when. Addresses are used again.

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

/// A function, wherever it stood. What is large is still in its dump.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: Name,
    /// Which of the process's files tells of it.
    pub(super) source: usize,
    /// The number that its dump gives it.
    pub(super) index: u64,
    /// Where it was made.
    pub(super) address: u64,
    /// Bytes of code.
    pub(super) size: u64,
    /// `None` where nobody kept it.
    pub(super) code: Option<Extent>,
    pub(super) lines: Option<DebugInfo>,
    pub(super) unwinding: Option<Unwinding>,
    /// Where it is in an image; of several the first.
    pub(super) kept: Option<Kept>,
}

impl Function {
    /// Bytes that its unwinding tables may have in an image at the most.
    pub(super) fn tables(&self) -> u64 {
        match self.unwinding.as_ref().map_or(0, |unwinding| unwinding.eh_frame.len as u64) {
            0 => 0,
            // As long as they are; and, since the shortest entry that can be read has eleven bytes, for each of those twice
            // as many for what is filled up and for its place in the table that is searched.
            len => 3 * len + 128,
        }
    }
}

/// What a function is called.
#[derive(Debug)]
pub(super) enum Name {
    /// What stands there in the dump.
    At(Extent),
    Is(BString),
}

/// A place in one of a process's images.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    pub(super) image: usize,
    /// Bytes from its start.
    pub(super) offset: u64,
}

/// A function at an address for a time.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) start: u64,
    pub(super) end: u64,
    /// From when on, in ns.
    pub(super) since: u64,
    /// When it was moved away, in ns.
    until: u64,
    pub(super) function: usize,
    /// Where in an image it stands for this place.
    pub(super) kept: Option<Kept>,
    /// From when on readers of the output know, in ns.
    pub(super) told: Option<u64>,
    /// Whether it is in a file that the process maps, as V8's builtins are.
    pub(super) in_file: bool,
}

impl Place {
    fn new(start: u64, size: u64, since: u64, function: usize) -> Self {
        let end = start.saturating_add(size);
        Self { start, end, since, until: u64::MAX, function, kept: None, told: None, in_file: false }
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
pub(super) struct Code {
    pub(super) functions: Vec<Function>,
    pub(super) places: Vec<Place>,
    /// The places with a byte in a page, in the order of their times.
    pages: BTreeMap<u64, Vec<usize>>,
    /// How many pages all places have, each with its own.
    paged: u64,
    /// The places that have too many pages, likewise in order.
    large: Vec<usize>,
    /// Pages whose places are not in order yet, and whether the large ones are not.
    unsorted: BTreeSet<u64>,
    large_unsorted: bool,
    /// Bytes that the unwinding tables of all may have in an image.
    tables: u64,
    /// When all of it ended, with an exec or a new process of that pid, in ns; in order.
    ends: Vec<u64>,
    /// Where the function that a file has under a number stands now.
    now: HashMap<(usize, u64), usize>,
}

impl Code {
    /// A function was made, at a time in ns. Tells whether there is room for it.
    pub(super) fn load(&mut self, function: Function, since: u64) -> bool {
        let (start, size) = (function.address, function.size);
        if size == 0 {
            return true;
        }
        if self.functions.len() >= FUNCTIONS_AT_MOST {
            return false;
        }
        let (number, id) = ((function.source, function.index), self.functions.len());
        self.functions.push(function);
        self.put(number, Place::new(start, size, since, id))
    }

    /// A function is elsewhere from a time on, in ns. Tells whether it is known, and there is room for it.
    pub(super) fn relocate(&mut self, number: (usize, u64), start: u64, since: u64) -> bool {
        let Some(place) = self.now.get(&number).and_then(|place| self.places.get_mut(*place)) else {
            return false;
        };
        place.until = since;
        let (function, size) = (place.function, place.end - place.start);
        self.places.len() < 2 * FUNCTIONS_AT_MOST
            && self.put(number, Place::new(start, size, since, function))
    }

    fn put(&mut self, number: (usize, u64), place: Place) -> bool {
        let id = self.places.len();
        let tables = self.functions.get(place.function).map_or(0, Function::tables);
        if place.end - place.start >= LARGE_FROM {
            if self.large.len() >= LARGE_AT_MOST {
                return false;
            }
            let last = self.large.last().map(|last| self.since(*last));
            self.large_unsorted |= last.is_some_and(|last| last > place.since);
            self.large.push(id);
        } else {
            let pages = place.start >> PAGE_SHIFT..=(place.end - 1) >> PAGE_SHIFT;
            let paged = self.paged.saturating_add(pages.end() - pages.start() + 1);
            let is_full =
                |page| self.pages.get(&page).is_some_and(|places| places.len() >= IN_A_PAGE_AT_MOST);
            if paged > PAGES_AT_MOST || pages.clone().any(is_full) {
                return false;
            }
            self.paged = paged;
            for page in pages {
                let places = self.pages.entry(page).or_default();
                let last = places.last().and_then(|last| self.places.get(*last));
                if last.is_some_and(|last| last.since > place.since) {
                    self.unsorted.insert(page);
                }
                places.push(id);
            }
        }
        self.tables = self.tables.saturating_add(tables);
        self.places.push(place);
        self.now.insert(number, id);
        true
    }

    /// All that was there ended at a time in ns.
    pub(super) fn end(&mut self, time: u64) {
        let later = self.ends.iter().rev().take_while(|end| **end > time).count();
        if self.ends.len() < ENDS_AT_MOST {
            self.ends.insert(self.ends.len() - later, time);
        }
    }

    /// Puts in order what came out of order. Nothing is found right before.
    pub(super) fn settle(&mut self) {
        let Self { places, pages, large, .. } = self;
        let since = |place: &usize| (places.get(*place).map(|place| place.since), *place);
        for page in std::mem::take(&mut self.unsorted) {
            if let Some(places) = pages.get_mut(&page) {
                places.sort_unstable_by_key(since);
            }
        }
        if std::mem::take(&mut self.large_unsorted) {
            large.sort_unstable_by_key(since);
        }
    }

    /// What stood at an address at a time in ns: of several the one that came last.
    pub(super) fn find(&self, addr: u64, time: u64) -> Option<usize> {
        let began = self.began(time);
        let is_there = |place: &Place| place.holds(addr, time) && place.is_of(began);
        let last = |places: &[usize]| {
            let before = places.partition_point(|place| self.since(*place) <= time);
            let mut before = places.get(..before).unwrap_or_default().iter().rev().copied();
            before.find(|place| self.places.get(*place).is_some_and(is_there))
        };
        let small = self.pages.get(&(addr >> PAGE_SHIFT)).and_then(|places| last(places));
        let large = last(&self.large);
        [small, large].into_iter().flatten().max_by_key(|place| (self.since(*place), *place))
    }

    /// Whether something that was made by a time in ns stands between two addresses, the second not included.
    pub(super) fn is_between(&self, start: u64, end: u64, time: u64) -> bool {
        let began = self.began(time);
        let stands = |places: &Vec<usize>| {
            let mut places = places.iter().filter_map(|place| self.places.get(*place));
            places.any(|place| {
                place.is_of(began) && place.since <= time && place.start < end && start < place.end
            })
        };
        let pages = start >> PAGE_SHIFT..=end.saturating_sub(1) >> PAGE_SHIFT;
        start < end && (self.pages.range(pages).any(|(_, places)| stands(places)) || stands(&self.large))
    }

    /// From where to where there are functions, at any time, in a part of memory round an address of one, up to gaps of
    /// so many bytes.
    pub(super) fn span(&self, addr: u64, part: &Range<u64>, gap: u64) -> Option<Range<u64>> {
        let here = addr >> PAGE_SHIFT;
        let large = self.large.iter().filter_map(|place| self.places.get(*place));
        if let Some(large) = large.clone().find(|place| (place.start..place.end).contains(&addr)) {
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

    /// The most bytes that the unwinding tables of all functions so far have in an image, wherever they stood.
    pub(super) fn tables(&self) -> u64 {
        self.tables
    }

    /// When the program of a time began, in ns.
    fn began(&self, time: u64) -> u64 {
        self.ends.iter().rev().find(|end| **end <= time).copied().unwrap_or(0)
    }

    fn since(&self, place: usize) -> u64 {
        self.places.get(place).map_or(u64::MAX, |place| place.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(address: u64, size: u64, index: u64) -> Function {
        let name = Name::Is("f".into());
        let (code, lines, unwinding, kept) = (None, None, None, None);
        Function { name, source: 0, index, address, size, code, lines, unwinding, kept }
    }

    #[test]
    fn a_page_has_room_for_many_functions_and_no_more() {
        let mut code = Code::default();
        let many = IN_A_PAGE_AT_MOST as u64;
        // Each is older than the one before it.
        let taken = (0..many + 3).filter(|index| code.load(function(0x1000, 16, *index), many + 9 - index));
        assert_eq!(taken.count(), IN_A_PAGE_AT_MOST);
        code.settle();
        assert_eq!(code.find(0x1000, many + 9), Some(0));
        assert_eq!(code.find(0x1008, 10), Some(IN_A_PAGE_AT_MOST - 1));
        assert_eq!(code.find(0x1008, 9), None);
        assert!(!code.load(function(0xff0, 0x20, many), 0), "it would be in that page as well");
        assert!(code.load(function(0x2000, 16, many), 0));
    }

    #[test]
    fn pages_are_counted_for_each_function() {
        let mut code = Code { paged: PAGES_AT_MOST - 2, ..Code::default() };
        assert!(!code.load(function(0x1ff0, 0x1020, 0), 0), "three pages");
        assert!(code.load(function(0x1ff0, 0x20, 1), 0));
        assert!(!code.load(function(0x1000, 1, 2), 0));
        assert!(code.load(function(0x1000, LARGE_FROM, 3), 0));
    }
}
