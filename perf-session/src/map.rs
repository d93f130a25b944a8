//! Maps: what stands at which addresses, and from when. An address is looked up as of a time, so that a sample
//! finds what was mapped when it was taken, in whatever order the records come.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::dso::DsoId;
use crate::limits::{PAST_AT_MOST, PAST_MAPS_AT_MOST};
use crate::round::Round;

/// A range of addresses and the DSO in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Map {
    /// First address.
    pub start: u64,
    /// One past the last address.
    pub end: u64,
    /// Offset in the DSO of the first address, in bytes.
    pub pgoff: u64,
    /// When it was mapped, in ns; 0 where that is not known.
    pub since: u64,
    /// What is mapped.
    pub dso: DsoId,
    /// `PROT_*` bits.
    pub prot: u32,
    /// `MAP_*` bits.
    pub flags: u32,
}

impl Map {
    /// Whether the address lies in it.
    #[must_use]
    pub fn contains(&self, addr: u64) -> bool {
        (self.start..self.end).contains(&addr)
    }

    /// The part of it between two addresses, if any.
    fn part(self, start: u64, end: u64) -> Option<Self> {
        let (start, end) = (start.max(self.start), end.min(self.end));
        let pgoff = self.pgoff.wrapping_add(start.wrapping_sub(self.start));
        (start < end).then_some(Self { start, end, pgoff, ..self })
    }
}

/// Maps that do not overlap, by their first address.
type Image = BTreeMap<u64, Map>;

/// Whether nothing stands between two addresses, the second included.
fn is_empty_between(image: &Image, first: u64, last: u64) -> bool {
    image.range(..=last).next_back().is_none_or(|(_, map)| map.end <= first)
}

fn at(image: &Image, addr: u64) -> Option<&Map> {
    image.range(..=addr).next_back().map(|(_, map)| map).filter(|map| map.contains(addr))
}

/// What stood here before something else did.
#[derive(Debug, Clone)]
struct Past {
    what: PastMaps,
    until: u64,
    round: Round,
}

#[derive(Debug, Clone)]
enum PastMaps {
    /// A part that a later map covered.
    Covered(Map),
    /// All that an exec ended, and when it had begun, in ns.
    Image(Arc<Image>, u64),
}

impl PastMaps {
    fn len(&self) -> usize {
        match self {
            Self::Covered(_) => 1,
            Self::Image(image, _) => image.len(),
        }
    }
}

/// One address space: what is mapped now, and what was until a moment ago. A fork shares it until either side
/// changes.
#[derive(Debug, Clone, Default)]
pub struct Maps {
    image: Arc<Image>,
    /// When the image began: the time of the last exec, or of the fork, in ns.
    since: u64,
    /// The latest `since` of a map in it.
    newest: u64,
    past: Vec<Past>,
}

impl Maps {
    /// When the image of a time had begun, in ns, with a fork or an exec; 0 where that is not known.
    #[must_use]
    pub fn began(&self, time: u64) -> u64 {
        if self.since <= time {
            return self.since;
        }
        let images = self.past.iter().filter(|past| time < past.until).filter_map(|past| match &past.what {
            PastMaps::Image(_, since) => Some(*since).filter(|since| *since <= time),
            PastMaps::Covered(_) => None,
        });
        images.max().unwrap_or(0)
    }

    /// The map at an address as of a time in ns; without one, as of now.
    #[must_use]
    #[inline]
    pub fn find(&self, addr: u64, time: Option<u64>) -> Option<&Map> {
        let now = at(&self.image, addr);
        let Some(time) = time else { return now };
        match now {
            Some(map) if map.since <= time && self.since <= time => Some(map),
            _ => self.find_past(addr, time),
        }
    }

    /// Whether nothing is known to stand between two addresses, the second included, now or before.
    #[must_use]
    pub fn is_empty_between(&self, first: u64, last: u64) -> bool {
        let is_empty = |past: &Past| match &past.what {
            PastMaps::Covered(map) => map.start > last || map.end <= first,
            PastMaps::Image(image, _) => is_empty_between(image, first, last),
        };
        is_empty_between(&self.image, first, last) && self.past.iter().all(is_empty)
    }

    #[cold]
    fn find_past(&self, addr: u64, time: u64) -> Option<&Map> {
        let held = self.past.iter().filter(|past| time < past.until);
        let held = held.filter_map(|past| match &past.what {
            PastMaps::Covered(map) => Some(map).filter(|map| map.contains(addr)),
            PastMaps::Image(image, _) => at(image, addr),
        });
        // Of two that held then, the later one covered the other.
        held.filter(|map| map.since <= time).max_by_key(|map| map.since)
    }

