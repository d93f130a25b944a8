//! A dump: one line after the other.

use std::cell::Cell;
use std::io::{self, Read, Seek, Write};
use std::rc::Rc;

use perf_format::attr::{Attr, AttrFlags, SampleType};
use perf_format::header::FileHeader;
use perf_format::{
    Arch, Damage, Endian, Error, Feature, FieldKind, FieldVisitor as _, FilePreamble, PerfData, PerfFile,
    PipeStream, Preamble, RawRecord, RecordReader, RecordType, Recovering,
};
use perf_session::Session;
use perf_session::object_files::ObjectFiles;

use crate::addresses::{AddressContext, Resolver, WithPlaces};
use crate::ahead::ReadAhead;
use crate::line::{DumpLine, LineStyle};
use crate::options::DumpOptions;
use crate::places::Places;
use crate::preamble::{self, FirstLines, error_line};
use crate::record::{self, Explained};
use crate::source::{BoxedRead, Next, PayloadHash, Records};
use crate::stable::{HIDDEN, Stable, StableRules, StableState};
use crate::symbols::SymbolFinder;

/// A recording, line by line.
///
/// ```
/// use perf_dump::{Dumper, DumpOptions};
///
/// # let bytes = perf_format::testing::StreamBuilder::new(perf_format::Endian::Little).finished_round().bytes();
/// # let file = std::io::Cursor::new(bytes);
/// let mut dump = Dumper::open(file, DumpOptions::default())?;
/// let mut lines = Vec::new();
/// while dump.next_line(&mut lines) {}
/// assert_eq!(String::from_utf8_lossy(&lines), "HEADER format=pipe\n0x10 FINISHED_ROUND\n");
/// # Ok::<(), perf_format::Error>(())
/// ```
#[derive(Debug)]
pub struct Dumper<'s> {
    options: DumpOptions,
    line: DumpLine,
    /// The lines in front of the records, until they are given.
    first: Vec<u8>,
    records: Records<'s>,
    session: Session,
    arch: Option<Arch>,
    stable: Option<StableState>,
    resolver: Resolver,
    /// Where addresses are resolved or replaced.
    places: Option<Places>,
    ahead: ReadAhead,
    /// Whether records are read ahead: what is mapped is known as of the time of each.
    looks_ahead: bool,
    damage: Option<Error>,
    /// What is wrong with the recording as a whole, to be told at its end.
    incomplete: Option<Error>,
    /// Whether the recorder came to its end.
    is_closed: bool,
    lost: Vec<Rc<Cell<Damage>>>,
}

/// The stable text of a recording's bytes, for snapshots in tests: all of its lines, without what differs between two runs of
/// the same program ([`StableRules`]). What is damaged of it is its last line.
///
/// ```
/// use perf_format::testing::{At, StreamBuilder};
///
/// let recording = StreamBuilder::with_callchains(perf_format::Endian::Little).exec(At::new(4711, 12), "run").bytes();
/// // With insta: assert_snapshot!(perf_dump::stable_text(&recording)?, @r#"..."#);
/// let text = perf_dump::stable_text(&recording)?;
/// assert_eq!(
///     text.lines().last(),
///     Some(r#"COMM misc=COMM_EXEC pid=pid#1 tid=tid#1 comm="run" sample_id={pid=pid#1 tid=tid#1 time=*}"#)
/// );
/// # Ok::<(), perf_format::Error>(())
/// ```
///
/// # Errors
/// As [`Dumper::open`].
pub fn stable_text(recording: &[u8]) -> Result<String, Error> {
    let options =
        DumpOptions { stable: Some(StableRules::default()), offsets: false, ..DumpOptions::default() };
    dump_text(recording, options)
}

