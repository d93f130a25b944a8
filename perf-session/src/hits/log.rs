//! The log: the queries of the samples of this round and of the one before. It only grows, and is looked through only
//! when a map comes that is older than one of them.
//!
//! Samples of the host with a time, nearly all there are, go into it as they are: four words, then the call chain with
//! its markers. Those of one process are a list, from the last one back. Where a round has more than there is room for,
//! or a stream makes the log be looked through too often, what is in it becomes a [`Digest`].

use std::ops::ControlFlow;

use perf_format::codec::Array;
use perf_format::sample::{AddressKind, Frame, frames_of};
use perf_format::{CpuMode, Endian};

use super::digest::Digest;
use super::query::{Query, Wanted};
use crate::address_space::AddressSpace;
use crate::limits::{LOG_AT_MOST, QUERIES_AT_MOST};
use crate::machine::HOST;
use crate::work::Work;

/// The queries of two rounds.
#[derive(Debug)]
pub(crate) struct Log {
    this_round: Segment,
    last_round: Segment,
    generation: u32,
    /// Words that are looked at are paid for with words that were written.
    work: Work,
}

/// The queries of one round.
#[derive(Debug, Default)]
struct Segment {
    /// Samples: [`HEAD`] words each, and the chain's.
    words: Vec<u64>,
    /// How many of these words are written.
    len: usize,
    /// Its number, so that places in it are known from those in another.
    generation: u32,
    /// How many of them have earned looks.
    earned: usize,
    /// The latest time of all that is in it, in ns.
    newest: Option<u64>,
    /// Other queries: of guests, without a time, or of the later part of a chain.
    queries: Vec<Query>,
    digest: Digest,
}

/// The words in front of a chain: its length, the mode and the process; where the sample before it in its list stands,
/// and one more; the time; the address.
const HEAD: usize = 4;

/// For how many words there is room at first.
const LOG_AT_FIRST: usize = 1 << 10;

/// How many words may be looked at for each that is written. Streams of real machines need less than one.
const LOOKS_A_WORD: u64 = 16;
const LOOKS_AT_MOST: u64 = LOOKS_A_WORD * LOG_AT_MOST as u64;

/// How many may be looked at after a digest in any case: as many as cost what a digest does.
const LOOKS_A_DIGEST: u64 = 1 << 17;

/// Where a process's samples begin in the log: its last one of each round.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ListHead {
    last: Place,
    before: Place,
}

/// A place in a segment, counted from one; 0 is none.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    generation: u32,
    at: u32,
}

/// A sample of the host that has a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HostSample<'s> {
    pub(crate) pid: u32,
    pub(crate) cpumode: CpuMode,
    /// In ns.
    pub(crate) time: u64,
    pub(crate) ip: Option<u64>,
    /// The words of its chain, markers included.
    pub(crate) chain: &'s [[u8; 8]],
    pub(crate) endian: Endian,
}

impl Default for Log {
    fn default() -> Self {
        let this_round = Segment { generation: 1, ..Segment::default() };
        Self { this_round, last_round: Segment::default(), generation: 1, work: Work::new(LOOKS_AT_MOST) }
    }
}

impl Log {
    /// Adds a sample, and returns whether any of its words `is_near`: all that a chain is looked at for, in the loop that
    /// copies it. Of a sample that is near nothing is added, unless `always`.
    #[inline(always)]
    pub(crate) fn add_sample(
        &mut self,
        sample: HostSample<'_>,
        list: &mut ListHead,
        always: bool,
        is_near: impl Fn(u64) -> bool,
    ) -> bool {
        let HostSample { pid, cpumode, time, ip, chain, endian } = sample;
        let need = HEAD + chain.len();
        if self.this_round.words.len() - self.this_round.len < need {
            self.make_room(need);
        }
        let Segment { words, len, generation, newest, .. } = &mut self.this_round;
        let Some((head, copy)) =
            words.get_mut(*len..*len + need).and_then(<[u64]>::split_first_chunk_mut::<HEAD>)
        else {
            return true;
        };
        let mut near = ip.is_some_and(&is_near);
        for (word, bytes) in copy.iter_mut().zip(chain) {
            *word = endian.u64(*bytes);
            near |= is_near(*word);
        }
        if near && !always {
            return true;
        }
        if list.last.generation != *generation {
            // A place in a segment that has become a digest leads nowhere.
            if list.last.generation == self.last_round.generation {
                list.before = list.last;
            }
            list.last = Place { generation: *generation, at: 0 };
        }
        *head = [
            (chain.len() as u64) << 40
                | u64::from(ip.is_some()) << 34
                | number(cpumode) << 32
                | u64::from(pid),
            list.last.at.into(),
            time,
            ip.unwrap_or(0),
        ];
        // There is less room than places.
        list.last.at = u32::try_from(*len + 1).unwrap_or(0);
        *newest = (*newest).max(Some(time));
        *len += need;
        near
    }

