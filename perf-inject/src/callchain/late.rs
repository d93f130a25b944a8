//! Samples that wait: their stack leads to an address at which nothing is mapped yet, since the map stands behind them in
//! the stream. They go out behind that map, and at the latest in front of the end of their round, or of a payload,
//! behind which nothing could be written if it were cut.

use perf_format::{Endian, RawRecord};
use perf_session::machine::HOST;
use perf_session::{AddressSpace, Change, MapChange};

use super::layout::StackLayout;
use super::spaces::SampleMoment;
use crate::limits::LATE_AT_MOST;

/// A sample that waits, and for what.
#[derive(Debug)]
pub(super) struct Late {
    bytes: Vec<u8>,
    offset: u64,
    endian: Endian,
    pub(super) layout: StackLayout,
    pub(super) at: SampleMoment,
    /// Where nothing is mapped yet.
    pub(super) address: u64,
}

impl Late {
    pub(super) fn new(record: &RawRecord<'_>, layout: StackLayout, at: SampleMoment, address: u64) -> Self {
        let (offset, endian) = (record.offset, record.endian);
        Self { bytes: record.bytes.to_vec(), offset, endian, layout, at, address }
    }

    /// The record, whose offset is that in the input.
    pub(super) fn record(&self) -> Option<RawRecord<'_>> {
        RawRecord::first(&self.bytes, self.offset, self.endian)
    }

    /// Whether a change may be what it waits for.
    fn is_met_by(&self, change: &MapChange) -> bool {
        change.machine == HOST
            && change.space == AddressSpace::Process(self.at.pid)
            && match change.what {
                Change::Mapped { start, last, since, .. } => {
                    (start..=last).contains(&self.address) && self.at.time.is_none_or(|time| since <= time)
                }
                Change::Forked { .. } => true,
                _ => false,
            }
    }
}

/// The samples that wait, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct LateSamples(Vec<Late>);

impl LateSamples {
    /// Whether there is room for another one.
    pub(super) fn has_room(&self) -> bool {
        self.0.len() < LATE_AT_MOST
    }

    pub(super) fn push(&mut self, late: Late) {
        self.0.push(late);
    }

    /// Takes out those that a change may be waited for by.
    pub(super) fn take_met(&mut self, change: &MapChange) -> Vec<Late> {
        if self.0.is_empty() {
            return Vec::new();
        }
        self.0.extract_if(.., |late| late.is_met_by(change)).collect()
    }

    /// Takes out all.
    pub(super) fn take_all(&mut self) -> Vec<Late> {
        std::mem::take(&mut self.0)
    }
}