    /// Maps something. What it covers is remembered; what something later covers already, or an exec has ended, is
    /// itself the past. Tells from when until when the map holds: who forked then has it too.
    pub fn insert(&mut self, map: Map, now: Round) -> Range<u64> {
        self.forget_past(now);
        if map.since < self.since {
            self.remember(PastMaps::Covered(map), self.since, now);
            return map.since..self.since;
        }
        self.cover(map, now);
        map.since..u64::MAX
    }

    /// Maps something that a parent had mapped before the fork, at this time, from which this space comes.
    pub fn inherit(&mut self, map: Map, fork: u64, now: Round) -> Range<u64> {
        self.forget_past(now);
        if fork < self.since {
            self.remember(PastMaps::Covered(Map { since: fork, ..map }), self.since, now);
            return fork..self.since;
        }
        self.cover(map, now);
        fork..u64::MAX
    }

    fn cover(&mut self, map: Map, now: Round) {
        if map.start >= map.end {
            return;
        }
        self.newest = self.newest.max(map.since);
        let mut free = map.start;
        for other in self.overlapping(&map) {
            let image = Arc::make_mut(&mut self.image);
            let (since, covered) = if other.since <= map.since {
                image.remove(&other.start);
                let sides = [other.part(other.start, map.start), other.part(map.end, other.end)];
                image.extend(sides.into_iter().flatten().map(|side| (side.start, side)));
                (map.since, other.part(map.start, map.end))
            } else {
                image.extend(map.part(free, other.start).map(|piece| (piece.start, piece)));
                free = other.end;
                (other.since, map.part(other.start, other.end))
            };
            if let Some(covered) = covered {
                self.remember(PastMaps::Covered(covered), since, now);
            }
        }
        if let Some(piece) = map.part(free, map.end) {
            Arc::make_mut(&mut self.image).insert(piece.start, piece);
        }
    }

    /// The maps that overlap this one, lowest first.
    fn overlapping(&self, map: &Map) -> Vec<Map> {
        let below = self.image.range(..map.end).rev().map(|(_, other)| *other);
        let mut found: Vec<Map> = below.take_while(|other| other.end > map.start).collect();
        found.reverse();
        found
    }

    /// Ends the image at a time: an exec. Maps that are already of the new image stay.
    pub fn exec(&mut self, time: u64, now: Round) {
        self.forget_past(now);
        if time < self.since {
            return;
        }
        let since = std::mem::replace(&mut self.since, time);
        let old = std::mem::take(&mut self.image);
        if self.newest > time {
            let new = old.iter().filter(|(_, map)| map.since > time).map(|(start, map)| (*start, *map));
            self.image = Arc::new(new.collect());
        }
        if !old.is_empty() || since > 0 {
            self.remember(PastMaps::Image(old, since), time, now);
        }
    }

    /// The address space of a child forked at a time: what was mapped then.
    #[must_use]
    pub fn fork(&self, time: Option<u64>) -> Self {
        let Some(time) = time else { return Self { past: Vec::new(), ..self.clone() } };
        if time >= self.newest && time >= self.since {
            return Self { since: time, past: Vec::new(), ..self.clone() };
        }
        // Records of after the fork came first: take the picture of its time.
        let mut child = Self::default();
        let held = self.past.iter().filter(|past| time < past.until).flat_map(|past| match &past.what {
            PastMaps::Covered(map) => vec![*map],
            PastMaps::Image(image, _) => image.values().copied().collect(),
        });
        for map in held.chain(self.image.values().copied()).filter(|map| map.since <= time) {
            child.cover(map, Round::default());
        }
        Self { since: time, past: Vec::new(), ..child }
    }

    /// Takes the place of `old`, which had this pid before the fork at `time`. What is in it of later times came
    /// out of another CPU's buffer before the fork did, and goes on top; the rest is the past.
    pub fn succeed(&mut self, old: Self, time: u64, now: Round) {
        let Self { image, since, past, .. } = old;
        self.past = past;
        if since > time {
            self.exec(since, now);
        }
        for map in image.values().filter(|map| map.since > time) {
            self.insert(*map, now);
        }
        if !image.is_empty() {
            self.remember(PastMaps::Image(image, since), time, now);
        }
    }

