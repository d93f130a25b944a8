//! Shows records to the session and to the tools that want them: what both drivers, in the order of the stream and in
//! the order of time, have in common.

use perf_format::{Endian, RawRecord, RecordType};

use crate::error::Error;
use crate::record_set::RecordSet;
use crate::session::Session;
use crate::tool::{Event, Injection, Tool, Verdict};

/// The tools of a run, and the types that they want: collected once, since every record is compared with them.
pub(crate) struct Dispatch<'t, 'u> {
    tools: &'t mut [&'u mut dyn Tool],
    by_any: RecordSet,
    by_tool: Vec<Interest>,
    /// The tool that samples are for, if it is one alone.
    for_samples: Option<usize>,
}

/// The types that a tool wants, and those at which it cuts.
#[derive(Debug, Clone, Copy)]
struct Interest {
    wants: RecordSet,
    cuts: RecordSet,
}

/// The records that tools inject round the one that they see.
#[derive(Debug, Default)]
pub(crate) struct Injected {
    /// In front of it.
    pub(crate) before: Vec<u8>,
    /// Behind it.
    pub(crate) behind: Vec<u8>,
}

impl Injected {
    pub(crate) fn is_empty(&self) -> bool {
        self.before.is_empty() && self.behind.is_empty()
    }
}

/// The types that have records inside them.
const COMPRESSED: RecordSet = RecordSet::of(&[RecordType::COMPRESSED, RecordType::COMPRESSED2]);

/// Whether records are inside records of this type.
#[inline]
pub(crate) fn is_compressed(record_type: RecordType) -> bool {
    COMPRESSED.contains(record_type)
}

impl<'t, 'u> Dispatch<'t, 'u> {
    /// A dispatch to these tools. It wants the types that they want, and those that the session needs; without tools
    /// none.
    pub(crate) fn new(tools: &'t mut [&'u mut dyn Tool]) -> Self {
        let interest = |tool: &&mut dyn Tool| Interest { wants: tool.wants(), cuts: tool.cuts() };
        let by_tool: Vec<_> = tools.iter().map(interest).collect();
        let always = if tools.is_empty() { RecordSet::EMPTY } else { Session::WANTS.union(COMPRESSED) };
        let mut for_samples = (0..).zip(&by_tool).filter(|(_, tool)| tool.wants.contains(RecordType::SAMPLE));
        let for_samples = match (for_samples.next(), for_samples.next()) {
            (Some((tool, _)), None) => Some(tool),
            _ => None,
        };
        let by_any = by_tool.iter().fold(always, |set, tool| set.union(tool.wants));
        Self { tools, by_any, by_tool, for_samples }
    }

    /// Whether anybody wants to see records of a type.
    #[inline]
    pub(crate) fn wants(&self, record_type: RecordType) -> bool {
        self.by_any.contains(record_type)
    }

    /// The types that anybody wants to see.
    pub(crate) fn wanted(&self) -> RecordSet {
        self.by_any
    }

    /// Whether a tool cuts the stream at records that may stand inside compressed ones.
    pub(crate) fn cuts_inside(&self) -> bool {
        self.by_tool.iter().any(|tool| !tool.cuts.without(COMPRESSED).is_empty())
    }

    /// The tool that samples are for, if it is one alone.
    #[inline]
    pub(crate) fn for_samples(&mut self) -> Option<&mut (dyn Tool + 'u)> {
        Some(&mut **self.tools.get_mut(self.for_samples?)?)
    }

    /// The session takes the record in, then the tools that want it see it.
    ///
    /// # Errors
    /// The error with which a tool ends the run, and [`Error::Uncut`].
    #[inline]
    pub(crate) fn show(
        &mut self,
        record: &RawRecord<'_>,
        session: &mut Session,
        injected: &mut Injected,
    ) -> Result<Verdict, Error> {
        let record_type = record.record_type();
        let changes = if Session::WANTS.contains(record_type) {
            session.update(record)
        } else {
            Ok(Default::default())
        };
        let changes = match changes {
            Ok(changes) => changes,
            Err(error) => {
                session.anomalies.malformed(record, &error);
                return Ok(Verdict::Repipe);
            }
        };
        let event = Event { record, changes: &changes };
        let mut verdict = Verdict::Repipe;
        for (tool, Interest { wants, cuts }) in self.tools.iter_mut().zip(&self.by_tool) {
            if !wants.contains(record_type) {
                continue;
            }
            let before = injected.before.len();
            let mut inject = Injection::new(record.endian, &mut injected.before);
            match tool.event(&event, session, &mut inject)? {
                Verdict::Repipe => {}
                verdict if !cuts.contains(record_type) => {
                    return Err(Error::Uncut { offset: record.offset, record_type, verdict });
                }
                Verdict::RepipeFirst => injected.behind.extend(injected.before.drain(before..)),
                Verdict::Drop => verdict = Verdict::Drop,
            }
        }
        Ok(verdict)
    }

    /// Shows the tools the end of the stream.
    ///
    /// # Errors
    /// The error with which a tool ends the run.
    pub(crate) fn finish(
        &mut self,
        session: &mut Session,
        endian: Endian,
        injected: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.tools.iter_mut().try_for_each(|tool| tool.finish(session, &mut Injection::new(endian, injected)))
    }
}
