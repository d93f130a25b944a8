//! The four styles of build-ids: of each DSO that a sample hits (`-b`, `-B`) or that is mapped (`--buildid-all`,
//! `--mmap2-buildid-all`); by their names, in BUILD_ID records and the table of a file, or in MMAP2 records. There is a
//! tool for each of these two places, and both use the same sources.

use std::cell::RefCell;
use std::rc::Rc;

use perf_format::RecordType;
use perf_session::build_id::Chain;

mod by_name;
mod ids;
mod in_maps;
mod lazy_maps;

pub(crate) use by_name::IdsByName;
use ids::Ids;
pub(crate) use in_maps::IdsInMaps;

/// The places in the output that ids go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IdsTo {
    /// The table of the feature BUILD_ID, behind a file's records.
    pub header: bool,
    /// BUILD_ID records, each in front of the first sample that needs it.
    pub events: bool,
    /// MMAP2 records, in the place of device and inode.
    pub mmap2: bool,
}

/// Which DSOs get ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DsoSelection {
    /// The DSOs that samples hit.
    Hit,
    /// All DSOs that are mapped; samples are not looked at.
    Mapped,
}

/// The ids of a run, which its tools share.
pub(crate) type SharedIds = Rc<RefCell<Ids>>;

/// Ids out of these sources, for the tools of one run.
#[must_use]
pub(crate) fn shared_ids(sources: Chain) -> SharedIds {
    Rc::new(RefCell::new(Ids::new(sources)))
}

fn is_map(record_type: RecordType) -> bool {
    matches!(record_type, RecordType::MMAP | RecordType::MMAP2)
}
