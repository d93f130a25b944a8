//! The preamble of a recording: the events with their ids, and the features. In a file it is a header before the
//! records and a table behind them; in a pipe it is records in front of the others. One is turned into the other here.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};

use bstr::{BStr, ByteSlice as _};

use crate::attr::{Attr, BranchSampleType, SampleType};
use crate::codec::{Array, Decoder, Encoder, Fixed as _, Words};
use crate::event_info::EventInfo;
use crate::feature::{
    Described, EventName, Feature, PipeRefusal, build_id_table, check, event_names, push_build_id,
    push_event_name,
};
use crate::header::{FILE_HEADER_LEN, FileHeader, FileHeaderWords, Section, pipe_header};
use crate::raw::{RecordHeader, TRACING_DATA_AT};
use crate::reader::RecordReader;
use crate::record::{
    BuildIdRecord, EventUpdate, HeaderAttr, HeaderFeature, Misc, Record, RecordType, TracingDataRecord,
    Update,
};
use crate::tracing_data::TracingData;
use crate::{Endian, Error};

/// The events and features that describe a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preamble {
    /// The byte order.
    pub endian: Endian,
    /// The events.
    pub events: Vec<EventAttr>,
    /// The features, each as a file has it.
    pub features: BTreeMap<Feature, Vec<u8>>,
    /// Bytes between the table of features and the first of them: unused entries, which `perf record` leaves for
    /// features that it could not collect.
    pub slack: u64,
}

/// An event as the preamble has it, `struct perf_file_attr`: the bytes of its attr, and its ids.
/// [`Preamble::event_infos`] reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventAttr {
    /// The attr's bytes, as they were recorded.
    pub attr: Vec<u8>,
    /// The ids of its instances.
    pub ids: Vec<u64>,
}

impl EventAttr {
    /// The attr, read.
    fn read(&self, endian: Endian) -> Option<Attr> {
        Decoder::new(&self.attr, 0, endian, Misc::default()).get().ok()
    }
}

/// How many ids there is room for in a record behind an attr of so many bytes.
fn ids_at_most(attr_size: usize) -> usize {
    usize::from(u16::MAX).saturating_sub(RecordHeader::SIZE + attr_size) / 8
}

/// Which features a pipe gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PipeFeatures {
    /// Those that readers of a pipe take: perf reads nothing that stands behind another.
    #[default]
    Readable,
    /// All that records hold.
    All,
}

impl Preamble {
    /// A preamble with events and no features.
    #[must_use]
    pub fn new(endian: Endian, events: Vec<EventAttr>) -> Self {
        Self { endian, events, features: BTreeMap::new(), slack: 0 }
    }

