//! The list as perf prints it: 40 columns of id, a space, the name.

use std::io::{self, Write};

use crate::{List, ListedDso, OnDisk};

/// Writes one line a DSO. A DSO without an id gets 40 blanks, since scripts cut at columns. If the DSO was compared
/// with a file, the result stands in front of the id, in a column eight wide.
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
