//! The vdso's id: that of the image which the running kernel maps into every process, this one included.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;

use super::elf::find_notes;
use super::{BuildIdSource, FoundId, NoBuildId, ObjectSource, Origin, WantedFile};
use crate::dso::{Dso, DsoKind};
use crate::evidence::Evidence;
use crate::limits::VDSO_AT_MOST;
use crate::object_files::{ObjectFile, ObjectImage};
use crate::recording::Recording;

/// Reads this process's own `[vdso]`, if the recording is of this boot: its image is built with the kernel.
#[derive(Debug, Clone, Default)]
pub struct VdsoSource {
    evidence: Evidence,
}

impl VdsoSource {
    /// A source of the running kernel's image, where the evidence says that it is the recorded one.
    #[must_use]
    pub fn new(evidence: Evidence) -> Self {
        Self { evidence }
    }
}

impl BuildIdSource for VdsoSource {
    fn build_id(&mut self, dso: &Dso, recording: &Recording) -> Result<Option<FoundId>, NoBuildId> {
        FoundId::of(self.object(dso, recording, WantedFile::WithId))
    }
}

impl ObjectSource for VdsoSource {
    fn object(
        &mut self,
        dso: &Dso,
        recording: &Recording,
        wanted: WantedFile,
    ) -> Result<Option<ObjectFile>, NoBuildId> {
        // The 32-bit images are others, and no 64-bit process has them.
        if dso.kind != DsoKind::Vdso || dso.name != "[vdso]" {
            return Ok(None);
        }
        if !wanted.proves() {
            self.evidence.kernel(recording)?;
        }
        let image = own_vdso()?.ok_or(NoBuildId::Unknown)?;
        let build_id = find_notes(image.as_slice()).map_err(NoBuildId::Elf)?.build_id;
        wanted.check(build_id)?;
        Ok(Some(ObjectFile {
            image: ObjectImage::Memory(image),
            build_id,
            origin: Origin::Vdso,
            unproven: None,
        }))
    }
}

/// The image, out of this process's memory; `None` where the kernel maps none.
fn own_vdso() -> io::Result<Option<Vec<u8>>> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let Some((start, end)) = maps.lines().find(|line| line.ends_with("[vdso]")).and_then(range) else {
        return Ok(None);
    };
    let len = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
    let mut image = vec![0; len.min(VDSO_AT_MOST)];
    File::open("/proc/self/mem")?.read_exact_at(&mut image, start)?;
    Ok(Some(image))
}

/// The addresses that a line of `/proc/self/maps` starts with.
fn range(line: &str) -> Option<(u64, u64)> {
    let (start, end) = line.split_once(' ')?.0.split_once('-')?;
    Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_maps_starts_with_a_range() {
        assert_eq!(
            range("7ffd8000-7ffda000 r-xp 00000000 00:00 0  [vdso]"),
            Some((0x7ffd_8000, 0x7ffd_a000))
        );
        assert_eq!(range("nonsense"), None);
    }
}
