//! Ways to cut an input: into reads, and into parts.

use std::io::{self, Read};

use arbitrary::{Result, Unstructured};

/// Gives its bytes in pieces of the given lengths, over and over.
#[derive(Debug, Clone)]
pub struct FuzzPieces<'a> {
    rest: &'a [u8],
    lengths: Vec<usize>,
    turn: usize,
}

impl<'a> FuzzPieces<'a> {
    /// A source of these bytes; a length of 0 counts as 1.
    #[must_use]
    pub fn new(bytes: &'a [u8], lengths: &[usize]) -> Self {
        Self { rest: bytes, lengths: lengths.to_vec(), turn: 0 }
    }

    /// A source that cuts the bytes as they themselves say: the same each time, and the input may be a recording
    /// as it is, without a word in front that tells the lengths.
    #[must_use]
    pub fn of(bytes: &'a [u8]) -> Self {
        Self::new(bytes, &lengths(bytes))
    }
}

impl Read for FuzzPieces<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let length = self.lengths.get(self.turn % self.lengths.len().max(1)).copied().unwrap_or(1).max(1);
        self.turn += 1;
        let (piece, rest) = self.rest.split_at(length.min(room.len()).min(self.rest.len()));
        room[..piece.len()].copy_from_slice(piece);
        self.rest = rest;
        Ok(piece.len())
    }
}

/// A few lengths out of a hash (FNV-1a) of the bytes: some smaller than a record's header, some larger.
pub(crate) fn lengths(bytes: &[u8]) -> [usize; 4] {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    }
    let [a, b, c, d, ..] = hash.to_le_bytes().map(usize::from);
    [1 + a % 9, 1 + b, 1 + c % 24, 1 + d * 16]
}

/// As many bytes as the next one says, and no more than there are, or than so many.
pub(crate) fn some<'a>(u: &mut Unstructured<'a>, at_most: usize) -> Result<&'a [u8]> {
    let len: u8 = u.arbitrary()?;
    u.bytes(usize::from(len).min(at_most).min(u.len()))
}
