//! Records out of readers, one after the other, in the order of time, which perf calls ordered events. A record waits
//! until a round is over in which only later ones can still come.

use std::io::Read;

use perf_format::{Batch, Endian, Inflater, RawRecord, RecordReader, RecordType};

use crate::dispatch::is_compressed;
use crate::error::Error;
use crate::evlist::Evlist;
use crate::limits::WAITING_AT_MOST;
use crate::record_set::RecordSet;
use crate::sink::Passed;

/// The records of one reader, or of several: those of a directory, whose files were written side by side. The readers
/// stay with the caller, who gives the same ones each time.
///
/// [`advance`](Self::advance) goes to the next record, and [`current`](Self::current) gives it. The caller has the session
/// take it in before it goes on, since the times of later records are found by the events of earlier ones.
#[derive(Debug)]
pub(crate) struct Ordered {
    files: Vec<FileState>,
    /// The types that are given.
    wants: Wants,
    /// Whether records wait for their time, or come in the order of the stream.
    sorts: bool,
    endian: Endian,
    /// The reader whose batch is being read.
    reading: Option<usize>,
    /// Where the next record stands.
    next: Place,
    /// Whether the last record ended a round, and what has waited for that is due.
    round_is_over: bool,
    waiting: Waiting,
    due: Due,
    /// The first error of a reader.
    failure: Option<Error>,
    /// The first piece that did not inflate.
    missing: Option<perf_format::Error>,
    /// Counts of what was read.
    pub(crate) passed: Passed,
}

/// The types of records that are given.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wants {
    /// All but those of compressed records, whose insides are given.
    All,
    /// These.
    Some(RecordSet),
}

impl Wants {
    #[inline]
    fn contains(self, record_type: RecordType) -> bool {
        match self {
            Self::All => true,
            Self::Some(types) => types.contains(record_type),
        }
    }
}

/// How far a reader has come.
#[derive(Debug, Default)]
struct FileState {
    /// The latest time that has come out of it.
    newest: u64,
    /// The value of `newest` when the last round, or, of several readers, the last batch, ended.
    mark: u64,
    /// No earlier record can come out of it any more.
    settled: u64,
    /// Each file is compressed by itself.
    inflater: Option<Inflater>,
    /// Within a compressed record, the next record among the inflated ones.
    inside: Option<usize>,
    is_over: bool,
}

/// Where a record stands that comes next.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// Among those that have waited, as the next that is due.
    Due,
    /// In a reader, as its next record.
    Reader(usize),
    /// In a compressed record, which is the next of a reader.
    Inside(usize),
}

/// Why reading stopped.
enum Stop {
    /// A record is next that waits for no other.
    Record(Place),
    /// There is no room for another record that waits.
    Full,
    /// The reader has no more records of this batch, and may have more.
    Batch,
    /// The reader has no more records.
    End,
}

/// Records that wait: their bytes as they came, and what they are sorted by.
#[derive(Debug, Default)]
struct Waiting {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
}

/// Records that can be given now, and the buffer in which they stand.
#[derive(Debug, Default)]
struct Due {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
    /// How many have been given.
    given: usize,
}

/// A record that waits.
#[derive(Debug, Clone, Copy)]
struct Entry {
    time: u64,
    /// Where it stands in the input.
    offset: u64,
    /// Where it stands in the buffer.
    at: usize,
    /// How many bytes it has there.
    len: u16,
}

/// What becomes of a record that was read.
enum Taken {
    /// It is not wanted, or waits.
    Behind,
    /// It waits for no other.
    Next,
    /// It has to wait until others have gone.
    Full,
}

impl Ordered {
    /// The records of so many readers, which have this byte order.
    pub(crate) fn new(readers: usize, endian: Endian, wants: Wants) -> Self {
        Self {
            files: (0..readers).map(|_| FileState::default()).collect(),
            wants,
            sorts: true,
            endian,
            reading: None,
            next: Place::Due,
            round_is_over: false,
            waiting: Waiting::default(),
            due: Due::default(),
            failure: None,
            missing: None,
            passed: Passed::default(),
        }
    }

