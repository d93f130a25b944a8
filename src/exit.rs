//! The exit codes of the program, and what each means.

/// All went well.
pub const SUCCESS: u8 = 0;

/// The input is damaged, cannot be read or is no perf data, or the output cannot be written. All records that were
/// whole before that have been written.
pub const FAILURE: u8 = 1;

/// Of `diff`, as of diff(1): the recordings differ.
pub const DIFFERENT: u8 = 1;

/// Of `diff`, as of diff(1): it could not be told whether they do.
pub const TROUBLE: u8 = 2;

/// The command line is wrong; perf's own code for that.
pub const USAGE: u8 = 129;

/// What a shell shows where the reader of standard output went away: 128 and the number of SIGPIPE, by which the
/// program ends then.
pub const READER_GONE: u8 = 141;

/// Rows of the tables in the help and the man pages.
pub(crate) const OF_SUCCESS: (&str, &str) = ("0", "Success, also where a warning says what was left out.");
pub(crate) const OF_USAGE: (&str, &str) = ("129", "The command line is wrong.");
pub(crate) const OF_SIGNALS: (&str, &str) =
    ("130, 143", "Ended by a second SIGINT or SIGTERM; after the first a pipe is read to its end.");
pub(crate) const OF_READER_GONE: (&str, &str) = ("141", "The reader of standard output went away.");
