//! Decides which function is announced, and when: the functions that a record's addresses resolve to are announced by
//! MMAP2 records in front of it, unless readers know them already.

use bstr::ByteSlice as _;
use hashbrown::HashMap;
use jit_image::FUNCTION_OFFSET;
use perf_format::attr::SampleType;
use perf_format::record::Mmap2;
use perf_format::sample::{Address, AddressKind, Tid};
use perf_format::{CpuMode, RawRecord, RecordType, Sample, SampleFormat};
use perf_session::dso::{Dso, DsoKind};
use perf_session::machine::{HOST, OUTSIDE};
use perf_session::map::Map;
use perf_session::{AddressSpace, Error, Injection, RecordSet, Session};

use super::images::of_function::FunctionImage;
use super::images::output::ImageOutput;
use super::images::{Placed, Placement, Tables};
use super::options::JitOptions;
use super::process::{JitProcess, JitProcesses, Resolved};
use super::timeline::{LiveRange, Timeline};
use crate::announce::{Announcement, Announcer};
use crate::watermark::ReorderWatermark;

mod early;
mod ledger;
mod memory;

use early::Early;
use ledger::{Ledger, Naming, SampleCounts};
use memory::Way;

/// The start of the names of memfds: files that have no path.
const MEMFD: &[u8] = b"/memfd:";

/// Whether a DSO is memory that jitted code may be in.
pub(super) fn is_anonymous(dso: &Dso) -> bool {
    dso.kind == DsoKind::Anonymous || dso.name.starts_with(MEMFD)
}

/// Announces functions.
#[derive(Debug)]
pub(super) struct FunctionAnnouncer {
    /// Which kinds of sources may still be found.
    dumps: bool,
    perf_maps: bool,
    /// Whether each function has an image of its own.
    per_function: bool,
    watermark: ReorderWatermark,
    /// Whether what is announced is put where it belongs later.
    is_ahead: bool,
    /// Whether maps of files stay alone, since they carry ids.
    leaves_files: bool,
    early: Early,
    ledgers: HashMap<i32, Ledger>,
    addresses: Vec<u64>,
}

/// The context of a lookup: what the addresses of one record have in common.
struct Lookup<'a, 'r> {
    pid: i32,
    time: Option<u64>,
    record: &'a RawRecord<'r>,
    format: &'a SampleFormat,
    session: &'a Session,
}

/// The state that announcing changes: processes, their images, and the output.
pub(super) struct AnnounceContext<'s, 'i> {
    pub(super) processes: &'s mut JitProcesses,
    pub(super) images: &'s mut ImageOutput,
    pub(super) inject: &'s mut Injection<'i>,
}

impl FunctionAnnouncer {
    /// The types that the announcer has to see.
    pub(super) const WANTS: RecordSet =
        ReorderWatermark::WANTS.union(RecordSet::of(&[RecordType::CALLCHAIN_DEFERRED]));

    pub(super) fn new(options: &JitOptions) -> Self {
        let &JitOptions { dumps, perf_maps, per_process, .. } = options;
        Self {
            dumps,
            perf_maps,
            per_function: !per_process,
            watermark: ReorderWatermark::default(),
            is_ahead: false,
            leaves_files: false,
            early: Early::default(),
            ledgers: HashMap::new(),
            addresses: Vec::new(),
        }
    }

    /// Readers will accept any time from here on, since each map is put where it belongs later.
    pub(super) fn look_ahead(&mut self) {
        self.is_ahead = true;
    }

    /// Maps of files are not announced once more.
    pub(super) fn leave_files(&mut self) {
        self.leaves_files = true;
    }

    /// Notes the time of a record, when all that is put in front of it has been.
    pub(super) fn pass(&mut self, record: &RawRecord<'_>, session: &Session) {
        if !self.is_ahead {
            self.watermark.pass(record, session);
        }
    }

    /// Notes that a map of memory was left out of the output.
    pub(super) fn dropped(&mut self, pid: i32, start: u64, since: u64) {
        self.ledgers.entry(pid).or_default().dropped(start, since);
    }

    /// A round ends.
    pub(super) fn finish_round(&mut self) {
        self.early.finish_round();
    }

    /// The counts of a process's samples.
    pub(super) fn samples(&self, pid: i32) -> SampleCounts {
        self.ledgers.get(&pid).map_or_else(SampleCounts::default, |ledger| ledger.samples)
    }

    /// How many functions of a process were described only after samples that hit them had passed, of those that were
    /// noted and not announced since.
    pub(super) fn take_late(&mut self, pid: i32, timeline: &Timeline) -> usize {
        self.ledgers.get_mut(&pid).map_or(0, |ledger| ledger.take_late(timeline))
    }

