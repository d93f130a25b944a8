//! The code of one process: which modules stand at which addresses.

use std::ops::Range;
use std::sync::Arc;

use crate::error::Error;
use crate::module::Module;

/// The executable maps of one process. A copy shares them until either is changed, as a fork does.
#[derive(Debug, Clone, Default)]
pub struct Modules {
    sorted: Arc<Sorted>,
    is_partial: bool,
}

/// The maps by their addresses. Starts stand apart, since look-ups read nothing else.
#[derive(Debug, Clone, Default)]
struct Sorted {
    starts: Vec<u64>,
    maps: Vec<ModuleMap>,
}

/// What stands in a map.
#[derive(Debug, Clone)]
pub enum Code {
    /// A part of a module.
    Module {
        /// The module.
        module: Arc<Module>,
        /// The place in its file at which the map starts, in bytes (`pgoff`).
        offset: u64,
    },
    /// Code that no tables are known of, as what a JIT makes.
    NoTables,
    /// A file that could not be used.
    Unusable,
    /// Nothing is mapped there: what [partial](Modules::partial) modules have to be told.
    Nothing,
}

/// What is known of an address.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Found<'m> {
    Map(&'m ModuleMap),
    Nothing,
    Unknown,
}

/// A map.
#[derive(Debug, Clone)]
pub(crate) struct ModuleMap {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// What is added to the module's own addresses.
    pub(crate) bias: u64,
    /// The module's number, or 0: it is here as well, since most look-ups need no more of the module.
    pub(crate) id: u32,
    pub(crate) module: Option<Arc<Module>>,
    pub(crate) is_unusable: bool,
    is_nothing: bool,
    pub(crate) tag: u64,
}

impl Modules {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Modules that are told only what stacks lead to: where they know nothing of an address, unwinding stops with
    /// [`StopReason::Unknown`](crate::StopReason::Unknown). Then the caller inserts what is mapped there, or
    /// [`Code::Nothing`], and unwinds once more.
    #[must_use]
    pub fn partial() -> Self {
        Self { is_partial: true, ..Self::default() }
    }

    /// Takes a map in, in the place of what overlaps it. The tag is what [`StopReason`](crate::StopReason) says of it. Only
    /// executable maps are needed. It takes time by the number of maps that are there, so that code of which nothing is
    /// known but its place (a JIT's functions) is better one map than thousands.
    ///
    /// # Errors
    /// [`Error::NoSegment`] where the module has none at that place; the map is then taken in as one whose file could not
    /// be used.
    pub fn insert(&mut self, range: Range<u64>, code: Code, tag: u64) -> Result<(), Error> {
        let Range { start, end } = range;
        if start >= end {
            return Ok(());
        }
        let without = ModuleMap {
            start,
            end,
            bias: 0,
            id: 0,
            module: None,
            is_unusable: false,
            is_nothing: false,
            tag,
        };
        let (map, result) = match code {
            Code::NoTables => (without, Ok(())),
            Code::Unusable => (ModuleMap { is_unusable: true, ..without }, Ok(())),
            Code::Nothing => (ModuleMap { is_nothing: true, ..without }, Ok(())),
            Code::Module { module, offset } => match module.bias(start, offset, end - start) {
                Some(bias) => (ModuleMap { bias, id: module.id(), module: Some(module), ..without }, Ok(())),
                None => (ModuleMap { is_unusable: true, ..without }, Err(Error::NoSegment { offset })),
            },
        };
        self.replace(start, end, Some(map));
        result
    }

    /// Takes out what is mapped in a range.
    pub fn remove(&mut self, range: Range<u64>) {
        if range.start < range.end {
            self.replace(range.start, range.end, None);
        }
    }

    /// Takes out each map that reaches into a range, whole: partial modules are then asked for it again.
    pub fn forget(&mut self, range: Range<u64>) {
        let Range { start, end } = range;
        let (from, to) = self.overlapped(start, end);
        if from < to {
            let Sorted { starts, maps } = Arc::make_mut(&mut self.sorted);
            starts.drain(from..to);
            maps.drain(from..to);
        }
    }

    /// Takes out everything, as an exec does.
    pub fn clear(&mut self) {
        self.sorted = Arc::default();
    }

    /// How many maps there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sorted.maps.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether code is known to be mapped at an address.
    #[must_use]
    pub fn contains(&self, address: u64) -> bool {
        matches!(self.find(address), Found::Map(_))
    }

