//! An address space with its history: the maps at its addresses, and when each was mapped. A lookup is as of a time, so
//! that a sample finds what was mapped when it was taken, in whatever order the records come.
//!
//! An example. A process maps A at 10 ns and B over a part of it at 20 ns; the records come as B, A. B is put into the
//! snapshot. A is older, so it goes into the gaps round B, and the part under B into the past, until 20 ns. A sample of
//! 15 ns under B, which comes last of all, finds in the snapshot B, which did not hold then, and in the past A.
//!
//! Until an exec returns, the registers are those of the program before it, and so is the user's part of a call chain,
//! while the kernel has written the COMM record already. So what an exec ended answers for addresses at which the new
//! program has nothing.

use std::ops::Range;

use crate::limits::{PAST_AT_MOST, PAST_MAPS_AT_MOST};
use crate::map::Map;
use crate::round::Round;
use crate::work::Work;

mod snapshot;

use snapshot::Snapshot;

/// The owner of an address space: the kernel, or a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AddressSpace {
    /// The kernel's.
    Kernel,
    /// A process's, by its pid.
    Process(i32),
}

/// The maps of one address space: those that hold now, and those that held until a moment ago. A fork shares them until
/// either side changes.
#[derive(Debug, Clone, Default)]
pub struct AddressSpaceMaps {
    snapshot: Snapshot,
    /// When the snapshot began: the time of the last exec, or of the fork, in ns.
    since: u64,
    /// Whether it began with an exec.
    is_of_exec: bool,
    /// The latest `since` of a map in it.
    newest: u64,
    past: Past,
}

/// Maps that held in the past.
#[derive(Debug, Clone, Default)]
struct Past {
    entries: Vec<Held>,
    /// How many maps are in them.
    maps: usize,
}

#[derive(Debug, Clone)]
struct Held {
    what: HeldMaps,
    /// Until when, in ns.
    until: u64,
    /// When it was found to be past.
    round: Round,
}

#[derive(Debug, Clone)]
enum HeldMaps {
    /// A part that a later map covered.
    Covered(Map),
    /// All that an exec or a fork ended.
    Snapshot(Ended),
}

/// A snapshot that an exec or a fork ended.
#[derive(Debug, Clone)]
struct Ended {
    snapshot: Snapshot,
    /// When it had begun, in ns.
    since: u64,
    /// Whether it had begun with an exec.
    is_of_exec: bool,
}

impl HeldMaps {
    fn len(&self) -> usize {
        match self {
            Self::Covered(_) => 1,
            Self::Snapshot(ended) => ended.snapshot.len(),
        }
    }

