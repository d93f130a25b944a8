//! A loaded kernel module's id, from its notes in sysfs.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use super::{BuildIdSource, FoundId, NoBuildId, Origin, RunningKernel, Trust};
use crate::dso::{Dso, DsoKind};
use crate::recording::Recording;
use bstr::{BStr, BString, ByteSlice as _};

/// Reads `/sys/module/NAME/notes/.note.gnu.build-id`, if the recording is of this boot.
#[derive(Debug, Clone)]
pub struct ModuleSource {
    modules: PathBuf,
    trust: Trust,
    running: RunningKernel,
}

impl Default for ModuleSource {
    fn default() -> Self {
        Self::new(Trust::default(), RunningKernel::default())
    }
}

impl ModuleSource {
    /// A source that trusts the running kernel as far as `trust` allows.
    #[must_use]
    pub fn new(trust: Trust, running: RunningKernel) -> Self {
        Self { modules: "/sys/module".into(), trust, running }
    }

    /// Modules below another directory than `/sys/module`.
    #[must_use]
    pub fn at(modules: PathBuf) -> Self {
        Self { modules, ..Self::default() }
    }
}

impl BuildIdSource for ModuleSource {
    fn build_id(&mut self, dso: &Dso, recording: &Recording) -> Result<Option<FoundId>, NoBuildId> {
        if dso.kind != DsoKind::Module {
            return Ok(None);
        }
        let Some(name) = module_name(dso.name.as_bstr()) else { return Ok(None) };
        if !self.trust.allow_changed {
            self.running.is_same_boot(recording).map_err(NoBuildId::Changed)?;
        }
        let notes = self.modules.join(OsStr::from_bytes(&name)).join("notes/.note.gnu.build-id");
        Ok(Some(FoundId::from(Origin::Module, super::kernel::id_in(&notes)?)))
    }
}

/// The name that the kernel gives a module: `/lib/modules/6.1/kernel/net/nf-nat.ko.xz` and `[nf_nat]` are both
/// `nf_nat`. `None` for what is no module's name.
#[must_use]
pub(crate) fn module_name(name: &BStr) -> Option<BString> {
    let stem = match name.strip_prefix(b"[") {
        Some(bracketed) => bracketed.strip_suffix(b"]")?,
        None => {
            let file = name.rsplit_str("/").next()?;
            file.get(..file.find(".ko")?)?
        }
    };
    // It becomes a part of a path, so that only a plain name may pass.
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let named = !stem.is_empty() && stem.iter().all(plain);
    named.then(|| stem.replace("-", "_").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_has_one_name_however_it_is_written() {
        let name = |text: &str| module_name(text.into()).map(|name| name.to_string());
        for text in ["[nf_nat]", "[nf-nat]", "/lib/modules/6.1/kernel/net/nf-nat.ko", "/x/nf_nat.ko.zst"] {
            assert_eq!(name(text).as_deref(), Some("nf_nat"), "{text}");
        }
        for text in ["[../../etc]", "[]", "/boot/vmlinux", "[kernel.kallsyms]", "/x/..ko", "[a/b]"] {
            assert_eq!(name(text), None, "{text}");
        }
    }
}
