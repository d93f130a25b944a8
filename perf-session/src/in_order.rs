//! Shows records to tools in the order of time, for tools that repipe nothing.

use std::io::Read;

use perf_format::{Endian, RawRecord, RecordReader};

use crate::dispatch::{Dispatch, Injected};
use crate::error::Error;
use crate::ordered::{Ordered, Wants};
use crate::session::Session;
use crate::sink::Passed;
use crate::tool::Tool;

/// Shows records to tools in the order of time.
pub struct InOrder<'t, 'u> {
    dispatch: Dispatch<'t, 'u>,
    /// The records that tools inject; they are dropped.
    injected: Injected,
}

impl std::fmt::Debug for InOrder<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InOrder").finish_non_exhaustive()
    }
}

impl<'t, 'u> InOrder<'t, 'u> {
    /// A driver of these tools, in the order in which they see a record.
    pub fn new(tools: &'t mut [&'u mut dyn Tool]) -> Self {
        Self { dispatch: Dispatch::new(tools), injected: Injected::default() }
    }

    /// Reads records to their end, and shows them to the session and the tools in the order of time. Several
    /// readers are those of a directory, whose files were written side by side.
    ///
    /// # Errors
    /// [`Error::Format`] where a reader cannot read on; all that was read has then been shown. The error with which a
    /// tool ends the run.
    pub fn run<R: Read>(
        mut self,
        readers: &mut [RecordReader<R>],
        session: &mut Session,
        passed: &mut Passed,
    ) -> Result<(), Error> {
        let endian = readers.first().map_or(Endian::NATIVE, RecordReader::endian);
        let mut records = Ordered::new(readers.len(), endian, Wants::Some(self.dispatch.wanted()));
        let mut shown = Ok(());
        while shown.is_ok() && records.advance(readers, &session.evlist) {
            let Some(record) = records.current(readers) else { break };
            shown = self.show(&record, session);
        }
        passed.add(&records.passed);
        shown?;
        self.dispatch.finish(session, endian, &mut self.injected.before)?;
        records.take_error().map_or(Ok(()), Err)
    }

    #[inline]
    fn show(&mut self, record: &RawRecord<'_>, session: &mut Session) -> Result<(), Error> {
        self.dispatch.show(record, session, &mut self.injected)?;
        self.injected.before.clear();
        self.injected.behind.clear();
        Ok(())
    }
}