    fn at(&self, addr: u64) -> Option<&Map> {
        match self {
            Self::Covered(map) => Some(map).filter(|map| map.contains(addr)),
            Self::Snapshot(ended) => ended.snapshot.at(addr),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Map> {
        let (covered, snapshot) = match self {
            Self::Covered(map) => (Some(map), None),
            Self::Snapshot(ended) => (None, Some(&ended.snapshot)),
        };
        covered.into_iter().chain(snapshot.into_iter().flat_map(Snapshot::iter))
    }
}

impl Past {
    fn push(&mut self, what: HeldMaps, until: u64, round: Round) {
        self.maps += what.len();
        self.entries.push(Held { what, until, round });
        if self.entries.len() > PAST_AT_MOST || self.maps > PAST_MAPS_AT_MOST {
            // The older half: a few at a time would be looked for again at once.
            let older = self.entries.drain(..self.entries.len().div_ceil(2));
            self.maps -= older.map(|held| held.what.len()).sum::<usize>();
        }
    }

    /// Forgets what no record can look up any more.
    fn forget(&mut self, now: Round) {
        if self.entries.first().is_some_and(|held| !held.round.is_recent(now)) {
            self.entries.retain(|held| held.round.is_recent(now));
            self.maps = self.entries.iter().map(|held| held.what.len()).sum();
        }
    }

    /// The maps at an address that held at a time.
    fn at(&self, addr: u64, time: u64) -> impl Iterator<Item = &Map> {
        let maps = self.held_at(time).filter_map(move |held| held.what.at(addr));
        maps.filter(move |map| map.since <= time)
    }

    /// All that held at a time, and some that began later.
    fn all(&self, time: u64) -> impl Iterator<Item = &Map> {
        self.held_at(time).flat_map(|held| held.what.iter())
    }

    /// What held at a time.
    fn held_at(&self, time: u64) -> impl Iterator<Item = &Held> {
        let held = self.entries.iter().filter(move |held| time < held.until);
        held.filter(move |held| match held.what {
            HeldMaps::Covered(_) => true,
            HeldMaps::Snapshot(Ended { since, .. }) => since <= time,
        })
    }

    /// All that is remembered.
    fn whole(&self) -> impl Iterator<Item = &Map> {
        self.entries.iter().flat_map(|held| held.what.iter())
    }
}

impl AddressSpaceMaps {
    /// The time at which the address space that holds at a time began, with a fork or an exec, in ns; 0 where it is not
    /// known.
    #[doc(hidden)]
    #[must_use]
    pub fn began(&self, time: u64) -> u64 {
        self.beginning(time).0
    }

    /// When that in which an address is found as of a time began: the address space as of then, or, where it has nothing
    /// there, that of the program before.
    #[doc(hidden)]
    #[must_use]
    pub fn began_with(&self, addr: u64, time: u64) -> u64 {
        let began = self.began(time);
        match began.checked_sub(1) {
            Some(before) if self.find_held(addr, time).is_none() && self.find(addr, Some(time)).is_some() => {
                self.began(before)
            }
            _ => began,
        }
    }

    /// When it began, and whether that was with an exec.
    fn beginning(&self, time: u64) -> (u64, bool) {
        if self.since <= time {
            return (self.since, self.is_of_exec);
        }
        let past = self.past.entries.iter().filter(|held| time < held.until);
        let began = past.filter_map(|held| match &held.what {
            HeldMaps::Snapshot(ended) => {
                Some((ended.since, ended.is_of_exec)).filter(|_| ended.since <= time)
            }
            HeldMaps::Covered(_) => None,
        });
        began.max().unwrap_or((0, false))
    }

    /// The map at an address as of a time in ns; without one, as of now. Where there is none, that of the program before
    /// the last exec, as long as it is remembered.
    #[must_use]
    #[inline]
    pub fn find(&self, addr: u64, time: Option<u64>) -> Option<&Map> {
        let Some(time) = time else { return self.snapshot.at(addr) };
        match self.find_held(addr, time) {
            None if !self.past.entries.is_empty() => self.find_before_exec(addr, time),
            found => found,
        }
    }

    /// The map at an address that held at a time.
    #[inline]
    fn find_held(&self, addr: u64, time: u64) -> Option<&Map> {
        match self.snapshot.at(addr) {
            Some(map) if map.since <= time && self.since <= time => Some(map),
            // Of two that held then, the later one covered the other.
            _ => self.past.at(addr, time).max_by_key(|map| map.since),
        }
    }

    /// The map at an address before the exec with which the address space as of a time began.
    fn find_before_exec(&self, addr: u64, time: u64) -> Option<&Map> {
        let (began, is_of_exec) = self.beginning(time);
        let ended = self.past.entries.iter().filter(|held| is_of_exec && held.until == began);
        let maps = ended.filter_map(|held| held.what.at(addr));
        maps.filter(|map| map.since <= began).max_by_key(|map| map.since)
    }

    /// Whether no map is known, now or in the past, that has an address from `first` to `last`, both included.
    #[doc(hidden)]
    #[must_use]
    pub fn is_empty_between(&self, first: u64, last: u64) -> bool {
        let is_empty = |snapshot: &Snapshot| snapshot.floor(last).is_none_or(|map| map.end <= first);
        is_empty(&self.snapshot)
            && self.past.entries.iter().all(|held| match &held.what {
                HeldMaps::Covered(map) => map.start > last || map.end <= first,
                HeldMaps::Snapshot(ended) => is_empty(&ended.snapshot),
            })
    }

    /// The maps that hold now, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = &Map> {
        self.snapshot.iter()
    }

    /// The maps that hold now and those that are remembered.
    pub(crate) fn iter_with_past(&self) -> impl Iterator<Item = &Map> {
        self.past.whole().chain(self.snapshot.iter())
    }

    /// What holds now between two addresses, both included, and what was covered there, by a map or an exec, since it came.
    pub(crate) fn pieces(&self, first: u64, last: u64) -> impl Iterator<Item = &Map> {
        let covered = self.past.entries.iter().filter_map(move |held| match &held.what {
            HeldMaps::Covered(map) => Some(map).filter(|map| map.start <= last && map.end > first),
            HeldMaps::Snapshot(_) => None,
        });
        self.snapshot.overlapping(first, last.saturating_add(1)).chain(covered)
    }

    /// How many maps hold now or are remembered.
    pub(crate) fn len_with_past(&self) -> usize {
        self.snapshot.len() + self.past.maps
    }

    /// Inserts a map. What it covers is remembered; what something later covers already, or an exec has ended, is
    /// itself the past. Returns from when until when the map holds: a child that was forked in that time has it too.
    pub(crate) fn insert(&mut self, map: Map, now: Round, work: &mut Work) -> Range<u64> {
        self.past.forget(now);
        if map.since < self.since {
            self.past.push(HeldMaps::Covered(map), self.since, now);
            return map.since..self.since;
        }
        self.cover(map, now, work);
        map.since..u64::MAX
    }

    /// Inserts a map that the parent had before the fork, at this time, from which this space comes.
    pub(crate) fn inherit(&mut self, map: Map, fork: u64, now: Round, work: &mut Work) -> Range<u64> {
        self.past.forget(now);
        if fork < self.since {
            self.past.push(HeldMaps::Covered(Map { since: fork, ..map }), self.since, now);
            return fork..self.since;
        }
        self.cover(map, now, work);
        fork..u64::MAX
    }

    /// Puts a map over those that are older and under those that are newer. It costs a step for each of them.
    fn cover(&mut self, map: Map, now: Round, work: &mut Work) {
        if map.start >= map.end {
            return;
        }
        let mut others = Vec::new();
        for other in self.snapshot.overlapping(map.start, map.end) {
            if !work.spend(1) {
                return;
            }
            others.push(*other);
        }
        self.newest = self.newest.max(map.since);
        let mut free = map.start;
        for other in others {
            let (since, covered) = if other.since <= map.since {
                self.snapshot.remove(other.start);
                let sides = [other.part(other.start, map.start), other.part(map.end, other.end)];
                sides.into_iter().flatten().for_each(|side| self.snapshot.insert(side));
                (map.since, other.part(map.start, map.end))
            } else {
                map.part(free, other.start).into_iter().for_each(|piece| self.snapshot.insert(piece));
                free = other.end;
                (other.since, map.part(other.start, other.end))
            };
            if let Some(covered) = covered {
                self.past.push(HeldMaps::Covered(covered), since, now);
            }
        }
        if let Some(piece) = map.part(free, map.end) {
            self.snapshot.insert(piece);
        }
    }

    /// Ends what held until a time: an exec. Maps that are of after it stay.
    pub(crate) fn exec(&mut self, time: u64, now: Round, work: &mut Work) {
        self.past.forget(now);
        if time < self.since || self.newest > time && !work.spend(self.snapshot.len() as u64) {
            return;
        }
        let since = std::mem::replace(&mut self.since, time);
        let is_of_exec = std::mem::replace(&mut self.is_of_exec, true);
        let old = std::mem::take(&mut self.snapshot);
        if self.newest > time {
            self.snapshot = old.iter().filter(|map| map.since > time).copied().collect();
        }
        if !old.is_empty() || since > 0 {
            let ended = Ended { snapshot: old, since, is_of_exec };
            self.past.push(HeldMaps::Snapshot(ended), time, now);
        }
    }

    /// The address space of a child that was forked at a time: what held then.
    pub(crate) fn fork(&self, time: Option<u64>, work: &mut Work) -> Self {
        let shared = |since| Self {
            snapshot: self.snapshot.clone(),
            since,
            is_of_exec: false,
            newest: self.newest,
            past: Past::default(),
        };
        let Some(time) = time else { return shared(self.since) };
        if time >= self.newest && time >= self.since {
            return shared(time);
        }
        if !work.spend(self.len_with_past() as u64) {
            return shared(time);
        }
        // Records of after the fork came first: what held at its time is put together.
        let mut child = Self::default();
        for map in self.past.all(time).chain(self.snapshot.iter()).filter(|map| map.since <= time) {
            child.cover(*map, Round::default(), work);
        }
        Self { since: time, past: Past::default(), ..child }
    }

    /// Takes the place of `old`, which had this pid before the fork at `time`. What is in it of later times came
    /// out of another CPU's buffer before the fork did, and goes on top; the rest is the past.
    pub(crate) fn succeed(&mut self, old: Self, time: u64, now: Round, work: &mut Work) {
        let Self { snapshot, since, is_of_exec, newest, past } = old;
        self.past = past;
        if since > time {
            self.exec(since, now, work);
        }
        if newest > time && work.spend(snapshot.len() as u64) {
            for map in snapshot.iter().filter(|map| map.since > time) {
                self.insert(*map, now, work);
            }
        }
        if !snapshot.is_empty() {
            self.past.push(HeldMaps::Snapshot(Ended { snapshot, since, is_of_exec }), time, now);
        }
    }

    /// Forgets what no record can look up any more.
    pub(crate) fn forget_past(&mut self, now: Round) {
        self.past.forget(now);
    }

    /// Forgets the whole past.
    pub(crate) fn forget_all_past(&mut self) {
        self.past = Past::default();
    }

    /// Whether there is a past, which will have to be forgotten.
    #[must_use]
    pub(crate) fn has_past(&self) -> bool {
        !self.past.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dso::{DsoId, DsoKind, Dsos};

    fn work() -> Work {
        Work::new(1000)
    }

    fn dso(n: usize) -> DsoId {
        let mut dsos = Dsos::default();
        (0..=n).map(|n| dsos.find_or_create(-1, DsoKind::File, n.to_string().as_str().into())).last().unwrap()
    }

    fn map(start: u64, end: u64, since: u64, n: usize) -> Map {
        Map { start, end, pgoff: 0x1000, since, dso: dso(n), prot: 5, flags: 2 }
    }

    fn found(maps: &AddressSpaceMaps, addr: u64, time: Option<u64>) -> Option<DsoId> {
        maps.find(addr, time).map(|map| map.dso)
    }

    #[test]
    fn a_later_map_splits_what_it_covers_and_the_covered_part_is_found_at_its_time() {
        let mut maps = AddressSpaceMaps::default();
        maps.insert(map(0x1000, 0x9000, 10, 0), Round(0), &mut work());
        maps.insert(map(0x3000, 0x5000, 20, 1), Round(0), &mut work());
        assert_eq!(found(&maps, 0x4000, None), Some(dso(1)));
        assert_eq!(found(&maps, 0x4000, Some(15)), Some(dso(0)));
        assert_eq!(found(&maps, 0x4000, Some(5)), None);
        assert_eq!(found(&maps, 0x8fff, Some(25)), Some(dso(0)));
        let pieces: Vec<_> = maps.iter().map(|map| (map.start, map.end, map.pgoff)).collect();
        assert_eq!(pieces, [(0x1000, 0x3000, 0x1000), (0x3000, 0x5000, 0x1000), (0x5000, 0x9000, 0x5000)]);
    }

    #[test]
    fn a_map_that_comes_late_lies_under_those_of_after_it() {
        let mut maps = AddressSpaceMaps::default();
        maps.insert(map(0x3000, 0x5000, 20, 1), Round(0), &mut work());
        maps.insert(map(0x1000, 0x9000, 10, 0), Round(0), &mut work());
        for (addr, time, expected) in [
            (0x4000, 25, Some(1)),
            (0x4000, 15, Some(0)),
            (0x2000, 25, Some(0)),
            (0x6000, 12, Some(0)),
            (0x2000, 5, None),
        ] {
            assert_eq!(found(&maps, addr, Some(time)), expected.map(dso), "{addr:#x} at {time}");
        }
    }

    #[test]
    fn an_exec_ends_what_was_there_and_is_forgotten_two_rounds_later() {
        let mut maps = AddressSpaceMaps::default();
        maps.insert(map(0x1000, 0x2000, 10, 0), Round(0), &mut work());
        maps.exec(20, Round(0), &mut work());
        maps.insert(map(0x5000, 0x6000, 21, 1), Round(0), &mut work());
        assert_eq!(found(&maps, 0x1000, None), None);
        assert_eq!(found(&maps, 0x1000, Some(15)), Some(dso(0)));
        maps.forget_past(Round(1));
        assert_eq!(found(&maps, 0x1000, Some(15)), Some(dso(0)));
        maps.forget_past(Round(2));
        assert_eq!(found(&maps, 0x1000, Some(15)), None);
        assert_eq!(found(&maps, 0x5000, Some(25)), Some(dso(1)));
    }

    #[test]
    fn a_map_of_before_an_exec_that_comes_after_it_is_of_the_past() {
        let mut maps = AddressSpaceMaps::default();
        maps.exec(20, Round(0), &mut work());
        maps.insert(map(0x1000, 0x2000, 10, 0), Round(0), &mut work());
        assert_eq!(found(&maps, 0x1000, None), None);
        assert_eq!(found(&maps, 0x1000, Some(15)), Some(dso(0)));
    }

    #[test]
    fn until_its_own_maps_are_there_a_program_has_those_of_the_one_before_it() {
        let mut maps = AddressSpaceMaps::default();
        maps.insert(map(0x1000, 0x2000, 10, 0), Round(0), &mut work());
        maps.insert(map(0x3000, 0x4000, 11, 1), Round(0), &mut work());
        maps.exec(20, Round(0), &mut work());
        maps.insert(map(0x3000, 0x4000, 24, 2), Round(0), &mut work());
        // It came late.
        maps.insert(map(0x5000, 0x6000, 12, 3), Round(0), &mut work());
        for (addr, time, expected) in [
            (0x1000, 21, Some(0)),
            (0x3000, 21, Some(1)),
            (0x3000, 24, Some(2)),
            (0x5000, 21, Some(3)),
            (0x7000, 21, None),
        ] {
            assert_eq!(found(&maps, addr, Some(time)), expected.map(dso), "{addr:#x} at {time}");
        }
        maps.exec(30, Round(1), &mut work());
        assert_eq!(found(&maps, 0x3000, Some(31)), Some(dso(2)), "of two programs before it the last one");
        assert_eq!(found(&maps, 0x1000, Some(31)), None);
        let child = maps.fork(Some(40), &mut work());
        assert_eq!(found(&child, 0x3000, Some(41)), None, "a child begins as its parent is");
        maps.forget_past(Round(2));
        assert_eq!(found(&maps, 0x1000, Some(21)), None, "two rounds later");
        assert_eq!(found(&maps, 0x3000, Some(31)), Some(dso(2)));
    }

    #[test]
    fn a_fork_takes_the_picture_of_its_own_time() {
        let mut parent = AddressSpaceMaps::default();
        parent.insert(map(0x1000, 0x2000, 10, 0), Round(0), &mut work());
        parent.insert(map(0x1000, 0x2000, 30, 1), Round(0), &mut work());
        assert_eq!(found(&parent.fork(Some(20), &mut work()), 0x1000, Some(40)), Some(dso(0)));
        assert_eq!(found(&parent.fork(Some(35), &mut work()), 0x1000, Some(40)), Some(dso(1)));
        parent.exec(50, Round(0), &mut work());
        assert_eq!(found(&parent.fork(Some(40), &mut work()), 0x1000, Some(60)), Some(dso(1)));
        assert_eq!(found(&parent.fork(Some(55), &mut work()), 0x1000, Some(60)), None);
    }

    #[test]
    fn no_record_can_make_an_empty_or_backward_map() {
        let mut maps = AddressSpaceMaps::default();
        maps.insert(map(0x2000, 0x2000, 0, 0), Round(0), &mut work());
        maps.insert(map(0x2000, 0x1000, 0, 0), Round(0), &mut work());
        assert_eq!(maps.iter().count(), 0);
    }

    /// What may happen to an address space, in any order of time.
    #[derive(Debug, Clone)]
    enum Step {
        Map(u64, u64, u64, usize),
        Inherit(u64, u64, u64, usize),
        Exec(u64),
        Succeed(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let place = || (0..6u64, 1..4u64, 0..40u64, 0..5usize);
        prop_oneof![
            8 => place().prop_map(|(start, len, since, dso)| Step::Map(start, len, since, dso)),
            // No process is born and executes at one moment, nor executes twice.
            2 => place().prop_map(|(start, len, fork, dso)| Step::Inherit(start, len, fork & !1, dso)),
            3 => (0..10u64).prop_map(|time| Step::Exec(4 * time + 1)),
            1 => (0..20u64).prop_map(|time| Step::Succeed(2 * time)),
        ]
    }

    fn take(maps: &mut AddressSpaceMaps, step: &Step) {
        match *step {
            Step::Map(start, len, since, dso) => {
                maps.insert(map(start, start + len, since, dso), Round(0), &mut work());
            }
            Step::Inherit(start, len, fork, dso) => {
                maps.inherit(map(start, start + len, fork / 2, dso), fork, Round(0), &mut work());
            }
            Step::Exec(time) => maps.exec(time, Round(0), &mut work()),
            Step::Succeed(time) => {
                let born = AddressSpaceMaps::default().fork(Some(time), &mut work());
                let old = std::mem::replace(maps, born);
                maps.succeed(old, time, Round(0), &mut work());
            }
        }
    }

    proptest! {
        /// So a change by an exec needs no new lookups of hits.
        #[test]
        fn after_an_exec_no_query_has_another_answer_than_before_or_none(
            steps in prop::collection::vec(step(), 0..12), exec in (0..10u64).prop_map(|time| 4 * time + 3),
        ) {
            let mut maps = AddressSpaceMaps::default();
            steps.iter().for_each(|step| take(&mut maps, step));
            let before = maps.clone();
            maps.exec(exec, Round(0), &mut work());
            for (addr, time) in (0..10).flat_map(|addr| (0..50).map(move |time| (addr, time))) {
                let (old, new) = (before.find(addr, Some(time)), maps.find(addr, Some(time)));
                prop_assert!(new.is_none() || new == old, "{} at {}: {:?}, then {:?}", addr, time, old, new);
            }
        }

        /// In whatever order maps of different times come, without an exec between them the last of before a time is
        /// found.
        #[test]
        fn the_latest_map_of_before_a_time_is_found(
            mut places in prop::collection::vec((0..6u64, 1..4u64, 0..5usize), 1..10).prop_shuffle(),
            order in any::<prop::sample::Index>(),
        ) {
            let mut all: Vec<Map> = (1..).zip(places.drain(..))
                .map(|(since, (start, len, n))| map(start, start + len, since * 10, n)).collect();
            let (mut maps, by_time) = (AddressSpaceMaps::default(), all.clone());
            let middle = order.index(all.len());
            all.rotate_left(middle);
            all.iter().for_each(|map| _ = maps.insert(*map, Round(0), &mut work()));
            for (addr, time) in (0..10).flat_map(|addr| (0..110).step_by(5).map(move |time| (addr, time))) {
                let latest = by_time.iter().rfind(|map| map.since <= time && map.contains(addr));
                prop_assert_eq!(found(&maps, addr, Some(time)), latest.map(|map| map.dso));
            }
        }
    }
}
