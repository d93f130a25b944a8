//! A recording in file format that cannot be read at any offset, since it comes through a pipe or is packed: it is put into
//! a file without a name first.

use std::fs::File;
use std::io::{Read, Seek as _, Write as _};
use std::path::Path;

use anyhow::Context as _;

use crate::interrupt;

/// Bytes that are read at a time.
const BUFFER_SIZE: usize = 1 << 16;

/// Puts what an input of this name holds into a file in a directory, behind the bytes that have been read of it. The file
/// has no name, so that it is gone when the program is, however that ends.
///
/// # Errors
/// Where the input cannot be read, or the directory has no room for it.
pub(super) fn spool(beginning: &[u8], rest: &mut impl Read, name: &str, dir: &Path) -> anyhow::Result<File> {
    let cannot = || {
        let (dir, tmp) =
            (dir.display(), if dir == std::env::temp_dir() { " (TMPDIR names another)" } else { "" });
        format!("cannot put {name}, which is in perf's file format, into a file in {dir}{tmp}")
    };
    interrupt::limits_are_errors().with_context(cannot)?;
    let mut file = tempfile::tempfile_in(dir).with_context(cannot)?;
    file.write_all(beginning).with_context(cannot)?;
    let mut buffer = vec![0; BUFFER_SIZE];
    loop {
        let read = rest.read(&mut buffer).with_context(|| format!("cannot read {name}"))?;
        if read == 0 {
            break;
        }
        file.write_all(buffer.get(..read).unwrap_or_default()).with_context(cannot)?;
    }
    file.rewind().with_context(cannot)?;
    Ok(file)
}
