//! Frames of zstd, one behind the other.

use zstd_safe::zstd_sys::ZSTD_ErrorCode;
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use super::{Stepped, UnpackFailure};
use crate::limits::ZSTD_WINDOW_LOG_AT_MOST;

/// Unpacks frames.
pub(super) struct ZstdCodec {
    context: DCtx<'static>,
    /// Whether a frame has begun and not ended.
    is_inside: bool,
}

impl Default for ZstdCodec {
    fn default() -> Self {
        let mut context = DCtx::create();
        // It is one of the values that there are.
        context.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_AT_MOST)).ok();
        Self { context, is_inside: false }
    }
}

impl ZstdCodec {
    /// Unpacks a piece of input into a buffer, as far as either goes.
    pub(super) fn step(&mut self, input: &[u8], buf: &mut [u8]) -> Stepped {
        let mut packed = InBuffer::around(input);
        let mut unpacked = OutBuffer::around(buf);
        let stepped = self.context.decompress_stream(&mut unpacked, &mut packed);
        let (taken, unpacked) = (packed.pos(), unpacked.pos());
        // How much it wants to have next, which is nothing where a frame has ended.
        if let Ok(wanted) = stepped
            && taken + unpacked > 0
        {
            self.is_inside = wanted > 0;
        }
        let failure = stepped.err().map(failure);
        Stepped { taken, unpacked, is_whole: !self.is_inside, failure }
    }
}

/// An error of the library's, which are negative numbers.
fn failure(code: usize) -> UnpackFailure {
    if code == (ZSTD_ErrorCode::ZSTD_error_frameParameter_windowTooLarge as usize).wrapping_neg() {
        return UnpackFailure::FarBack;
    }
    UnpackFailure::Damaged(zstd_safe::get_error_name(code).to_owned())
}
