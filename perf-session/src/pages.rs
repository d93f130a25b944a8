//! Pages that samples hit, of this round and the one before: answers that need not be looked up again, and
//! questions that a later record may still answer.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use crate::Session;
use crate::dso::{DsoId, MachinePid};
use crate::hits::{Hit, Via};
use crate::limits::PAGES_AT_MOST;
use crate::machine::{HOST, Space, Touched};
use crate::recent::{self, Answer, Given, Place, Recent};
use crate::round::Round;

/// How many rounds pass before spaces that nobody hit any more are looked for.
const SWEEP_ROUNDS: u64 = 64;

/// A page has 4 KiB at the least, on every machine.
const PAGE_SHIFT: u32 = 12;

type Spaces = HashMap<(MachinePid, Space), SpacePages>;

/// Where the addresses begin that hardly any process has: call chains are full of texts and numbers taken for
/// addresses. As long as a process has no map there they are one place, so that they cost no more than a page.
const FAR: u64 = 1 << 48;
const FAR_PAGE: u64 = FAR >> PAGE_SHIFT;

fn is_far(space: Space, addr: u64) -> bool {
    addr >= FAR && space != Space::Kernel
}

/// What samples asked for, by whose addresses it was.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    spaces: Spaces,
    round: Round,
    count: usize,
    recent: Recent,
}

/// The pages of one space.
#[derive(Debug, Default)]
struct SpacePages {
    this_round: Asked,
    last_round: Asked,
    round: Round,
}

/// What was asked for in a round: by page, and by address where a page is not of one map.
#[derive(Debug, Default)]
struct Asked {
    pages: HashMap<u64, Seen>,
    addrs: BTreeMap<u64, Seen>,
}

impl Asked {
    fn len(&self) -> usize {
        self.pages.len() + self.addrs.len()
    }

    /// Everything that a range of addresses touches.
    fn touched(&mut self, start: u64, last: u64, mut each: impl FnMut(&mut Seen)) {
        if start > last {
            return;
        }
        let (first_page, last_page) = (start >> PAGE_SHIFT, last >> PAGE_SHIFT);
        if last_page - first_page < self.pages.len() as u64 {
            for page in first_page..=last_page {
                if let Some(seen) = self.pages.get_mut(&page) {
                    each(seen);
                }
            }
        } else {
            let touched = self.pages.iter_mut().filter(|(page, _)| (first_page..=last_page).contains(*page));
            touched.for_each(|(_, seen)| each(seen));
        }
        if last >= FAR
            && !(first_page..=last_page).contains(&FAR_PAGE)
            && let Some(seen) = self.pages.get_mut(&FAR_PAGE)
        {
            each(seen);
        }
        self.addrs.range_mut(start..=last).for_each(|(_, seen)| each(seen));
    }
}

/// When samples hit it, and what they hit.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// The address that asked first.
    addr: u64,
    first: Option<u64>,
    last: Option<u64>,
    via: Via,
    /// Whether a map was there.
    explained: bool,
    /// What stands at the page, and from which time on that was so when it was looked up.
    answer: Option<(DsoId, Option<u64>)>,
}

impl Seen {
    fn note(&mut self, time: Option<u64>, via: Via) {
        self.first = self.first.min(time);
        self.last = self.last.max(time);
        if via == Via::Ip {
            self.via = via;
        }
    }
}

impl Pages {
    /// Whether what stands at an address of the host as of a time was told in this round; then that it was asked for
    /// again is noted, and there is nothing more to tell.
    #[inline]
    pub(crate) fn is_told(&mut self, space: Space, addr: u64, time: u64, via: Via) -> bool {
        let (by_ip, now) = (via == Via::Ip, self.round);
        self.recent.knows(space, Place::Page(addr >> PAGE_SHIFT), time, by_ip, now)
            || is_far(space, addr) && self.recent.knows(space, Place::Page(FAR_PAGE), time, by_ip, now)
            || self.recent.knows(space, Place::Addr(addr), time, by_ip, now)
    }

    /// Takes back what the small table noted of a space, and what it knows of it.
    fn settle(&mut self, space: Space) {
        let Self { spaces, recent, round, count } = self;
        recent.drain(space, *round, |given| write_back(spaces, count, *round, given));
    }

