//! Memory that functions lie in: the maps of it that readers have stand in the way of those that are announced.
//!
//! A map of memory that is younger than a function, and was written before the function was known, covers it: the
//! function is announced once more, as of then. And AutoFDO (quipper's `AddressMapper`) takes no map inside another one
//! that does not begin and end with pages, but ends with an error; of a map that lies across two others it puts the one
//! in their place. So that, before the first function in a map of memory, the upper part of that is announced once more
//! as a map of its own, and two bytes across both: for other readers it is the same memory as before. Of a file in which
//! code was described (Node's builtins), what is below and above that is announced again then.

use std::ops::Range;

use perf_format::record::{MapFile, Mmap2};
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
        let mut at = self.announcer.time(since);
        if let Some(memory) = self.memory(map.start, Some(at)) {
            self.clear(&memory, map.start, inject)?;
            // Of two maps of one time the record that comes later counts, and in another pass that may be the other.
            at = at.max(self.announcer.time_over(memory.since));
        }
        self.announcer.announce(map, Some(at), inject)?;
        let younger = self.memory(map.start, None).filter(|memory| memory.since > at);
        if let Some(memory) = younger.filter(|memory| !self.ledger.is_dropped(memory.start, memory.since)) {
            self.clear(&memory, map.start, inject)?;
            self.announcer.announce(map, Some(self.announcer.time_over(memory.since)), inject)?;
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
        let &Map { start, end, since, .. } = memory;
        // What a process was born with may have functions already.
        if !self.announcer.has_begun_by(since) || !self.ledger.is_to_clear(start, since) {
            return Ok(());
        }
        let host = self.session.machines.host();
        let below = addr / PAGE * PAGE;
        let cut = if below > start { below } else { start.saturating_add(PAGE) };
        if cut < end {
            self.announce_part(memory, cut..end, inject)?;
        } else if !host.is_empty_between(AddressSpace::Process(self.pid), end, end) {
            return Ok(());
        }
        let across = cut.min(end);
        self.announce_part(memory, across.saturating_sub(1)..across.saturating_add(1), inject)
    }

    /// Makes the part of a file's map ready in which code is.
    pub(super) fn clear_file(
        &mut self,
        file: &Map,
        code: &Range<u64>,
        inject: &mut Injection<'_>,
    ) -> Result<(), Error> {
        let &Map { start, end, since, dso, .. } = file;
        let is_known =
            self.session.dso(dso).is_some_and(|dso| dso.inode.is_some() && dso.mapped_id.is_none());
        if !is_known || !self.announcer.has_begun_by(since) || !self.ledger.is_to_clear(start, since) {
            return Ok(());
        }
        let (below, above) = (start..code.start, code.end..end);
        let cut = if below.is_empty() { code.end } else { code.start };
        if cut >= end {
            return Ok(());
        }
        self.announce_part(file, cut..end, inject)?;
        self.announce_part(file, cut.saturating_sub(1)..cut.saturating_add(1), inject)?;
        for rest in [below, above].into_iter().filter(|rest| !rest.is_empty()) {
            self.announce_part(file, rest, inject)?;
        }
        Ok(())
    }

    /// Announces a part of a map once more, or a little more.
    fn announce_part(
        &mut self,
        map: &Map,
        part: Range<u64>,
        inject: &mut Injection<'_>,
    ) -> Result<(), Error> {
        let &Map { start, since, pgoff, prot, flags, dso, .. } = map;
        let Some(dso) = self.session.dso(dso) else { return Ok(()) };
        let map = Announcement {
            start: part.start,
            len: part.end.saturating_sub(part.start),
            pgoff: pgoff.wrapping_add(part.start.wrapping_sub(start)),
            file: MapFile::Inode(dso.inode.unwrap_or_default()),
            prot,
            flags: if flags == 0 { Mmap2::MAP_PRIVATE } else { flags },
            filename: dso.name.as_ref(),
        };
        self.announcer.announce(&map, Some(self.announcer.time_over(since)), inject)
    }
}
