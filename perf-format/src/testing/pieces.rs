//! Bytes that come in pieces, as a pipe gives them.

use std::io::{self, Read};

/// Gives its bytes in pieces of the given lengths, over and over.
#[derive(Debug)]
pub struct Pieces<'a> {
    bytes: &'a [u8],
    lengths: Vec<usize>,
    next: usize,
}

impl<'a> Pieces<'a> {
    /// These bytes; a length of 0 is one of 1.
    #[must_use]
    pub fn new(bytes: &'a [u8], lengths: &[usize]) -> Self {
        assert!(!lengths.is_empty(), "pieces have a length");
        Self { bytes, lengths: lengths.to_vec(), next: 0 }
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let length = self.lengths[self.next % self.lengths.len()].max(1);
        self.next += 1;
        let len = length.min(buf.len()).min(self.bytes.len());
        let (now, later) = self.bytes.split_at(len);
        buf[..len].copy_from_slice(now);
        self.bytes = later;
        Ok(len)
    }
}