    /// Notes in the small table what is at a place, if it stays so until a map changes.
    fn remember(
        &mut self,
        whose: (MachinePid, Space),
        place: Place,
        answer: (Option<DsoId>, Option<u64>),
        time: Option<u64>,
    ) {
        let ((machine, space), (dso, from), now) = (whose, answer, self.round);
        let answer = Answer { dso, from: from.unwrap_or(0), now };
        if let (HOST, Some(time)) = (machine, time)
            && let Some(given) = self.recent.put(space, place, answer, time)
        {
            write_back(&mut self.spaces, &mut self.count, now, given);
        }
    }

    /// The DSO at an address as of a time. Where there is none, the question is remembered.
    #[inline]
    pub(crate) fn dso_at(
        &mut self,
        whose: (MachinePid, Space),
        addr: u64,
        time: Option<u64>,
        via: Via,
        session: &Session,
    ) -> Option<DsoId> {
        let seen = self.spaces.get_mut(&whose).filter(|pages| pages.round == self.round);
        if let Some(seen) = seen.and_then(|pages| pages.this_round.pages.get_mut(&(addr >> PAGE_SHIFT))) {
            seen.note(time, via);
            if let Some((dso, from)) = seen.answer
                && time >= from
            {
                self.remember(whose, Place::Page(addr >> PAGE_SHIFT), (Some(dso), from), time);
                return Some(dso);
            }
        }
        self.look_up(whose, addr, time, via, session)
    }

    #[cold]
    fn look_up(
        &mut self,
        whose: (MachinePid, Space),
        addr: u64,
        time: Option<u64>,
        via: Via,
        session: &Session,
    ) -> Option<DsoId> {
        let (machine, space) = whose;
        let map = session.machines.get(machine).and_then(|machine| machine.find_map(space, addr, time));
        let page = addr >> PAGE_SHIFT;
        let (start, last) = (page << PAGE_SHIFT, page << PAGE_SHIFT | ((1 << PAGE_SHIFT) - 1));
        let page_is_its = map.is_some_and(|map| map.start <= start && last < map.end);
        let is_empty = |first, last| {
            let machine = session.machines.get(machine);
            map.is_none() && machine.is_none_or(|machine| machine.is_empty_between(space, first, last))
        };
        let far_is_empty = is_far(space, addr) && is_empty(FAR, u64::MAX);
        let page_is_empty = far_is_empty || is_empty(start, last);
        let place = match far_is_empty {
            true => Place::Page(FAR_PAGE),
            false if page_is_its || page_is_empty => Place::Page(page),
            false => Place::Addr(addr),
        };
        let dso = map.map(|map| map.dso);
        let seen = self.seen(whose, place, addr, time, via);
        seen.explained |= dso.is_some();
        // What is covered by now answers for its own time alone.
        let is_current = |dso| session.dso_at(machine, space, addr, None) == Some(dso);
        let from = match dso {
            Some(dso) if page_is_its && is_current(dso) => match &mut seen.answer {
                Some((known, from)) if *known == dso => {
                    *from = (*from).min(time);
                    Some(*from)
                }
                Some(_) => None,
                answer @ None => {
                    *answer = Some((dso, time));
                    Some(time)
                }
            },
            Some(dso) => is_current(dso).then_some(time),
            // Nothing is there at any time.
            None => page_is_empty.then_some(None),
        };
        if let Some(from) = from {
            self.remember(whose, place, (dso, from), time);
        }
        dso
    }

    /// What is known of a key, this sample included.
    fn seen(
        &mut self,
        whose: (MachinePid, Space),
        place: Place,
        addr: u64,
        time: Option<u64>,
        via: Via,
    ) -> &mut Seen {
        if self.count >= PAGES_AT_MOST {
            self.recent.clear();
            self.spaces.clear();
            self.count = 0;
        }
        let pages = self.spaces.entry(whose).or_default();
        self.count -= pages.turn(self.round);
        let count = &mut self.count;
        let new = || {
            *count += 1;
            Seen { addr, first: time, last: time, via, explained: false, answer: None }
        };
        let seen = match place {
            Place::Page(page) => pages.this_round.pages.entry(page).or_insert_with(new),
            Place::Addr(addr) => pages.this_round.addrs.entry(addr).or_insert_with(new),
        };
        seen.note(time, via);
        seen
    }

