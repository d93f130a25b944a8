//! The vdso's id: that of the image which the running kernel maps into every process, this one included.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;

use super::elf::find_build_id;
use super::{BuildIdSource, FoundId, NoBuildId, Origin, RunningKernel, Trust};
use crate::dso::{Dso, DsoKind};
use crate::limits::VDSO_AT_MOST;
use crate::recording::Recording;

/// Reads this process's own `[vdso]`, if the recording is of this kernel: its image is built with it.
#[derive(Debug, Clone, Default)]
pub struct VdsoSource {
    trust: Trust,
    running: RunningKernel,
}

impl VdsoSource {
    /// A source that trusts the running kernel as far as `trust` allows.
    #[must_use]
    pub fn new(trust: Trust, running: RunningKernel) -> Self {
        Self { trust, running }
    }
}

impl BuildIdSource for VdsoSource {
    fn build_id(&mut self, dso: &Dso, recording: &Recording) -> Result<Option<FoundId>, NoBuildId> {
        // The 32-bit images are others, and no 64-bit process has them.
        if dso.kind != DsoKind::Vdso || dso.name != "[vdso]" {
            return Ok(None);
        }
        if !self.trust.allow_changed {
            self.running.is_same_release(recording).map_err(NoBuildId::Changed)?;
        }
        let image = own_vdso()?.ok_or(NoBuildId::Unknown)?;
        match find_build_id(image.as_slice()) {
            Ok(Some(id)) => Ok(Some(FoundId::from(Origin::Vdso, id))),
            Ok(None) => Err(NoBuildId::NoNote),
            Err(error) => Err(NoBuildId::Elf(error)),
        }
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
