//! The zstd stream that all compressed records of a recording are pieces of.

use zstd_safe::{DCtx, InBuffer, OutBuffer};

/// A stream that is being inflated.
pub(super) struct ZstdStream(DCtx<'static>);

impl Default for ZstdStream {
    fn default() -> Self {
        Self(DCtx::create())
    }
}

impl ZstdStream {
    /// Inflates as much of a piece as there is room for: how many bytes of it were taken, and how many came of them.
    pub(super) fn inflate(&mut self, piece: &[u8], room: &mut [u8]) -> Result<(usize, usize), &'static str> {
        let (mut piece, mut out) = (InBuffer::around(piece), OutBuffer::around(room));
        self.0.decompress_stream(&mut out, &mut piece).map_err(zstd_safe::get_error_name)?;
        Ok((piece.pos(), out.pos()))
    }
}
