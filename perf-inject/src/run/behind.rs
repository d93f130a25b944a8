//! What stands behind the records of a file: the features and the header's last words, and an index that moves with the records.

use std::io::{self, Seek, Write};

use perf_format::{DataPlacement, Feature, Preamble};
use perf_session::Error;

/// Writes what stands behind `size` bytes of records, and the header.
pub(super) fn write_behind(
    preamble: &Preamble,
    out: &mut (impl Write + Seek),
    before: DataPlacement,
    size: u64,
) -> Result<(), Error> {
    preamble.write_behind(out, before, size).map_err(unwritten(before.data + size))
}

/// The error of an output that cannot be written on after so many bytes.
pub(super) fn unwritten(written: u64) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Write { written, source }
}

/// Warns of an entry that the table of build-ids has no room for.
pub(super) fn left_out(error: &perf_format::Error) {
    log::warn!("{error}; left out");
}

/// The AUXTRACE feature is an index of the pieces of a hardware trace in the file: a count, then offset and size of
/// each.
pub(super) fn move_auxtrace_index(preamble: &mut Preamble, moved: u64) {
    let endian = preamble.endian;
    let Some(index) = preamble.features.get_mut(&Feature::AUXTRACE) else { return };
    for entry in index.get_mut(8..).unwrap_or_default().chunks_exact_mut(16) {
        if let Some(offset) = entry.first_chunk_mut() {
            *offset = endian.put_u64(endian.u64(*offset).wrapping_add(moved));
        }
    }
}