    /// Reads the preamble from the front of a pipe's stream: all records before the first that is not a part of it. Later
    /// ones stay in the stream. Parts are all that [`to_pipe`](Self::to_pipe) writes: of the names of events those that
    /// EVENT_DESC has too, so that they are not there twice when they are written again.
    ///
    /// Where events sample branch stacks, as they do with `perf record -b`, the BRANCH_STACK feature is added, which perf
    /// puts into files and not into pipes.
    ///
    /// # Errors
    /// Where the stream cannot be read on.
    pub fn read_from_pipe<R: Read>(records: &mut RecordReader<R>) -> Result<Self, Error> {
        let mut preamble = Self::new(records.endian(), Vec::new());
        let mut full = Vec::new();
        // A stream that ends inside a record is an error for the next reader.
        while let Ok(Some(mut batch)) = records.next_batch() {
            let mut tracing = false;
            while let Some(record) = batch.peek() {
                let is_of_it = matches!(
                    record.record_type(),
                    RecordType::HEADER_ATTR
                        | RecordType::HEADER_FEATURE
                        | RecordType::TRACING_DATA
                        | RecordType::EVENT_UPDATE
                        | RecordType::BUILD_ID
                );
                // One that cannot be read is not of the preamble, and goes the way of all odd records.
                let Some(part) = record.parse().ok().filter(|part| is_of_it && preamble.has_place(part))
                else {
                    return Ok(preamble.with_branch_stacks());
                };
                batch.next().transpose()?;
                match part {
                    Record::HeaderAttr(HeaderAttr { attr, ids }) => {
                        let is_full = ids.0.len() == ids_at_most(attr.size());
                        let attr = record.bytes.get(8..8 + attr.size()).unwrap_or_default();
                        preamble.take_event(attr, ids.0.iter(), is_full, &mut full);
                    }
                    Record::HeaderFeature(HeaderFeature { feat_id, data }) => {
                        let feature = Feature(u32::try_from(feat_id).unwrap_or(u32::MAX));
                        // The one without a payload marks the end; for those beyond the bitmap a file has no place.
                        if (!data.is_empty() || feature.is_flag()) && feat_id < FileHeader::FEATURES {
                            preamble.features.insert(feature, data.to_vec());
                        }
                    }
                    Record::BuildId(_) => {
                        let table = preamble.features.entry(Feature::BUILD_ID).or_default();
                        let start = table.len();
                        table.extend_from_slice(record.bytes);
                        // So it is in a table.
                        if let Some(record_type) = table.get_mut(start..start + 4) {
                            record_type.fill(0);
                        }
                    }
                    Record::TracingData(data) => {
                        tracing = record.payload_len()? > 0;
                        if data.size > 0 && !tracing {
                            let payload = record.bytes.get(TRACING_DATA_AT..).unwrap_or_default();
                            let len = usize::try_from(data.size).unwrap_or(usize::MAX).min(payload.len());
                            preamble.take_tracing_data(payload.get(..len).unwrap_or_default());
                        }
                    }
                    _ => {}
                }
            }
            // So it is where something cannot be a record.
            if matches!(batch.next(), Some(Err(_))) {
                return Ok(preamble.with_branch_stacks());
            }
            if tracing {
                preamble.read_tracing_data(records)?;
            }
        }
        Ok(preamble.with_branch_stacks())
    }

    /// Takes in an event, or more ids of one whose last record was full; `full` has the numbers of these.
    fn take_event(
        &mut self,
        attr: &[u8],
        ids: impl Iterator<Item = u64>,
        is_full: bool,
        full: &mut Vec<usize>,
    ) {
        let goes_on =
            full.iter().position(|event| self.events.get(*event).is_some_and(|event| event.attr == attr));
        let event = match goes_on.map(|at| full.remove(at)) {
            Some(event) => event,
            None => {
                self.events.push(EventAttr { attr: attr.to_vec(), ids: Vec::new() });
                self.events.len() - 1
            }
        };
        if let Some(event) = self.events.get_mut(event) {
            event.ids.extend(ids);
        }
        if is_full {
            full.insert(0, event);
        }
    }

    /// Whether a file has a place for what a record says outside of its records.
    fn has_place(&self, part: &Record<'_>) -> bool {
        match part {
            Record::EventUpdate(EventUpdate { id, update: Update::Name(name) }) => {
                self.names().any(|named| named == (*id, *name))
            }
            Record::EventUpdate(_) => false,
            _ => true,
        }
    }

    /// perf decides it by its options `-b` and `-j`, and not for a call graph of branches (`--call-graph lbr`), whose
    /// entries are a call stack: reports are then of call chains.
    fn with_branch_stacks(mut self) -> Self {
        let samples_branches = |event: &EventAttr| {
            event.read(self.endian).is_some_and(|Attr { fields, .. }| {
                fields.sample_type.contains(SampleType::BRANCH_STACK)
                    && !fields.branch_sample_type.contains(BranchSampleType::CALL_STACK)
            })
        };
        if self.events.iter().any(samples_branches) {
            self.features.entry(Feature::BRANCH_STACK).or_default();
        }
        self
    }

