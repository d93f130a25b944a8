//! Kernel modules to which the recording gives the same build-id: some versions of perf give the first module's id to
//! all.

use bstr::ByteSlice as _;
use hashbrown::HashMap;
use perf_format::BuildId;

use crate::dso::{Dso, DsoId, DsoKind, Dsos};
use crate::module_name::module_name;

/// The module that was the first with each id.
#[derive(Debug, Default)]
pub(crate) struct DuplicateIds {
    first: HashMap<BuildId, DsoId>,
}

impl DuplicateIds {
    /// Notes that the recording gives a DSO an id. Where another module has the same, neither can be trusted.
    pub(crate) fn check(&mut self, id: DsoId, build_id: BuildId, dsos: &mut Dsos) {
        let named = |dso: &Dso| module_name(dso.name.as_bstr());
        let Some(dso) = dsos.get(id).filter(|dso| dso.kind == DsoKind::Module && !dso.shares_id) else {
            return;
        };
        let other = *self.first.entry(build_id).or_insert(id);
        let Some(other_dso) = dsos.get(other).filter(|other| named(other) != named(dso)) else { return };
        if !other_dso.shares_id {
            log::warn!(
                "the recording gives several modules one build-id, {} and {} among them: at most one is right",
                other_dso.name,
                dso.name
            );
        }
        for id in [id, other] {
            if let Some(dso) = dsos.get_mut(id) {
                dso.shares_id = true;
            }
        }
    }
}
