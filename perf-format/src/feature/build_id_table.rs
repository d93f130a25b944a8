//! The BUILD_ID feature: a run of BUILD_ID records whose headers have type 0.

use crate::codec::{FieldError, Problem};
use crate::record::{BuildIdRecord, HOST_PID, Misc, RawRecord, Record, RecordType};
use crate::{Endian, Error};

/// The entries of a table and the misc word of each. `offset` is where the table stands in the file.
///
/// After the first entry that cannot be read there are no more: where the next one starts is then not known.
pub fn build_id_table(
    table: &[u8],
    offset: u64,
    endian: Endian,
) -> impl Iterator<Item = Result<(Misc, BuildIdRecord<'_>), Error>> {
    let mut at = 0;
    let mut whole = true;
    std::iter::from_fn(move || {
        let rest = table.get(at..).filter(|rest| whole && !rest.is_empty())?;
        let here = offset + at as u64;
        let entry = entry(rest, here, endian);
        match &entry {
            Ok((size, _)) => at += size,
            Err(_) => whole = false,
        }
        Some(entry.map(|(_, entry)| entry))
    })
}

fn entry(rest: &[u8], offset: u64, endian: Endian) -> Result<(usize, (Misc, BuildIdRecord<'_>)), Error> {
    let Some(mut raw) = RawRecord::first(rest, offset, endian) else {
        let size = rest.get(6..8).and_then(|size| size.first_chunk()).map(|size| endian.u16(*size));
        let problem = size.map_or(Problem::Short, |size| Problem::Size(size.into()));
        return Err(Error::structure("build-id table", offset, FieldError { field: "size", problem }));
    };
    raw.header.record_type = RecordType::BUILD_ID;
    let mut entry: BuildIdRecord<'_> = raw.parse_as()?;
    // Tables from before there were guests have 0 for the host.
    if !raw.misc().cpumode().is_guest() {
        entry.pid = HOST_PID;
    }
    Ok((raw.bytes.len(), (raw.misc(), entry)))
}

/// Appends an entry to a table.
///
/// # Errors
/// [`Error::RecordTooLarge`] where the name is too long for an entry.
pub fn push_build_id(
    table: &mut Vec<u8>,
    misc: Misc,
    entry: BuildIdRecord<'_>,
    endian: Endian,
) -> Result<(), Error> {
    let start = table.len();
    Record::BuildId(entry).encode(misc, &[], endian, table)?;
    if let Some(record_type) = table.get_mut(start..start + 4) {
        record_type.fill(0);
    }
    Ok(())
}
