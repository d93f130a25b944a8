//! Hits: which DSOs the samples hit, those included whose map stands behind the sample in the stream.
//!
//! [`Hits`] is for a filter, which sees records in the order of the stream; [`hits_of`] is enough for records in the order
//! of time.
//!
//! A filter needs each DSO's first hit alone. So no cache has what stands at an address; what is kept is the ranges of maps
//! whose DSO was not hit yet (pending), and nearly all samples are nowhere near those.
//!
//! Up to one sample in two hundred of a busy machine stands before the MMAP2 that resolves it, which comes out of another
//! CPU's buffer. So the queries of samples are kept for two rounds (the log). When a map comes that is older than some of
//! them, or a fork that brings maps, the log is searched for queries that hit it. It is searched as well where an older map
//! resolved a sample: then both DSOs are hit, and one too many. A consumer delivers a round's samples only after a later
//! FINISHED_ROUND, so that an id put in front of the map is there in time.

use std::ops::ControlFlow;

use perf_format::record::Mmap2;
use perf_format::sample::{AddressKind, FieldOffsets, frames_of};
use perf_format::{Batch, CpuMode, Endian, RawRecord, RecordType, SampleFormat};

use crate::address_space::AddressSpace;
use crate::change::{Change, MapChange};
use crate::dso::{DsoId, MachinePid, PerDso};
use crate::evlist::Evsel;
use crate::machine::HOST;
use crate::map::Map;
use crate::record_set::RecordSet;
use crate::session::Session;
use crate::tool::Event;

mod census;
mod context;
mod digest;
mod log;
mod pending;
mod query;
mod spaces;
mod stacks;

use self::census::Census;
use self::context::{QueryContext, field_offsets, host_sample, is_guest_marker};
use self::log::{HostSample, Log};
use self::query::{Query, Wanted};
use self::spaces::Spaces;
use self::stacks::Stacks;

pub use self::census::{Counted, LiesIn};
pub use self::query::Hit;

/// Calls `hit` with each hit of a record that the session has taken in: of a sample by its address and its call chain, or
/// of a CALLCHAIN_DEFERRED record. Lookups find the maps that the session knows by now, so that records have to come in
/// the order of time. A sample that cannot be read is noted in [`Session::anomalies`].
pub fn hits_of(record: &RawRecord<'_>, session: &mut Session, mut hit: impl FnMut(Hit)) {
    let Some(Evsel { format, .. }) = session.evlist.evsel(record) else {
        return session.anomalies.no_event(record);
    };
    let Some(asker) = QueryContext::of(record, format) else { return };
    let each = format.addresses(record).map(|addresses| {
        for address in addresses {
            let query = asker.query(address.addr, address.cpumode, address.kind, session);
            if let Some(query) = query
                && let Some(dso) = look_up(&query, session)
            {
                hit(query.hit(dso));
            }
        }
    });
    if let Err(error) = each {
        session.anomalies.malformed(record, &error);
    }
}

