//! The times that an injected record may have: a reader that sorts by rounds delivers all records that are older than
//! the round before the last, and an older record that comes after that is out of order.

use perf_format::{RawRecord, RecordType};
use perf_session::{RecordSet, Session};

/// The time up to which a reader that sorts the stream has delivered records.
#[derive(Debug, Default)]
pub(crate) struct ReorderWatermark {
    newest: u64,
    newest_at_mark: u64,
    earliest: u64,
}

impl ReorderWatermark {
    /// All records that have a time, and those that end rounds.
    pub(crate) const WANTS: RecordSet = RecordSet::KERNEL.union(RecordSet::of(&[RecordType::FINISHED_ROUND]));

    /// Notes the time of a record, when all that is put in front of it has been.
    #[inline]
    pub(crate) fn pass(&mut self, record: &RawRecord<'_>, session: &Session) {
        if record.record_type() == RecordType::FINISHED_ROUND {
            self.earliest = std::mem::replace(&mut self.newest_at_mark, self.newest);
        } else if record.record_type().is_kernel() {
            // These two times have no meaning.
            let time = session.evlist.time(record).filter(|time| !matches!(time, 0 | &u64::MAX));
            self.newest = self.newest.max(time.unwrap_or(0));
        }
    }

    /// The earliest time that a record may have here, in ns.
    pub(crate) fn earliest(&self) -> u64 {
        self.earliest
    }
}
