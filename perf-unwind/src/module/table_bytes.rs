//! The bytes of a table: copied, in the file, or unpacked when they are first asked for.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::ModuleContents;
use crate::limits::COPIED_AT_MOST;
use crate::unpack::{Packed, unpack};

/// The bytes of a table.
#[derive(Debug)]
pub(crate) enum TableBytes {
    Copied(Box<[u8]>),
    InFile(Arc<ModuleContents>, Range<usize>),
    Packed {
        contents: Arc<ModuleContents>,
        range: Range<usize>,
        packed: Packed,
        unpacked: OnceLock<Box<[u8]>>,
    },
}

impl TableBytes {
    /// A range of a file: copied where it is small. `None` where the file has no such range.
    pub(crate) fn of_file(contents: &Arc<ModuleContents>, range: Range<usize>) -> Option<Self> {
        let bytes = contents.as_bytes().get(range.clone())?;
        Some(match bytes.len() {
            ..=COPIED_AT_MOST => Self::Copied(bytes.into()),
            _ => Self::InFile(contents.clone(), range),
        })
    }

    /// The bytes; none where they cannot be unpacked.
    pub(crate) fn get(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::InFile(contents, range) => contents.as_bytes().get(range.clone()).unwrap_or_default(),
            Self::Packed { contents, range, packed, unpacked } => unpacked.get_or_init(|| {
                let bytes = contents.as_bytes().get(range.clone()).unwrap_or_default();
                unpack(bytes, *packed).unwrap_or_default().into()
            }),
        }
    }
}
