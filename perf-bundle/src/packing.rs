//! What is packed, as a reader; the limits of memory are those of [`perf_session::unpack`].

use std::io::{self, Read};

use perf_session::unpack::{Packing, UnpackFailure, Unpacked};

/// Reads what a source unpacks to.
pub(crate) struct UnpackingReader<R>(Unpacked<R>);

impl<R: Read> UnpackingReader<R> {
    pub(crate) fn new(packing: Packing, source: R) -> Self {
        Self(Unpacked::new(packing, source))
    }
}

impl<R: Read> Read for UnpackingReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf).map_err(|failure| match failure {
            UnpackFailure::Source(error) => error,
            UnpackFailure::Cut => io::Error::new(io::ErrorKind::UnexpectedEof, failure.to_string()),
            failure => io::Error::new(io::ErrorKind::InvalidData, failure.to_string()),
        })
    }
}
