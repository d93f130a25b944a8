//! Hashes of what is in a bundle.

use std::fmt;
use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

/// The SHA-256 of some bytes. `Display` is lowercase hex.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sha256Hash([u8; 32]);

impl Sha256Hash {
    /// The hash that this text writes in hex; `None` where it is none.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        let digits = text.as_bytes();
        if digits.len() != 64 || !digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl fmt::Display for Sha256Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256Hash({self})")
    }
}

/// Hashes what is read through it, and counts it.
pub(crate) struct HashingReader<R> {
    inner: R,
    hash: Sha256,
    pub(crate) len: u64,
}

impl<R: Read> HashingReader<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, hash: Sha256::new(), len: 0 }
    }

    pub(crate) fn get_ref(&self) -> &R {
        &self.inner
    }

    /// The hash of what was read.
    pub(crate) fn finish(self) -> Sha256Hash {
        Sha256Hash(self.hash.finalize().into())
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        self.hash.update(buf.get(..read).unwrap_or_default());
        self.len += read as u64;
        Ok(read)
    }
}

/// Reads to the end, and returns the hash and the number of bytes; `progress` is told of each part.
pub(crate) fn hash_of(
    source: impl Read,
    progress: &mut dyn FnMut(u64) -> io::Result<()>,
) -> io::Result<(Sha256Hash, u64)> {
    let mut reader = HashingReader::new(source);
    let mut part = vec![0; 1 << 16];
    loop {
        match reader.read(&mut part) {
            Ok(0) => break,
            Ok(read) => progress(read as u64)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let len = reader.len;
    Ok((reader.finish(), len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_written_and_read_in_hex() {
        let (hash, len) = hash_of(&b"abc"[..], &mut |_| Ok(())).unwrap();
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((hash.to_string().as_str(), len), (hex, 3));
        assert_eq!(Sha256Hash::from_hex(hex), Some(hash));
        for wrong in ["", "ba", &hex.to_uppercase(), &format!("{hex}0"), &"é".repeat(32)] {
            assert_eq!(Sha256Hash::from_hex(wrong), None, "{wrong}");
        }
    }
}