    /// The same records, in the order in which they stand in the stream.
    pub(crate) fn unsorted(self) -> Self {
        Self { sorts: false, ..self }
    }

    /// The byte order of the records.
    pub(crate) fn endian(&self) -> Endian {
        self.endian
    }

    /// Goes to the next record; whether there is one. Where a reader cannot read on, all that was read is given first.
    #[inline]
    pub(crate) fn advance<R: Read>(&mut self, readers: &mut [RecordReader<R>], evlist: &Evlist) -> bool {
        if self.due.given < self.due.entries.len() {
            self.next = Place::Due;
            return true;
        }
        if let Some(index) = self.at_a_plain_record(readers) {
            self.next = Place::Reader(index);
            return true;
        }
        self.read_on(readers, evlist)
    }

    /// The reader whose next record comes as it is: where nothing is sorted, nearly all do.
    #[inline]
    fn at_a_plain_record<R: Read>(&self, readers: &[RecordReader<R>]) -> Option<usize> {
        let index = self.reading.filter(|_| !self.sorts)?;
        if self.files.get(index)?.inside.is_some() {
            return None;
        }
        let record_type = readers.get(index)?.buffered()?.record_type();
        (self.wants.contains(record_type) && !is_compressed(record_type)).then_some(index)
    }

    fn read_on<R: Read>(&mut self, readers: &mut [RecordReader<R>], evlist: &Evlist) -> bool {
        loop {
            if std::mem::take(&mut self.round_is_over) && self.end_round() {
                return true;
            }
            let Some(index) = self.reading.or_else(|| self.least_far()) else {
                return self.release(u64::MAX);
            };
            let Some(reader) = readers.get_mut(index) else { return false };
            self.reading = Some(index);
            match self.read(index, reader, evlist) {
                Ok(Stop::Record(place)) => {
                    self.next = place;
                    return true;
                }
                Ok(Stop::Full) => {
                    let middle = self.waiting.middle();
                    if self.release(middle) {
                        return true;
                    }
                }
                Ok(Stop::Batch) => {
                    self.reading = None;
                    if self.end_batch(index, false) {
                        return true;
                    }
                }
                ended => {
                    self.reading = None;
                    self.failure = self.failure.take().or(ended.err());
                    if self.end_batch(index, true) {
                        return true;
                    }
                }
            }
        }
    }

