//! A loaded kernel module's id, from its notes in sysfs.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use bstr::{BStr, ByteSlice as _};
use perf_format::BuildId;

use super::{BuildIdSource, FoundId, NoBuildId, Origin};
use crate::dso::{Dso, DsoKind};
use crate::evidence::Evidence;
use crate::module_name::module_name;
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

    /// Looks for modules below another directory than `/sys/module`.
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
