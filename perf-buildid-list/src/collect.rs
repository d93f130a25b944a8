//! Collects the list: from a file's table, from the records, or from both.

use std::io::{Read, Seek};

use bstr::{BStr, ByteSlice as _};
use perf_format::record::{BuildIdRecord, MapFile, Mmap2, SizedBuildId};
use perf_format::sample::AddressKind;
use perf_format::{
    BuildId, Damage, Endian, Feature, Misc, PerfFile, Preamble, RecordReader, RecordType, Recovering,
    build_id_table,
};
use perf_session::dso::{Dso, MachinePid, PerDso, kernel_name};
use perf_session::hits::{Hits, hits_of};
use perf_session::{Error, Event, InOrder, Injection, Passed, RecordSet, Session, Tool, Verdict};

use crate::{CarriedId, HitCounts, IdLocation, List, ListedDso};

/// The scope of a list: which DSOs it has, and whether hits are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope {
    /// Those that perf lists: the entries of a file's table, or without a table the DSOs that samples hit.
    Table,
    /// The DSOs that samples hit, by their own address or their call chain.
    WithHits,
    /// The DSOs that samples hit, with counts of the hits.
    HitsCounted,
    /// All DSOs that have an id or that samples hit, with counts of the hits.
    Everything,
}

/// The list, and the damage that keeps it from being complete.
#[derive(Debug)]
#[non_exhaustive]
pub struct Collected {
    /// The DSOs.
    pub list: List,
    /// The first thing that is wrong with the recording; the list has what was read before it. `None` where all was read.
    pub damage: Option<Error>,
    /// What is wrong with a table of ids that is damaged: the list is made of the records, as if there were none.
    pub damaged_table: Option<perf_format::Error>,
    /// How much of damaged records was skipped; `None` where that was not asked for.
    pub lost: Option<Damage>,
}

/// Collects the list from a pipe's stream ([`PipeStream::records`](perf_format::PipeStream::records)). A pipe has no table,
/// so that [`Scope::Table`] lists the DSOs that samples hit.
pub fn from_pipe<R: Read>(records: RecordReader<R>, scope: Scope) -> Collected {
    let scope = scope.without_table();
    let mut collector = Collector::new(scope);
    let damage = collector.read(&mut [records]).err();
    collector.collected(scope, damage)
}

/// Collects the list from a perf.data file, `first`. Of a recording in a directory, `others` are its other files
/// ([`DataFiles`](perf_session::DataFiles)); otherwise there are none. A damaged file is read up to the damage; with
/// `recover`, damaged records are skipped, and reading goes on behind them.
///
/// # Errors
/// Where the header of `first` cannot be read.
pub fn from_files<S: Read + Seek>(
    first: S,
    mut others: Vec<S>,
    scope: Scope,
    recover: bool,
) -> Result<Collected, Error> {
    let mut file = PerfFile::open(first)?;
    let mut collector = Collector::new(scope);
    let mut damage = file.check_complete().err();
    let mut damaged_table = None;
    let table = match file.feature_bytes(Feature::BUILD_ID) {
        Ok(None) => false,
        Ok(Some((offset, table))) => {
            let entries = collector.take_table(&table, offset, file.header.endian);
            damage = damage.or(entries.err());
            true
        }
        Err(error) if is_damaged(&mut file) => {
            damaged_table = Some(error);
            false
        }
        Err(error) => {
            damage.get_or_insert(error);
            false
        }
    };
    let another = file.check_alone().err();
    let scope = match scope {
        _ if !table => scope.without_table(),
        // The samples are still in the trace; until it is decoded nothing is hit.
        Scope::WithHits | Scope::HitsCounted if file.has(Feature::AUXTRACE) => Scope::Table,
        scope => scope,
    };
    if scope == Scope::Table {
        let collected = collector.collected(scope, damage.or(another).map(Error::from));
        return Ok(Collected { damaged_table, ..collected });
    }
    let events = file.events().map(|events| Preamble::new(file.header.endian, events));
    if let Err(error) = events.and_then(|events| collector.session.load_preamble(&events)) {
        damage.get_or_insert(error);
    }
    let endian = file.header.endian;
    let mut lost = Vec::new();
    let mut reader = |source, offset| {
        let source: Box<dyn Read + '_> = match recover {
            true => {
                let (source, damage) = Recovering::new(source, endian, offset);
                lost.push(damage);
                Box::new(source)
            }
            false => Box::new(source),
        };
        RecordReader::records(source, endian, offset)
    };
    let offset = file.header.words.data.offset;
    let mut readers = vec![reader(file.record_bytes()?, offset)];
    readers.extend(others.iter_mut().map(|other| reader(other.take(u64::MAX), 0)));
    // That reading failed at an offset says more than that the records end too soon.
    let read = collector.read(&mut readers).err();
    let lost = lost.iter().map(|damage| damage.get()).reduce(|all, damage| Damage {
        bytes: all.bytes + damage.bytes,
        places: all.places + damage.places,
        first: all.first.or(damage.first),
        mended: all.mended + damage.mended,
    });
    let collected = collector.collected(scope, read.or(damage.or(another).map(Error::from)));
    Ok(Collected { damaged_table, lost, ..collected })
}

