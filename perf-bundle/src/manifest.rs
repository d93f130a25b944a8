//! The manifest of a bundle, `manifest.json`: what is in it, where that came from, and what is missing. It is the first file
//! of the tar. Behind it stand the recording's files and then the others, each in the order of the manifest.

use bstr::{BStr, BString, ByteSlice as _};
use perf_format::BuildId;
use serde::{Deserialize, Serialize};

use crate::hash::Sha256Hash;
use crate::layout::FileRole;

/// The version of the manifest's shape. A reader refuses a later one.
pub const FORMAT_VERSION: u32 = 1;

/// What is in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Manifest {
    /// [`FORMAT_VERSION`].
    pub version: u32,
    /// The files of the recording; none where it was left out, several where it is in a directory.
    pub recording: Vec<ManifestRecording>,
    /// The files that its symbols are in, by name and id.
    pub files: Vec<ManifestFile>,
    /// What is missing, the most hit first.
    pub missing: Vec<ManifestMissing>,
}

/// A file of the recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ManifestRecording {
    /// Its name in the recording's directory; `None` for a recording that is one file.
    pub name: Option<String>,
    /// Its size, in bytes.
    pub size: u64,
    /// Its SHA-256, in hex.
    pub sha256: String,
    /// How it was packed (`gzip`, `xz` or `zstd`) where it was found: it is unpacked in the bundle, since perf reads no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packing: Option<String>,
}

/// A file that symbols are in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ManifestFile {
    /// The DSO's name; where that is not UTF-8, what is not is replaced.
    pub name: String,
    /// The name's bytes in hex, where it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_hex: Option<String>,
    /// Other names of the same build in the recording.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// The build-id, in hex; `None` of an object file that has none, which readers find by its name alone.
    pub build_id: Option<String>,
    /// What it is: `elf`, `debug`, `alternate`, `kallsyms` or `vdso`.
    pub kind: FileRole,
    /// Its size, in bytes.
    pub size: u64,
    /// Its SHA-256, in hex; `None` where it was not read yet.
    pub sha256: Option<String>,
    /// Where it was found: `file`, `process`, `kernel` and so on, the sources of build-ids.
    pub source: String,
    /// Why nothing proves that it is the recorded one; `None` where that is proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unproven: Option<String>,
    /// How many samples hit it.
    pub samples: u64,
}

/// A file that is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ManifestMissing {
    /// The DSO's name; what is not UTF-8 in it is replaced.
    pub name: String,
    /// The build-id that the recording carries for it, in hex, if it does.
    pub build_id: Option<String>,
    /// What it is.
    pub kind: FileRole,
    /// How many samples hit it.
    pub samples: u64,
    /// Why it is missing.
    pub reason: String,
}

impl ManifestFile {
    /// A name as it stands in a manifest: as text, and in hex where it is no text.
    pub(crate) fn named(name: &BStr) -> (String, Option<String>) {
        let hex = || name.iter().map(|byte| format!("{byte:02x}")).collect();
        (name.to_str_lossy().into_owned(), name.to_str().is_err().then(hex))
    }

    /// The bytes of the name.
    pub(crate) fn name_bytes(&self) -> Option<BString> {
        let Some(hex) = &self.name_hex else { return Some(self.name.as_str().into()) };
        let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Option<Vec<u8>> = hex.as_bytes().chunks(2).map(pair).collect();
        bytes.map(BString::from)
    }

    pub(crate) fn id(&self) -> Option<BuildId> {
        let text = self.build_id.as_ref()?;
        let id: BuildId = text.parse().ok()?;
        // Longer ids are cut by the parser, and are none of ours.
        (id.to_string() == *text).then_some(id)
    }

    pub(crate) fn hash(&self) -> Option<Sha256Hash> {
        Sha256Hash::from_hex(self.sha256.as_ref()?)
    }
}
