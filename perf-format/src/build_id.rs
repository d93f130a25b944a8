//! A build-id: the bytes by which a linker names one build of one file, of which perf data holds the first 20.

use std::fmt;
use std::str::FromStr;

/// A build-id of 1 to [`BuildId::MAX`] bytes, of which one at least is not 0. `Display` is lowercase hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BuildId {
    bytes: [u8; Self::MAX],
    len: u8,
}

/// Bytes or text that are no build-id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildIdError {
    /// No bytes.
    #[error("a build-id has at least one byte")]
    Empty,
    /// Nothing but zeros, which stand where an id would and there is none.
    #[error("a build-id is not all zeros")]
    Zeros,
    /// Text that is not an even number of hex digits.
    #[error("a build-id is an even number of hex digits")]
    Hex,
}

impl BuildId {
    /// The most bytes that perf's records can carry (`BUILD_ID_SIZE`).
    pub const MAX: usize = 20;

    /// A build-id of these bytes; of more than [`BuildId::MAX`] it is the first ones, as perf takes it. Linkers write 32
    /// with `--build-id=sha256`, or any number that they are given.
    ///
    /// # Errors
    /// [`BuildIdError::Empty`] where there are none, and [`BuildIdError::Zeros`] where these are all zeros.
    pub fn new(bytes: &[u8]) -> Result<Self, BuildIdError> {
        let mut id = [0; Self::MAX];
        let mut len = 0;
        for (place, byte) in id.iter_mut().zip(bytes) {
            *place = *byte;
            len += 1;
        }
        match len {
            0 => Err(BuildIdError::Empty),
            _ if id == [0; Self::MAX] => Err(BuildIdError::Zeros),
            _ => Ok(Self { bytes: id, len }),
        }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The bytes, filled up with zeros as records store them.
    #[must_use]
    pub fn padded(&self) -> [u8; Self::MAX] {
        self.bytes
    }

    /// The number of bytes that count.
    #[must_use]
    pub fn size(&self) -> u8 {
        self.len
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hex = String::with_capacity(2 * Self::MAX);
        for byte in self.as_bytes() {
            use fmt::Write as _;
            write!(hex, "{byte:02x}")?;
        }
        f.pad(&hex)
    }
}

impl fmt::Debug for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BuildId({self})")
    }
}

impl FromStr for BuildId {
    type Err = BuildIdError;

    fn from_str(hex: &str) -> Result<Self, BuildIdError> {
        if !hex.len().is_multiple_of(2) || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(BuildIdError::Hex);
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
        let bytes: Option<Vec<u8>> = hex
            .as_bytes()
            .chunks_exact(2)
            .map(|pair| match pair {
                [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
                _ => None,
            })
            .collect();
        Self::new(&bytes.ok_or(BuildIdError::Hex)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_are_the_same_id_at_every_length() {
        for len in 1..=BuildId::MAX {
            let bytes: Vec<u8> = (1..=len).map(|n| u8::try_from(n * 37 % 256).unwrap()).collect();
            let id = BuildId::new(&bytes).unwrap();
            assert_eq!(id.as_bytes(), bytes);
            assert_eq!(id.to_string().len(), 2 * len);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn of_more_than_20_bytes_the_first_20_are_the_id() {
        let bytes: Vec<u8> = (1..=32).collect();
        for len in BuildId::MAX..=bytes.len() {
            assert_eq!(BuildId::new(&bytes[..len]), BuildId::new(&bytes[..BuildId::MAX]));
        }
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex.parse(), BuildId::new(&bytes));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        assert_eq!(BuildId::new(&[]), Err(BuildIdError::Empty));
        for len in 1..=32 {
            assert_eq!(BuildId::new(&vec![0; len]), Err(BuildIdError::Zeros));
        }
        assert_eq!(
            BuildId::new(&[&[0; 20][..], &[1; 12]].concat()),
            Err(BuildIdError::Zeros),
            "all that counts"
        );
        assert!(BuildId::new(&[0, 0, 1]).is_ok());
        assert_eq!("".parse::<BuildId>(), Err(BuildIdError::Empty));
        assert_eq!("abc".parse::<BuildId>(), Err(BuildIdError::Hex));
        assert_eq!("zz".parse::<BuildId>(), Err(BuildIdError::Hex));
        assert_eq!("é".parse::<BuildId>(), Err(BuildIdError::Hex));
    }
}