    /// The record that [`advance`](Self::advance) went to, once.
    #[inline]
    pub(crate) fn current<'c, R: Read>(
        &'c mut self,
        readers: &'c mut [RecordReader<R>],
    ) -> Option<RawRecord<'c>> {
        let record = match self.next {
            Place::Due => {
                let Entry { offset, at, .. } = *self.due.entries.get(self.due.given)?;
                self.due.given += 1;
                return RawRecord::first(self.due.bytes.get(at..)?, offset, self.endian);
            }
            Place::Reader(index) => {
                let record = readers.get_mut(index)?.next_record().ok()??;
                count(&mut self.passed, &record);
                record
            }
            Place::Inside(index) => {
                let FileState { inflater, inside, .. } = self.files.get_mut(index)?;
                let (at, reader) = (inside.as_mut()?, readers.get(index)?);
                let rest = inflater.as_ref()?.inflated().get(*at..)?;
                let record = RawRecord::first(rest, reader.offset(), reader.endian())?;
                *at += record.bytes.len();
                record
            }
        };
        self.round_is_over = record.record_type() == RecordType::FINISHED_ROUND;
        Some(record)
    }

    /// The first error of the readers, if all that there is has been given.
    pub(crate) fn take_error(&mut self) -> Option<Error> {
        self.failure.take().or_else(|| self.missing.take().map(Error::from))
    }

    /// The reader that has come least far in time, so that all wait for as little as can be.
    fn least_far(&self) -> Option<usize> {
        let files = self.files.iter().enumerate().filter(|(_, file)| !file.is_over);
        files.min_by_key(|(_, file)| file.newest).map(|(index, _)| index)
    }

    /// After a round no record can come that is earlier than the latest of the round before. That holds for all readers
    /// where there is only one.
    fn end_round(&mut self) -> bool {
        let [file] = &mut self.files[..] else { return false };
        let settled = std::mem::replace(&mut file.mark, file.newest);
        self.release(settled)
    }

    /// Within one of several files records are out of order by less than what is read at a time.
    fn end_batch(&mut self, index: usize, is_over: bool) -> bool {
        let is_one = self.files.len() == 1;
        let Some(file) = self.files.get_mut(index) else { return false };
        file.is_over = is_over;
        if is_one {
            return false;
        }
        file.settled = std::mem::replace(&mut file.mark, file.newest);
        let settled = self.files.iter().filter(|file| !file.is_over).map(|file| file.settled).min();
        self.release(settled.unwrap_or(u64::MAX))
    }

    /// Makes due what has waited up to a time; whether there is any.
    fn release(&mut self, until: u64) -> bool {
        self.next = Place::Due;
        self.waiting.take_until(until, &mut self.due);
        !self.due.entries.is_empty()
    }

    /// Reads on in a batch, or reads the next one, until a record is next that waits for no other.
    fn read<R: Read>(
        &mut self,
        index: usize,
        reader: &mut RecordReader<R>,
        evlist: &Evlist,
    ) -> Result<Stop, Error> {
        loop {
            if let Some(stop) = self.read_inside(index, reader, evlist)? {
                return Ok(stop);
            }
            let Some(mut batch) = reader.next_batch()? else { return Ok(Stop::End) };
            if let Some(stop) = self.read_batch(index, &mut batch, evlist)? {
                return Ok(stop);
            }
        }
    }

    /// Reads on in a batch; `None` where its next record is a compressed one.
    fn read_batch(
        &mut self,
        index: usize,
        batch: &mut Batch<'_>,
        evlist: &Evlist,
    ) -> Result<Option<Stop>, Error> {
        let Self { files, wants, sorts, waiting, passed, .. } = self;
        let Some(file) = files.get_mut(index) else { return Ok(Some(Stop::End)) };
        loop {
            let mut samples = 0;
            let skipped = batch.advance_while(|record| {
                let record_type = record.record_type();
                let is_behind = !wants.contains(record_type)
                    || !is_compressed(record_type)
                        && *sorts
                        && matches!(waiting.take(record, evlist, &mut file.newest), Taken::Behind);
                samples += u64::from(is_behind && record_type == RecordType::SAMPLE);
                is_behind
            });
            passed.records += skipped.records;
            passed.samples += samples;
            passed.read += skipped.bytes as u64;
            let stop = match batch.peek().filter(|record| record.payload_len().is_ok()) {
                // What no record can be is the reader's error.
                None => match batch.next().transpose()? {
                    Some(_) => continue,
                    None => Stop::Batch,
                },
                Some(record) if !wants.contains(record.record_type()) => {
                    // It has a payload behind it.
                    batch.next().transpose()?;
                    count(passed, &record);
                    continue;
                }
                Some(record) if is_compressed(record.record_type()) => {
                    file.inside = Some(usize::MAX);
                    return Ok(None);
                }
                Some(record) if *sorts && time(&record, evlist).is_some() => Stop::Full,
                Some(_) => Stop::Record(Place::Reader(index)),
            };
            return Ok(Some(stop));
        }
    }

    /// Reads on inside a compressed record, if the reader is at one; `None` where it is behind it.
    fn read_inside<R: Read>(
        &mut self,
        index: usize,
        reader: &mut RecordReader<R>,
        evlist: &Evlist,
    ) -> Result<Option<Stop>, Error> {
        let Self { files, wants, sorts, waiting, missing, passed, .. } = self;
        let Some(FileState { inflater, inside, newest, .. }) = files.get_mut(index) else { return Ok(None) };
        let Some(at) = inside else { return Ok(None) };
        let inflater = inflater.get_or_insert_default();
        let (offset, endian) = (reader.offset(), reader.endian());
        loop {
            let rest = inflater.inflated().get(*at..).unwrap_or_default();
            if let Some(record) = RawRecord::first(rest, offset, endian) {
                let record_type = record.record_type();
                let is_wanted = wants.contains(record_type) && !is_compressed(record_type);
                let taken = match is_wanted {
                    true if *sorts => waiting.take(&record, evlist, newest),
                    true => Taken::Next,
                    false => Taken::Behind,
                };
                match taken {
                    Taken::Behind => *at += record.bytes.len(),
                    Taken::Next => return Ok(Some(Stop::Record(Place::Inside(index)))),
                    Taken::Full => return Ok(Some(Stop::Full)),
                }
                continue;
            }
            let Some(mut batch) = reader.next_batch()? else { return Ok(Some(Stop::End)) };
            let inflated = match batch.peek() {
                Some(compressed) => inflater.inflate_next(&compressed).map(|more| more.is_some()),
                None => Ok(false),
            };
            if let Ok(true) = inflated {
                *at = 0;
                continue;
            }
            // What does not inflate is missing, so that the end is no good one.
            *missing = missing.take().or(inflated.err());
            *inside = None;
            if let Some(compressed) = batch.next().transpose()? {
                count(passed, &compressed);
            }
            return Ok(None);
        }
    }
}

