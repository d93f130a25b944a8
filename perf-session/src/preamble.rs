//! Loads the preamble of a recording into the session.

use perf_format::codec::Decoder;
use perf_format::{Attr, Error, EventAttr, Misc, Preamble};

use crate::Session;

impl Session {
    /// Loads the events and the features of a recording.
    ///
    /// # Errors
    /// [`Error::Structure`] where an attr cannot be read, and the errors of the table of build-ids.
    pub fn load_preamble(&mut self, preamble: &Preamble) -> Result<(), Error> {
        for EventAttr { attr, ids } in &preamble.events {
            let attr: Result<Attr, _> = Decoder::new(attr, 0, preamble.endian, Misc::default()).get();
            let attr =
                attr.map_err(|problem| Error::Structure { what: "attr", offset: 0, field: "size", problem })?;
            self.add_event(attr, ids.iter().copied());
        }
        for (feature, data) in &preamble.features {
            self.recording.feature(*feature, data, preamble.endian);
        }
        for entry in preamble.build_ids() {
            let (misc, entry) = entry?;
            self.add_build_id(misc, &entry);
        }
        Ok(())
    }
}
