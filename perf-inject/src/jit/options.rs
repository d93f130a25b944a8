//! What `--jit` and `--perf-map` ask for.

use super::source::find::Finder;

/// What `--jit` and `--perf-map` ask for.
#[derive(Debug, Clone, Default)]
pub struct JitOptions {
    /// Names from jitdumps.
    pub dumps: bool,
    /// Names from perf maps.
    pub perf_maps: bool,
    /// An image for each function, and not for each process.
    pub per_function: bool,
    /// A dump that is missing or bad ends the run.
    pub strict: bool,
    /// Where the recording has another clock than a dump, how much they differ is estimated.
    pub guess_clock: bool,
    /// Where dumps are, and whose are read.
    pub finder: Finder,
}
