//! Which files of a directory hold a recording's records: what `perf record --threads` and `--kcore` write.

use std::path::{Path, PathBuf};

/// The files of a recording in a directory, by their paths.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DataFiles {
    /// `data`: a perf.data file, with the events and features of the whole recording.
    pub first: PathBuf,
    /// `data.0`, `data.1` and so on up to the first number that is missing: records alone, of the first file's events.
    pub others: Vec<PathBuf>,
}

impl DataFiles {
    /// Looks for the files of a recording in a directory. `None` where it has no file `data`, and so holds none.
    #[must_use]
    pub fn find(directory: &Path) -> Option<Self> {
        let first = directory.join("data");
        if !first.is_file() {
            return None;
        }
        let numbered = (0..).map(|number: u32| directory.join(format!("data.{number}")));
        Some(Self { first, others: numbered.take_while(|path| path.is_file()).collect() })
    }
}
