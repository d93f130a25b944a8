//! The list: DSOs, with their ids, their hits, and the places in the recording that carry their ids.

use bstr::BString;
use perf_format::BuildId;
use perf_session::dso::{DsoKind, MachinePid};

/// The DSOs of a recording, in perf's order: the host's first, each machine's by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct List {
    /// The DSOs.
    pub dsos: Vec<ListedDso>,
}

/// A DSO of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedDso {
    /// The long name.
    pub name: BString,
    /// The machine it is on: -1 the host.
    pub machine: MachinePid,
    /// The kind of the DSO.
    pub kind: DsoKind,
    /// Its place, from 0, in the order in which the recording names DSOs: in its table, then in its records by their times.
    pub named_at: usize,
    /// Its build-id; where places in the recording carry different ones, the last, which is what perf uses. `None` where no
    /// place carries one.
    pub build_id: Option<BuildId>,
    /// How often samples hit it.
    pub hits: HitCounts,
    /// The places that carry an id for it.
    pub sources: Vec<CarriedId>,
    /// The result of comparing the id with this machine's file, after [`check`](crate::check()).
    pub on_disk: Option<OnDisk>,
}

/// How many samples hit a DSO; 0 where the [`Scope`](crate::Scope) does not count hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct HitCounts {
    /// Samples by their own address (`ip`).
    pub ip: u64,
    /// Samples by any address of their call chain, the innermost included; a sample counts once.
    pub callchain: u64,
}

/// An id that a recording carries for a DSO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CarriedId {
    /// The place that carries it.
    pub place: IdLocation,
    /// The id that it carries.
    pub build_id: BuildId,
}

/// The places in a recording that carry ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum IdLocation {
    /// The table behind a file's records.
    Header,
    /// A BUILD_ID record.
    Record,
    /// The MMAP2 record of the map.
    Mmap2,
}

/// A file on this machine, compared with the recorded id.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnDisk {
    /// It has the same id.
    Same,
    /// It has another id.
    Differs(BuildId),
    /// There is no such file, or no id can be read from it; the text is the reason.
    Gone(String),
}

/// How a list is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sort {
    /// By name, as perf from 6.10 on does by itself.
    Name,
    /// The most hits by address first, then the most by call chain.
    Hits,
    /// By id; those without one first.
    Id,
    /// As the recording comes to name them, as perf before 6.10 does by itself.
    Time,
}

impl List {
    /// Sorts the list. DSOs that are equal in this stay in the order that they had.
    pub fn sort(&mut self, by: Sort) {
        match by {
            Sort::Name => self.dsos.sort_by(|a, b| a.name.cmp(&b.name)),
            Sort::Hits => {
                self.dsos.sort_by_key(|dso| std::cmp::Reverse((dso.hits.ip, dso.hits.callchain)));
            }
            Sort::Id => self.dsos.sort_by_key(|dso| dso.build_id),
            Sort::Time => self.dsos.sort_by_key(|dso| (dso.machine, dso.named_at)),
        }
    }

    /// Keeps the DSOs that have no id and could have one. Anonymous memory, under its own name or that of its perf map
    /// (`/tmp/perf-PID.map`), never has one.
    pub fn retain_missing(&mut self) {
        self.dsos.retain(|dso| dso.build_id.is_none() && dso.kind != DsoKind::Anonymous);
    }

    /// How many files of this machine have another id than the recording carries, after [`check`](crate::check()).
    #[must_use]
    pub fn differing(&self) -> usize {
        self.dsos.iter().filter(|dso| matches!(dso.on_disk, Some(OnDisk::Differs(_)))).count()
    }
}
