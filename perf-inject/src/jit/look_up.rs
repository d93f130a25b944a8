//! From a sample's addresses to the functions that they are in, and to the images that readers find them in.

use perf_format::attr::SampleType;
use perf_format::record::CallchainDeferred;
use perf_format::sample::{Tid, frames};
use perf_format::{CpuMode, RawRecord, RecordType, Sample, SampleFormat};
use perf_session::machine::HOST;
use perf_session::{AddressSpace, Error, Injection, Session};

use super::code::Place;
use super::perf_map::PerfMap;
use super::process::{Named, Process, Source};
use super::{Jit, is_anonymous};

impl Jit {
    /// Looks for the perf map of a process that a sample hit outside all files.
    fn perf_map(&mut self, pid: i32) {
        let process = self.processes.entry(pid).or_default();
        if std::mem::replace(&mut process.asked_for_map, true) {
            return;
        }
        match self.options.finder.perf_map(pid.cast_unsigned()) {
            Ok((file, path)) => {
                log::debug!("perf map found for process {pid}: {}", path.display());
                process.add(Source::PerfMap(PerfMap::new(file, path)));
                process.read_on();
            }
            // Most processes have none.
            Err(why) if why.is_missing() => {}
            Err(why) => {
                log::warn!("no names for the jitted code of process {pid}: {why}");
                process.missing.get_or_insert(why.to_string());
            }
        }
    }

    /// Tells what samples asked for that came before the mapping of their process's dump.
    pub(super) fn tell_early(
        &mut self,
        pid: i32,
        record: &RawRecord<'_>,
        session: &Session,
        inject: &mut Injection<'_>,
    ) -> Result<(), Error> {
        let Some(format) = session.evlist.evsel(record).map(|event| event.format) else { return Ok(()) };
        for (addr, ask) in self.early.take(pid) {
            for (time, own) in [(ask.first, ask.own), (ask.last, 0)] {
                let time = Some(time).filter(|time| *time != 0);
                let asked = Asked { pid, time, record, format: &format, session };
                let named = self.hit(addr, true, &asked, inject)?;
                if let Some(process) = self.processes.get_mut(&pid) {
                    process.count(named, own);
                }
            }
        }
        Ok(())
    }

    /// The user's addresses of a sample, or of the part of its chain that comes later.
    pub(super) fn hits(
        &mut self,
        record: &RawRecord<'_>,
        session: &Session,
        inject: &mut Injection<'_>,
    ) -> Result<(), Error> {
        let Some(format) = session.evlist.evsel(record).map(|event| event.format) else { return Ok(()) };
        let is_sample = record.record_type() == RecordType::SAMPLE;
        let tid = if is_sample { format.tid(record) } else { format.trailer_tid(record) };
        let Some(Tid { pid, .. }) = tid else { return Ok(()) };
        let pid = pid.cast_signed();
        let time = session.evlist.time(record);
        let asked = Asked { pid, time, record, format: &format, session };
        let mut addresses = std::mem::take(&mut self.addresses);
        addresses.clear();
        let done = self.each_hit(&asked, &mut addresses, is_sample, inject);
        self.addresses = addresses;
        done
    }