/// Whether a file's table of ids is damaged, and not cut off with the end of the file.
fn is_damaged<S: Read + Seek>(file: &mut PerfFile<S>) -> bool {
    let read = file.preamble_as_far();
    read.is_ok_and(|read| read.damaged.iter().any(|(feature, _)| *feature == Feature::BUILD_ID))
}

impl Scope {
    fn without_table(self) -> Self {
        if self == Self::Table { Self::WithHits } else { self }
    }
}

/// Collects from one recording.
struct Collector {
    session: Session,
    gathered: Gathered,
    /// The entries of a file's table, each with the name that it has there.
    table: Vec<ListedDso>,
}

impl Collector {
    fn new(scope: Scope) -> Self {
        let mut session = Session::new();
        session.jit_names = true;
        let counts = matches!(scope, Scope::HitsCounted | Scope::Everything);
        Self { session, gathered: Gathered { counts, ..Gathered::default() }, table: Vec::new() }
    }

    fn take_table(&mut self, table: &[u8], offset: u64, endian: Endian) -> Result<(), perf_format::Error> {
        for entry in build_id_table(table, offset, endian) {
            let (misc, entry) = entry?;
            let BuildIdRecord { pid: machine, build_id: SizedBuildId(build_id), filename } = entry;
            let Some(id) = self.session.add_build_id(misc, &entry) else { continue };
            let Some(&Dso { kind, .. }) = self.session.dso(id) else { continue };
            let about = self.gathered.about.of(id);
            if let Some(id) = build_id {
                about.source(IdLocation::Header, id);
            }
            let sources = build_id.map(|build_id| CarriedId { place: IdLocation::Header, build_id });
            self.table.push(ListedDso {
                name: kernel_name(filename).unwrap_or(filename).to_owned(),
                machine,
                kind,
                named_at: self.table.len(),
                build_id,
                hits: HitCounts::default(),
                sources: sources.into_iter().collect(),
                on_disk: None,
            });
        }
        Ok(())
    }

    /// The DSOs that the table names, with the last id that it has for each name.
    fn in_table(mut self) -> Vec<ListedDso> {
        self.table.sort_by(|a, b| key(a).cmp(&key(b)));
        self.table.dedup_by(|next, last| {
            let is_same = key(next) == key(last);
            if is_same {
                last.build_id = next.build_id.or(last.build_id);
                last.sources.append(&mut next.sources);
            }
            is_same
        });
        self.table
    }

    fn read<R: Read>(&mut self, readers: &mut [RecordReader<R>]) -> Result<(), Error> {
        let tools: &mut [&mut dyn Tool] = &mut [&mut self.gathered];
        InOrder::new(tools).run(readers, &mut self.session, &mut Passed::default())
    }

