//! A folder for the files of one run.

use std::path::Path;

use tempfile::TempDir;

/// A folder that goes with its value: in memory, where there is such a place, since a disk takes far longer than the run.
pub(crate) fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let new =
        tempfile::Builder::new().prefix("perf-fuzz-").tempdir_in(memory).or_else(|_| tempfile::tempdir());
    new.expect("a folder")
}
