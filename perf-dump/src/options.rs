//! What a dump shows, and how.

use perf_format::RecordType;

use crate::StableRules;

/// What a dump shows, and how. The default is all of a recording, as text.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DumpOptions {
    /// JSON Lines in the place of text.
    pub json: bool,
    /// The types of records that are shown; `None` for all.
    pub types: Option<Vec<RecordType>>,
    /// The processes whose records are shown; `None` for all. Records that are of no process are left out then.
    pub pids: Option<Vec<i32>>,
    /// The times of records that are shown; `None` for all. Records without a time are left out then.
    pub time: Option<TimeRange>,
    /// The fields of records that are shown, by their names; `None` for all.
    pub fields: Option<Vec<String>>,
    /// Whether lines begin with the record's offset.
    pub offsets: bool,
    /// Whether the header, the events and the features are shown.
    pub header: bool,
    /// Whether records are shown.
    pub records: bool,
    /// Lists and texts are cut where their line has reached so many bytes; a line has few more.
    pub max_width: usize,
    /// All bytes are shown, and nothing is cut.
    pub full: bool,
    /// Reads on past damage.
    pub recover: bool,
    /// Adds behind each address what was mapped there when the record was written, and the offset in it: `ip_at` behind
    /// `ip`. What was mapped is known where it stands before the end of the record's round (up to FINISHED_ROUND), which is
    /// read ahead; where records have no times, before the record. [`Dumper::with_symbols`](crate::Dumper::with_symbols) adds the symbol, too.
    pub resolve: bool,
    /// Replaces what differs between two runs of the same program; `None` shows all as it is.
    pub stable: Option<StableRules>,
}

impl Default for DumpOptions {
    fn default() -> Self {
        Self {
            json: false,
            types: None,
            pids: None,
            time: None,
            fields: None,
            offsets: true,
            header: true,
            records: true,
            max_width: 1 << 16,
            full: false,
            recover: false,
            resolve: false,
            stable: None,
        }
    }
}

/// Times from one on to another, both included, in ns of the recording's clock; `None` has no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeRange {
    /// The earliest.
    pub from: Option<u64>,
    /// The latest.
    pub to: Option<u64>,
}

impl TimeRange {
    /// Whether a time is in it.
    #[must_use]
    pub fn contains(self, time: u64) -> bool {
        self.from.is_none_or(|from| from <= time) && self.to.is_none_or(|to| time <= to)
    }
}
