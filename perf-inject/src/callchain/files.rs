//! Modules out of the object files of this machine, of which it is proven that they are the recorded ones.

use perf_session::Recording;
use perf_session::build_id::NoBuildId;
use perf_session::dso::Dso;
use perf_session::evidence::Mismatch;
use perf_session::object_files::{NoObjectFile, ObjectFiles, ObjectImage};
use perf_unwind::Module;

use super::code::{NoModule, UnwindModules};

impl UnwindModules for ObjectFiles {
    fn module(&mut self, dso: &Dso, recording: &Recording) -> Result<Module, NoModule> {
        let object = self.open(dso, recording).map_err(|reason| {
            let may_change = matches!(
                reason,
                NoObjectFile::Refused(NoBuildId::NotHere(_) | NoBuildId::Changed(Mismatch::Doubt { .. }))
            );
            NoModule { reason: reason.to_string(), may_change }
        })?;
        let debug = self.debug_file(&object, dso);
        let module = match object.image {
            ObjectImage::File(file) => Module::from_file(&file),
            ObjectImage::Memory(bytes) => Module::from_bytes(bytes),
            _ => return Err(NoModule { reason: "it is no file".to_owned(), may_change: false }),
        };
        let mut module = module.map_err(|error| NoModule { reason: error.to_string(), may_change: false })?;
        if let Some(debug) = debug
            && let Err(error) = module.add_debug_file(&debug)
        {
            log::info!("{}: its debug file is not used: {error}", dso.name);
        }
        Ok(module)
    }
}