    /// The map at an address.
    #[inline]
    pub(crate) fn find(&self, address: u64) -> Found<'_> {
        let Sorted { starts, maps } = &*self.sorted;
        let behind = starts.partition_point(|start| *start <= address);
        match behind.checked_sub(1).and_then(|at| maps.get(at)).filter(|map| address < map.end) {
            Some(map) if map.is_nothing => Found::Nothing,
            Some(map) => Found::Map(map),
            None if self.is_partial => Found::Unknown,
            None => Found::Nothing,
        }
    }

    /// The places of the maps that reach into a range.
    fn overlapped(&self, start: u64, end: u64) -> (usize, usize) {
        let maps = &self.sorted.maps;
        let from = maps.partition_point(|map| map.end <= start);
        (from, maps.partition_point(|map| map.start < end).max(from))
    }

    /// Cuts a range out, and puts a map in its place.
    fn replace(&mut self, start: u64, end: u64, map: Option<ModuleMap>) {
        let (from, to) = self.overlapped(start, end);
        let Sorted { starts, maps } = Arc::make_mut(&mut self.sorted);
        let overlapped = || maps.get(from..to).unwrap_or_default();
        // A part keeps its module's bias: its own addresses stay where they are.
        let before = overlapped().first().filter(|map| map.start < start);
        let before = before.map(|map| ModuleMap { end: start, ..map.clone() });
        let behind = overlapped().last().filter(|map| map.end > end);
        let behind = behind.map(|map| ModuleMap { start: end, ..map.clone() });
        let parts = || [before.as_ref(), map.as_ref(), behind.as_ref()].into_iter().flatten();
        starts.splice(from..to, parts().map(|map| map.start));
        let parts: Vec<_> = [before, map, behind].into_iter().flatten().collect();
        maps.splice(from..to, parts);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tag_at(modules: &Modules, address: u64) -> Option<u64> {
        match modules.find(address) {
            Found::Map(map) => Some(map.tag),
            Found::Nothing | Found::Unknown => None,
        }
    }

    #[test]
    fn a_copy_keeps_its_maps_when_the_other_changes() {
        let mut parent = Modules::new();
        parent.insert(0x1000..0x3000, Code::NoTables, 1).unwrap();
        let child = parent.clone();
        parent.insert(0x2000..0x4000, Code::Unusable, 2).unwrap();
        assert_eq!((tag_at(&parent, 0x2000), tag_at(&child, 0x2000)), (Some(2), Some(1)));
        parent.clear();
        assert!(parent.is_empty() && child.len() == 1);
    }

    #[test]
    fn partial_modules_know_what_they_do_not_know() {
        let mut modules = Modules::partial();
        modules.insert(0x1000..0x3000, Code::NoTables, 1).unwrap();
        modules.insert(0x3000..0x4000, Code::Nothing, 0).unwrap();
        modules.insert(0x5000..0x6000, Code::NoTables, 2).unwrap();
        let is_unknown = |modules: &Modules, address| matches!(modules.find(address), Found::Unknown);
        assert_eq!((tag_at(&modules, 0x2fff), tag_at(&modules, 0x3000)), (Some(1), None));
        assert!(!is_unknown(&modules, 0x3000) && is_unknown(&modules, 0x4000));
        modules.forget(0x2000..0x3001);
        assert!(is_unknown(&modules, 0x1000) && is_unknown(&modules, 0x3000) && modules.len() == 1);
        modules.clear();
        assert!(is_unknown(&modules, 0x5000));
    }

    proptest! {
        #![proptest_config(perf_format::strategies::config(256, "modules"))]

        #[test]
        fn maps_are_those_of_a_table_with_an_entry_for_each_page(
            changes in prop::collection::vec((0..40u64, 0..12u64, any::<bool>()), 0..60)
        ) {
            let (mut modules, mut pages) = (Modules::new(), [None; 64]);
            for (tag, (start, len, is_new)) in (0..).zip(changes) {
                if is_new {
                    modules.insert(start..start + len, Code::NoTables, tag).unwrap();
                } else {
                    modules.remove(start..start + len);
                }
                for (_, page) in (0..).zip(&mut pages).filter(|(at, _)| (start..start + len).contains(at)) {
                    *page = is_new.then_some(tag);
                }
            }
            for (page, expected) in (0..).zip(pages) {
                prop_assert_eq!(tag_at(&modules, page), expected);
            }
        }
    }
}
