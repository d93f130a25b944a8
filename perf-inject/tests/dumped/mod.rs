//! Records as text, for snapshots: in either byte order they are the same.

use perf_dump::{DumpOptions, dump_text};
use perf_format::RecordType;

/// The records of these types, with these of their fields; with all where none is named.
pub(crate) fn dumped(recording: &[u8], types: &[RecordType], fields: &[&str]) -> String {
    let mut options = DumpOptions::default();
    (options.header, options.offsets) = (false, false);
    options.types = Some(types.to_vec());
    options.fields = (!fields.is_empty()).then(|| fields.iter().map(|field| (*field).to_owned()).collect());
    dump_text(recording, options).expect("perf data")
}