    #[cold]
    #[inline(never)]
    fn make_room(&mut self, need: usize) {
        let Segment { words, len, .. } = &mut self.this_round;
        let wanted = (2 * (*len + need)).max(LOG_AT_FIRST);
        if *len + need <= LOG_AT_MOST {
            words.resize(wanted.min(LOG_AT_MOST), 0);
        } else {
            self.generation += 1;
            self.earn();
            self.this_round.digest(self.generation);
        }
    }

    /// Adds a query that is not of a sample of the host with a time.
    pub(crate) fn add_query(&mut self, query: Query) {
        let Segment { queries, newest, digest, .. } = &mut self.this_round;
        *newest = (*newest).max(query.time.or(Some(u64::MAX)));
        if queries.len() >= QUERIES_AT_MOST {
            queries.drain(..).for_each(|query| digest.add(&query));
        }
        queries.push(query);
        self.work.earn(LOOKS_A_WORD);
    }

    /// A round is over: the queries of the one before it are forgotten.
    pub(crate) fn finish_round(&mut self) {
        self.earn();
        std::mem::swap(&mut self.this_round, &mut self.last_round);
        self.generation += 1;
        self.this_round.clear(self.generation);
    }

    /// What was written since it was asked last earns looks.
    fn earn(&mut self) {
        let Segment { len, earned, .. } = &mut self.this_round;
        let words = *len - std::mem::replace(earned, *len);
        self.work.earn(words as u64 * LOOKS_A_WORD);
    }

    /// Whether a list has a sample that may still be searched for.
    pub(crate) fn remembers(&self, list: &ListHead) -> bool {
        let places = [list.last, list.before];
        let is_of = |segment: &Segment| places.iter().any(|place| place.generation == segment.generation);
        is_of(&self.this_round) || is_of(&self.last_round)
    }

    /// Whether there is a query at or after a time.
    #[inline]
    pub(crate) fn has_any_since(&self, since: u64) -> bool {
        self.this_round.newest.max(self.last_round.newest).is_some_and(|newest| newest >= since)
    }

    /// Makes a digest of all, for lists end with it.
    pub(crate) fn digest(&mut self) {
        for segment in [&mut self.last_round, &mut self.this_round] {
            self.generation += 1;
            segment.digest(self.generation);
        }
    }

    /// Whether a query may be among those wanted that only a digest is left of.
    pub(crate) fn digest_may_have(&mut self, wanted: &Wanted) -> bool {
        self.last_round.digest.may_have(wanted) || self.this_round.digest.may_have(wanted)
    }

    /// Whether a digest is left of anything.
    pub(crate) fn has_digest(&self) -> bool {
        !self.last_round.digest.is_empty() || !self.this_round.digest.is_empty()
    }

    /// Whether as many steps may be taken as maps are looked at.
    pub(crate) fn pay_for(&mut self, maps: u64) -> bool {
        self.work.spend(maps)
    }

    /// Shows the queries of a space at some addresses from a time on, in no order that means anything, until `each` has
    /// seen enough. `list` is the process's, where it is one of the host. Those that only a digest is left of are not
    /// among them.
    pub(crate) fn search(
        &mut self,
        wanted: &Wanted,
        list: Option<ListHead>,
        mut each: impl FnMut(Query) -> ControlFlow<()>,
    ) {
        let mut looked = 0;
        // Whether it was broken off, whoever looks knows.
        _ = self.search_segments(wanted, list, &mut looked, &mut each);
        self.earn();
        if !self.work.spend(looked) {
            // It was looked through too often for what is in it.
            self.digest();
            self.work.earn(LOOKS_A_DIGEST);
        }
    }

    fn search_segments(
        &self,
        wanted: &Wanted,
        list: Option<ListHead>,
        looked: &mut u64,
        each: &mut impl FnMut(Query) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for segment in [&self.last_round, &self.this_round] {
            if segment.newest.is_none_or(|newest| newest < wanted.since) {
                continue;
            }
            if wanted.machine == HOST {
                match (wanted.space, list) {
                    (AddressSpace::Kernel, _) => segment.search_all(wanted, looked, each)?,
                    (AddressSpace::Process(_), Some(list)) => {
                        segment.search_list(wanted, list, looked, each)?;
                    }
                    (AddressSpace::Process(_), None) => {}
                }
            }
            *looked += segment.queries.len() as u64;
            segment
                .queries
                .iter()
                .filter(|query| wanted.contains(query))
                .try_for_each(|query| each(*query))?;
        }
        ControlFlow::Continue(())
    }
}

