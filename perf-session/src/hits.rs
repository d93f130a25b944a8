//! Hits: which DSOs the samples hit, those included whose map stands behind them in the stream.
//!
//! Up to one sample in two hundred of a busy machine stands before the MMAP2 that explains it, out of another
//! CPU's buffer. Its address is remembered, and when the map comes, or the fork that brings it, the hit is told
//! then; also where an older map seemed to explain it: then both are told, and one too many. A consumer delivers a
//! round's samples only after a later FINISHED_ROUND, so that an id put in front of the map is there in time.

use perf_format::record::CallchainDeferred;
use perf_format::sample::{Tid, frames};
use perf_format::{CpuMode, Endian, RawRecord, RecordType, SampleFormat};

use crate::Session;
use crate::dso::{DsoId, MachinePid};
use crate::evlist::Evsel;
use crate::machine::Space;
use crate::pages::Pages;
use crate::told::pass_over;
use crate::tool::{PassedOver, RecordSet};

/// How a sample hit a DSO.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Via {
    /// By its own address.
    Ip,
    /// By an address of its call chain.
    Callchain,
}

/// An address that a sample asked for, and what it hit there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// What was hit.
    pub dso: DsoId,
    /// How.
    pub via: Via,
    /// On which machine.
    pub machine: MachinePid,
    /// In whose addresses.
    pub space: Space,
    /// At which address, or at which page's first one.
    pub addr: u64,
    /// When, in ns; `None` where the records have no times.
    pub time: Option<u64>,
}

/// Watches for hits. It remembers what the samples of two rounds asked for; all else it asks the session.
#[derive(Debug, Default)]
pub struct Hits {
    pages: Pages,
}

impl Hits {
    /// The types that hits come from.
    pub const WANTS: RecordSet = RecordSet::of(&[
        RecordType::SAMPLE,
        RecordType::CALLCHAIN_DEFERRED,
        RecordType::MMAP,
        RecordType::MMAP2,
        RecordType::FORK,
        RecordType::COMM,
        RecordType::FINISHED_ROUND,
    ]);

    /// Tells each hit of a record that the session has taken in: the hits of a sample, or of earlier samples that
    /// a map explains. A sample that cannot be read is noted as odd.
    pub fn event(&mut self, record: &RawRecord<'_>, session: &mut Session, hit: impl FnMut(Hit)) {
        self.tell::<false>(record, session, hit);
    }

    /// The same, but of the samples of one round that hit a place again and again the first alone is told, and
    /// perhaps some more: for those who ask what is hit at all.
    #[inline]
    pub fn event_once(&mut self, record: &RawRecord<'_>, session: &mut Session, hit: impl FnMut(Hit)) {
        self.tell::<true>(record, session, hit);
    }

    /// Passes over samples of which [`event_once`](Self::event_once) would tell nothing.
    pub fn pass_over(&mut self, records: &[u8], endian: Endian, session: &Session) -> PassedOver {
        let places = session.evlist.only_format().and_then(SampleFormat::places);
        places.map_or(PassedOver::default(), |places| pass_over(records, endian, places, &mut self.pages))
    }

    #[inline]
    fn tell<const ONCE: bool>(
        &mut self,
        record: &RawRecord<'_>,
        session: &mut Session,
        mut hit: impl FnMut(Hit),
    ) {
        match record.record_type() {
            RecordType::SAMPLE | RecordType::CALLCHAIN_DEFERRED => {
                let Some(Evsel { format, .. }) = session.evlist.evsel(record) else {
                    return session.odd.no_event(record);
                };
                let read = match record.record_type() {
                    RecordType::SAMPLE => self.sample::<ONCE>(record, format, session, &mut hit),
                    _ => self.deferred(record, format, session, &mut hit),
                };
                if let Err(error) = read {
                    session.odd.malformed(record, &error);
                }
            }
            RecordType::MMAP | RecordType::MMAP2 | RecordType::FORK | RecordType::COMM => {
                for touched in session.touched() {
                    self.pages.explain(*touched, session, &mut hit);
                }
            }
            RecordType::FINISHED_ROUND => self.pages.finish_round(),
            _ => {}
        }
    }

    #[inline]
    fn sample<const ONCE: bool>(
        &mut self,
        record: &RawRecord<'_>,
        format: &SampleFormat,
        session: &Session,
        hit: &mut impl FnMut(Hit),
    ) -> Result<(), perf_format::Error> {
        let chain = format.callchain(record)?;
        let pid = format.tid(record).map_or(0, |tid| tid.pid);
        let mut look = Look { pages: &mut self.pages, record, pid, time: format.time(record), session };
        let cpumode = record.misc().cpumode();
        if let Some(ip) = format.ip(record) {
            look.up::<ONCE>(ip, cpumode, Via::Ip, hit);
        }
        for frame in chain.into_iter().flat_map(|chain| frames(chain, cpumode)) {
            look.up::<ONCE>(frame.ip, frame.cpumode, Via::Callchain, hit);
        }
        Ok(())
    }

    /// The user part of a chain, which comes after its sample. It is looked up as of its own, later time.
    fn deferred(
        &mut self,
        record: &RawRecord<'_>,
        format: &SampleFormat,
        session: &Session,
        hit: &mut impl FnMut(Hit),
    ) -> Result<(), perf_format::Error> {
        let chain: CallchainDeferred<'_> = record.parse_as()?;
        let Some(Tid { pid, .. }) = format.trailer_tid(record) else { return Ok(()) };
        let time = format.trailer_time(record);
        let mut look = Look { pages: &mut self.pages, record, pid, time, session };
        for frame in frames(chain.ips, CpuMode::User) {
            look.up::<false>(frame.ip, frame.cpumode, Via::Callchain, hit);
        }
        Ok(())
    }
}

/// What the addresses of one sample have in common.
struct Look<'l, 'r> {
    pages: &'l mut Pages,
    record: &'l RawRecord<'r>,
    pid: u32,
    time: Option<u64>,
    session: &'l Session,
}

impl Look<'_, '_> {
    #[inline(always)]
    fn up<const ONCE: bool>(&mut self, addr: u64, cpumode: CpuMode, via: Via, hit: &mut impl FnMut(Hit)) {
        if ONCE && self.is_told(addr, cpumode, via) {
            return;
        }
        self.look_up(addr, cpumode, via, hit);
    }

    /// Whether it was told in this round what is there.
    #[inline]
    fn is_told(&mut self, addr: u64, cpumode: CpuMode, via: Via) -> bool {
        let space = match cpumode {
            CpuMode::Kernel => Space::Kernel,
            CpuMode::User => Space::Process(self.pid.cast_signed()),
            CpuMode::Unknown | CpuMode::Hypervisor | CpuMode::GuestKernel | CpuMode::GuestUser => {
                return false;
            }
        };
        self.time.is_some_and(|time| self.pages.is_told(space, addr, time, via))
    }

    fn look_up(&mut self, addr: u64, cpumode: CpuMode, via: Via, hit: &mut impl FnMut(Hit)) {
        let Some(whose) = self.session.space(self.record, cpumode, self.pid) else { return };
        if let Some(dso) = self.pages.dso_at(whose, addr, self.time, via, self.session) {
            let ((machine, space), time) = (whose, self.time);
            hit(Hit { dso, via, machine, space, addr, time });
        }
    }
}
