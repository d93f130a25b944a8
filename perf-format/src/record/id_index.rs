//! ID_INDEX: for each event id, its event, CPU and thread, and for guests the machine.

use crate::codec::{Array, Decoder, Encoder, FieldError, Layout, layout};

layout! {
    /// `struct id_index_entry`.
    pub fixed struct IdIndexEntry {
        /// The event's id.
        pub id: u64,
        /// The index of the instance.
        pub idx: u64,
        /// The CPU, -1 for any.
        pub cpu: u64,
        /// The thread, -1 for any.
        pub tid: u64,
    }
}

layout! {
    /// `struct id_index_entry_2`.
    pub fixed struct IdIndexGuest {
        /// The guest machine's pid, 0 for the host.
        pub machine_pid: u64,
        /// The guest's CPU.
        pub vcpu: u64,
    }
}

/// `PERF_RECORD_ID_INDEX`, `struct perf_record_id_index`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdIndex<'a> {
    /// One entry an id.
    pub entries: Array<'a, IdIndexEntry>,
    /// As many, for recordings of guests; none otherwise.
    pub guests: Array<'a, IdIndexGuest>,
}

impl<'a> Layout<'a> for IdIndex<'a> {
    fn read(d: &mut Decoder<'a>) -> Result<Self, FieldError> {
        let entries: Array<'a, IdIndexEntry> = d.field("entries")?;
        let count = if d.rest().is_empty() { 0 } else { entries.len() as u64 };
        let guests = Array::counted(d, count).map_err(|problem| FieldError { field: "guests", problem })?;
        Ok(Self { entries, guests })
    }

    fn write(&self, e: &mut Encoder<'_>) {
        e.put(&self.entries);
        self.guests.encode_elements(e);
    }
}