impl Segment {
    fn clear(&mut self, generation: u32) {
        (self.len, self.earned, self.generation, self.newest) = (0, 0, generation, None);
        self.queries.clear();
        self.digest.clear();
    }

    /// Keeps a digest of all that is in it.
    fn digest(&mut self, generation: u32) {
        let Self { words, len, queries, digest, .. } = self;
        let mut rest = words.get(..*len).unwrap_or_default();
        while let Some((sample, next)) = Logged::first(rest) {
            for mode in [CpuMode::Kernel, CpuMode::User] {
                sample.queries(mode).for_each(|query| digest.add(&query));
            }
            rest = next;
        }
        queries.drain(..).for_each(|query| digest.add(&query));
        (self.len, self.earned, self.generation) = (0, 0, generation);
    }

    fn search_all(
        &self,
        wanted: &Wanted,
        looked: &mut u64,
        each: &mut impl FnMut(Query) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut rest = self.words.get(..self.len).unwrap_or_default();
        while let Some((sample, next)) = Logged::first(rest) {
            *looked += (rest.len() - next.len()) as u64;
            sample.search(wanted, each)?;
            rest = next;
        }
        ControlFlow::Continue(())
    }

    fn search_list(
        &self,
        wanted: &Wanted,
        list: ListHead,
        looked: &mut u64,
        each: &mut impl FnMut(Query) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let of_this = [list.last, list.before].into_iter().find(|place| place.generation == self.generation);
        let mut at = of_this.map_or(0, |place| place.at);
        while let Some(place) = at.checked_sub(1)
            && let Some(rest) = self.words.get(usize::try_from(place).unwrap_or(usize::MAX)..self.len)
            && let Some((sample, next)) = Logged::first(rest)
        {
            *looked += (rest.len() - next.len()) as u64;
            sample.search(wanted, each)?;
            at = sample.before;
        }
        ControlFlow::Continue(())
    }
}

/// A small number for a mode of the host.
fn number(cpumode: CpuMode) -> u64 {
    match cpumode {
        CpuMode::Kernel => 1,
        CpuMode::User => 2,
        _ => 0,
    }
}

/// A sample in the log.
#[derive(Debug, Clone, Copy)]
struct Logged<'l> {
    pid: i32,
    cpumode: CpuMode,
    before: u32,
    time: u64,
    ip: Option<u64>,
    chain: &'l [u64],
}

impl<'l> Logged<'l> {
    fn first(words: &'l [u64]) -> Option<(Self, &'l [u64])> {
        let [head, before, time, ip, behind @ ..] = words else { return None };
        let (chain, next) = behind.split_at_checked(usize::try_from(head >> 40).ok()?)?;
        let cpumode = match head >> 32 & 3 {
            1 => CpuMode::Kernel,
            2 => CpuMode::User,
            _ => CpuMode::Unknown,
        };
        #[expect(clippy::cast_possible_truncation, reason = "the process is the low word")]
        let pid = (*head as u32).cast_signed();
        let ip = (head >> 34 & 1 == 1).then_some(*ip);
        Some((Self { pid, cpumode, before: u32::try_from(*before).ok()?, time: *time, ip, chain }, next))
    }

    /// Its queries in the kernel, or in its process.
    fn queries(self, mode: CpuMode) -> impl Iterator<Item = Query> {
        let Self { pid, cpumode, time, ip, chain, .. } = self;
        let space = if mode == CpuMode::Kernel { AddressSpace::Kernel } else { AddressSpace::Process(pid) };
        let query = move |addr, via| Query { machine: HOST, space, addr, time: Some(time), via };
        let own = ip.filter(|_| cpumode == mode).map(move |ip| query(ip, AddressKind::Ip));
        let frames = frames_of(chain.iter().copied(), cpumode);
        let frames = frames.filter(move |frame| frame.cpumode == mode);
        own.into_iter().chain(frames.map(move |Frame { ip, .. }| query(ip, AddressKind::Callchain)))
    }

    fn search(&self, wanted: &Wanted, each: &mut impl FnMut(Query) -> ControlFlow<()>) -> ControlFlow<()> {
        if self.time < wanted.since {
            return ControlFlow::Continue(());
        }
        let mode = if wanted.space == AddressSpace::Kernel { CpuMode::Kernel } else { CpuMode::User };
        self.queries(mode).filter(|query| wanted.contains(query)).try_for_each(each)
    }
}

/// The words of a chain.
pub(crate) fn words<'a>(chain: &Array<'a, u64>) -> &'a [[u8; 8]] {
    chain.bytes().as_chunks().0
}
