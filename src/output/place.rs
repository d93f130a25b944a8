//! The place of an output: its name, and the directory that it stands in. What the kernel would not let happen at the end
//! is found out before the first byte is read, since a live recording cannot be read again.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, rmdir, statx};
use rustix::io::Errno;
use tempfile::Builder;

/// Names that nobody looks for.
pub(super) fn beside() -> Builder<'static, 'static> {
    let mut beside = Builder::new();
    beside.prefix(".perftool-");
    beside
}

/// The directory in which something has its name.
pub(super) fn folder(target: &Path) -> &Path {
    target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Checks that what has a name, if anything does, may be replaced; it must be no empty directory.
///
/// # Errors
/// The system's error, and why that is.
pub(super) fn check_replaceable(target: &Path) -> anyhow::Result<()> {
    let cannot = |errno: Errno| {
        let why = match errno {
            Errno::PERM | Errno::BUSY => obstacle(target),
            _ => None,
        };
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        anyhow!(io::Error::from(errno)).context(format!("what has that name cannot be replaced{why}"))
    };
    if fs::symlink_metadata(target).is_err() {
        return Ok(());
    }
    // The kernel removes neither a file nor a directory with something in it as an empty directory; but before it says
    // so, it says whether it would let something of that name be removed or replaced at all.
    match rmdir(target) {
        Ok(()) | Err(Errno::NOTDIR | Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT) => {}
        Err(errno) => return Err(cannot(errno)),
    }
    // Of a file it says that this is none before it says that something is mounted there.
    if attributes(target).contains(StatxAttributes::MOUNT_ROOT) {
        return Err(cannot(Errno::BUSY));
    }
    Ok(())
}

/// Checks that a temporary name in a directory could be taken away again.
///
/// # Errors
/// Where names can only be added to it.
pub(super) fn check_temporary(folder: &Path) -> io::Result<()> {
    if attributes(folder).contains(StatxAttributes::APPEND) { Err(Errno::PERM.into()) } else { Ok(()) }
}

/// The error of a directory in which nothing can be made, with the part of it that is the reason.
pub(super) fn unusable(folder: &Path, error: io::Error) -> anyhow::Error {
    let parts = || folder.ancestors().filter(|part| !part.as_os_str().is_empty());
    let missing = parts().filter(|part| is(part, io::ErrorKind::NotFound)).last();
    let other = parts().filter(|part| fs::metadata(part).is_ok_and(|meta| !meta.is_dir())).last();
    let why = match (missing, other) {
        (_, Some(part)) => format!("{} is no directory", part.display()),
        (Some(part), None) => format!("there is no directory {}", part.display()),
        (None, None) if attributes(folder).contains(StatxAttributes::APPEND) => {
            format!("what is made in {} keeps its name (chattr +a), and here it takes two", folder.display())
        }
        (None, None) => format!("nothing can be made in {}", folder.display()),
    };
    anyhow!(error).context(why)
}

/// The error of an output that cannot have its name, and is kept under another, or cannot be.
pub(super) fn unnamed(target: &Path, error: io::Error, kept: io::Result<PathBuf>) -> anyhow::Error {
    let kept = match kept {
        Ok(kept) => format!("; all of it is kept as {}", kept.display()),
        Err(error) => format!(", nor another: {error}"),
    };
    anyhow!(error).context(format!("cannot give the output its name, {}{kept}", target.display()))
}

fn is(path: &Path, kind: io::ErrorKind) -> bool {
    fs::metadata(path).is_err_and(|error| error.kind() == kind)
}

/// Why something cannot be replaced, as far as that can be seen.
fn obstacle(target: &Path) -> Option<&'static str> {
    let (own, around) = (attributes(target), attributes(folder(target)));
    Some(match () {
        () if own.contains(StatxAttributes::MOUNT_ROOT) => "something is mounted on it",
        () if own.contains(StatxAttributes::IMMUTABLE) => "it is immutable (chattr +i)",
        () if own.contains(StatxAttributes::APPEND) => "it can only be appended to (chattr +a)",
        () if around.contains(StatxAttributes::IMMUTABLE) => "its directory is immutable (chattr +i)",
        () if around.contains(StatxAttributes::APPEND) => "its directory keeps its names (chattr +a)",
        () if is_sticky(folder(target)) => "it belongs to somebody else, and its directory is sticky",
        () => return None,
    })
}

fn is_sticky(folder: &Path) -> bool {
    const STICKY: u32 = 0o1000;
    fs::metadata(folder).is_ok_and(|meta| meta.mode() & STICKY != 0)
}

/// What the kernel says of a file besides its mode; nothing where it does not know.
fn attributes(path: &Path) -> StatxAttributes {
    let known = statx(CWD, path, AtFlags::empty(), StatxFlags::empty());
    known.map_or(StatxAttributes::empty(), |known| known.stx_attributes & known.stx_attributes_mask)
}
