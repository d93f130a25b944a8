//! Leaves a feature out of a stream that it no longer describes: COMPRESSED, where the records come out plain.

use perf_format::record::HeaderFeature;
use perf_format::{Feature, RecordType};
use perf_session::{Error, Event, Injection, RecordSet, Session, Tool, Verdict};

/// Drops the HEADER_FEATURE records of one feature.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DropFeature(pub(crate) Feature);

impl Tool for DropFeature {
    fn wants(&self) -> RecordSet {
        RecordSet::of(&[RecordType::HEADER_FEATURE])
    }

    fn cuts(&self) -> RecordSet {
        self.wants()
    }

    fn event(
        &mut self,
        event: &Event<'_>,
        session: &mut Session,
        _: &mut Injection<'_>,
    ) -> Result<Verdict, Error> {
        match event.record.parse_as::<HeaderFeature<'_>>() {
            Ok(feature) if feature.feat_id == u64::from(self.0.0) => return Ok(Verdict::Drop),
            Ok(_) => {}
            Err(error) => session.anomalies.malformed(event.record, &error),
        }
        Ok(Verdict::Repipe)
    }
}