    /// A file has the data without the padding that a pipe puts behind it.
    fn read_tracing_data<R: Read>(&mut self, records: &mut RecordReader<R>) -> Result<(), Error> {
        let mut bytes = Vec::new();
        while let Some(payload) = records.next_payload()? {
            bytes.extend_from_slice(payload);
        }
        self.take_tracing_data(&bytes);
        Ok(())
    }

    fn take_tracing_data(&mut self, bytes: &[u8]) {
        let len = TracingData::parse(bytes, 0).map_or(bytes.len(), |data| data.size);
        self.features.insert(Feature::TRACING_DATA, bytes.get(..len).unwrap_or(bytes).to_vec());
    }

    /// The entries of the table of build-ids.
    pub fn build_ids(&self) -> impl Iterator<Item = Result<(Misc, BuildIdRecord<'_>), Error>> {
        let table = self.features.get(&Feature::BUILD_ID).map(Vec::as_slice).unwrap_or_default();
        build_id_table(table, 0, self.endian)
    }

    /// The names of events that a pipe gets in EVENT_UPDATE records, each with the id that leads readers to its event.
    fn names(&self) -> impl Iterator<Item = (u64, &BStr)> {
        let desc = self.features.get(&Feature::EVENT_DESC).map(Vec::as_slice).unwrap_or_default();
        let names = event_names(desc, self.endian);
        self.pieces_in_pipe().into_iter().enumerate().filter_map(move |(number, (event, ids))| {
            let EventName { name, .. } = names.get(event)?;
            // Any id leads to the event of its record, and 0 to the first; to another without ids none does.
            let id = ids.iter().copied().find(|id| *id != 0);
            Some((id.or((number == 0).then_some(0))?, *name))
        })
    }

    /// The name that EVENT_DESC has for an event.
    fn name_of(&self, event: usize) -> String {
        let desc = self.features.get(&Feature::EVENT_DESC).map(Vec::as_slice).unwrap_or_default();
        let names = event_names(desc, self.endian);
        names.get(event).map_or_else(|| "no name".to_owned(), |event| event.name.to_string())
    }

    /// The HEADER_ATTR records of a pipe: an event's number, and the ids that the record has. First come the events, then
    /// what has no room in their records.
    fn pieces_in_pipe(&self) -> Vec<(usize, &[u64])> {
        let (mut first, mut rest) = (Vec::new(), Vec::new());
        for (number, event) in self.events.iter().enumerate() {
            let attr = event.read(self.endian).unwrap_or_default();
            let at_most = ids_at_most(attr.size()).max(1);
            let (ids, more) = event.ids.split_at(event.ids.len().min(at_most));
            first.push((number, ids));
            if self.events.len() == 1 && !attr.fields.sample_type.contains(SampleType::READ) {
                continue;
            }
            let more_ids = more.chunks(at_most).map(|ids| (number, ids));
            let is_full = ids.len() == at_most;
            if is_full && self.events.iter().skip(number + 1).any(|other| other.attr == event.attr) {
                // What goes on is told by the attr: it has to come before another event has the same one.
                first.extend(more_ids);
                let ends_full = event.ids.len().is_multiple_of(at_most);
                first.extend(ends_full.then_some((number, &[][..])));
            } else {
                rest.extend(more_ids);
            }
        }
        first.append(&mut rest);
        first
    }

    /// Adds an event, behind the others, with its name in EVENT_DESC. Where that is missing it is made, with the names of
    /// all events ([`event_infos`](Self::event_infos)).
    ///
    /// # Errors
    /// [`Error::Structure`] where an attr cannot be read.
    pub fn add_event(&mut self, attr: &Attr, ids: &[u64], name: &BStr) -> Result<(), Error> {
        let mut desc = self.features.remove(&Feature::EVENT_DESC).unwrap_or_default();
        if desc.is_empty() {
            for EventInfo { attr, ids, name } in self.event_infos()? {
                push_event_name(&mut desc, &attr, name.as_bstr(), &ids, self.endian);
            }
        }
        push_event_name(&mut desc, attr, name, ids, self.endian);
        self.features.insert(Feature::EVENT_DESC, desc);
        self.events.push(EventAttr { attr: attr.to_bytes(self.endian), ids: ids.to_vec() });
        Ok(())
    }

