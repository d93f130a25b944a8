//! The places of addresses: what is mapped there as of a time, by the session, and by what was looked up last.

use hashbrown::HashMap;
use perf_format::{RawRecord, RecordType};
use perf_session::address_space::AddressSpace;
use perf_session::dso::{DsoId, DsoKind, MachinePid};
use perf_session::round::Round;
use perf_session::{RecordSet, Session};

use crate::recent::RecentTable;

/// The changes of so many address spaces are known. Of more, those of all begin anew.
const SPACES_AT_MOST: usize = 1 << 16;

/// What changes an address space: that of the process that the record is about.
const CHANGES: RecordSet = RecordSet::of(&[
    RecordType::MMAP,
    RecordType::MMAP2,
    RecordType::COMM,
    RecordType::FORK,
    RecordType::EXIT,
]);

/// A place in a DSO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DsoPlace {
    pub(crate) dso: DsoId,
    pub(crate) offset: u64,
}

/// An address, and the stretch of time in which what is mapped there is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PlaceKey {
    machine: MachinePid,
    space: AddressSpace,
    address: u64,
    stretch: Stretch,
}

/// A stretch of time in which the answers about an address space are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stretch {
    /// Of a space that never changed.
    First,
    /// Behind so many of the changes of this reading.
    Behind { reading: u64, changes: usize },
    /// Behind all changes, in this reading: what ended is remembered for a while.
    Recent { reading: u64 },
    /// Behind all changes, of which those of this reading were the last.
    Settled { reading: u64 },
}

/// When an address space changed.
#[derive(Debug, Default)]
struct SpaceChanges {
    /// The last reading with changes, and its round.
    reading: u64,
    round: Round,
    /// The times of those, sorted.
    times: Vec<u64>,
    /// The latest of all before.
    before: u64,
}

impl SpaceChanges {
    /// The latest change of all.
    fn latest(&self) -> u64 {
        self.times.last().copied().unwrap_or_default().max(self.before)
    }

    /// The stretch that a time is in; `None` where it may be in an earlier one than is known.
    fn stretch(&self, time: u64, reading: u64, round: Round) -> Option<Stretch> {
        if self.reading == reading {
            let changes = self.times.partition_point(|change| *change <= time);
            return (time >= self.before).then_some(Stretch::Behind { reading, changes });
        }
        let stretch = match self.round.is_recent(round) {
            true => Stretch::Recent { reading },
            false => Stretch::Settled { reading: self.reading },
        };
        (time >= self.latest()).then_some(stretch)
    }
}

/// Finds places. Records are read in pieces, of which all are read before the first is shown.
#[derive(Debug)]
pub(crate) struct Places {
    table: RecentTable<PlaceKey, Option<DsoPlace>>,
    reading: u64,
    changes: HashMap<AddressSpace, SpaceChanges>,
    /// The spaces that changed in this reading.
    changed: Vec<AddressSpace>,
    /// Whether changes were forgotten.
    forgot: bool,
    /// The latest of those.
    before: u64,
}

impl Places {
    pub(crate) fn new() -> Self {
        Self {
            table: RecentTable::new(),
            reading: 0,
            changes: HashMap::new(),
            changed: Vec::new(),
            forgot: false,
            before: 0,
        }
    }

    /// Begins a piece: the session is about to take in its records.
    pub(crate) fn begin_reading(&mut self) {
        self.reading += 1;
        if self.changes.len() > SPACES_AT_MOST {
            self.before = self.changes.values().map(SpaceChanges::latest).fold(self.before, u64::max);
            self.forgot = true;
            self.changes.clear();
        }
    }

    /// Notes a record that the session has taken in.
    pub(crate) fn note(&mut self, session: &Session, record: &RawRecord<'_>) {
        if !CHANGES.contains(record.record_type()) {
            return;
        }
        let record = session.record(record);
        let space = match record.pid() {
            Some(pid) if !record.record.misc().cpumode().is_kernel() => AddressSpace::Process(pid),
            _ => AddressSpace::Kernel,
        };
        let before = self.before;
        let changes =
            self.changes.entry(space).or_insert_with(|| SpaceChanges { before, ..SpaceChanges::default() });
        if changes.reading != self.reading {
            changes.before = changes.latest();
            changes.times.clear();
            changes.reading = self.reading;
            changes.round = record.session.round();
            self.changed.push(space);
        }
        changes.times.push(record.time().unwrap_or_default());
    }

    /// Ends a piece, before its first record is shown.
    pub(crate) fn end_reading(&mut self) {
        for space in self.changed.drain(..) {
            if let Some(changes) = self.changes.get_mut(&space) {
                changes.times.sort_unstable();
            }
        }
    }

    /// What is mapped at an address as of a time.
    pub(crate) fn find(
        &self,
        session: &Session,
        (machine, space): (MachinePid, AddressSpace),
        address: u64,
        time: Option<u64>,
    ) -> Option<DsoPlace> {
        let find = || find(session, (machine, space), address, time);
        let stretch = time.and_then(|time| match self.changes.get(&space) {
            Some(changes) => changes.stretch(time, self.reading, session.round()),
            None if self.forgot => (time >= self.before).then_some(Stretch::Recent { reading: self.reading }),
            None => Some(Stretch::First),
        });
        let Some(stretch) = stretch else { return find() };
        self.table.get_or_find(PlaceKey { machine, space, address, stretch }, address, find)
    }
}

fn find(
    session: &Session,
    (machine, space): (MachinePid, AddressSpace),
    address: u64,
    time: Option<u64>,
) -> Option<DsoPlace> {
    let map = session.map_at(machine, space, address, time)?;
    let dso = session.dso(map.dso)?;
    let pgoff = match dso.kind {
        DsoKind::Kernel => 0,
        // It is where it is in memory, and in no file.
        _ if !dso.name.starts_with(b"/") || dso.name.starts_with(b"//") => 0,
        _ => map.pgoff,
    };
    Some(DsoPlace { dso: map.dso, offset: address.wrapping_sub(map.start).wrapping_add(pgoff) })
}
