//! How much of anything is believed.

use std::time::Duration;

/// The fewest bytes that a server sends within the timeout, but for the rest of a file: elfutils' client gives up one that
/// is slower.
pub(crate) const SENT_IN_TIMEOUT: u64 = 100 << 10;

/// How often it is looked whether the caller wants to stop.
pub(crate) const LOOKED_EVERY: Duration = Duration::from_millis(50);

/// The most bytes of a response's headers.
pub(crate) const HEADERS_AT_MOST: usize = 1 << 16;

/// The bytes that are read of a response at once.
pub(crate) const PART: usize = 1 << 16;

/// How many parts wait to be written.
pub(crate) const PARTS_AHEAD: usize = 4;

/// How many bytes of what a server says of itself are shown.
pub(crate) const QUOTED_AT_MOST: usize = 200;

/// After how many fetches in a row in which a server could not be reached, or was silent, it is not asked any more.
pub(crate) const SILENT_AT_MOST: u32 = 3;

/// The most bytes of a control file of the cache: a number.
pub(crate) const CONTROL_FILE_AT_MOST: u64 = 64;

/// The most bytes of a build-id. Linkers write 20, or 32; a name of a folder has at most 255 digits.
pub(crate) const BUILD_ID_AT_MOST: usize = 64;
