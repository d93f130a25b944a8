//! `--collect`: the files whose ids are injected are kept in a directory.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use bstr::{BString, ByteSlice as _};
use perf_bundle::{CollectQueue, CollectReport, Collector, Store};
use perf_inject::jit::{ImageError, Images, Written};

use crate::images::ImageDir;

/// Starts collecting into a directory. A live stream does not wait for it.
pub(super) fn start(dir: &Path, limit: u64, is_live: bool) -> anyhow::Result<Collector> {
    let cannot = || format!("cannot use --collect {}", dir.display());
    let store = Store::open(dir).with_context(cannot)?;
    let collector = Collector::start(store, limit).with_context(cannot)?;
    Ok(if is_live { collector } else { collector.waiting() })
}

/// The directory for images of jitted code, each of which is collected when it is whole: no source of ids is asked for them.
#[derive(Debug)]
pub(super) struct CollectedImages {
    pub(super) dir: ImageDir,
    pub(super) queue: CollectQueue,
}

impl Images for CollectedImages {
    fn path(&self, name: &str) -> BString {
        self.dir.path(name)
    }

    fn is_free(&self, name: &str) -> bool {
        self.dir.is_free(name)
    }

    fn write(
        &mut self,
        names: &mut dyn Iterator<Item = String>,
        fill: &mut dyn FnMut(&mut File) -> Result<Written, ImageError>,
    ) -> Result<(String, Written), ImageError> {
        let (name, written) = self.dir.write(names, fill)?;
        let path = self.dir.path(&name);
        match File::open(OsStr::from_bytes(&path)) {
            Ok(image) => self.queue.file(path.as_bstr(), written.build_id, image),
            Err(error) => log::warn!("{path} is not collected: {error}"),
        }
        Ok((name, written))
    }
}

/// Waits for what is still to be copied, and says what could not be.
///
/// # Errors
/// Where the store could take no more.
pub(super) fn finish(collector: Collector, dir: &Path) -> anyhow::Result<()> {
    let CollectReport { new, known, bytes, refused, refused_count, store_failure, .. } = collector.finish();
    log::debug!("{new} files collected ({bytes} bytes), {known} were there");
    for (name, reason) in &refused {
        log::warn!("{name} is not collected: {reason}");
    }
    if let Some(more @ 1..) = refused_count.checked_sub(refused.len() as u64) {
        log::warn!("{more} more are not collected");
    }
    match store_failure {
        Some(reason) => bail!("cannot keep all files in --collect {}: {reason}", dir.display()),
        None => Ok(()),
    }
}
