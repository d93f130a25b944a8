//! HEADER_ATTR: an event of the recording and the ids of its instances.

use crate::Attr;
use crate::codec::{Words, layout};

layout! {
    /// `PERF_RECORD_HEADER_ATTR`, `struct perf_record_header_attr`.
    pub struct HeaderAttr<'a> {
        /// The event's attr, as long as its own size field.
        pub attr: Attr,
        /// One id a CPU or thread that the event was opened on.
        pub ids: Words<'a> as EventId,
    }
}
