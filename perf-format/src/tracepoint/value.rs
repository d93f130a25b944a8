//! The value of a tracepoint's field, read out of a sample's RAW data.

use std::fmt;

use bstr::{BStr, ByteSlice as _};

use super::{FieldFormat, FieldShape};
use crate::Endian;

/// The value of a tracepoint's field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldValue<'r> {
    /// A number of a type with a sign.
    Signed(i64),
    /// A number of a type without a sign; a pointer.
    Unsigned(u64),
    /// An array of `char`, up to its first NUL.
    Text(&'r BStr),
    /// An array of other numbers.
    Array(Numbers<'r>),
    /// What is none of these: an array of bytes, a structure.
    Bytes(&'r [u8]),
}

impl<'r> FieldValue<'r> {
    /// A number that an `i64` holds, with a sign or without.
    #[must_use]
    pub fn as_i64(self) -> Option<i64> {
        match self {
            Self::Signed(number) => Some(number),
            Self::Unsigned(number) => i64::try_from(number).ok(),
            _ => None,
        }
    }

    /// A number that is not negative.
    #[must_use]
    pub fn as_u64(self) -> Option<u64> {
        match self {
            Self::Unsigned(number) => Some(number),
            Self::Signed(number) => u64::try_from(number).ok(),
            _ => None,
        }
    }

    /// A text.
    #[must_use]
    pub fn as_text(self) -> Option<&'r BStr> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A number as it is, a text without quotes, what is more than one of them as `{1, 2}`, bytes in hexadecimal.
impl fmt::Display for FieldValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signed(number) => number.fmt(f),
            Self::Unsigned(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
            Self::Array(numbers) => {
                for (index, number) in numbers.iter().enumerate() {
                    write!(f, "{}{number}", if index == 0 { "{" } else { ", " })?;
                }
                f.write_str(if numbers.is_empty() { "{}" } else { "}" })
            }
            Self::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

/// An array of numbers of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers<'r> {
    bytes: &'r [u8],
    size: u8,
    is_signed: bool,
    endian: Endian,
}

impl<'r> Numbers<'r> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() / usize::from(self.size.max(1))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The numbers, each [`FieldValue::Signed`] or [`FieldValue::Unsigned`].
    pub fn iter(&self) -> impl Iterator<Item = FieldValue<'r>> + use<'r> {
        let Self { bytes, size, is_signed, endian } = *self;
        bytes.chunks_exact(size.max(1).into()).filter_map(move |bytes| number(bytes, is_signed, endian))
    }
}

pub(super) fn read<'r>(field: &FieldFormat, raw: &'r [u8]) -> Option<FieldValue<'r>> {
    let FieldFormat { is_signed, element_size, endian, .. } = *field;
    let start = usize::try_from(field.offset).ok()?;
    let end = start.checked_add(field.size.try_into().ok()?)?;
    let own = raw.get(start..end)?;
    let bytes = match field.shape {
        FieldShape::Value => {
            let number = number(own, is_signed, endian).filter(|_| element_size > 0);
            return Some(number.unwrap_or(FieldValue::Bytes(own)));
        }
        FieldShape::Array(_) => own,
        FieldShape::DataLoc => located(raw, own, 0, endian)?,
        FieldShape::RelLoc => located(raw, own, end, endian)?,
    };
    if field.is_text() {
        return Some(FieldValue::Text(bytes.split(|byte| *byte == 0).next().unwrap_or_default().as_bstr()));
    }
    Some(match element_size {
        size @ (2 | 4 | 8) => FieldValue::Array(Numbers { bytes, size, is_signed, endian }),
        _ => FieldValue::Bytes(bytes),
    })
}

/// The bytes that a word points at: the low half is where they are from `base` on, the high half how many.
fn located<'r>(raw: &'r [u8], own: &[u8], base: usize, endian: Endian) -> Option<&'r [u8]> {
    let word = endian.u32_at(own, 0)?;
    let start = base.checked_add(usize::try_from(word & 0xffff).ok()?)?;
    raw.get(start..start.checked_add(usize::try_from(word >> 16).ok()?)?)
}

fn number<'r>(bytes: &[u8], is_signed: bool, endian: Endian) -> Option<FieldValue<'r>> {
    let word = match *bytes {
        [byte] => byte.into(),
        [a, b] => endian.u16([a, b]).into(),
        [a, b, c, d] => endian.u32([a, b, c, d]).into(),
        _ => endian.u64(*bytes.first_chunk().filter(|_| bytes.len() == 8)?),
    };
    let unused = 64 - 8 * u32::try_from(bytes.len()).ok()?;
    Some(match is_signed {
        true => FieldValue::Signed((word << unused).cast_signed() >> unused),
        false => FieldValue::Unsigned(word),
    })
}
