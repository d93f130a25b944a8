//! Text that a program moved to anonymous memory, in its own place: readers keep the file's map there, or get one.

use perf_format::record::Mmap2;
use perf_format::{Record, RecordType};
use perf_session::dso::DsoKind;
use perf_session::{Change, Error, Event, Injection, RecordSet, Session, Tool, Verdict};

/// Drops maps of anonymous memory in the place of a file's text, and maps the file where such memory lies between its
/// parts. The session finds both ([`Session::remap_text`]).
#[derive(Debug, Clone, Copy)]
pub(crate) struct RemapText;

impl Tool for RemapText {
    fn wants(&self) -> RecordSet {
        RecordSet::of(&[RecordType::MMAP, RecordType::MMAP2])
    }

    fn cuts(&self) -> RecordSet {
        self.wants()
    }

    fn event(
        &mut self,
        event: &Event<'_>,
        session: &mut Session,
        inject: &mut Injection<'_>,
    ) -> Result<Verdict, Error> {
        let record = event.record;
        let map = Mmap2::of_record(record)?;
        let is_code = map.prot & Mmap2::PROT_EXEC != 0 && !record.misc().cpumode().is_kernel();
        if !is_code {
            return Ok(Verdict::Repipe);
        }
        if event.changes.iter().next().is_none() && DsoKind::of_user_map(map.filename) == DsoKind::Anonymous {
            return Ok(Verdict::Drop);
        }
        let moved = event.changes.iter().find_map(|change| match change.what {
            Change::Mapped { start, last, .. } if start < map.start && last + 1 == map.start => Some(start),
            _ => None,
        });
        let trailer = session.evlist.evsel(record).and_then(|evsel| evsel.format.sample_id(record));
        if let (Some(start), Some(trailer)) = (moved, trailer) {
            let len = map.start - start;
            let moved = Mmap2 { start, len, pgoff: map.pgoff.wrapping_sub(len), ..map };
            inject.inject_with_sample_id(record.misc(), &Record::Mmap2(moved), &trailer)?;
        }
        Ok(Verdict::Repipe)
    }
}
