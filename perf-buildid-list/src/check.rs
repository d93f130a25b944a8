//! Compares the ids of a recording with those of this machine's files.

use bstr::ByteSlice as _;
use perf_session::Recording;
use perf_session::build_id::{BuildIdSource, NoBuildId};
use perf_session::dso::Dso;

use crate::{List, OnDisk};

/// Compares the id of each DSO that has one with the id that `files` has for it, and notes the result in
/// [`ListedDso::on_disk`](crate::ListedDso::on_disk). `files` must look at files alone and not at the recording, whose
/// ids would be found the same: `Chain::files` with `EvidenceConfig::allow_changed` is what `perftool buildid-list
/// --check` uses.
pub fn check(list: &mut List, files: &mut dyn BuildIdSource) {
    for listed in &mut list.dsos {
        let Some(build_id) = listed.build_id else { continue };
        let dso = Dso::new(listed.machine, listed.kind, listed.name.as_bstr());
        listed.on_disk = Some(match files.build_id(&dso, &Recording::default()) {
            Ok(Some(found)) if found.build_id == build_id => OnDisk::Same,
            Ok(Some(found)) => OnDisk::Differs(found.build_id),
            Ok(None) => OnDisk::Gone(NoBuildId::Unknown.to_string()),
            Err(reason) => OnDisk::Gone(reason.to_string()),
        });
    }
}