    /// Adds entries to the table of build-ids. A table that stays empty is not there. An entry that does not fit is
    /// left out, and its error is passed to `left_out`.
    pub fn extend_build_ids<'e>(
        &mut self,
        entries: impl Iterator<Item = (Misc, BuildIdRecord<'e>)>,
        mut left_out: impl FnMut(&Error),
    ) {
        let mut table = self.features.remove(&Feature::BUILD_ID).unwrap_or_default();
        for (misc, entry) in entries {
            if let Err(error) = push_build_id(&mut table, misc, entry, self.endian) {
                left_out(&error);
            }
        }
        if !table.is_empty() {
            self.features.insert(Feature::BUILD_ID, table);
        }
    }

    /// The preamble as records of a pipe's stream, with the stream's header before them. Features that a pipe does not
    /// get are passed to `left_out`, but for those that have no bytes where they should have some: nothing is lost with
    /// them.
    ///
    /// Of an event with more ids than a record holds, the pipe gets the rest in more records with the same attr, behind
    /// those of all events. perf takes each for an event of its own, and finds all samples (6.1, 6.12 and 7.3 do; that an
    /// ID_INDEX record has ids of which no attr knows is an error to them). Where it is the only event, every sample is
    /// its, and the ids of one record are enough, unless its samples have values that are found by their ids.
    ///
    /// # Errors
    /// [`Error::EventTooLarge`] where an event's attr does not fit in a record.
    pub fn to_pipe(
        &self,
        features: PipeFeatures,
        mut left_out: impl FnMut(Feature, PipeRefusal),
    ) -> Result<Vec<u8>, Error> {
        let mut out = pipe_header(self.endian).to_vec();
        let record =
            |record: Record<'_>, out: &mut Vec<u8>| record.encode(Misc::default(), &[], self.endian, out);
        for (event, ids) in self.pieces_in_pipe() {
            let attr = self.events.get(event).and_then(|event| event.read(self.endian)).unwrap_or_default();
            let ids: Vec<u8> = ids.iter().flat_map(|id| self.endian.put_u64(*id)).collect();
            let size = attr.size();
            let ids = Words(Array::new(&ids, self.endian));
            record(Record::HeaderAttr(HeaderAttr { attr, ids }), &mut out)
                .map_err(|_| Error::EventTooLarge { event: event + 1, name: self.name_of(event), size })?;
        }
        let of = |feature| self.features.get(&feature).map(Vec::as_slice).unwrap_or_default();
        let described = Described {
            endian: self.endian,
            arch: of(Feature::ARCH),
            cpus: of(Feature::NRCPUS),
            events: self.events.len(),
        };
        let mut end = Feature::LAST.0;
        for (feature, data) in &self.features {
            if feature.is_of_the_file() || data.is_empty() {
                continue;
            }
            if features == PipeFeatures::Readable
                && let Err(refusal) = check(*feature, data, &described)
            {
                left_out(*feature, refusal);
                continue;
            }
            let feat_id = feature.0.into();
            match record(Record::HeaderFeature(HeaderFeature { feat_id, data }), &mut out) {
                Ok(()) => end = end.max(feature.0.saturating_add(1)),
                Err(_) => left_out(*feature, PipeRefusal::TooLarge),
            }
        }
        // Behind those with larger numbers: a number that is new, without a payload, is the mark of the end.
        let flags = self.features.iter().filter(|(feature, data)| feature.is_flag() && data.is_empty());
        for feat_id in flags.map(|(feature, _)| feature.0).chain([end]) {
            record(Record::HeaderFeature(HeaderFeature { feat_id: feat_id.into(), data: &[] }), &mut out)?;
        }
        if let Some(data) = self.features.get(&Feature::TRACING_DATA) {
            let padded = data.len().next_multiple_of(8);
            let size = u32::try_from(padded).unwrap_or(u32::MAX);
            record(Record::TracingData(TracingDataRecord { size, pad: Some(0) }), &mut out)?;
            out.extend_from_slice(data);
            out.resize(out.len() + padded - data.len(), 0);
        }
        for (id, name) in self.names() {
            record(Record::EventUpdate(EventUpdate { id, update: Update::Name(name) }), &mut out)?;
        }
        for entry in self.build_ids() {
            let (misc, entry) = entry?;
            Record::BuildId(entry).encode(misc, &[], self.endian, &mut out)?;
        }
        Ok(out)
    }

