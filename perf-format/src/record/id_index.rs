//! ID_INDEX: for each event id, its event, CPU and thread, and for guests the machine.

use crate::codec::{Array, Decoder, Encoder, FieldError, Layout, layout};
use crate::visit::{FieldKind, FieldVisitor, VisitField as _, VisitFields};

layout! {
    /// `struct id_index_entry`.
    pub fixed struct IdIndexEntry {
        /// The event's id.
        pub id: u64 as EventId,
        /// The index of the instance.
        pub idx: u64,
        /// The CPU, -1 for any.
        pub cpu: u64 as Cpu,
        /// The thread, -1 for any.
        pub tid: u64 as Tid,
    }
}

layout! {
    /// `struct id_index_entry_2`.
    pub fixed struct IdIndexGuest {
        /// The guest machine's pid, 0 for the host.
        pub machine_pid: u64 as Pid,
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

impl VisitFields for IdIndex<'_> {
    fn visit(&self, v: &mut dyn FieldVisitor) {
        self.entries.visit_as("entries", FieldKind::Number, v);
        if !self.guests.is_empty() {
            self.guests.visit_as("guests", FieldKind::Number, v);
        }
    }
}
