//! Hits: which DSOs the samples hit, those included whose map stands behind them in the stream.
//!
//! Up to one sample in two hundred of a busy machine stands before the MMAP2 that explains it, out of another
//! CPU's buffer. Its address is remembered, and when the map comes, or the fork that brings it, the hit is told
//! then. A consumer delivers a round's samples only after a later FINISHED_ROUND, so that an id put in front of
//! the map is there in time.

use std::collections::BTreeMap;

use perf_format::record::CallchainDeferred;
use perf_format::sample::{Tid, frames};
use perf_format::{CpuMode, RawRecord, RecordType, SampleFormat};

use crate::Session;
use crate::dso::{DsoId, MachinePid};
use crate::machine::{Space, Touched};
use crate::tool::RecordSet;

/// How a sample hit a DSO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// By its own address.
    Ip,
    /// By an address of its call chain.
    Callchain,
}

/// Watches for hits. It remembers addresses that no map explains yet; all else it asks the session.
#[derive(Debug, Default)]
pub struct Hits {
    unexplained: Unexplained,
}

impl Hits {
    /// The types that hits come from.
    pub const WANTS: RecordSet = RecordSet::of(&[
        RecordType::SAMPLE,
        RecordType::CALLCHAIN_DEFERRED,
        RecordType::MMAP,
        RecordType::MMAP2,
        RecordType::FORK,
        RecordType::FINISHED_ROUND,
    ]);

    /// Tells each hit of a record that the session has taken in: the hits of a sample, or of earlier samples that
    /// a map explains. A sample that cannot be read is noted as odd.
    pub fn event(&mut self, record: &RawRecord<'_>, session: &mut Session, mut hit: impl FnMut(DsoId, Via)) {
        match record.record_type() {
            RecordType::SAMPLE | RecordType::CALLCHAIN_DEFERRED => {
                let Some(evsel) = session.evlist.evsel(record) else {
                    return session.odd.no_event(record);
                };
                let format = evsel.format;
                let read = match record.record_type() {
                    RecordType::SAMPLE => self.sample(record, &format, session, &mut hit),
                    _ => self.deferred(record, &format, session, &mut hit),
                };
                if let Err(error) = read {
                    session.odd.malformed(record, &error);
                }
            }
            RecordType::MMAP | RecordType::MMAP2 | RecordType::FORK => {
                for touched in session.touched() {
                    self.unexplained.explain(*touched, session, &mut hit);
                }
            }
            RecordType::FINISHED_ROUND => self.unexplained.finish_round(),
            _ => {}
        }
    }

    fn sample(
        &mut self,
        record: &RawRecord<'_>,
        format: &SampleFormat,
        session: &Session,
        hit: &mut impl FnMut(DsoId, Via),
    ) -> Result<(), perf_format::Error> {
        let chain = format.callchain(record)?;
        let pid = format.tid(record).map_or(0, |tid| tid.pid);
        let mut look =
            Look { unexplained: &mut self.unexplained, record, pid, time: format.time(record), session };
        let cpumode = record.misc().cpumode();
        if let Some(ip) = format.ip(record) {
            look.up(ip, cpumode, Via::Ip, hit);
        }
        for frame in chain.into_iter().flat_map(|chain| frames(chain, cpumode)) {
            look.up(frame.ip, frame.cpumode, Via::Callchain, hit);
        }
        Ok(())
    }

    /// The user part of a chain, which comes after its sample. It is looked up as of its own, later time.
    fn deferred(
        &mut self,
        record: &RawRecord<'_>,
        format: &SampleFormat,
        session: &Session,
        hit: &mut impl FnMut(DsoId, Via),
    ) -> Result<(), perf_format::Error> {
        let chain: CallchainDeferred<'_> = record.parse_as()?;
        let Some(Tid { pid, .. }) = format.trailer_tid(record) else { return Ok(()) };
        let time = format.trailer_time(record);
        let mut look = Look { unexplained: &mut self.unexplained, record, pid, time, session };
        for frame in frames(chain.ips, CpuMode::User) {
            look.up(frame.ip, frame.cpumode, Via::Callchain, hit);
        }
        Ok(())
    }
}

/// What the addresses of one sample have in common.
struct Look<'l, 'r> {
    unexplained: &'l mut Unexplained,
    record: &'l RawRecord<'r>,
    pid: u32,
    time: Option<u64>,
    session: &'l Session,
}

impl Look<'_, '_> {
    #[inline]
    fn up(&mut self, addr: u64, cpumode: CpuMode, via: Via, hit: &mut impl FnMut(DsoId, Via)) {
        let Some((machine, space)) = self.session.space(self.record, cpumode, self.pid) else { return };
        match self.session.dso_at(machine, space, addr, self.time) {
            Some(dso) => hit(dso, via),
            None => self.unexplained.remember(Place { space, page: addr & PAGE, machine }, self.time, via),
        }
    }
}

/// Maps begin and end at pages, so that one address of a page stands for all.
const PAGE: u64 = !0xfff;

/// How many pages are remembered a round at the most: what a producer without rounds, or one whose processes run
/// code that is never mapped, may cost (about 6 MiB).
const PAGES_AT_MOST: usize = 1 << 15;

/// A page of somebody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    space: Space,
    page: u64,
    machine: MachinePid,
}

/// The first and the last sample at a page, and how the first of them came there.
#[derive(Debug, Clone, Copy)]
struct Seen {
    first: Option<u64>,
    last: Option<u64>,
    via: Via,
}

/// Pages that samples hit and no map explains yet, of this round and of the one before.
#[derive(Debug, Default)]
struct Unexplained {
    this_round: BTreeMap<Place, Seen>,
    last_round: BTreeMap<Place, Seen>,
}

impl Unexplained {
    fn remember(&mut self, place: Place, time: Option<u64>, via: Via) {
        if self.this_round.len() >= PAGES_AT_MOST {
            self.finish_round();
        }
        let seen = self.this_round.entry(place).or_insert(Seen { first: time, last: time, via });
        seen.first = seen.first.min(time);
        seen.last = seen.last.max(time);
        if via == Via::Ip {
            seen.via = via;
        }
    }

    fn finish_round(&mut self) {
        self.last_round = std::mem::take(&mut self.this_round);
    }

    /// Tells the pages of a range that are explained now, and forgets them.
    fn explain(&mut self, touched: Touched, session: &Session, hit: &mut impl FnMut(DsoId, Via)) {
        let Touched { space, start, last } = touched;
        // A map of no length explains nothing, and the table takes no backward range.
        if start > last {
            return;
        }
        for pages in [&mut self.last_round, &mut self.this_round] {
            let from = Place { space, page: start & PAGE, machine: MachinePid::MIN };
            let to = Place { space, page: last, machine: MachinePid::MAX };
            let explained: Vec<Place> = pages
                .range(from..=to)
                .filter_map(|(place, seen)| {
                    let dso = |time| session.dso_at(place.machine, space, place.page, time);
                    hit(dso(seen.last).or_else(|| dso(seen.first))?, seen.via);
                    Some(*place)
                })
                .collect();
            for place in explained {
                pages.remove(&place);
            }
        }
    }
}
