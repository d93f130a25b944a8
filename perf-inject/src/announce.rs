//! Announces maps: injects an MMAP2 record in front of the record that shows that the map is hit. The MMAP2 has the
//! `sample_id` of that record, but the time from which the map holds, or the earliest later one that readers still
//! accept.

use bstr::BStr;
use perf_format::record::{Inode, MapFile, Mmap2};
use perf_format::{CpuMode, Misc, RawRecord, Record, SampleFormat};
use perf_session::{AddressSpace, Error, Injection, Session};

use crate::watermark::ReorderWatermark;

/// The fields of a map's record, except the process and the time.
#[derive(Debug, Clone)]
pub(crate) struct Announcement<'m> {
    pub(crate) start: u64,
    /// Bytes.
    pub(crate) len: u64,
    /// Bytes from the start of the file.
    pub(crate) pgoff: u64,
    pub(crate) file: MapFile,
    pub(crate) prot: u32,
    pub(crate) flags: u32,
    pub(crate) filename: &'m BStr,
}

/// Announces maps of one address space in front of one record.
#[derive(Debug)]
pub(crate) struct Announcer<'a, 'r> {
    record: &'a RawRecord<'r>,
    format: &'a SampleFormat,
    trailer: Vec<u8>,
    space: AddressSpace,
    hit_at: Option<u64>,
    /// When the address space began, in ns.
    began: u64,
    /// The earliest time that a map may have, in ns.
    earliest: u64,
}

impl<'m> Announcement<'m> {
    /// A map of a file of code, as yet without a place.
    pub(crate) fn of_code(filename: &'m BStr) -> Self {
        Self {
            start: 0,
            len: 0,
            pgoff: 0,
            file: MapFile::Inode(Inode::default()),
            prot: Mmap2::PROT_READ | Mmap2::PROT_EXEC,
            flags: Mmap2::MAP_PRIVATE,
            filename,
        }
    }
}

impl<'a, 'r> Announcer<'a, 'r> {
    /// An announcer of maps that were hit in an address space, at an address and a time in ns, if that is known. `None`
    /// where `record` is of no known event, or too short for a `sample_id`.
    pub(crate) fn new(
        record: &'a RawRecord<'r>,
        session: &'a Session,
        watermark: &ReorderWatermark,
        (space, addr): (AddressSpace, u64),
        hit_at: Option<u64>,
    ) -> Option<Self> {
        let is_traced = record.record_type().is_kernel();
        let evlist = &session.evlist;
        let format = &if is_traced { evlist.evsel(record) } else { evlist.evsels().first() }?.format;
        // What a tool wrote has no `sample_id`; with zeros for an id the event is the first.
        let trailer = if is_traced { format.sample_id(record)? } else { vec![0; format.trailer_len()] };
        let began = hit_at.map_or(0, |time| session.machines.host().began_with(space, addr, time));
        let earliest = began.max(watermark.earliest());
        Some(Self { record, format, trailer, space, hit_at, began, earliest })
    }

    /// The same, of maps that the address space has had since a time in ns at the earliest.
    pub(crate) fn not_before(self, time: u64) -> Self {
        Self { earliest: self.earliest.max(time), ..self }
    }

    /// The time that a map which holds since then is announced with, in ns. It is never later than the hit.
    pub(crate) fn time(&self, since: u64) -> u64 {
        self.hit_at.map_or(since, |hit_at| since.max(self.earliest).min(hit_at))
    }

    /// The time of a map that lies over one which holds since then, in ns. It is later than the hit where that one is.
    pub(crate) fn time_over(&self, since: u64) -> u64 {
        since.saturating_add(1).max(self.earliest)
    }

    /// Whether the address space is as old as what holds since a time in ns.
    pub(crate) fn has_begun_by(&self, since: u64) -> bool {
        self.began <= since
    }

    /// Writes the record of a map with this time, or without one with the time of the record that it stands in front
    /// of.
    ///
    /// # Errors
    /// Where the name is too long for a record.
    pub(crate) fn announce(
        &mut self,
        map: &Announcement<'_>,
        time: Option<u64>,
        inject: &mut Injection<'_>,
    ) -> Result<(), Error> {
        if let Some(time) = time {
            self.format.put_trailer_time(&mut self.trailer, time, self.record.endian);
        }
        let (mode, pid, tid) = match self.space {
            AddressSpace::Kernel => (CpuMode::Kernel, u32::MAX, 0),
            AddressSpace::Process(pid) => (CpuMode::User, pid.cast_unsigned(), pid.cast_unsigned()),
        };
        let &Announcement { start, len, pgoff, file, prot, flags, filename } = map;
        let map = Mmap2 { pid, tid, start, len, pgoff, file, prot, flags, filename };
        inject.inject_with_sample_id(Misc::of(mode), &Record::Mmap2(map), &self.trailer)
    }
}
