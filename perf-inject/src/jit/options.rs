//! The options of `--jit` and `--perf-map`.

use super::source::find::Finder;

/// The options of `--jit` and `--perf-map`.
#[derive(Debug, Clone, Default)]
pub struct JitOptions {
    /// Whether names come from jitdumps.
    pub dumps: bool,
    /// Whether names come from perf maps.
    pub perf_maps: bool,
    /// Whether there is an image for each process, and not for each function.
    pub per_process: bool,
    /// Whether a dump that is missing or damaged ends the run.
    pub strict: bool,
    /// Whether the difference of clocks is estimated, where the recording has another clock than a dump.
    pub guess_clock: bool,
    /// Where dumps and perf maps are looked for, and whose are read.
    pub finder: Finder,
}
