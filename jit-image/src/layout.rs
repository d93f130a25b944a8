//! Where code stands in an image.

/// The offset of the first function, in bytes: one page. Headers and the build-id's note stand before it however
/// many they are, so that it is known before any function is; and perf takes an executable segment to begin at a
/// page's start.
pub const TEXT_OFFSET: u64 = 0x1000;

/// The offset of the only function of an image of one, in bytes: behind the file's header, which has 64 at the most. What
/// else stands before a function in other images stands behind it here. perf with libdw takes an image to begin that
/// much before the map, and images that reach into each other hide each other: before a function a runtime has
/// mostly that much of its own.
pub const FUNCTION_OFFSET: u64 = 0x40;

/// What functions are aligned to, in bytes.
pub(crate) const TEXT_ALIGN: u64 = 16;

/// The index of `.text` among the sections.
pub(crate) const TEXT_INDEX: u16 = 2;

/// Where packed functions end at the most: behind them there is room for the rest even where offsets have four bytes.
const TEXT_END_AT_MOST: u64 = 1 << 31;

/// Chooses offsets for functions, one behind the other from [`TEXT_OFFSET`] on.
#[derive(Debug, Clone)]
pub struct PackedLayout {
    end: u64,
}

impl Default for PackedLayout {
    fn default() -> Self {
        Self { end: TEXT_OFFSET }
    }
}

impl PackedLayout {
    /// The offset of the next function, which has `size` bytes; `None` if there is no room left for it.
    pub fn place(&mut self, size: u64) -> Option<u64> {
        let offset = self.end.checked_next_multiple_of(TEXT_ALIGN)?;
        self.end = offset.checked_add(size).filter(|end| *end <= TEXT_END_AT_MOST)?;
        Some(offset)
    }
}