/// The lines of a recording's bytes, for tests that look at a part of it or at values that a stable text hides. What is
/// damaged of it is its last line.
///
/// ```
/// use perf_dump::{DumpOptions, dump_text};
/// use perf_format::testing::{At, StreamBuilder};
///
/// let recording = StreamBuilder::with_callchains(perf_format::Endian::Little).exec(At::new(7, 12), "run").bytes();
/// let mut options = DumpOptions::default();
/// (options.header, options.offsets) = (false, false);
/// options.fields = Some(vec!["pid".to_owned(), "comm".to_owned()]);
/// assert_eq!(dump_text(&recording, options)?, "COMM misc=COMM_EXEC pid=7 comm=\"run\"\n");
/// # Ok::<(), perf_format::Error>(())
/// ```
///
/// # Errors
/// As [`Dumper::open`].
pub fn dump_text(recording: &[u8], options: DumpOptions) -> Result<String, Error> {
    let mut dump = Dumper::open(io::Cursor::new(recording), options)?;
    let mut out = Vec::new();
    while dump.next_line(&mut out) {}
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// Bytes of lines that are written at once.
const WRITTEN_AT_ONCE: usize = 1 << 16;

impl<'s> Dumper<'s> {
    /// Dumps a source that can seek: a file in perf's format, or a pipe's stream.
    ///
    /// # Errors
    /// Where it is no perf data, its header cannot be read, or it cannot be read or sought.
    pub fn open(source: impl Read + Seek + 's, options: DumpOptions) -> Result<Self, Error> {
        match PerfData::open(source)? {
            PerfData::Pipe(stream) => Ok(Self::from_pipe(stream, options)),
            PerfData::File(source) => Self::from_files(source, Vec::new(), options),
        }
    }

    /// Dumps a pipe's stream.
    #[must_use]
    pub fn from_pipe(stream: PipeStream<impl Read + 's>, options: DumpOptions) -> Self {
        let (source, head) = stream.into_parts();
        let (endian, offset) = (head.format.endian(), head.records_at());
        let mut lost = Vec::new();
        let ahead = io::Cursor::new(head.record_bytes().to_vec());
        let source = boxed(ahead.chain(source), endian, offset, options.recover, &mut lost);
        let mut records = RecordReader::records(source, endian, offset);
        let (preamble, damage) = match Preamble::read_from_pipe(&mut records) {
            Ok(preamble) => (preamble, None),
            Err(error) => (Preamble::new(endian, Vec::new()), Some(error)),
        };
        let readers = if damage.is_some() { Vec::new() } else { vec![records] };
        let damaged = damage.iter().map(|error| (None, error.to_string())).collect();
        let mut dump = Self::new(&preamble, readers, options, None, damaged);
        dump.damage = dump.damage.or(damage);
        dump.lost = lost;
        dump
    }

    /// Dumps a file, or the files of a directory: `data`, then `data.0` and so on, whose records have the layout of the
    /// first one's events.
    ///
    /// # Errors
    /// Where the header of the first cannot be read, or its records not found.
    pub fn from_files<S: Read + Seek + 's>(
        first: S,
        others: Vec<S>,
        options: DumpOptions,
    ) -> Result<Self, Error> {
        let mut file = PerfFile::open(first)?;
        let header = file.header.clone();
        let (preamble, damaged, cut) = match file.preamble_as_far() {
            Ok(FilePreamble { preamble, damaged, cut }) => (preamble, damaged, cut),
            Err(error) => (Preamble::new(header.endian, Vec::new()), Vec::new(), Some(error)),
        };
        let is_closed = file.is_closed();
        let wrong = [file.check_overlaps(), file.check_complete_or_unclosed(), file.check_alone()];
        let incomplete = cut.or_else(|| wrong.into_iter().find_map(Result::err));
        let (offset, endian) = (header.words.data.offset, header.endian);
        let mut lost = Vec::new();
        let source = boxed(file.into_record_bytes()?, endian, offset, options.recover, &mut lost);
        let mut readers = vec![RecordReader::records(source, endian, offset)];
        for other in others {
            let source = boxed(other, endian, 0, options.recover, &mut lost);
            readers.push(RecordReader::records(source, endian, 0));
        }
        let damaged =
            damaged.into_iter().map(|(feature, error)| (Some(feature), error.to_string())).collect();
        let dump = Self::new(&preamble, readers, options, Some(&header), damaged);
        Ok(Self { incomplete, is_closed, lost, ..dump })
    }

    fn new(
        preamble: &Preamble,
        readers: Vec<RecordReader<BoxedRead<'s>>>,
        options: DumpOptions,
        header: Option<&FileHeader>,
        damaged: Vec<(Option<Feature>, String)>,
    ) -> Self {
        let DumpOptions { json, max_width, full, .. } = options;
        let mut line = DumpLine::new(LineStyle { json, max_width, full, fields: options.fields.clone() });
        let mut first = Vec::new();
        let mut stable = options.stable.clone().map(StableState::new);
        if let Some(state) = &mut stable {
            preamble.event_infos().into_iter().flatten().for_each(|event| state.add_event(&event.ids));
        }
        if options.header {
            let others = readers.len().saturating_sub(1);
            let lines = FirstLines { header, others, damaged, json, sections: options.offsets };
            preamble::write(preamble, &lines, stable.as_mut(), &mut line);
            first = std::mem::take(&mut line.out);
        }
        let mut session = Session::new();
        let damage = session.load_preamble(preamble).err();
        let reads_ahead = |rules: &StableRules| rules.addresses || rules.rounds;
        let reads_ahead = options.resolve || options.stable.as_ref().is_some_and(reads_ahead);
        let evsels = session.evlist.evsels();
        let looks_ahead = !evsels.is_empty() && evsels.iter().all(|evsel| has_times(&evsel.attr));
        let records = Records::new(if options.records { readers } else { Vec::new() });
        Self {
            line,
            first,
            records,
            session,
            arch: preamble.arch(),
            stable,
            resolver: Resolver::default(),
            places: reads_ahead.then(Places::new),
            ahead: ReadAhead::default(),
            looks_ahead,
            damage,
            incomplete: None,
            is_closed: true,
            lost: Vec::new(),
            options,
        }
    }

    /// Adds the symbols of files to the addresses that are resolved ([`DumpOptions::resolve`]): `ip_symbol` behind `ip_at`.
    #[must_use]
    pub fn with_symbols(mut self, files: ObjectFiles) -> Self {
        self.resolver.symbols = self.options.resolve.then(|| SymbolFinder::new(files));
        self
    }

    /// Appends the next line to `out`, at first all of those in front of the records; false at the end.
    pub fn next_line(&mut self, out: &mut Vec<u8>) -> bool {
        if !self.first.is_empty() {
            out.append(&mut self.first);
            return true;
        }
        // Lines are written where they are wanted.
        std::mem::swap(&mut self.line.out, out);
        let is_line = self.write_line();
        std::mem::swap(&mut self.line.out, out);
        is_line
    }

    fn write_line(&mut self) -> bool {
        let start = self.line.out.len();
        let Self {
            options, line, records, session, arch, stable, resolver, places, ahead, looks_ahead, ..
        } = self;
        loop {
            let next = match places {
                None => records.next(|record, payload| {
                    take_in(session, record, None);
                    if is_selected(options, session, record) {
                        let explained = Explained { evlist: &session.evlist, arch: *arch };
                        let of = LineOf { record, payload, explained: &explained, context: None };
                        write_record(line, options, &of, stable.as_mut(), resolver);
                    }
                }),
                Some(places) => {
                    if ahead.is_empty() {
                        places.begin_reading();
                        let sorts = options.stable.as_ref().is_some_and(|rules| rules.rounds);
                        ahead.fill(records, *looks_ahead, |record| {
                            take_in(session, record, Some(places));
                            if sorts { session.record(record).time() } else { None }
                        });
                        places.end_reading();
                    }
                    ahead.next(|record, payload| {
                        if is_selected(options, session, record) {
                            let explained = Explained { evlist: &session.evlist, arch: *arch };
                            let context = Some(AddressContext::new(session, places, record));
                            let of = LineOf { record, payload, explained: &explained, context };
                            write_record(line, options, &of, stable.as_mut(), resolver);
                        }
                    })
                }
            };
            match next {
                Next::Shown if line.out.len() == start => {}
                Next::Shown => return true,
                Next::Damage(error) if matches!(error, Error::Truncated { .. }) && !self.is_closed => {
                    log_unclosed(&error);
                }
                Next::Damage(error) => {
                    error_line(line, &error.to_string());
                    self.damage.get_or_insert(error);
                    return true;
                }
                Next::End => break,
            }
        }
        let Some(error) = self.incomplete.take() else { return false };
        if self.damage.is_some() {
            return false;
        }
        error_line(&mut self.line, &error.to_string());
        self.damage = Some(error);
        true
    }

    /// Writes all lines.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn write(&mut self, out: &mut impl Write) -> io::Result<()> {
        let mut lines = Vec::new();
        while self.next_line(&mut lines) {
            if lines.len() >= WRITTEN_AT_ONCE {
                out.write_all(&lines)?;
                lines.clear();
            }
        }
        out.write_all(&lines)?;
        out.flush()
    }

    /// The first thing that is wrong with the recording, as far as it was read.
    #[must_use]
    pub fn damage(&self) -> Option<&Error> {
        self.damage.as_ref()
    }

    /// The same, to be returned.
    pub fn take_damage(&mut self) -> Option<Error> {
        self.damage.take()
    }

    /// The fields that were asked for ([`DumpOptions::fields`]) and that no record had so far.
    #[must_use]
    pub fn missing_fields(&self) -> Vec<&str> {
        self.line.missing_fields()
    }

    /// What was left out so far; `None` where nothing was to be ([`DumpOptions::recover`]).
    #[must_use]
    pub fn lost(&self) -> Option<Damage> {
        self.lost.iter().map(|lost| lost.get()).reduce(|all, damage| Damage {
            bytes: all.bytes + damage.bytes,
            places: all.places + damage.places,
            first: all.first.or(damage.first),
            mended: all.mended + damage.mended,
        })
    }
}

