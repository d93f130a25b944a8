//! The list: DSOs, with their ids, their hits, and the places in the recording that carry their ids.

use bstr::BString;
use perf_format::BuildId;
use perf_session::dso::{DsoKind, MachinePid};

/// The DSOs of a recording, in perf's order: the host's first, each machine's by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct List {
    /// The DSOs.
    pub dsos: Vec<ListedDso>,
}

/// A DSO of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedDso {
    /// The long name.
    pub name: BString,
    /// The machine it is on: -1 the host.
    pub machine: MachinePid,
    /// The kind of the DSO.
    pub kind: DsoKind,
    /// The how many-th it is of those that the recording names: in its table, then in its records, in the order of time.
    pub named_at: usize,
    /// The id: where several places carry different ones, the last, which is what perf uses.
    pub build_id: Option<BuildId>,
    /// How often samples hit it.
    pub hits: HitCounts,
    /// The places that carry an id for it.
    pub sources: Vec<CarriedId>,
    /// The result of comparing the id with this machine's file, after [`check`](crate::check()).
    pub on_disk: Option<OnDisk>,
}

/// How many samples hit a DSO.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HitCounts {
    /// By their own address.
    pub ip: u64,
    /// By an address of their call chain, the innermost included.
    pub callchain: u64,
}

/// An id that a recording carries for a DSO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CarriedId {
    /// The place that carries it.
    pub place: IdLocation,
    /// The id that it carries.
    pub build_id: BuildId,
}

/// The places in a recording that carry ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
    /// Sorts the list. What is equal stays in perf's order.
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

    /// Keeps only the DSOs that have no id, though they could have one: memory of no file, and what is under the name of a
    /// file with symbols of such memory, never has one.
    pub fn retain_missing(&mut self) {
        self.dsos.retain(|dso| dso.build_id.is_none() && dso.kind != DsoKind::Anonymous);
    }

    /// How many of the files on this machine are other builds.
    #[must_use]
    pub fn differing(&self) -> usize {
        self.dsos.iter().filter(|dso| matches!(dso.on_disk, Some(OnDisk::Differs(_)))).count()
    }
}