    /// The DSOs that are hit, and with [`Scope::Everything`] those that have an id.
    fn hit(mut self, scope: Scope) -> Vec<ListedDso> {
        let mut dsos = Vec::new();
        for (named_at, (id, dso)) in self.session.dsos.iter().enumerate() {
            let About { is_hit, hits, sources, .. } = std::mem::take(self.gathered.about.of(id));
            if is_hit || scope == Scope::Everything && dso.build_id.is_some() {
                let Dso { name, machine, kind, build_id, .. } = dso.clone();
                dsos.push(ListedDso {
                    name,
                    machine,
                    kind,
                    named_at,
                    build_id,
                    hits,
                    sources,
                    on_disk: None,
                });
            }
        }
        dsos
    }

    /// The DSOs in scope: the host's, then each guest's, by name.
    fn collected(self, scope: Scope, damage: Option<Error>) -> Collected {
        let mut dsos = if scope == Scope::Table { self.in_table() } else { self.hit(scope) };
        // The host's number is the lowest. Those of one name stay as they came up.
        dsos.sort_by(|a, b| (a.machine, &a.name).cmp(&(b.machine, &b.name)));
        Collected { list: List { dsos }, damage, damaged_table: None, lost: None }
    }
}

/// What distinguishes the entries of a table.
fn key(dso: &ListedDso) -> (MachinePid, bool, &BStr) {
    (dso.machine, dso.kind.is_kernel(), dso.name.as_bstr())
}

/// The tool that collects hits and ids from the records.
#[derive(Debug, Default)]
struct Gathered {
    /// Whether hits are counted.
    counts: bool,
    hits: Hits,
    about: PerDso<About>,
    samples: u64,
}

/// The hits and ids of one DSO.
#[derive(Debug, Default)]
struct About {
    is_hit: bool,
    hits: HitCounts,
    /// The last sample whose call chain hit it: a chain that passes through it twice is one hit.
    last_chain: u64,
    sources: Vec<CarriedId>,
}

impl About {
    fn source(&mut self, place: IdLocation, build_id: BuildId) {
        let source = CarriedId { place, build_id };
        if !self.sources.contains(&source) {
            self.sources.push(source);
        }
    }
}

impl Tool for Gathered {
    fn wants(&self) -> RecordSet {
        Hits::WANTS.union(RecordSet::of(&[RecordType::BUILD_ID]))
    }

    fn event(
        &mut self,
        event: &Event<'_>,
        session: &mut Session,
        _: &mut Injection<'_>,
    ) -> Result<Verdict, Error> {
        let record = event.record;
        match record.record_type() {
            RecordType::BUILD_ID => {
                let id: BuildIdRecord<'_> = record.parse_as()?;
                let dso = session.dso_of_build_id(record.misc(), &id);
                if let (Some(dso), Some(id)) = (dso, id.build_id.0) {
                    self.about.of(dso).source(IdLocation::Record, id);
                }
            }
            RecordType::MMAP2 if record.misc().has(Misc::MMAP_BUILD_ID) => {
                let Mmap2 { file, .. } = record.parse_as()?;
                if let (Some(dso), MapFile::BuildId(Some(id))) = (event.changes.mapped_dso(), file) {
                    self.about.of(dso).source(IdLocation::Mmap2, id);
                }
            }
            _ => {}
        }
        let Self { counts, hits, about, samples } = self;
        if !*counts {
            hits.event(event, session, |hit| about.of(hit.dso).is_hit = true);
            return Ok(Verdict::Repipe);
        }
        if !matches!(record.record_type(), RecordType::SAMPLE | RecordType::CALLCHAIN_DEFERRED) {
            return Ok(Verdict::Repipe);
        }
        *samples += 1;
        hits_of(record, session, |hit| {
            let about = about.of(hit.dso);
            about.is_hit = true;
            match hit.via {
                AddressKind::Ip => about.hits.ip += 1,
                AddressKind::Callchain if about.last_chain == *samples => {}
                AddressKind::Callchain => {
                    about.last_chain = *samples;
                    about.hits.callchain += 1;
                }
            }
        });
        Ok(Verdict::Repipe)
    }
}