    /// A round is over: what the one before it asked is not asked any more.
    pub(crate) fn finish_round(&mut self) {
        self.round.0 += 1;
        if self.round.0.is_multiple_of(SWEEP_ROUNDS) {
            let (round, count) = (self.round, &mut self.count);
            self.spaces.retain(|_, pages| {
                *count -= pages.turn(round);
                !pages.is_empty()
            });
        }
    }

    /// A map came, or a fork that brings maps: tells which DSOs it gives to samples that were there before it,
    /// and forgets the answers that it changed.
    pub(crate) fn explain(&mut self, touched: Touched, session: &Session, hit: &mut impl FnMut(Hit)) {
        let Touched { machine, space, start, last, map } = touched;
        self.settle(space);
        let Some(pages) = self.spaces.get_mut(&(machine, space)) else { return };
        self.count -= pages.turn(self.round);
        let mut hits = Vec::new();
        for asked in [&mut pages.last_round, &mut pages.this_round] {
            asked.touched(start, last, |seen| {
                // A place that is asked for by several addresses is of one map, or of none.
                let addr = seen.addr.clamp(start, last);
                seen.answer = None;
                let found = match map {
                    Some((dso, since)) => {
                        let stands =
                            |time: &Option<u64>| session.dso_at(machine, space, addr, *time) == Some(dso);
                        let is_explained = match seen.last {
                            Some(last) => last >= since,
                            // Without times, what is explained is explained.
                            None => !seen.explained,
                        };
                        // Between the first and the last time that asked it may have stood there for a while.
                        let time = [seen.last, seen.first].into_iter().find(stands);
                        is_explained.then(|| (dso, time.unwrap_or(seen.last.map(|_| since))))
                    }
                    None => {
                        let dso = |time| Some((session.dso_at(machine, space, addr, time)?, time));
                        dso(seen.last).or_else(|| dso(seen.first))
                    }
                };
                if let Some((dso, time)) = found {
                    seen.explained = true;
                    hits.push(Hit { dso, via: seen.via, machine, space, addr, time });
                }
            });
        }
        // The tables' order is another in each run, the output's must not be.
        hits.sort_unstable();
        hits.into_iter().for_each(hit);
    }
}

/// Notes in the larger table what the small one noted of a place.
fn write_back(spaces: &mut Spaces, count: &mut usize, now: Round, given: Given) {
    let Given { space, place, dso, from, this_round, last_round } = given;
    let pages = spaces.entry((HOST, space)).or_default();
    *count -= pages.turn(now);
    let addr = match place {
        Place::Page(page) => page << PAGE_SHIFT,
        Place::Addr(addr) => addr,
    };
    for (asked, by) in [(&mut pages.this_round, this_round), (&mut pages.last_round, last_round)] {
        let Some(recent::Asked { first, last, by_ip }) = by else { continue };
        let via = if by_ip { Via::Ip } else { Via::Callchain };
        let new = || {
            *count += 1;
            // Only a page that is of one map has an answer.
            let answer = dso.filter(|_| matches!(place, Place::Page(_))).map(|dso| (dso, Some(from)));
            Seen { addr, first: Some(first), last: Some(last), via, explained: dso.is_some(), answer }
        };
        let seen = match place {
            Place::Page(page) => asked.pages.entry(page).or_insert_with(new),
            Place::Addr(addr) => asked.addrs.entry(addr).or_insert_with(new),
        };
        seen.note(Some(first), via);
        seen.note(Some(last), via);
    }
}

impl SpacePages {
    /// Turns to another round, and tells how many pages were forgotten with it.
    fn turn(&mut self, now: Round) -> usize {
        let before = self.len();
        match now.0 - self.round.0 {
            0 => {}
            1 => self.last_round = std::mem::take(&mut self.this_round),
            _ => *self = Self::default(),
        }
        self.round = now;
        before - self.len()
    }

    fn len(&self) -> usize {
        self.this_round.len() + self.last_round.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
