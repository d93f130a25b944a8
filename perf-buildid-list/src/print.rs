//! The list as perf prints it: 40 columns of id, a space, the name.

use std::io::{self, Write};

use crate::Entry;

/// Writes one line an entry. Where there is no id, there are 40 blanks: others cut the columns.
///
/// # Errors
/// Where the output cannot be written.
pub fn print(entries: &[Entry], out: &mut impl Write) -> io::Result<()> {
    for Entry { build_id, name } in entries {
        match build_id {
            Some(id) => write!(out, "{id:<40} ")?,
            None => write!(out, "{:<40} ", "")?,
        }
        out.write_all(name)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}
