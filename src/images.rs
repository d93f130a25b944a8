//! The directory that images of jitted code go into: each is a new file without a name, and takes one that is free when
//! it is whole, so that no link is followed, and no file is written into or replaced. An image that a run before has
//! written is not written again.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bstr::BString;
use perf_inject::jit::{ImageError, Images, Written};
use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::output::Replacement;

/// Who may read an image: whoever may read the directory.
const MODE: u32 = 0o644;

/// A directory for images.
#[derive(Debug)]
pub(crate) struct ImageDir {
    dir: PathBuf,
}

impl ImageDir {
    /// A directory that is there, or is made.
    ///
    /// # Errors
    /// Where it cannot be made, or is none.
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("cannot put the code of jitted functions into {}", dir.display());
        if !dir.is_dir() {
            fs::create_dir(dir).with_context(cannot)?;
            log::warn!("the directory {} was not there, and is made", dir.display());
        }
        Ok(Self { dir: fs::canonicalize(dir).with_context(cannot)? })
    }
}

impl Images for ImageDir {
    fn path(&self, name: &str) -> BString {
        self.dir.join(name).as_os_str().as_bytes().into()
    }

    fn is_free(&self, name: &str) -> bool {
        // A path that cannot be looked at counts as taken.
        fs::symlink_metadata(self.dir.join(name)).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    fn write(
        &mut self,
        names: &mut dyn Iterator<Item = String>,
        fill: &mut dyn FnMut(&mut File) -> Result<Written, ImageError>,
    ) -> Result<(String, Written), ImageError> {
        let mut image = Replacement::new(self.dir.join("image"), MODE)?;
        let written = fill(&mut image.file)?;
        for name in names {
            let path = self.dir.join(&name);
            if is_same(&path, &image.file) {
                return Ok((name, written));
            }
            match image.finish_new(&path) {
                Ok(()) => return Ok((name, written)),
                Err((error, again)) if error.kind() == io::ErrorKind::AlreadyExists => image = again,
                Err((error, _)) => return Err(error.into()),
            }
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists).into())
    }
}

/// Whether a file with the same bytes is there already, which another run of this user has written.
fn is_same(path: &Path, image: &File) -> bool {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
    let Ok(there) = openat(CWD, path, flags, Mode::empty()).map(File::from) else { return false };
    let (Ok(there_meta), Ok(meta)) = (there.metadata(), image.metadata()) else { return false };
    // Nobody else shall be able to change what is in it later.
    let is_own = there_meta.is_file() && there_meta.uid() == meta.uid() && there_meta.mode() & 0o022 == 0;
    is_own
        && there_meta.nlink() == 1
        && there_meta.len() == meta.len()
        && have_same_bytes(&there, image).unwrap_or(false)
}

/// Whether two files of one length have the same bytes.
fn have_same_bytes(one: &File, other: &File) -> io::Result<bool> {
    let (mut ours, mut theirs) = ([0; 1 << 13], [0; 1 << 13]);
    let mut at = 0;
    loop {
        let read = one.read_at(&mut ours, at)?;
        if read == 0 {
            return Ok(true);
        }
        let (Some(ours), Some(theirs)) = (ours.get(..read), theirs.get_mut(..read)) else { return Ok(false) };
        other.read_exact_at(theirs, at)?;
        if ours != theirs {
            return Ok(false);
        }
        at += read as u64;
    }
}
