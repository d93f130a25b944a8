//! From a file, which is read twice: what is announced is found first, and then each map is put where it belongs by its
//! time. A reader that sorts by rounds has it in time, however late the function was hit, and one that does not sort has
//! it before what hits it.

use std::collections::VecDeque;

use bstr::{BStr, BString};
use hashbrown::{HashMap, HashSet};
use perf_format::record::{BuildIdRecord, Mmap2, SizedBuildId};
use perf_format::{BuildId, CpuMode, Misc, RawRecord, Record, RecordType};
use perf_session::machine::HOST;
use perf_session::{Error, Injection, Session, Verdict};

/// A map to be announced, as a record.
#[derive(Debug)]
struct Planned {
    /// In ns.
    time: u64,
    image: Option<BString>,
    record: Vec<u8>,
}

/// What a recording is to have injected, and which of its maps are left out.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    planned: VecDeque<Planned>,
    /// The maps that are left out, by their numbers among the recording's.
    dropped: HashSet<u64>,
    /// Maps so far.
    maps: u64,
    newest: u64,
    /// Ids of images that stand in front of their first maps.
    ids: HashMap<BString, BuildId>,
}

fn is_map(record: &RawRecord<'_>) -> bool {
    matches!(record.record_type(), RecordType::MMAP | RecordType::MMAP2)
}

fn is_sample(record: &RawRecord<'_>) -> bool {
    matches!(record.record_type(), RecordType::SAMPLE | RecordType::CALLCHAIN_DEFERRED)
}

impl Ahead {
    /// Keeps the records that would be injected at a record, and what would become of that.
    pub(super) fn keep(
        &mut self,
        at: Option<(&RawRecord<'_>, Verdict)>,
        injected: &Injection<'_>,
        session: &Session,
    ) {
        if let Some((record, verdict)) = at.filter(|(record, _)| is_map(record)) {
            if verdict == Verdict::Drop {
                self.dropped.insert(self.maps);
            }
            self.maps += u64::from(is_map(record));
        }
        let (endian, mut rest) = (injected.endian(), injected.bytes());
        while let Some(record) = RawRecord::first(rest, 0, endian) {
            let bytes = record.bytes;
            if record.record_type() == RecordType::MMAP2 {
                let image = Mmap2::of_record(&record).ok().map(|map| map.filename.to_owned());
                let time = session.evlist.time(&record).unwrap_or(0);
                self.planned.push_back(Planned { time, image, record: bytes.to_vec() });
            }
            rest = rest.get(bytes.len()..).unwrap_or_default();
        }
    }

    /// Begins to inject: the recording is read from its start. The ids are injected as well, if readers look for them
    /// there.
    pub(super) fn begin<'i>(&mut self, ids: impl Iterator<Item = (&'i BStr, BuildId)>) {
        self.planned.make_contiguous().sort_by_key(|planned| planned.time);
        self.ids = ids.map(|(name, id)| (name.to_owned(), id)).collect();
        self.maps = 0;
    }

    /// Injects what belongs before a record, and decides about it.
    pub(super) fn inject(
        &mut self,
        record: &RawRecord<'_>,
        session: &Session,
        inject: &mut Injection<'_>,
    ) -> Result<Verdict, Error> {
        let time = session.evlist.time(record).filter(|time| !matches!(time, 0 | &u64::MAX));
        self.newest = self.newest.max(time.unwrap_or(0));
        let until = match record.record_type() {
            RecordType::FINISHED_ROUND => Some(self.newest),
            _ if is_sample(record) => time,
            // What is of the same time may be a map over this one.
            _ => time.and_then(|time| time.checked_sub(1)),
        };
        if let Some(until) = until {
            self.inject_until(until, inject)?;
        }
        if !is_map(record) {
            return Ok(Verdict::Repipe);
        }
        self.maps += 1;
        Ok(if self.dropped.contains(&(self.maps - 1)) { Verdict::Drop } else { Verdict::Repipe })
    }

    /// Injects what is of a time in ns, or of one before it.
    pub(super) fn inject_until(&mut self, time: u64, inject: &mut Injection<'_>) -> Result<(), Error> {
        while self.planned.front().is_some_and(|planned| planned.time <= time) {
            let Some(planned) = self.planned.pop_front() else { break };
            if let Some((name, id)) = planned.image.and_then(|image| self.ids.remove_entry(&image)) {
                let build_id = SizedBuildId(Some(id));
                let record = BuildIdRecord { pid: HOST, build_id, filename: name.as_ref() };
                inject.inject(Misc::of(CpuMode::User), &Record::BuildId(record))?;
            }
            inject.inject_encoded(&planned.record);
        }
        Ok(())
    }
}
