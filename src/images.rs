//! The directory that images of jitted code go into: each is a new file without a name, and takes one that is free when
//! it is whole, so that no link is followed, and no file is written into or replaced.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bstr::BString;
use perf_inject::jit::{ImageError, Images, Written};

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
        name: &str,
        fill: &mut dyn FnMut(&mut File) -> Result<Written, ImageError>,
    ) -> Result<Written, ImageError> {
        let mut image = Replacement::new(self.dir.join(name), MODE)?;
        let written = fill(&mut image.file)?;
        image.finish_new()?;
        Ok(written)
    }
}