/// Counts a record that was read.
fn count(passed: &mut Passed, record: &RawRecord<'_>) {
    passed.records += 1;
    passed.samples += u64::from(record.record_type() == RecordType::SAMPLE);
    passed.read += record.bytes.len() as u64;
}

/// The time up to which a record waits, in ns; `None` for one that waits for no other, since it has no time or one
/// without a meaning.
#[inline]
fn time(record: &RawRecord<'_>, evlist: &Evlist) -> Option<u64> {
    let time = if record.record_type().is_kernel() { evlist.time(record) } else { None };
    time.filter(|time| !matches!(*time, 0 | u64::MAX))
}

impl Waiting {
    /// Takes in a record that waits.
    #[inline]
    fn take(&mut self, record: &RawRecord<'_>, evlist: &Evlist, newest: &mut u64) -> Taken {
        let Some(time) = time(record, evlist) else { return Taken::Next };
        let is_room = self.bytes.len() + record.bytes.len() <= WAITING_AT_MOST;
        if !is_room && !self.entries.is_empty() {
            return Taken::Full;
        }
        *newest = time.max(*newest);
        let len = record.header.size;
        self.entries.push(Entry { time, offset: record.offset, at: self.bytes.len(), len });
        self.bytes.extend_from_slice(record.bytes);
        Taken::Behind
    }

    /// The time up to which half of the records came.
    fn middle(&mut self) -> u64 {
        self.entries.sort_by_key(|entry| entry.time);
        self.entries.get(self.entries.len() / 2).map_or(u64::MAX, |entry| entry.time)
    }

    /// Takes out the records up to a time, in its order; those of one time in the order in which they came. With them
    /// goes the buffer in which they stand: what stays moves into the one of those that were due before, since fresh memory
    /// costs as much as all the copying.
    fn take_until(&mut self, until: u64, due: &mut Due) {
        // What was sorted before is one run, and each CPU's records are another: sorting is merging.
        self.entries.sort_by_key(|entry| entry.time);
        let count = self.entries.partition_point(|entry| entry.time <= until);
        due.entries.clear();
        due.bytes.clear();
        due.given = 0;
        if count == 0 {
            return;
        }
        std::mem::swap(&mut self.entries, &mut due.entries);
        std::mem::swap(&mut self.bytes, &mut due.bytes);
        for entry in due.entries.drain(count..) {
            let record = due.bytes.get(entry.at..).and_then(|record| record.get(..entry.len.into()));
            self.entries.push(Entry { at: self.bytes.len(), ..entry });
            self.bytes.extend_from_slice(record.unwrap_or_default());
        }
    }
}
