//! The facts about a recording, out of its features, that build-ids need.

use bstr::{BString, ByteSlice as _};
use perf_format::{Endian, Feature};

/// The facts about a recording.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recording {
    /// The release of the kernel that it was made on (`uname -r`).
    pub release: Option<BString>,
    /// The machine that it was made on (`uname -m`).
    pub arch: Option<BString>,
    /// Where its kernel's reference symbol was; `None` where that was hidden.
    pub kernel_reference: Option<u64>,
}

impl Recording {
    /// Takes in a feature.
    pub(crate) fn feature(&mut self, feature: Feature, data: &[u8], endian: Endian) {
        match feature {
            Feature::OSRELEASE => self.release = text(data, endian).map(BString::from),
            Feature::ARCH => self.arch = text(data, endian).map(BString::from),
            _ => {}
        }
    }
}

/// A feature that is one text: a length, and the text up to a NUL.
fn text(data: &[u8], endian: Endian) -> Option<&[u8]> {
    let len = usize::try_from(endian.u32_at(data, 0)?).ok()?;
    let text = data.get(4..)?.get(..len)?;
    text.get(..text.find_byte(0).unwrap_or(text.len()))
}
