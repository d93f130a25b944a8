//! A loaded kernel module's id, from its notes in sysfs.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use bstr::{BStr, BString, ByteSlice as _};
use perf_format::BuildId;

use super::{BuildIdSource, FoundId, NoBuildId, Origin};
use crate::dso::{Dso, DsoKind};
use crate::evidence::Evidence;
use crate::recording::Recording;

/// Reads `/sys/module/NAME/notes/.note.gnu.build-id`, if the recording is of this boot.
#[derive(Debug, Clone)]
pub struct ModuleSource {
    modules: PathBuf,
    evidence: Evidence,
}

impl ModuleSource {
    /// A source of the modules that are loaded, where the evidence says that they are the recorded ones.
    #[must_use]
    pub fn new(evidence: Evidence) -> Self {
        Self { modules: "/sys/module".into(), evidence }
    }

    /// The same, of modules below another directory than `/sys/module`.
    #[must_use]
    pub fn at(self, modules: PathBuf) -> Self {
        Self { modules, ..self }
    }

    fn id_of(&self, name: &BStr) -> Result<BuildId, NoBuildId> {
        super::kernel::id_in(&self.modules.join(OsStr::from_bytes(name)).join("notes/.note.gnu.build-id"))
    }
}

/// The id of a module that is loaded now, by its own name.
///
/// # Errors
/// Where its notes cannot be read, or no build-id is among them.
pub(super) fn loaded_module(name: &BStr) -> Result<BuildId, NoBuildId> {
    ModuleSource::new(Evidence::default()).id_of(name)
}

impl BuildIdSource for ModuleSource {
    fn build_id(&mut self, dso: &Dso, recording: &Recording) -> Result<Option<FoundId>, NoBuildId> {
        if dso.kind != DsoKind::Module {
            return Ok(None);
        }
        let Some(name) = module_name(dso.name.as_bstr()) else { return Ok(None) };
        self.evidence.module(name.as_bstr(), recording)?;
        Ok(Some(FoundId::from(Origin::Module, self.id_of(name.as_bstr())?)))
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