    fn each_hit(
        &mut self,
        asked: &Asked<'_, '_>,
        addresses: &mut Vec<u64>,
        is_sample: bool,
        inject: &mut Injection<'_>,
    ) -> Result<(), Error> {
        let Asked { pid, record, format, .. } = *asked;
        let mode = record.misc().cpumode();
        let own = format.ip(record).filter(|_| is_sample && mode == CpuMode::User);
        let chain = match is_sample {
            true => format.callchain(record)?,
            false => Some(record.parse_as::<CallchainDeferred<'_>>()?.ips),
        };
        let mode = if is_sample { mode } else { CpuMode::User };
        let chain = chain.into_iter().flat_map(|chain| frames(chain, mode));
        addresses.extend(chain.filter(|frame| frame.cpumode == CpuMode::User).map(|frame| frame.ip));
        if self.options.dumps && !self.processes.get(&pid).is_some_and(Process::has_dump) {
            let at = asked.time.unwrap_or(0);
            addresses.iter().for_each(|addr| self.early.ask(pid, *addr, at, false));
            own.into_iter().for_each(|addr| self.early.ask(pid, addr, at, true));
        }
        let is_known = self.processes.contains_key(&pid) || self.born.contains_key(&pid);
        if !is_known && !self.options.perf_maps {
            return Ok(());
        }
        if let Some(own) = own {
            let named = self.hit(own, true, asked, inject)?;
            if let Some(process) = self.processes.get_mut(&pid) {
                process.count(named, 1);
            }
        }
        for addr in &*addresses {
            self.hit(*addr, true, asked, inject)?;
        }
        if is_sample && format.sample_type.contains(SampleType::STACK_USER) {
            // The callers are somewhere in it; a reader that unwinds it will need their names.
            let sample = Sample::parse(format, record)?;
            let stack = sample.stack_user.map_or(&[][..], |stack| stack.bytes);
            for word in stack.chunks_exact(8).filter_map(|word| word.first_chunk()) {
                self.hit(record.endian.u64(*word), false, asked, inject)?;
            }
        }
        Ok(())
    }

    /// Tells what stands at an address, if readers do not know. Of what is only perhaps one (`is_address`) nothing new
    /// is looked for.
    fn hit(
        &mut self,
        addr: u64,
        is_address: bool,
        asked: &Asked<'_, '_>,
        inject: &mut Injection<'_>,
    ) -> Result<Named, Error> {
        let Asked { pid, time, session, .. } = *asked;
        let at = time.unwrap_or(u64::MAX - 1);
        let mut found = self.find(pid, addr, at);
        if let Some(found) = found
            && let Some(place) = self.place(found).filter(|place| self.is_told(pid, found, place))
        {
            return Ok(Named { before: place.in_file, after: true });
        }
        if found.is_none() && !is_address {
            return Ok(Named::default());
        }
        let map = session.map_at(HOST, AddressSpace::Process(pid), addr, time);
        let in_file = map.and_then(|map| session.dso(map.dso)).is_some_and(|dso| !is_anonymous(dso));
        let named = Named { before: in_file, after: in_file };
        if found.is_none() && !in_file {
            if self.options.perf_maps {
                self.perf_map(pid);
            }
            if !self.processes.contains_key(&pid) {
                return Ok(named);
            }
            self.read_on(pid, session, true)?;
            found = self.find(pid, addr, at);
            if found.is_none()
                && let Some(process) = self.processes.get_mut(&pid)
            {
                process.miss(addr, at);
            }
        }
        let Some(found) = found else { return Ok(named) };
        let mapped = map.map_or(0, |map| map.since);
        // Of a file and a function the later one stands there: a function of before was told to whoever wrote the map.
        if in_file && self.place(found).is_none_or(|place| place.since <= mapped) {
            return Ok(named);
        }
        let after = self.tell(found, mapped, asked, inject)?;
        if let Some(place) =
            self.processes.get_mut(&found.owner).and_then(|owner| owner.code.places.get_mut(found.place))
        {
            place.in_file = in_file;
        }
        Ok(Named { before: in_file, after: in_file || after })
    }

    /// What stood at an address of a process at a time in ns: of its own code, or of that which it was born with.
    fn find(&self, pid: i32, addr: u64, mut time: u64) -> Option<Found> {
        let (mut owner, mut inherited) = (pid, u64::MAX);
        for _ in 0..GENERATIONS {
            if let Some(place) = self.processes.get(&owner).and_then(|process| process.code.find(addr, time))
            {
                return Some(Found { owner, place, inherited });
            }
            let &(parent, born) = self.born.get(&owner).filter(|(_, born)| *born <= time)?;
            (owner, inherited, time) = (parent, born, born);
        }
        None
    }

    fn place(&self, found: Found) -> Option<&Place> {
        self.processes.get(&found.owner)?.code.places.get(found.place)
    }

    /// Whether readers know of a place: of another's they do where it was told before the birth, or has been since.
    fn is_told(&self, pid: i32, found: Found, place: &Place) -> bool {
        if found.owner == pid {
            return place.told.is_some();
        }
        let since = self.processes.get(&pid).map(|process| &process.told_of_others);
        place.told.is_some_and(|told| told <= found.inherited)
            || since.is_some_and(|told| told.contains(&(found.owner, found.place)))
    }
}

/// Whose code an address is in, and where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) owner: i32,
    pub(super) place: usize,
    /// When the code went to a child, in ns, if it is another's.
    pub(super) inherited: u64,
}

/// How many generations of processes may share code that none of them made.
const GENERATIONS: usize = 8;

/// What the addresses of one record have in common.
pub(super) struct Asked<'a, 'r> {
    pub(super) pid: i32,
    pub(super) time: Option<u64>,
    pub(super) record: &'a RawRecord<'r>,
    pub(super) format: &'a SampleFormat,
    pub(super) session: &'a Session,
}
