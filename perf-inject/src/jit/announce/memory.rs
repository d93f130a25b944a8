//! Memory that functions lie in: the maps of it that readers have stand in the way of those that are announced.
//!
//! A map of memory that is younger than a function, and was written before the function was known, covers it: the
//! function is announced once more, as of then. And AutoFDO (quipper's `AddressMapper`) takes no map inside another one
//! that does not begin and end with pages, but ends with an error; of a map that lies across two others it puts the one
//! in their place. So that, before the first function in a map of memory, the upper part of that is announced once more
//! as a map of its own, and two bytes across both: for other readers it is the same memory as before.

use perf_format::record::{Inode, MapFile, Mmap2};
use perf_session::machine::HOST;
use perf_session::map::Map;
use perf_session::{AddressSpace, Error, Injection, Session};

use super::is_anonymous;
use super::ledger::Ledger;
use crate::announce::{Announcement, Announcer};

/// The granularity of maps, in bytes.
const PAGE: u64 = 0x1000;

/// Announces a function over the memory that it lies in.
#[derive(Debug)]
pub(super) struct Way<'w, 'a, 'r> {
    pub(super) announcer: Announcer<'a, 'r>,
    pub(super) session: &'a Session,
    pub(super) pid: i32,
    pub(super) ledger: &'w mut Ledger,
}

impl Way<'_, '_, '_> {
    /// Announces the map of a function that holds since a time in ns, and once more if there is younger memory. Returns the
    /// time from which readers know it.
    pub(super) fn announce(
        &mut self,
        map: &Announcement<'_>,
        since: u64,
        inject: &mut Injection<'_>,
    ) -> Result<u64, Error> {
        let at = self.announcer.time(since);
        if let Some(memory) = self.memory(map.start, Some(at)) {
            self.clear(&memory, map.start, inject)?;
        }
        self.announcer.announce(map, Some(at), inject)?;
        let younger = self.memory(map.start, None).filter(|memory| memory.since > at);
        if let Some(memory) = younger.filter(|memory| !self.ledger.is_dropped(memory.start, memory.since)) {
            self.clear(&memory, map.start, inject)?;
            self.announcer.announce(map, Some(self.announcer.late_time(memory.since)), inject)?;
        }
        Ok(at)
    }

    /// The memory at an address at a time in ns, or now.
    fn memory(&self, addr: u64, time: Option<u64>) -> Option<Map> {
        let map = self.session.map_at(HOST, AddressSpace::Process(self.pid), addr, time)?;
        self.session.dso(map.dso).is_some_and(is_anonymous).then_some(*map)
    }

    /// Makes a map of memory ready for a function at an address in it.
    fn clear(&mut self, memory: &Map, addr: u64, inject: &mut Injection<'_>) -> Result<(), Error> {
        let &Map { start, end, since, pgoff, prot, flags, dso } = memory;
        let Some(dso) = self.session.dso(dso) else { return Ok(()) };
        // What a process was born with may have functions already.
        if !self.announcer.has_begun_by(since) || !self.ledger.is_to_clear(start, since) {
            return Ok(());
        }
        let host = self.session.machines.host();
        let below = addr / PAGE * PAGE;
        let cut = if below > start { below } else { start.saturating_add(PAGE) };
        let time = self.announcer.late_time(since);
        let mut announce = |from: u64, to: u64| {
            let map = Announcement {
                start: from,
                len: to - from,
                pgoff: pgoff.wrapping_add(from - start),
                file: MapFile::Inode(Inode::default()),
                prot,
                flags: if flags == 0 { Mmap2::MAP_PRIVATE } else { flags },
                filename: dso.name.as_ref(),
            };
            self.announcer.announce(&map, Some(time), inject)
        };
        if cut < end {
            announce(cut, end)?;
        } else if !host.is_empty_between(AddressSpace::Process(self.pid), end, end) {
            return Ok(());
        }
        let across = cut.min(end);
        announce(across - 1, across.saturating_add(1))
    }
}
