//! Reads from a source that signals may interrupt; errors have the offset at which reading failed.

use std::io::{self, Read};

use crate::Error;

/// One read, begun again where a signal cut it short.
pub(crate) fn read_once(source: &mut impl Read, room: &mut [u8], offset: u64) -> Result<usize, Error> {
    loop {
        match source.read(room) {
            Ok(read) => return Ok(read),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(Error::Io { offset, source }),
        }
    }
}

/// Reads until the place is full or the input ends; the number of bytes read.
///
/// # Errors
/// [`Error::Io`] with the offset at which reading failed; `offset` is where the first byte stands.
pub(crate) fn read_full(source: &mut impl Read, place: &mut [u8], offset: u64) -> Result<usize, Error> {
    let mut have = 0;
    while let Some(room) = place.get_mut(have..).filter(|room| !room.is_empty()) {
        match read_once(source, room, offset + have as u64)? {
            0 => break,
            read => have += read,
        }
    }
    Ok(have)
}
