//! The events of a recording, and the lookup of a record's event.

use bstr::{BStr, BString, ByteSlice as _};
use hashbrown::HashMap;
use perf_format::tracing_data::TracingData;
use perf_format::{Attr, EventFormat, EventType, RawRecord, RecordType, SampleFormat};

/// An event (perf's evsel): its attr, its name and ids, and how its records are laid out.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Evsel {
    /// The name: `cpu-clock`, `sched:sched_switch`. It is that of EVENT_DESC or EVENT_UPDATE, or made of the type and
    /// config ([`Attr::made_up_name`]).
    pub name: BString,
    /// The ids of its instances, one a CPU or thread.
    pub ids: Vec<u64>,
    /// The fields of a tracepoint's samples, where the recording says them.
    pub tracepoint: Option<EventFormat>,
    /// The attr, as recorded.
    pub attr: Attr,
    /// The layout of its records.
    pub format: SampleFormat,
    /// Its place in [`Evlist::evsels`].
    pub number: usize,
}

/// How the event of a record is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identify {
    /// There are none yet.
    NoEvent,
    /// There is one, or all lay out their records alike: no id need be read.
    Alike,
    /// By the id, which stands at one place in all: in samples, and from the end in other records.
    ById { sample: usize, trailer: Option<usize> },
    /// The events do not agree on where the id stands, so that no record's event can be found.
    Unknowable,
}

/// The events of a recording (perf's evlist), which find a record's event by its id.
#[derive(Debug, Clone)]
pub struct Evlist {
    evsels: Vec<Evsel>,
    by_id: HashMap<u64, usize>,
    identify: Identify,
}

impl Default for Evlist {
    fn default() -> Self {
        Self { evsels: Vec::new(), by_id: HashMap::new(), identify: Identify::NoEvent }
    }
}

impl Evlist {
    /// Adds an event and its ids.
    pub fn add(&mut self, attr: Attr, ids: impl Iterator<Item = u64>) {
        let name = attr.made_up_name().into();
        self.add_named(attr, name, ids.collect(), None);
    }

    /// Adds an event with its name, and the fields of its samples if it is a tracepoint.
    pub(crate) fn add_named(
        &mut self,
        attr: Attr,
        name: BString,
        ids: Vec<u64>,
        tracepoint: Option<EventFormat>,
    ) {
        let format = SampleFormat::new(&attr);
        self.identify = self.identify_with(&format);
        self.by_id.extend(ids.iter().map(|id| (*id, self.evsels.len())));
        let number = self.evsels.len();
        self.evsels.push(Evsel { name, ids, tracepoint, attr, format, number });
    }

    /// Gives the tracepoints their fields, and their names where these are made up.
    pub(crate) fn describe(&mut self, data: &TracingData<'_>) {
        let mut formats = HashMap::new();
        for system in &data.systems {
            let of_events = system.events().zip(&system.formats);
            let with_id =
                of_events.filter_map(|((name, id), format)| Some((id?, (system.name, name, format))));
            formats.extend(with_id);
        }
        for evsel in &mut self.evsels {
            let EventType::Tracepoint { id } = evsel.attr.event_type() else { continue };
            let Some((system, name, format)) = formats.get(&id) else { continue };
            if evsel.tracepoint.is_none() {
                evsel.tracepoint = EventFormat::parse(format, data.endian, data.long_size).ok();
            }
            if evsel.name == evsel.attr.made_up_name() {
                evsel.name = [system.as_bytes(), b":", name.as_bytes()].concat().into();
            }
        }
    }

    /// Names the event that has an id; without ids, the first has the id 0.
    pub(crate) fn rename(&mut self, id: u64, name: &BStr) {
        let index = self.by_id.get(&id).copied().or((id == 0).then_some(0));
        if let Some(evsel) = index.and_then(|index| self.evsels.get_mut(index)) {
            evsel.name = name.to_owned();
        }
    }

    /// How the event of a record is found with one more event of this layout. What holds for all events before holds
    /// for the first.
    fn identify_with(&self, format: &SampleFormat) -> Identify {
        let Some(first) = self.evsels.first() else { return Identify::Alike };
        let place = |format: &SampleFormat| (format.id_offset(), format.trailer_id_offset());
        match (self.identify, place(format)) {
            (Identify::Alike, _) if *format == first.format => Identify::Alike,
            (Identify::Alike | Identify::ById { .. }, (Some(sample), trailer))
                if place(format) == place(&first.format) =>
            {
                Identify::ById { sample, trailer }
            }
            _ => Identify::Unknowable,
        }
    }

    /// The event of a record, or one that lays it out alike. `None` for an id that no event has, and where the
    /// events do not agree on where their ids stand.
    #[must_use]
    #[inline]
    pub fn evsel(&self, record: &RawRecord<'_>) -> Option<&Evsel> {
        match self.identify {
            Identify::Alike => self.evsels.first(),
            Identify::ById { sample, trailer } => self.by_id(record, sample, trailer),
            Identify::NoEvent | Identify::Unknowable => None,
        }
    }

    /// The event of a record. Where all events lay out their records alike, a record that has no id, or one that no event
    /// has, counts as the first event's.
    #[must_use]
    pub fn event_of(&self, record: &RawRecord<'_>) -> Option<&Evsel> {
        match (self.identify, self.evsels.as_slice()) {
            (Identify::Alike, [first, _, ..]) => {
                let of_id = first
                    .format
                    .id_offset()
                    .and_then(|sample| self.by_id(record, sample, first.format.trailer_id_offset()));
                of_id.or(Some(first))
            }
            _ => self.evsel(record),
        }
    }

    /// The layout of all records, if that is the same for all events.
    #[must_use]
    #[inline]
    pub fn only_format(&self) -> Option<&SampleFormat> {
        match self.identify {
            Identify::Alike => self.evsels.first().map(|evsel| &evsel.format),
            Identify::NoEvent | Identify::ById { .. } | Identify::Unknowable => None,
        }
    }

    fn by_id(&self, record: &RawRecord<'_>, sample: usize, trailer: Option<usize>) -> Option<&Evsel> {
        let at = match (record.record_type(), trailer) {
            (RecordType::SAMPLE, _) => sample,
            (_, Some(trailer)) => record.bytes.len().checked_sub(trailer)?,
            (_, None) => return self.evsels.first(),
        };
        match record.endian.u64_at(record.bytes, at)? {
            // A record that a tool made up has no id; its layout is the first event's.
            0 => self.evsels.first(),
            id => self.evsels.get(*self.by_id.get(&id)?),
        }
    }

    /// The time of a record of the kernel, in ns; `None` where its event has no times.
    #[must_use]
    pub fn time(&self, record: &RawRecord<'_>) -> Option<u64> {
        let format = &self.evsel(record)?.format;
        match record.record_type() {
            RecordType::SAMPLE => format.time(record),
            _ => format.trailer_time(record),
        }
    }

    /// The events in the order in which they came.
    #[must_use]
    pub fn evsels(&self) -> &[Evsel] {
        &self.evsels
    }
}
