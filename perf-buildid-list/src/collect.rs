//! Collects: from a file's table of build-ids, or from the records where there is none.

use std::io::{Read, Seek};

use bstr::BString;
use perf_format::{BuildId, Feature, RawRecord, RecordReader, build_id_table};
use perf_session::file::PerfFile;
use perf_session::{Error, Hits, Injection, Passed, RecordSet, Repipe, Session, Tool, Verdict, Via};

/// A DSO and its id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The long name.
    pub name: BString,
    /// The id, if the recording has one for it.
    pub build_id: Option<BuildId>,
}

/// What was collected, and what ended the collecting before the recording's end.
#[derive(Debug)]
pub struct List {
    /// The DSOs.
    pub entries: Vec<Entry>,
    /// What is wrong with the recording.
    pub damage: Option<Error>,
}

/// Collects from a file: its table where it has one, its records otherwise.
///
/// # Errors
/// Where the file cannot be read as far as its header.
pub fn from_file<S: Read + Seek>(source: S) -> Result<List, Error> {
    let mut file = PerfFile::open(source)?;
    let Some((offset, table)) = file.feature_bytes(Feature::BUILD_ID)? else {
        let mut session = Session::new();
        for (attr, ids) in file.attrs()? {
            session.evlist.add(attr, ids.into_iter());
        }
        return Ok(from_records(session, file.records()?));
    };
    let mut list = List { entries: Vec::new(), damage: None };
    for entry in build_id_table(&table, offset, file.header.endian) {
        match entry {
            Ok((_, entry)) => {
                let build_id = Some(entry.build_id.0);
                list.entries.push(Entry { name: entry.filename.to_owned(), build_id });
            }
            Err(error) => list.damage = Some(error.into()),
        }
    }
    Ok(list)
}

/// Collects from a pipe's stream: the DSOs that samples hit.
pub fn from_pipe<R: Read>(records: RecordReader<R>) -> List {
    from_records(Session::new(), records)
}

fn from_records<R: Read>(mut session: Session, mut records: RecordReader<R>) -> List {
    let mut collector = Collector::default();
    let result =
        session.process_events(&mut records, &mut [&mut collector], Repipe::Off, &mut Passed::default());
    let hit = |index: usize| collector.hit.get(index).copied().unwrap_or(false);
    let mut entries: Vec<Entry> = session
        .dsos
        .iter()
        .filter(|(id, _)| hit(id.index()))
        .map(|(_, dso)| Entry { name: dso.name.clone(), build_id: dso.build_id })
        .collect();
    entries.sort();
    List { entries, damage: result.err() }
}

/// Marks the DSOs that samples hit by their own address, as perf does.
#[derive(Debug, Default)]
struct Collector {
    hits: Hits,
    hit: Vec<bool>,
}

impl Tool for Collector {
    fn wants(&self) -> RecordSet {
        Hits::WANTS
    }

    fn event(
        &mut self,
        record: &RawRecord<'_>,
        session: &mut Session,
        _: &mut Injection<'_>,
    ) -> Result<Verdict, Error> {
        let Self { hits, hit } = self;
        hits.event(record, session, |dso, via| {
            if via == Via::Ip {
                if hit.len() <= dso.index() {
                    hit.resize(dso.index() + 1, false);
                }
                if let Some(hit) = hit.get_mut(dso.index()) {
                    *hit = true;
                }
            }
        });
        Ok(Verdict::Repipe)
    }
}
