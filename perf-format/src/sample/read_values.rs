//! Counter values inside samples and READ records, as `read_format` lays them out.

use crate::attr::ReadFormat;
use crate::codec::{Decoder, Encoder, Problem};

/// The values of a counter, or of a group of counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadValues {
    /// Time enabled, in ns.
    pub time_enabled: Option<u64>,
    /// Time running, in ns.
    pub time_running: Option<u64>,
    /// One value, or one an event of the group.
    pub values: Vec<ReadValue>,
}

/// One counter's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadValue {
    /// The count.
    pub value: u64,
    /// The event's id.
    pub id: Option<u64>,
    /// Samples lost.
    pub lost: Option<u64>,
}

fn optional(there: bool, d: &mut Decoder<'_>) -> Result<Option<u64>, Problem> {
    there.then(|| d.get()).transpose()
}

impl ReadValues {
    /// Reads values in the given format.
    ///
    /// # Errors
    /// Where the bytes end before the values do.
    pub(crate) fn read(format: ReadFormat, d: &mut Decoder<'_>) -> Result<Self, Problem> {
        let has = |flag| format.contains(flag);
        let tail = |value, d: &mut Decoder<'_>| {
            let id = optional(has(ReadFormat::ID), d)?;
            Ok::<_, Problem>(ReadValue { value, id, lost: optional(has(ReadFormat::LOST), d)? })
        };
        let first: u64 = d.get()?;
        let time_enabled = optional(has(ReadFormat::TOTAL_TIME_ENABLED), d)?;
        let time_running = optional(has(ReadFormat::TOTAL_TIME_RUNNING), d)?;
        let values = if has(ReadFormat::GROUP) {
            if first > d.rest().len() as u64 / 8 {
                return Err(Problem::Count(first));
            }
            (0..first).map(|_| d.get().and_then(|value| tail(value, d))).collect::<Result<_, _>>()?
        } else {
            vec![tail(first, d)?]
        };
        Ok(Self { time_enabled, time_running, values })
    }

    /// Writes the values in the given format.
    pub(crate) fn write(&self, format: ReadFormat, e: &mut Encoder<'_>) {
        let group = format.contains(ReadFormat::GROUP);
        let first = match self.values.first() {
            Some(only) if !group => only.value,
            _ => self.values.len() as u64,
        };
        e.put(&first);
        e.put(&self.time_enabled);
        e.put(&self.time_running);
        for value in &self.values {
            if group {
                e.put(&value.value);
            }
            e.put(&value.id);
            e.put(&value.lost);
        }
    }
}
