//! In the stream's place where zstd was left out of the build: every piece is an error that says so.

/// A stream that cannot be inflated.
#[derive(Default)]
pub(super) struct NoZstd(());

impl NoZstd {
    pub(super) fn inflate(&mut self, _: &[u8], _: &mut [u8]) -> Result<(usize, usize), &'static str> {
        Err("perf-format was built without its feature zstd")
    }
}
