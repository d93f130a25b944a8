//! Reads the parts that features are made of: words, strings with their length in front, counted lists.

use bstr::{BStr, BString, ByteSlice as _};

use crate::Endian;
use crate::codec::{Codec, Decoder, FieldError};
use crate::misc::Misc;

/// A cursor over a feature.
pub(super) struct FeatureParts<'a>(Decoder<'a>);

pub(super) type Part<T> = Result<T, FieldError>;

impl<'a> FeatureParts<'a> {
    pub(super) fn new(data: &'a [u8], endian: Endian) -> Self {
        Self(Decoder::new(data, 0, endian, Misc::default()))
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.0.rest().is_empty()
    }

    pub(super) fn word<T: Codec<'a>>(&mut self, field: &'static str) -> Part<T> {
        self.0.field(field)
    }

    /// A string: its length, which counts the padding, and the bytes up to a NUL.
    pub(super) fn text(&mut self, field: &'static str) -> Part<BString> {
        let len: u32 = self.0.field(field)?;
        let text = self.0.take(usize::try_from(len).unwrap_or(usize::MAX));
        let text = text.map_err(|problem| FieldError { field, problem })?;
        Ok(up_to_nul(text).to_owned())
    }

    /// A count, and that many elements. Each takes bytes, so that a false count ends soon.
    pub(super) fn list<T>(
        &mut self,
        field: &'static str,
        element: impl FnMut(&mut Self) -> Part<T>,
    ) -> Part<Vec<T>> {
        let count: u32 = self.0.field(field)?;
        self.times(count.into(), element)
    }

    /// That many elements.
    pub(super) fn times<T>(
        &mut self,
        count: u64,
        mut element: impl FnMut(&mut Self) -> Part<T>,
    ) -> Part<Vec<T>> {
        (0..count).map(|_| element(self)).collect()
    }

    pub(super) fn texts(&mut self, field: &'static str) -> Part<Vec<BString>> {
        self.list(field, |parts| parts.text(field))
    }
}

fn up_to_nul(bytes: &[u8]) -> &BStr {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default().as_bstr()
}
