//! Records that are read ahead of those that are shown: a map may stand behind a sample that hits it, since perf empties one
//! CPU's buffer after the other.

use std::ops::Range;

use perf_format::{Endian, RawRecord, RecordType};

use crate::source::{Next, PayloadHash, Records};

/// Bytes of records that are read ahead at the most, where no round ends before: as much as perf's buffers mostly hold.
const BYTES_AT_MOST: usize = 1 << 24;

/// Records that are read ahead at the most.
const RECORDS_AT_MOST: usize = 1 << 18;

/// The records of a round.
#[derive(Debug, Default)]
pub(crate) struct ReadAhead {
    bytes: Vec<u8>,
    records: Vec<HeldRecord>,
    /// The next of them.
    at: usize,
    /// What is behind them, if it is no record.
    behind: Option<Next>,
}

#[derive(Debug)]
struct HeldRecord {
    bytes: Range<usize>,
    offset: u64,
    endian: Endian,
    payload: Option<PayloadHash>,
    /// By which it is sorted.
    time: u64,
}

impl ReadAhead {
    /// Whether all of them were shown.
    pub(crate) fn is_empty(&self) -> bool {
        self.at == self.records.len() && self.behind.is_none()
    }

    /// Reads on to the end of a round, or one record, where none is to be read ahead. `read` is told of each record as it is
    /// read, but of the mark at the end only when all were shown: then what ended in the round may soon be forgotten. It
    /// returns the time by which the record is sorted; one without stays behind the one before.
    pub(crate) fn fill(
        &mut self,
        records: &mut Records<'_>,
        looks_ahead: bool,
        mut read: impl FnMut(&RawRecord<'_>) -> Option<u64>,
    ) {
        if let Some(mark) = self.records.last().and_then(|last| self.record(last)).filter(is_mark) {
            read(&mark);
        }
        self.bytes.clear();
        self.records.clear();
        self.at = 0;
        let mut time = 0;
        while self.behind.is_none()
            && self.bytes.len() < BYTES_AT_MOST
            && self.records.len() < RECORDS_AT_MOST
        {
            let mut is_end = false;
            let next = records.next(|record, payload| {
                is_end = is_mark(record);
                time = if is_end { u64::MAX } else { read(record).unwrap_or(time) };
                let start = self.bytes.len();
                self.bytes.extend_from_slice(record.bytes);
                let bytes = start..self.bytes.len();
                let (offset, endian) = (record.offset, record.endian);
                self.records.push(HeldRecord { bytes, offset, endian, payload, time });
            });
            match next {
                Next::Shown if is_end || !looks_ahead => break,
                Next::Shown => {}
                next => self.behind = Some(next),
            }
        }
        self.records.sort_by_key(|held| held.time);
    }

    fn record(&self, held: &HeldRecord) -> Option<RawRecord<'_>> {
        RawRecord::first(self.bytes.get(held.bytes.clone())?, held.offset, held.endian)
    }

    /// Shows the next record, and the payload behind it.
    pub(crate) fn next(&mut self, show: impl FnOnce(&RawRecord<'_>, Option<PayloadHash>)) -> Next {
        let Some(held) = self.records.get(self.at) else { return self.behind.take().unwrap_or(Next::End) };
        if let Some(record) = self.record(held) {
            show(&record, held.payload);
        }
        self.at += 1;
        Next::Shown
    }
}

fn is_mark(record: &RawRecord<'_>) -> bool {
    record.record_type() == RecordType::FINISHED_ROUND
}