    /// Announces what samples looked up that came before the mapping of their process's dump, which `record` is.
    pub(super) fn announce_early(
        &mut self,
        pid: i32,
        record: &RawRecord<'_>,
        session: &Session,
        context: &mut AnnounceContext<'_, '_>,
    ) -> Result<(), Error> {
        let Some(format) = session.evlist.evsel(record).map(|event| event.format) else { return Ok(()) };
        for (addr, lookups) in self.early.take(pid) {
            for (time, own) in [(lookups.first, lookups.own), (lookups.last, 0)] {
                let time = Some(time).filter(|time| *time != 0);
                let lookup = Lookup { pid, time, record, format: &format, session };
                let naming = self.hit(addr, true, &lookup, context)?;
                self.count(pid, naming, own, context.processes);
            }
        }
        Ok(())
    }

    /// Announces the functions that the user addresses of a sample hit, or those of a deferred call chain.
    pub(super) fn hits(
        &mut self,
        record: &RawRecord<'_>,
        session: &Session,
        context: &mut AnnounceContext<'_, '_>,
    ) -> Result<(), Error> {
        let Some(format) = session.evlist.evsel(record).map(|event| event.format) else { return Ok(()) };
        let is_sample = record.record_type() == RecordType::SAMPLE;
        let tid = if is_sample { format.tid(record) } else { format.trailer_tid(record) };
        // Of the processes that are pid 0 to a recorder in a container nobody knows which one it is.
        let tid = tid.filter(|tid| tid.pid != OUTSIDE.cast_unsigned());
        let Some(Tid { pid, .. }) = tid else { return Ok(()) };
        let time = session.evlist.time(record);
        let lookup = Lookup { pid: pid.cast_signed(), time, record, format: &format, session };
        let mut addresses = std::mem::take(&mut self.addresses);
        addresses.clear();
        let done = self.each_hit(&lookup, &mut addresses, is_sample, context);
        self.addresses = addresses;
        done
    }

    fn each_hit(
        &mut self,
        lookup: &Lookup<'_, '_>,
        addresses: &mut Vec<u64>,
        is_sample: bool,
        context: &mut AnnounceContext<'_, '_>,
    ) -> Result<(), Error> {
        let Lookup { pid, record, format, .. } = *lookup;
        let mut own = None;
        let user = format.addresses(record)?.filter(|address| address.cpumode == CpuMode::User);
        user.for_each(|Address { addr, kind, .. }| match kind {
            AddressKind::Ip => own = Some(addr),
            AddressKind::Callchain => addresses.push(addr),
        });
        if self.dumps && !context.processes.get(pid).is_some_and(|process| process.sources.is_marked()) {
            let at = lookup.time.unwrap_or(0);
            addresses.iter().for_each(|addr| self.early.note(pid, *addr, at, false));
            own.into_iter().for_each(|addr| self.early.note(pid, addr, at, true));
        }
        if !context.processes.may_have_code(pid) && !self.perf_maps {
            return Ok(());
        }
        if let Some(own) = own {
            let naming = self.hit(own, true, lookup, context)?;
            self.count(pid, naming, 1, context.processes);
        }
        for addr in &*addresses {
            self.hit(*addr, true, lookup, context)?;
        }
        if is_sample && format.sample_type.contains(SampleType::STACK_USER) {
            // The callers are somewhere in it; a reader that unwinds it will need their names.
            let sample = Sample::parse(format, record)?;
            let stack = sample.stack_user.map_or(&[][..], |stack| stack.bytes);
            for word in stack.chunks_exact(8).filter_map(|word| word.first_chunk()) {
                self.hit(record.endian.u64(*word), false, lookup, context)?;
            }
        }
        Ok(())
    }

    /// Announces the function at an address, if readers do not know it. For a word that may be no address
    /// (`is_address` is false), no new source is looked for.
    fn hit(
        &mut self,
        addr: u64,
        is_address: bool,
        lookup: &Lookup<'_, '_>,
        context: &mut AnnounceContext<'_, '_>,
    ) -> Result<Naming, Error> {
        let Lookup { pid, time, session, .. } = *lookup;
        let at = time.unwrap_or(u64::MAX - 1);
        let map_of = || session.map_at(HOST, AddressSpace::Process(pid), addr, time);
        let is_shared = context.processes.may_share(pid)
            && map_of().is_some_and(|map| map.flags & Mmap2::MAP_SHARED != 0);
        let mut found = context.processes.resolve(pid, addr, at, is_shared);
        if let Some(before) = found.and_then(|found| self.announced_in_file(pid, found)) {
            return Ok(Naming { before, after: true });
        }
        if found.is_none() && !is_address {
            return Ok(Naming::default());
        }
        let map = map_of();
        let in_file = map.and_then(|map| session.dso(map.dso)).is_some_and(|dso| !is_anonymous(dso));
        let naming = Naming { before: in_file, after: in_file };
        if found.is_none() && !in_file {
            if self.perf_maps {
                context.processes.seek_perf_map(pid, session);
            }
            if !context.processes.may_have_code(pid) {
                return Ok(naming);
            }
            context.processes.read_on(pid, session, true)?;
            found = context.processes.resolve(pid, addr, at, is_shared);
            if found.is_none() && context.processes.get(pid).is_some() {
                self.ledgers.entry(pid).or_default().miss(addr, at);
            }
        }
        let Some(found) = found else { return Ok(naming) };
        let mapped = map.map_or(0, |map| map.since);
        // Of a file and a function the later one stands there: a function of before was announced to whoever wrote the map.
        if in_file && context.processes.live_range(found).is_none_or(|range| range.since <= mapped) {
            return Ok(naming);
        }
        let map = map.copied();
        let after = self.announce(found, map, in_file, lookup, context)?;
        self.ledgers.entry(found.owner).or_default().note_file(found.range, in_file);
        Ok(Naming { before: in_file, after: in_file || after })
    }

