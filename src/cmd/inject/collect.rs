//! `--collect`: the files whose ids are injected are kept in a directory.

use std::path::Path;

use anyhow::Context as _;
use perf_bundle::{CollectReport, Collector, Store};

/// Starts collecting into a directory.
pub(super) fn start(dir: &Path, limit: u64) -> anyhow::Result<Collector> {
    let cannot = || format!("cannot use --collect {}", dir.display());
    let store = Store::open(dir).with_context(cannot)?;
    Collector::start(store, limit).with_context(cannot)
}

/// Waits for what is still to be copied, and says what could not be.
pub(super) fn finish(collector: Collector) {
    let CollectReport { new, known, bytes, refused, refused_count, .. } = collector.finish();
    log::debug!("{new} files collected ({bytes} bytes), {known} were there");
    for (name, reason) in &refused {
        log::warn!("{name} is not collected: {reason}");
    }
    if let Some(more @ 1..) = refused_count.checked_sub(refused.len() as u64) {
        log::warn!("{more} more are not collected");
    }
}
