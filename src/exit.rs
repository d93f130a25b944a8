//! The exit codes of the program, and what each means.

/// All went well.
pub const SUCCESS: u8 = 0;

/// The input is damaged, cannot be read or is no perf data, or the output cannot be written. All records that were
/// whole before that have been written.
pub const FAILURE: u8 = 1;

/// The command line is wrong; perf's own code for that.
pub const USAGE: u8 = 129;

/// What a shell shows where the reader of standard output went away: 128 and the number of SIGPIPE, by which the
/// program ends then.
pub const READER_GONE: u8 = 141;