    /// Writes the part of a file that stands before its records, with the header still empty. Returns where the records
    /// start.
    ///
    /// # Errors
    /// Where the output cannot be written.
    pub fn write_before(&self, out: &mut impl Write) -> io::Result<DataPlacement> {
        let mut bytes = vec![0; FILE_HEADER_LEN];
        let mut entries = Vec::new();
        // Readers find the next entry behind the attr's own size, so that all must have one size.
        let size = self.events.iter().map(|event| event.attr.len()).max().unwrap_or(Attr::MIN_SIZE);
        for EventAttr { attr, ids } in &self.events {
            let section = Section { offset: bytes.len() as u64, size: 8 * ids.len() as u64 };
            bytes.extend(ids.iter().flat_map(|id| self.endian.put_u64(*id)));
            let start = entries.len();
            entries.extend_from_slice(attr);
            if attr.len() < size {
                entries.resize(start + size, 0);
                let own_size = self.endian.put_u32(u32::try_from(size).unwrap_or(u32::MAX));
                entries.splice(start + 4..start + 8, own_size);
            }
            Encoder::new(&mut entries, self.endian, Misc::default()).put(&section);
        }
        let attrs = Section { offset: bytes.len() as u64, size: entries.len() as u64 };
        bytes.extend(entries);
        out.write_all(&bytes)?;
        Ok(DataPlacement { attrs, attr_size: (size + Section::SIZE) as u64, data: bytes.len() as u64 })
    }

    /// Writes what stands behind the records, `size` bytes of them, and then the header.
    ///
    /// # Errors
    /// Where the output cannot be written, or cannot seek.
    pub fn write_behind(
        &self,
        out: &mut (impl Write + Seek),
        before: DataPlacement,
        size: u64,
    ) -> io::Result<()> {
        let table = before.data + size;
        let slack = usize::try_from(self.slack).unwrap_or_default();
        let mut at = table + (self.features.len() * Section::SIZE + slack) as u64;
        let mut bytes = Vec::new();
        for data in self.features.values() {
            let section = Section { offset: at, size: data.len() as u64 };
            Encoder::new(&mut bytes, self.endian, Misc::default()).put(&section);
            at += section.size;
        }
        bytes.resize(bytes.len() + slack, 0);
        let words = FileHeaderWords {
            attr_size: before.attr_size,
            attrs: before.attrs,
            data: Section { offset: before.data, size },
            ..FileHeaderWords::default()
        };
        let header = FileHeader::new(words, self.endian, self.features.keys().copied());
        out.seek(SeekFrom::Start(table))?;
        out.write_all(&bytes)?;
        self.features.values().try_for_each(|data| out.write_all(data))?;
        out.rewind()?;
        out.write_all(&header.to_bytes())?;
        out.flush()
    }
}

/// Where the records of a file that is being written stand, and what stands before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataPlacement {
    attrs: Section,
    attr_size: u64,
    /// Where the records start.
    pub data: u64,
}
