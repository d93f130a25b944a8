//! EVENT_TYPE: the name of an event, in recordings from before Linux 3.10.

use crate::codec::layout;

layout! {
    /// `PERF_RECORD_HEADER_EVENT_TYPE`, `struct perf_record_header_event_type`. Obsolete; passed as it is.
    pub struct HeaderEventType<'a> {
        /// The event's config.
        pub id: u64 as Hex = "event_id",
        /// Its name, filled up with NULs: 64 bytes at most. Writers cut it to a multiple of eight, so that no NUL may be
        /// left.
        pub name: &'a [u8] as Text,
    }
}