fn boxed<'s>(
    source: impl Read + 's,
    endian: Endian,
    offset: u64,
    recover: bool,
    lost: &mut Vec<Rc<Cell<Damage>>>,
) -> BoxedRead<'s> {
    if !recover {
        return Box::new(source);
    }
    let (source, damage) = Recovering::new(source, endian, offset);
    lost.push(damage);
    Box::new(source)
}

fn log_unclosed(error: &Error) {
    log::warn!("the recording was never closed, and {error}");
}

/// Whether all records of the kernel have a time.
fn has_times(attr: &Attr) -> bool {
    attr.fields.sample_type.contains(SampleType::TIME) && attr.fields.flags.contains(AttrFlags::SAMPLE_ID_ALL)
}

/// The session takes in what later records are read by, and, to know what is mapped, all that it wants.
fn take_in(session: &mut Session, record: &RawRecord<'_>, places: Option<&mut Places>) {
    let record_type = record.record_type();
    let is_of_events = matches!(record_type, RecordType::HEADER_ATTR | RecordType::EVENT_UPDATE);
    if is_of_events || places.is_some() && Session::WANTS.contains(record_type) {
        // One that is odd is shown as such.
        session.update(record).ok();
        if let Some(places) = places {
            places.note(session, record);
        }
    }
}

