//! Maps that are left out until something hits them: they are announced then, with their ids, unless a reader of the
//! output has them already.

use bstr::ByteSlice as _;
use perf_format::record::{MapFile, Mmap2};
use perf_format::{BuildId, RawRecord};
use perf_session::dso::{Dso, DsoKind};
use perf_session::machine::HOST;
use perf_session::map::Map;
use perf_session::{Error, Hit, Injection, RecordSet, Session};

use crate::announce::{Announcement, Announcer};
use crate::watermark::ReorderWatermark;

/// Announces maps when they are hit. It has a session of its own, which takes in the records of the output: the state
/// of a reader of the output.
#[derive(Debug)]
pub(super) struct LazyMaps {
    reader: Session,
    watermark: ReorderWatermark,
}

/// Whether a map waits until it is hit: executable code of the host, outside the kernel's own image. What a sample's
/// address cannot hit stays where it is.
pub(super) fn is_deferrable(dso: &Dso, map: &Mmap2<'_>) -> bool {
    let is_code = matches!(dso.kind, DsoKind::File | DsoKind::Module | DsoKind::Vdso);
    is_code && dso.machine == HOST && map.prot & Mmap2::PROT_EXEC != 0
}

impl Default for LazyMaps {
    fn default() -> Self {
        // The session of the input has told what stands in both.
        let mut reader = Session::new();
        reader.logs_ids = false;
        Self { reader, watermark: ReorderWatermark::default() }
    }
}

impl LazyMaps {
    pub(super) const WANTS: RecordSet = ReorderWatermark::WANTS;

    /// Notes the time of a record.
    pub(super) fn pass(&mut self, record: &RawRecord<'_>, session: &Session) {
        self.watermark.pass(record, session);
    }

    /// Takes a record of the output into the reader's session.
    pub(super) fn show(&mut self, record: &RawRecord<'_>, session: &Session) {
        if self.reader.evlist.evsels().len() != session.evlist.evsels().len() {
            self.reader.evlist = session.evlist.clone();
        }
        // Anomalies are noted in the session of the input.
        self.reader.update(record).ok();
    }

    /// Announces a map that was hit, unless the reader has it with its id. `record` is the one that made the hit known; the
    /// map's gets its `sample_id`, and the map's own time, as far as the reader still takes that.
    pub(super) fn announce(
        &mut self,
        hit: &Hit,
        id: BuildId,
        record: &RawRecord<'_>,
        session: &Session,
        inject: &mut Injection<'_>,
    ) -> Result<(), Error> {
        let map = session.map_at(hit.machine, hit.space, hit.addr, hit.time);
        let (Some(map), Some(dso)) = (map, session.dso(hit.dso)) else { return Ok(()) };
        if map.dso != hit.dso
            || dso.machine != HOST
            || dso.kind == DsoKind::Kernel
            || self.knows(hit, map, dso, id, session)
        {
            return Ok(());
        }
        let place = (hit.space, hit.addr);
        let announcer = Announcer::new(record, session, &self.watermark, place, hit.time);
        let Some(mut announcer) = announcer else { return Ok(()) };
        let time = hit.time.map(|_| announcer.time(map.since));
        if time.is_some_and(|time| comes_too_late(hit, time, session)) {
            return Ok(());
        }
        let before = inject.bytes().len();
        let announced = Announcement {
            start: map.start,
            len: map.end - map.start,
            pgoff: map.pgoff,
            file: MapFile::BuildId(Some(id)),
            prot: map.prot,
            flags: map.flags,
            filename: dso.name.as_bstr(),
        };
        match announcer.announce(&announced, time, inject) {
            Err(Error::Format(error @ perf_format::Error::RecordTooLarge { .. })) => {
                log::warn!("{error}; left out");
                return Ok(());
            }
            announced => announced?,
        }
        let bytes = inject.bytes().get(before..).unwrap_or_default();
        if let Some(announced) = RawRecord::first(bytes, record.offset, record.endian) {
            self.show(&announced, session);
        }
        Ok(())
    }

    /// Whether the reader has this map, with its id, and in the same program.
    fn knows(&self, hit: &Hit, map: &Map, dso: &Dso, id: BuildId, session: &Session) -> bool {
        let known = self.reader.map_at(hit.machine, hit.space, hit.addr, hit.time);
        known.is_some_and(|known| {
            let of = self.reader.dso(known.dso);
            let is_it = of.is_some_and(|of| of.name == dso.name && of.build_id == Some(id));
            // What lies over a part of it is announced when that is hit. An older one may be ended by an exec that is yet to
            // be told.
            let holds = known.start <= map.start && map.end <= known.end && known.since >= map.since;
            let is_there = known.start.wrapping_sub(known.pgoff) == map.start.wrapping_sub(map.pgoff);
            is_it && holds && is_there && is_before_exec(hit, &self.reader) == is_before_exec(hit, session)
        })
    }
}

/// Whether a hit is in the program before the last exec.
fn is_before_exec(hit: &Hit, session: &Session) -> bool {
    let host = session.machines.host();
    hit.time.is_some_and(|time| host.is_before_exec(hit.space, hit.addr, time))
}

/// Whether a map with a time would be one of the program that was executed, where the hit is in the one before.
fn comes_too_late(hit: &Hit, time: u64, session: &Session) -> bool {
    let began = || session.machines.host().began(hit.space, hit.time.unwrap_or(0));
    is_before_exec(hit, session) && time >= began()
}