    /// Announces a function as of the time at which it was made, as far as readers still accept that; what is mapped where
    /// it lies is memory, or a file. Returns whether there is an image of it.
    fn announce(
        &mut self,
        found: Resolved,
        mapped: Option<Map>,
        in_file: bool,
        lookup: &Lookup<'_, '_>,
        context: &mut AnnounceContext<'_, '_>,
    ) -> Result<bool, Error> {
        let Lookup { pid, time, record, format, session } = *lookup;
        let Resolved { owner, range, inherited } = found;
        let AnnounceContext { processes, images: output, inject } = context;
        let Some(process) = processes.get_mut(owner) else { return Ok(false) };
        let JitProcess { timeline, sources, images } = process;
        let Some(live) = timeline.live_range(range) else { return Ok(false) };
        let &LiveRange { start, end, since, .. } = live;
        let place = (AddressSpace::Process(pid), start);
        let announcer = Announcer::new(record, session, &self.watermark, place, time);
        let Some(announcer) = announcer else { return Ok(false) };
        let announcer = announcer.not_before(if owner == pid { 0 } else { inherited });
        let space = AddressSpace::Process(pid);
        let host = session.machines.host();
        let how = Placement {
            pid: owner,
            machine: jit_image::machine_of_arch(session.recording.arch.as_deref().map_or(&[], Vec::as_slice)),
            unwinds: format.sample_type.contains(SampleType::STACK_USER),
            is_free: &|range| host.is_empty_between(AddressSpace::Process(owner), range.start, range.end - 1),
        };
        let (image, offset, len, tables) = if self.per_function {
            let image = output.of_function(range, images, timeline, sources, &how, inject)?;
            let Some(FunctionImage { name, len }) = image else { return Ok(false) };
            // Behind the code, where perf maps tables as well, so that runtimes leave room for them.
            let tables = end..start.saturating_add(len);
            let is_room = match mapped {
                Some(memory) => !in_file && tables.end <= memory.end,
                None => host.is_empty_between(space, tables.start, tables.end),
            };
            let has_tables = how.unwinds && is_room && !timeline.is_taken(&tables, live);
            (name, FUNCTION_OFFSET, if has_tables { len } else { end - start }, None)
        } else {
            let placed = images.place(range, timeline, sources, &how, output.images());
            let Some(Placed { image, offset, tables }) = placed else { return Ok(false) };
            (image.clone(), offset, end - start, tables)
        };
        let marked_at = sources.marked_at();
        let mut way = Way { announcer, session, pid, ledger: self.ledgers.entry(pid).or_default() };
        let map = Announcement { start, len, pgoff: offset, ..Announcement::of_code(image.as_bstr()) };
        if let Some(Tables { start, len, offset }) = tables {
            // Of functions that are older, and are announced later, as well.
            let map = Announcement { start, len, pgoff: offset, ..map.clone() };
            way.announcer.announce(&map, Some(way.announcer.time(marked_at)), inject)?;
        }
        if let Some(file) = mapped.filter(|_| in_file && !self.leaves_files)
            && let Some(code) = timeline.extent(&(file.start..file.end))
        {
            way.clear_file(&file, &code, inject)?;
        }
        let announced_at = way.announce(&map, since, inject)?;
        if owner == pid {
            way.ledger.announced(range, announced_at);
        } else {
            way.ledger.announced_inherited(owner, range);
            processes.add(pid);
        }
        Ok(true)
    }

    /// Whether readers know a live range as code of a process, and if so whether it is in a file. They know another
    /// process's live range if it was announced before the process was born, or to the process itself since.
    fn announced_in_file(&self, pid: i32, found: Resolved) -> Option<bool> {
        let Resolved { owner, range, inherited } = found;
        let of_owner = self.ledgers.get(&owner).and_then(|ledger| ledger.of(range));
        let at = of_owner.and_then(|announced| announced.at);
        let is_known = if owner == pid {
            at.is_some()
        } else {
            at.is_some_and(|at| at <= inherited)
                || self.ledgers.get(&pid).is_some_and(|ledger| ledger.has_inherited(owner, range))
        };
        is_known.then(|| of_owner.is_some_and(|announced| announced.in_file))
    }

    /// Counts so many samples of a process, from when on it is known to have jitted code.
    fn count(&mut self, pid: i32, naming: Naming, samples: u64, processes: &JitProcesses) {
        if processes.get(pid).is_some() {
            self.ledgers.entry(pid).or_default().count(naming, samples);
        }
    }
}
