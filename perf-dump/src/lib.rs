//! Recordings as text and as JSON Lines that a test suite can keep.
//!
//! A [`Dumper`] gives one line after the other: what stands round the records (`HEADER`, an `ATTR` an event, a `FEATURE` a
//! feature), then one line a record, in the order of the recording. [`diff`] compares the lines of two.
//!
//! # The text
//!
//! ```text
//! HEADER format=pipe
//! ATTR event="cpu-clock" type=1 size=128 sample_type=IP|TID|TIME flags=sample_id_all|mmap2
//! 0x1f8 MMAP2 misc=USER pid=7 tid=7 start=0x5580 len=0x1000 pgoff=0x0 maj=8 min=1 ino=99 ino_generation=0 prot=r-x flags=private filename="/bin/ls" sample_id={pid=7 tid=7 time=12}
//! 0x268 SAMPLE misc=USER event="cpu-clock" ip=0x5590 pid=7 tid=7 time=13
//! ```
//!
//! - A record's line begins with its offset, of one that was compressed that of the record that it was in. Then come the
//!   type, the misc word by its names if it is not 0, and the fields by their names in C, in the order of their bytes.
//! - A name or text is in quotes, escaped so that each line is one line and no terminal obeys it: `\"`, `\\`, `\n`, `\t`,
//!   `\x1b` for a byte that is a control character or no UTF-8, `\u{202e}` for characters that change how others are
//!   shown.
//! - Addresses, sizes of maps and bits are in hexadecimal, all other numbers in decimal. A process, thread or CPU of -1 is
//!   `-1`. Markers in call chains have their names (`USER` for `PERF_CONTEXT_USER`). Bits that have names are joined by
//!   `|`, those without are in hexadecimal behind them.
//! - `[..]` is a list, `{..}` a group of fields. More bytes than 64 are `<4096 bytes #89abcdef>`: their number, and 32 bits
//!   of a hash (FNV-1a) that is the same everywhere.
//! - Padding is shown where it is not 0; bytes behind the known fields as `rest`.
//! - What cannot be parsed is `error="..."` and the bytes as `data`. Where nothing can be read behind some place, the last
//!   line is `ERROR error="..."`.
//! - Where addresses are resolved ([`DumpOptions::resolve`]), `NAME_at` stands behind the address or chain `NAME`, as
//!   `"/bin/ls+0x1234"` or `?`, and `NAME_symbol`, as `"main+0x12"`, where a symbol is known. What a stable dump has in the
//!   place of values is described by [`StableRules`].
//! - A list or text is cut where its line has reached [`DumpOptions::max_width`]: `... 1,234 more`.
//!
//! The bytes are the same for the same input on every machine, and a recording in the other byte order prints what its twin
//! prints, but for bytes that no layout is known of.
//!
//! # JSON
//!
//! With [`DumpOptions::json`] each line is one object, of version [`JSON_VERSION`]:
//!
//! ```json
//! {"record":"MMAP2","offset":504,"misc":["USER"],"fields":{"pid":7,"start":"0x5580","prot":"r-x","filename":"/bin/ls"}}
//! ```
//!
//! - `record` is the first word of the text's line; `offset` and `misc` are there where the text has them; `fields` has
//!   the fields in the same order by the same names. The line `HEADER` has the `version` among its fields.
//! - What the text has in hexadecimal is a string here (`"0x5580"`), since many readers lose bits of large numbers; what it
//!   has in decimal is a number, of 64 bits at most. Names of bits are an array of strings.
//! - Text that is not UTF-8 has its bytes replaced, and all of them in a second member, `NAME_hex`.
//! - More bytes than 64 are `{"len":4096,"hash":"89abcdef"}`. What was cut ends in `{"more":1234}`, a text in
//!   `... 1,234 more`.
//!
//! Records and fields that come to be known are added; none is renamed, and none changes its kind without another version.
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod addresses;
mod ahead;
mod attr;
mod diff;
mod dump;
mod escape;
mod features;
mod line;
mod options;
mod places;
mod preamble;
mod recent;
mod record;
mod source;
mod stable;
mod symbols;
mod words;

pub use diff::{DiffCount, DiffOptions, DiffSource, DiffSummary, diff, dump_lines, text_lines};
pub use dump::{Dumper, dump_text, stable_text};
pub use options::{DumpOptions, TimeRange};
pub use stable::StableRules;

/// The version of the JSON's shape. It goes up where something changes its meaning or goes, and not where something is added.
pub const JSON_VERSION: u32 = 1;

/// The example of the README, to see that it compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
