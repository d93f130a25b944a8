//! What a file must have to be taken for a DSO's.

use perf_format::BuildId;

use super::NoBuildId;
use crate::evidence::Mismatch;

/// What is looked for in the places where a DSO's file may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WantedFile {
    /// One with a build-id, which is what is looked for.
    WithId,
    /// One with a build-id or without.
    Any,
    /// The one with this build-id, which was recorded.
    OfBuild(BuildId),
}

impl WantedFile {
    /// Whether a file that has what is wanted is the recorded one for that reason, so that no other proof is needed.
    pub(crate) fn proves(self) -> bool {
        matches!(self, Self::OfBuild(_))
    }

    /// Whether a file with this id, or without one, is wanted.
    pub(crate) fn check(self, here: Option<BuildId>) -> Result<(), NoBuildId> {
        match self {
            Self::WithId if here.is_none() => Err(NoBuildId::NoNote),
            // Old recordings fill a shorter id up with zeros, and do not tell its size.
            Self::OfBuild(recorded) if here.map(|id| id.padded()) != Some(recorded.padded()) => {
                Err(NoBuildId::Changed(Mismatch::Build { recorded, here }))
            }
            Self::WithId | Self::Any | Self::OfBuild(_) => Ok(()),
        }
    }
}