/// Finds hits in records that come in the order of a stream. A [tool](crate::Tool) owns one, wants [`Hits::WANTS`], and
/// gives it each event.
#[derive(Debug, Default)]
pub struct Hits {
    /// Which DSOs are hit.
    is_hit: PerDso<bool>,
    /// Whether every hit is found, and not only the first of each DSO.
    every: bool,
    /// Whether everything that is mapped counts as hit, since the picture is incomplete, or of a hardware trace.
    assume_all: bool,
    /// Whether it does where there is a hardware trace.
    with_aux_data: bool,
    spaces: Spaces,
    stacks: Stacks,
    log: Log,
    census: Option<Census>,
    found: Vec<Hit>,
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
        RecordType::AUXTRACE_INFO,
        RecordType::AUXTRACE,
    ]);

    /// Finds the first hit of each DSO.
    #[must_use]
    pub fn first() -> Self {
        Self::default()
    }

    /// Finds every hit of each sample. Of a map that comes behind samples that hit it, the earliest hit is found. All
    /// code of a process counts as hit whose samples have its registers or stack: unwinding may lead anywhere.
    #[must_use]
    pub fn every() -> Self {
        Self { every: true, ..Self::default() }
    }

    /// Counts what samples lie in as well, for [`census`](Self::census).
    #[must_use]
    pub fn counting(mut self) -> Self {
        self.census = Some(Census::default());
        self
    }

    /// What the host's samples lie in, as far as they have times, in no order; nothing without
    /// [`counting`](Self::counting). Of many samples a part is looked up, and stands for the others.
    pub fn census(&mut self, session: &Session) -> impl Iterator<Item = (LiesIn, Counted)> {
        if let Some(census) = &mut self.census {
            census.finish(session);
        }
        self.census.iter().flat_map(Census::counts)
    }

    /// Counts all that is mapped as hit where the recording has a hardware trace, which is not decoded here and may hit
    /// anything.
    #[must_use]
    pub fn with_aux_data(self) -> Self {
        Self { with_aux_data: true, ..self }
    }

    /// Whether all that is mapped counts as hit: the recording has a hardware trace, or needed more work than is done.
    #[must_use]
    pub fn assumes_all(&self) -> bool {
        self.assume_all
    }

    /// Calls `hit` with the hits that a record brings: those of a sample, or those of earlier samples that a map resolves.
    /// A sample that cannot be read is noted in [`Session::anomalies`].
    pub fn event(&mut self, event: &Event<'_>, session: &mut Session, hit: impl FnMut(Hit)) {
        let record = event.record;
        if session.is_incomplete() || self.with_aux_data && session.recording.has_aux_data {
            self.assume_all_hit(session);
        }
        match record.record_type() {
            RecordType::SAMPLE
                if !self.every && self.skips(record, field_offsets(record, session), session) => {}
            RecordType::SAMPLE | RecordType::CALLCHAIN_DEFERRED => {
                let Some(Evsel { format, .. }) = session.evlist.evsel(record) else {
                    return session.anomalies.no_event(record);
                };
                session.recording.times.note(format.time(record).unwrap_or(0));
                if let Err(error) = self.sample(record, format, session) {
                    session.anomalies.malformed(record, &error);
                }
            }
            RecordType::FINISHED_ROUND => {
                self.log.finish_round();
                if let Some(census) = &mut self.census {
                    census.finish_round(session);
                }
            }
            _ => {
                event.changes.iter().for_each(|change| {
                    if !self.stacks.is_empty() {
                        self.changed_under_stacks(change, session);
                    }
                    self.changed(change, session);
                });
                // The order of the log is nobody's business.
                self.found.sort_unstable();
            }
        }
        self.found.drain(..).for_each(hit);
    }

    /// Skips the samples at the front of a batch that bring no hit, and returns how many
    /// ([`Tool::skip_samples`](crate::Tool::skip_samples)).
    pub fn skip_samples(&mut self, batch: &mut Batch<'_>, session: &Session) -> u64 {
        if self.every {
            return 0;
        }
        // Where all events lay their samples out alike, it is asked once how. The machine's own byte order, which nearly
        // all streams have, is known to the compiler then.
        let endian = batch.endian();
        let skipped = match session.evlist.only_format().map(SampleFormat::field_offsets) {
            Some(offsets) if endian == Endian::NATIVE => batch.advance_while(|record| {
                self.skips(&RawRecord { endian: Endian::NATIVE, ..*record }, offsets, session)
            }),
            _ => batch.advance_while(|record| self.skips(record, field_offsets(record, session), session)),
        };
        skipped.records
    }

    /// Whether a record is a sample of the host that brings no hit; then it is in the log.
    #[inline(always)]
    fn skips(&mut self, record: &RawRecord<'_>, offsets: Option<FieldOffsets>, session: &Session) -> bool {
        if record.record_type() != RecordType::SAMPLE {
            return false;
        }
        let Some(sample) = offsets.and_then(|offsets| host_sample(record, offsets)) else { return false };
        let (kernel, process) = self.spaces.of_sample(sample.pid, &mut self.log);
        let is_near = |addr| process.pending.is_near(addr) | is_guest_marker(addr);
        // Nearly always all of the kernel is hit: a comparison less for each word.
        let near = if kernel.pending.is_empty() {
            self.log.add_sample(sample, &mut process.list, false, is_near)
        } else {
            let is_near = |addr| is_near(addr) | kernel.pending.is_near(addr);
            self.log.add_sample(sample, &mut process.list, false, is_near)
        };
        if !near {
            self.count(&sample, session);
            return true;
        }
        let mut is_clear = |addr, cpumode| match cpumode {
            CpuMode::Kernel => !kernel.pending.contains(addr),
            CpuMode::User => !process.pending.contains(addr),
            // Of a mode that has no maps there is nothing to hit; guests are looked up.
            CpuMode::Unknown | CpuMode::Hypervisor => true,
            CpuMode::GuestKernel | CpuMode::GuestUser => false,
        };
        let frames = frames_of(sample.chain.iter().map(|word| sample.endian.u64(*word)), sample.cpumode);
        let is_skipped = sample.ip.is_none_or(|ip| is_clear(ip, sample.cpumode))
            && frames.into_iter().all(|frame| is_clear(frame.ip, frame.cpumode));
        if is_skipped {
            self.log.add_sample(sample, &mut process.list, true, |_| false);
            self.count(&sample, session);
        }
        is_skipped
    }

    /// Takes one of so many samples into the census.
    #[inline(always)]
    fn count(&mut self, sample: &HostSample<'_>, session: &Session) {
        if let Some(census) = &mut self.census
            && census.is_next()
        {
            census.take(sample, session);
        }
    }

    fn sample(
        &mut self,
        record: &RawRecord<'_>,
        format: &SampleFormat,
        session: &Session,
    ) -> Result<(), perf_format::Error> {
        let Some(asker) = QueryContext::of(record, format) else { return Ok(()) };
        let addresses = format.addresses(record)?;
        let as_host = asker.as_host_sample(format)?;
        if self.every && asker.has_stack(format) {
            self.stack(asker.pid, asker.time, session);
        }
        for address in addresses {
            let query = asker.query(address.addr, address.cpumode, address.kind, session);
            let Some(query) = query else { continue };
            let is_in_log = as_host.is_some() && query.machine == HOST;
            let is_pending = is_in_log && !self.every;
            if is_pending && !self.is_pending(&query) {
                continue;
            }
            let dso = look_up(&query, session);
            match dso {
                Some(dso) if self.every || !*self.is_hit.of(dso) => self.found(query.hit(dso)),
                _ if is_pending => self.looked_up_in_vain(&query, session),
                _ => {}
            }
            // Where there are no times, what is explained is explained.
            if !is_in_log && (query.time.is_some() || dso.is_none()) {
                self.log.add_query(query);
            }
        }
        if let Some(sample) = as_host {
            let (_, process) = self.spaces.of_sample(sample.pid, &mut self.log);
            self.log.add_sample(sample, &mut process.list, true, |_| false);
            self.count(&sample, session);
        }
        Ok(())
    }

    /// A reader that unwinds a process's stack of a time may come through all code that was mapped then.
    fn stack(&mut self, pid: u32, time: Option<u64>, session: &Session) {
        if self.stacks.is_first(pid, time) {
            self.code_since(time, AddressSpace::Process(pid.cast_signed()), session);
        }
    }

    /// The stack of a process is recorded since some time: all that is known of its code is hit. It costs a step for each
    /// map; a stream in which that is too much is of no real machine.
    fn code_since(&mut self, since: Option<u64>, space: AddressSpace, session: &Session) {
        let Some(maps) = session.machines.host().maps(space) else { return };
        if self.assume_all || !self.log.pay_for(maps.len_with_past() as u64) {
            return self.assume_all_hit(session);
        }
        maps.iter_with_past().for_each(|map| self.code(map, space, since, session));
    }

    /// A map of a process whose stack is recorded since some time, or a piece of one: it is hit if it is code and held then
    /// or later.
    fn code(&mut self, map: &Map, space: AddressSpace, since: Option<u64>, session: &Session) {
        let (addr, dso, time) = (map.start, map.dso, since.map(|since| since.max(map.since)));
        if map.prot & Mmap2::PROT_EXEC != 0
            && session.map_at(HOST, space, addr, time).is_some_and(|held| held.dso == dso)
        {
            self.found(Hit { dso, via: AddressKind::Callchain, machine: HOST, space, addr, time });
        }
    }

    /// Something changed in an address space: if it is a process's whose stack is recorded, what came of code is hit.
    fn changed_under_stacks(&mut self, change: &MapChange, session: &Session) {
        let (HOST, AddressSpace::Process(pid)) = (change.machine, change.space) else { return };
        let space = change.space;
        match change.what {
            Change::Mapped { start, last, dso, .. } => {
                let Some(first) = self.stacks.first(pid.cast_unsigned()) else { return };
                let Some(maps) = session.machines.host().maps(space) else { return };
                let of_it = maps.pieces(start, last).filter(|map| map.dso == dso);
                of_it.for_each(|map| self.code(map, space, first, session));
            }
            Change::Forked { since } => {
                if let Some(first) = self.stacks.first_of_child(pid.cast_unsigned(), since) {
                    self.code_since(first, space, session);
                }
            }
            Change::MappedOutside { .. } | Change::Executed => {}
        }
    }

    fn found(&mut self, hit: Hit) {
        *self.is_hit.of(hit.dso) = true;
        self.found.push(hit);
    }

    /// Whether something that was not hit yet may stand where a query of the host asks.
    fn is_pending(&mut self, query: &Query) -> bool {
        match query.space {
            AddressSpace::Kernel => self.spaces.kernel.pending.contains(query.addr),
            AddressSpace::Process(pid) => {
                let (_, process) = self.spaces.of_sample(pid.cast_unsigned(), &mut self.log);
                process.pending.contains(query.addr)
            }
        }
    }

    fn looked_up_in_vain(&mut self, query: &Query, session: &Session) {
        let Self { spaces, log, is_hit, .. } = self;
        let pending = match query.space {
            AddressSpace::Kernel => &mut spaces.kernel.pending,
            AddressSpace::Process(pid) => &mut spaces.of_sample(pid.cast_unsigned(), log).1.pending,
        };
        let maps = session.machines.host().maps(query.space);
        if pending.is_worth_refilling(|| maps.map_or(0, |maps| maps.len_with_past())) {
            let maps = maps.into_iter().flat_map(|maps| maps.iter_with_past());
            let not_hit = maps.filter(|map| !*is_hit.of(map.dso));
            pending.refill(not_hit.map(|map| (map.start, map.end.saturating_sub(1))));
        }
    }

    /// Something changed in an address space: earlier samples may hit what is there now.
    fn changed(&mut self, change: &MapChange, session: &Session) {
        let MapChange { machine, space, what } = *change;
        match what {
            Change::Mapped { start, last, dso, since } => {
                if !self.every && *self.is_hit.of(dso) || start > last {
                    return;
                }
                self.add_pending(machine, space, start, last, session);
                if self.assume_all {
                    let (via, time) = (AddressKind::Ip, Some(since));
                    return self.found(Hit { dso, via, machine, space, addr: start, time });
                }
                self.resolve_pending(dso, &Wanted { machine, space, addrs: start..=last, since }, session);
            }
            Change::Forked { since } => {
                if machine == HOST
                    && let AddressSpace::Process(pid) = space
                    && let Some(process) = self.spaces.process(pid.cast_unsigned())
                {
                    process.pending.forget();
                }
                let since = since.unwrap_or(0);
                self.resolve_all_pending(&Wanted { machine, space, addrs: 0..=u64::MAX, since }, session);
            }
            Change::MappedOutside { dso } => {
                if self.assume_all && !*self.is_hit.of(dso) {
                    self.found(Hit { dso, via: AddressKind::Ip, machine, space, addr: 0, time: None });
                }
            }
            // An exec ends maps, and what it leaves was there: no query has another answer than before, or none.
            Change::Executed => {}
        }
    }

    fn add_pending(
        &mut self,
        machine: MachinePid,
        space: AddressSpace,
        start: u64,
        last: u64,
        session: &Session,
    ) {
        let known = match space {
            _ if machine != HOST => None,
            AddressSpace::Kernel => Some(&mut self.spaces.kernel),
            AddressSpace::Process(pid) => self.spaces.process(pid.cast_unsigned()),
        };
        let Some(known) = known else { return };
        known.pending.add(start, last);
        // Of maps that are gone the ranges are left.
        let maps = || session.machines.host().maps(space).map_or(0, |maps| maps.len_with_past());
        if known.pending.len() > RANGES_AT_LEAST && known.pending.len() > 2 * maps() {
            known.pending.forget();
        }
    }

    fn list(&mut self, wanted: &Wanted) -> Option<log::ListHead> {
        match wanted.space {
            AddressSpace::Process(pid) if wanted.machine == HOST => {
                self.spaces.process(pid.cast_unsigned()).map(|space| space.list)
            }
            AddressSpace::Process(_) | AddressSpace::Kernel => None,
        }
    }

    /// A DSO was mapped: earlier queries may hit it. Where every hit is asked for, it is the earliest one of each piece
    /// that is left of the map between those that lie over it.
    fn resolve_pending(&mut self, dso: DsoId, wanted: &Wanted, session: &Session) {
        if !self.log.has_any_since(wanted.since) {
            return;
        }
        let (list, every) = (self.list(wanted), self.every);
        let mut pieces: Vec<(u64, Hit)> = Vec::new();
        self.log.search(wanted, list, |query| {
            let map = session.map_at(query.machine, query.space, query.addr, query.time);
            let Some(map) = map.filter(|map| map.dso == dso) else { return ControlFlow::Continue(()) };
            let is_full = pieces.len() >= PIECES_AT_MOST;
            match pieces.iter_mut().find(|(start, _)| *start == map.start) {
                Some((_, first)) if query.time < first.time => *first = query.hit(dso),
                None if !is_full => pieces.push((map.start, query.hit(dso))),
                Some(_) | None => {}
            }
            if every { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        if pieces.is_empty() {
            self.resolve_pending_in_digest(dso, wanted);
        }
        pieces.into_iter().for_each(|(_, hit)| self.found(hit));
    }

    /// A DSO was mapped: queries of which only a digest is left may hit it.
    fn resolve_pending_in_digest(&mut self, dso: DsoId, wanted: &Wanted) {
        if self.log.has_digest() && self.log.digest_may_have(wanted) {
            let Wanted { machine, space, ref addrs, since } = *wanted;
            let (addr, time) = (*addrs.start(), Some(since));
            self.found(Hit { dso, via: AddressKind::Callchain, machine, space, addr, time });
        }
    }

    /// A space began with its parent's maps: earlier queries may hit any of them.
    fn resolve_all_pending(&mut self, wanted: &Wanted, session: &Session) {
        if !self.log.has_any_since(wanted.since) {
            return;
        }
        let list = self.list(wanted);
        let Self { log, is_hit, every, found, .. } = self;
        log.search(wanted, list, |query| {
            if let Some(dso) = look_up(&query, session)
                && (*every || !*is_hit.of(dso))
            {
                *is_hit.of(dso) = true;
                found.push(query.hit(dso));
            }
            ControlFlow::Continue(())
        });
        let maps = session.machines.get(wanted.machine).and_then(|machine| machine.maps(wanted.space));
        let Some(maps) = maps.filter(|_| self.log.has_digest()) else { return };
        if !self.log.pay_for(maps.len_with_past() as u64) {
            return self.assume_all_hit(session);
        }
        for map in maps.iter() {
            if self.every || !*self.is_hit.of(map.dso) {
                let addrs = map.start..=map.end.saturating_sub(1);
                self.resolve_pending_in_digest(map.dso, &Wanted { addrs, ..wanted.clone() });
            }
        }
    }

    /// Every piece of code that the host has now is hit.
    fn all_code(&mut self, session: &Session) {
        let host = session.machines.host();
        let processes = host.processes().map(|(pid, _)| pid);
        let mut spaces: Vec<_> = processes.map(AddressSpace::Process).chain([AddressSpace::Kernel]).collect();
        // So that the output is the same each time.
        spaces.sort_unstable();
        let time = session.recording.times.last;
        let maps = spaces.into_iter().flat_map(|space| {
            let maps = host.maps(space).into_iter();
            maps.flat_map(|maps| maps.iter()).map(move |map| (map, space))
        });
        maps.take(ASSUMED_AT_MOST).for_each(|(map, space)| self.code(map, space, time, session));
    }

    /// Not all maps or queries are known: everything that is mapped counts as hit from here on, so that nothing that is
    /// hit is missing.
    fn assume_all_hit(&mut self, session: &Session) {
        if std::mem::replace(&mut self.assume_all, true) {
            return;
        }
        if self.every {
            self.all_code(session);
        }
        for (dso, of) in session.dsos.iter() {
            if !std::mem::replace(self.is_hit.of(dso), true) {
                let (machine, space) = (of.machine, AddressSpace::Kernel);
                self.found.push(Hit {
                    dso,
                    via: AddressKind::Callchain,
                    machine,
                    space,
                    addr: 0,
                    time: None,
                });
            }
        }
    }
}

/// How many maps are shown at once where all are assumed to be hit: those of some thousand processes. A forged stream has
/// as many as children times maps, out of a record for each.
const ASSUMED_AT_MOST: usize = 1 << 18;

/// How many pieces of a map that came late are told apart; most are whole.
const PIECES_AT_MOST: usize = 64;

/// How many ranges of a space are kept however few maps it has.
const RANGES_AT_LEAST: usize = 64;

fn look_up(query: &Query, session: &Session) -> Option<DsoId> {
    session.dso_at(query.machine, query.space, query.addr, query.time)
}
