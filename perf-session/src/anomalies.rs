//! Anomalies: records that are whole but odd. The first of each type is reported, all are counted, and all pass.

use std::collections::BTreeMap;

use perf_format::{Error, RawRecord, RecordType};

/// The odd records: how many of each type, and what was wrong with the first. They are whole, do not fit their type or
/// are of no known event, change nothing, and pass.
#[derive(Debug, Default)]
pub struct Anomalies {
    by_type: BTreeMap<RecordType, Anomaly>,
}

/// The odd records of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Anomaly {
    /// How many there were.
    pub count: u64,
    /// What was wrong with the first, and its offset.
    pub first: String,
}

impl Anomalies {
    /// Notes a record that cannot be read.
    pub fn malformed(&mut self, record: &RawRecord<'_>, error: &Error) {
        self.note(record, || error.to_string());
    }

    /// Notes a record that no event of the recording has.
    pub fn no_event(&mut self, record: &RawRecord<'_>) {
        self.note(record, || {
            format!("{} record at offset {:#x}: of no known event", record.record_type(), record.offset)
        });
    }

    fn note(&mut self, record: &RawRecord<'_>, what: impl FnOnce() -> String) {
        let odd = self.by_type.entry(record.record_type()).or_insert_with(|| {
            let first = what();
            log::warn!("{first}");
            Anomaly { count: 0, first }
        });
        odd.count += 1;
    }

    /// Takes in those that were found elsewhere in the same records; of a type that is here as well, theirs count.
    #[doc(hidden)]
    pub fn extend(&mut self, others: Self) {
        self.by_type.extend(others.by_type);
    }

    /// How many odd records there were, of all types.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.by_type.values().map(|odd| odd.count).sum()
    }

    /// The odd records by type.
    pub fn iter(&self) -> impl Iterator<Item = (RecordType, &Anomaly)> {
        self.by_type.iter().map(|(record_type, odd)| (*record_type, odd))
    }
}
