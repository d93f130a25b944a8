//! The list as perf prints it: 40 columns of id, a space, the name.

use std::io::{self, Write};

use crate::{List, ListedDso, OnDisk};

/// Writes one line a DSO. Where there is no id, there are 40 blanks: others cut the columns. In front of the id of a
/// DSO that was compared with a file stands what came of it, in a column of its own, eight wide.
///
/// # Errors
/// Where the output cannot be written.
pub fn print(list: &List, out: &mut impl Write) -> io::Result<()> {
    let compared = list.dsos.iter().any(|dso| dso.on_disk.is_some());
    for ListedDso { build_id, name, on_disk, .. } in &list.dsos {
        if compared {
            let word = match on_disk {
                Some(OnDisk::Same) => "same",
                Some(OnDisk::Differs(_)) => "differs",
                Some(OnDisk::Gone(_)) => "gone",
                None => "",
            };
            write!(out, "{word:<8} ")?;
        }
        match build_id {
            Some(id) => write!(out, "{id:<40} ")?,
            None => write!(out, "{:<40} ", "")?,
        }
        out.write_all(name)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}
