//! Loads the preamble of a recording into the session.

use perf_format::tracing_data::TracingData;
use perf_format::{Error, EventType, Preamble};

use crate::Session;

impl Session {
    /// Loads the events and the features of a recording.
    ///
    /// # Errors
    /// [`Error::Structure`] where an attr cannot be read, and the errors of the table of build-ids.
    pub fn load_preamble(&mut self, preamble: &Preamble) -> Result<(), Error> {
        // Tracing data that cannot be read is no loss to the records.
        let tracing_data = preamble.tracing_data().ok().flatten();
        for event in preamble.event_infos()? {
            let tracepoint = match (&tracing_data, event.attr.event_type()) {
                (Some(data), EventType::Tracepoint { id }) => data.event_format(id).ok().flatten(),
                _ => None,
            };
            self.recording.clockid = self.recording.clockid.or(event.attr.clockid());
            self.evlist.add_named(event.attr, event.name, event.ids, tracepoint);
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

    /// Takes in the tracing data of a pipe, which has it once. What cannot be read is no loss to the records.
    pub(crate) fn load_tracing_data(&mut self, data: &[u8]) {
        match TracingData::parse(data, 0) {
            Ok(data) => {
                self.evlist.describe(&data);
                self.keep_formats = false;
            }
            Err(error) => log::debug!("the fields of tracepoints are not known: {error}"),
        }
    }
}