/// What says when perf emptied its buffers.
const OF_ROUNDS: [RecordType; 3] =
    [RecordType::FINISHED_ROUND, RecordType::COMPRESSED, RecordType::COMPRESSED2];

/// Whether a rule of a stable dump hides the bytes behind a record, of tracing data their number, too.
fn hides_payload(options: &DumpOptions, record_type: RecordType) -> bool {
    options.stable.as_ref().is_some_and(|rules| match record_type {
        RecordType::TRACING_DATA => rules.host,
        RecordType::AUXTRACE => rules.addresses,
        _ => false,
    })
}

fn is_selected(options: &DumpOptions, session: &Session, record: &RawRecord<'_>) -> bool {
    if options.types.as_ref().is_some_and(|types| !types.contains(&record.record_type())) {
        return false;
    }
    if options.stable.as_ref().is_some_and(|rules| rules.rounds) && OF_ROUNDS.contains(&record.record_type())
    {
        return false;
    }
    if options.pids.is_none() && options.time.is_none() {
        return true;
    }
    let record = session.record(record);
    let is_of_pid =
        options.pids.as_ref().is_none_or(|pids| record.pid().is_some_and(|pid| pids.contains(&pid)));
    is_of_pid && options.time.is_none_or(|range| record.time().is_some_and(|time| range.contains(time)))
}

/// What the line of a record is made of.
struct LineOf<'r> {
    record: &'r RawRecord<'r>,
    payload: Option<PayloadHash>,
    explained: &'r Explained<'r>,
    /// Where addresses are resolved or replaced.
    context: Option<AddressContext<'r>>,
}

/// Writes a record's line.
fn write_record(
    line: &mut DumpLine,
    options: &DumpOptions,
    of: &LineOf<'_>,
    stable: Option<&mut StableState>,
    resolver: &mut Resolver,
) {
    let LineOf { record, payload, explained, context } = *of;
    let offset = options.offsets.then_some(record.offset);
    line.begin_record(offset, record.record_type(), record.misc());
    let hides_payload = hides_payload(options, record.record_type());
    match (stable, context) {
        _ if hides_payload && record.record_type() == RecordType::TRACING_DATA => {
            line.field("size", FieldKind::Number, HIDDEN);
        }
        // What is stable has names in the place of addresses already.
        (Some(state), context) => {
            record::visit(record, explained, &mut Stable::of_record(state, line, context));
        }
        (None, Some(context)) => {
            record::visit(record, explained, &mut WithPlaces::new(line, context, resolver));
        }
        (None, None) => record::visit(record, explained, line),
    }
    match payload {
        Some(_) if hides_payload => line.field("payload", FieldKind::Memory, HIDDEN),
        Some(PayloadHash { len, hash }) => line.payload("payload", len, hash),
        None => {}
    }
    line.end();
}
