//! The differences of two dumps, record by record.
//!
//! Lines are aligned by Myers' algorithm in windows that grow until both sides agree again, so that memory is bounded:
//! what stands more than 4,096 lines from its place is not found there. Offsets are not compared, and neither is how the
//! records are held: in a file or a stream. A record that was removed and one of its type that was added in its place are
//! one that was changed.

use std::collections::BTreeMap;
use std::io::{self, Write};

use bstr::{BString, ByteSlice as _};

use crate::escape::json_string;

mod align;
mod fields;
mod source;
mod unified;

use align::{Aligner, Edit};
pub use source::{DiffSource, dump_lines, text_lines};
use unified::Unified;

/// How differences are shown.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DiffOptions {
    /// The lines that are shown around a difference.
    pub context: usize,
    /// Counts by type of record in the place of the differences.
    pub stat: bool,
    /// JSON Lines: an object a difference. The lines that are compared are those of JSON dumps then.
    pub json: bool,
    /// Colours, for a terminal.
    pub color: bool,
    /// The names of both, for the first lines.
    pub names: [String; 2],
}

impl Default for DiffOptions {
    fn default() -> Self {
        Self { context: 3, stat: false, json: false, color: false, names: ["a".to_owned(), "b".to_owned()] }
    }
}

/// The differences of one type of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DiffCount {
    /// Those that only the second has.
    pub added: u64,
    /// Those that only the first has.
    pub removed: u64,
    /// Those with other fields.
    pub changed: u64,
}

/// What two dumps differ in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DiffSummary {
    /// The counts by the first word of the lines: the type of record, HEADER, ATTR, FEATURE.
    pub by_type: BTreeMap<String, DiffCount>,
    /// The lines of both at which the first difference is, from 1 on.
    pub first: Option<[u64; 2]>,
}

impl DiffSummary {
    /// Whether there is no difference.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.first.is_none()
    }

    fn count(&mut self, line: &[u8], at: [u64; 2], count: impl FnOnce(&mut DiffCount)) {
        self.first.get_or_insert(at);
        count(self.by_type.entry(fields::word(line).to_str_lossy().into_owned()).or_default());
    }
}

/// Writes the differences of two dumps.
///
/// # Errors
/// Where a dump cannot be read, or the differences cannot be written.
pub fn diff(
    a: DiffSource<'_>,
    b: DiffSource<'_>,
    options: &DiffOptions,
    out: &mut impl Write,
) -> io::Result<DiffSummary> {
    let mut aligner = Aligner::new(a, b);
    let mut summary = DiffSummary::default();
    let mut unified = Unified::new(options);
    let mut at = [1, 1];
    while let Some(edit) = aligner.next()? {
        match &edit {
            Edit::Same(_) => {}
            Edit::Removed(line) => summary.count(line, at, |count| count.removed += 1),
            Edit::Added(line) => summary.count(line, at, |count| count.added += 1),
            Edit::Changed(line, _) => summary.count(line, at, |count| count.changed += 1),
        }
        let [lines_of_a, lines_of_b] = edit.lines();
        match (options.stat, options.json) {
            (true, _) => {}
            (false, true) => write_json(&edit, at, out)?,
            (false, false) => unified.take(edit, at, out)?,
        }
        at = [at[0] + lines_of_a, at[1] + lines_of_b];
    }
    match options.stat {
        true => write_stat(&summary, options.json, out)?,
        false => unified.flush(out)?,
    }
    out.flush()?;
    Ok(summary)
}

fn write_json(edit: &Edit, [a, b]: [u64; 2], out: &mut impl Write) -> io::Result<()> {
    match edit {
        Edit::Same(_) => Ok(()),
        Edit::Removed(line) => {
            write!(out, "{{\"change\":\"removed\",\"line\":[{a},{b}],\"a\":")?;
            out.write_all(line)?;
            out.write_all(b"}\n")
        }
        Edit::Added(line) => {
            write!(out, "{{\"change\":\"added\",\"line\":[{a},{b}],\"b\":")?;
            out.write_all(line)?;
            out.write_all(b"}\n")
        }
        Edit::Changed(old, new) => {
            write!(out, "{{\"change\":\"changed\",\"line\":[{a},{b}],\"fields\":[")?;
            for (number, change) in fields::changed(old, new).iter().enumerate() {
                write!(out, "{}{}", if number > 0 { "," } else { "" }, json_text(&change.name))?;
            }
            out.write_all(b"],\"a\":")?;
            out.write_all(old)?;
            out.write_all(b",\"b\":")?;
            out.write_all(new)?;
            out.write_all(b"}\n")
        }
    }
}

fn json_text(text: &str) -> BString {
    let mut quoted = Vec::new();
    json_string(text.into(), &mut quoted);
    quoted.into()
}

fn write_stat(summary: &DiffSummary, json: bool, out: &mut impl Write) -> io::Result<()> {
    for (word, DiffCount { added, removed, changed }) in &summary.by_type {
        match json {
            true => writeln!(
                out,
                "{{\"record\":{},\"added\":{added},\"removed\":{removed},\"changed\":{changed}}}",
                json_text(word)
            )?,
            false => writeln!(out, "{word:<20} {added:>8} added {removed:>8} removed {changed:>8} changed")?,
        }
    }
    match (summary.first, json) {
        (Some([a, b]), false) => {
            writeln!(out, "the first difference is at line {a} of the first, {b} of the second")
        }
        (Some([a, b]), true) => writeln!(out, "{{\"first\":[{a},{b}]}}"),
        (None, _) => Ok(()),
    }
}