    fn remember(&mut self, what: PastMaps, until: u64, round: Round) {
        self.past.push(Past { what, until, round });
        let maps: usize = self.past.iter().map(|past| past.what.len()).sum();
        if self.past.len() > PAST_AT_MOST || maps > PAST_MAPS_AT_MOST {
            // The older half: a few at a time would be looked for again at once.
            self.past.drain(..self.past.len().div_ceil(2));
        }
    }

    /// Lets go of what no record can ask for any more.
    pub fn forget_past(&mut self, now: Round) {
        if self.past.first().is_some_and(|past| !past.round.is_recent(now)) {
            self.past.retain(|past| past.round.is_recent(now));
        }
    }

    /// Lets go of all that is past.
    pub(crate) fn forget_all_past(&mut self) {
        self.past.clear();
    }

    /// Whether something is remembered that is to be let go of.
    #[must_use]
    pub fn has_past(&self) -> bool {
        !self.past.is_empty()
    }

    /// The maps that hold now, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = &Map> {
        self.image.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dso::{DsoKind, Dsos};

    fn dso(n: usize) -> DsoId {
        let mut dsos = Dsos::default();
        (0..=n).map(|n| dsos.find_or_create(-1, DsoKind::File, n.to_string().as_str().into())).last().unwrap()
    }

    fn map(start: u64, end: u64, since: u64, n: usize) -> Map {
        Map { start, end, pgoff: 0x1000, since, dso: dso(n), prot: 5, flags: 2 }
    }

    fn found(maps: &Maps, addr: u64, time: Option<u64>) -> Option<DsoId> {
        maps.find(addr, time).map(|map| map.dso)
    }

    #[test]
    fn a_later_map_splits_what_it_covers_and_the_covered_part_is_found_at_its_time() {
        let mut maps = Maps::default();
        maps.insert(map(0x1000, 0x9000, 10, 0), Round(0));
        maps.insert(map(0x3000, 0x5000, 20, 1), Round(0));
        assert_eq!(found(&maps, 0x4000, None), Some(dso(1)));
        assert_eq!(found(&maps, 0x4000, Some(15)), Some(dso(0)));
        assert_eq!(found(&maps, 0x4000, Some(5)), None);
        assert_eq!(found(&maps, 0x8fff, Some(25)), Some(dso(0)));
        let pieces: Vec<_> = maps.iter().map(|map| (map.start, map.end, map.pgoff)).collect();
        assert_eq!(pieces, [(0x1000, 0x3000, 0x1000), (0x3000, 0x5000, 0x1000), (0x5000, 0x9000, 0x5000)]);
    }

    #[test]
    fn a_map_that_comes_late_lies_under_those_of_after_it() {
        let mut maps = Maps::default();
        maps.insert(map(0x3000, 0x5000, 20, 1), Round(0));
        maps.insert(map(0x1000, 0x9000, 10, 0), Round(0));
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
        let mut maps = Maps::default();
        maps.insert(map(0x1000, 0x2000, 10, 0), Round(0));
        maps.exec(20, Round(0));
        maps.insert(map(0x5000, 0x6000, 21, 1), Round(0));
        assert_eq!(found(&maps, 0x1000, Some(25)), None);
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
        let mut maps = Maps::default();
        maps.exec(20, Round(0));
        maps.insert(map(0x1000, 0x2000, 10, 0), Round(0));
        assert_eq!(found(&maps, 0x1000, Some(25)), None);
        assert_eq!(found(&maps, 0x1000, Some(15)), Some(dso(0)));
    }

    #[test]
    fn a_fork_takes_the_picture_of_its_own_time() {
        let mut parent = Maps::default();
        parent.insert(map(0x1000, 0x2000, 10, 0), Round(0));
        parent.insert(map(0x1000, 0x2000, 30, 1), Round(0));
        assert_eq!(found(&parent.fork(Some(20)), 0x1000, Some(40)), Some(dso(0)));
        assert_eq!(found(&parent.fork(Some(35)), 0x1000, Some(40)), Some(dso(1)));
        parent.exec(50, Round(0));
        assert_eq!(found(&parent.fork(Some(40)), 0x1000, Some(60)), Some(dso(1)));
        assert_eq!(found(&parent.fork(Some(55)), 0x1000, Some(60)), None);
    }

    #[test]
    fn no_record_can_make_an_empty_or_backward_map() {
        let mut maps = Maps::default();
        maps.insert(map(0x2000, 0x2000, 0, 0), Round(0));
        maps.insert(map(0x2000, 0x1000, 0, 0), Round(0));
        assert_eq!(maps.iter().count(), 0);
    }
}
