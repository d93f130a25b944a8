//! The two events that off-CPU samples are of: their attrs, ids and names, and how these get into a recording.

use bstr::ByteSlice as _;
use perf_format::attr::{AttrFields, AttrFlags, SampleType};
use perf_format::codec::{Array, Words};
use perf_format::feature::push_event_name;
use perf_format::record::{EventUpdate, HeaderAttr, HeaderFeature, Update};
use perf_format::{Attr, Endian, EventType, Feature, Misc, Preamble, RawRecord, Record, SampleFormat};
use perf_session::evlist::Evlist;
use perf_session::{Error, Injection, Verdict};

use crate::sched_events::SchedError;

/// The names of the events: time asleep, and time that a thread waited for a CPU.
pub(crate) const NAMES: [&str; 2] = ["off-cpu:blocked", "off-cpu:runnable"];

/// `PERF_TYPE_SOFTWARE` and `PERF_COUNT_SW_BPF_OUTPUT`: the type of perf's own off-CPU event, which counts nothing by
/// itself.
const SOFTWARE: u32 = 1;
const BPF_OUTPUT: u64 = 10;

/// The size of the largest attr that is written here, `PERF_ATTR_SIZE_VER9`.
const SIZE_AT_MOST: u32 = 144;

/// The fields whose places decide where ids are found; they are those of the recording's own events.
const PLACED: SampleType = SampleType::IP
    .union(SampleType::TID)
    .union(SampleType::TIME)
    .union(SampleType::ADDR)
    .union(SampleType::ID)
    .union(SampleType::STREAM_ID)
    .union(SampleType::CPU)
    .union(SampleType::IDENTIFIER);

/// The fields that say where a thread was. They are in the events where one of the recording's has them.
const WHERE: SampleType = SampleType::CALLCHAIN.union(SampleType::REGS_USER).union(SampleType::STACK_USER);

/// Whether the recording has no such events yet.
///
/// # Errors
/// Where it has.
pub(crate) fn check_once(evlist: &Evlist) -> Result<(), SchedError> {
    let has = evlist.evsels().iter().any(|evsel| NAMES.iter().any(|name| evsel.name == *name));
    if has { Err(SchedError::Twice) } else { Ok(()) }
}

/// The events that a run adds.
#[derive(Debug, Clone)]
pub(crate) struct AddedEvents {
    attr: Attr,
    /// The layout of their samples.
    pub(crate) format: SampleFormat,
    /// The id of each, in the order of [`NAMES`].
    pub(crate) ids: [u64; 2],
}

impl AddedEvents {
    /// The events for a recording of these. They lay out their records so that readers find the ids of all events at one
    /// place.
    ///
    /// # Errors
    /// Where the recording's events have no ids, or no threads or times, or off-CPU events are among them.
    pub(crate) fn of(evlist: &Evlist) -> Result<Self, SchedError> {
        let evsels = evlist.evsels();
        check_once(evlist)?;
        let tracepoint = |attr: &Attr| matches!(attr.event_type(), EventType::Tracepoint { .. });
        let first = evsels.iter().find(|evsel| tracepoint(&evsel.attr));
        let first = first.or_else(|| evsels.iter().find(|evsel| evsel.attr.has(AttrFlags::CONTEXT_SWITCH)));
        let first = first.ok_or(SchedError::NoSwitches)?;
        let of_first = first.format.sample_type;
        for (field, name) in
            [(SampleType::IP, "address"), (SampleType::TID, "thread"), (SampleType::TIME, "time")]
        {
            if !of_first.contains(field) {
                return Err(SchedError::NoField { event: first.name.clone(), field: name });
            }
        }
        if !of_first.intersects(SampleType::ID | SampleType::IDENTIFIER) {
            return Err(SchedError::NoIds);
        }
        let of_all =
            evsels.iter().fold(SampleType::empty(), |all, evsel| all.union(evsel.format.sample_type));
        let unwound = evsels.iter().find(|evsel| evsel.format.sample_type.contains(SampleType::REGS_USER));
        let fields = &first.attr.fields;
        let kept = AttrFlags::SAMPLE_ID_ALL
            | AttrFlags::USE_CLOCKID
            | AttrFlags::EXCLUDE_CALLCHAIN_KERNEL
            | AttrFlags::EXCLUDE_CALLCHAIN_USER;
        let size = u32::try_from(first.attr.size()).unwrap_or(u32::MAX).min(SIZE_AT_MOST);
        let fields = AttrFields {
            kind: SOFTWARE,
            config: BPF_OUTPUT,
            size,
            sample_period_or_freq: 1,
            sample_type: of_first & PLACED | SampleType::PERIOD | of_all & WHERE,
            read_format: fields.read_format,
            flags: fields.flags & kept,
            clockid: fields.clockid,
            sample_max_stack: fields.sample_max_stack,
            sample_regs_user: unwound.map_or(0, |unwound| unwound.attr.fields.sample_regs_user),
            sample_stack_user: unwound.map_or(0, |unwound| unwound.attr.fields.sample_stack_user),
            ..AttrFields::default()
        };
        let attr = Attr { fields, tail: Vec::new() };
        let ids = evsels.iter().flat_map(|evsel| &evsel.ids);
        let last = ids.copied().max().unwrap_or(0);
        // In a recording where there is no room behind the largest, there is in front of it.
        let ids = last.checked_add(2).map_or([u64::MAX - 2, u64::MAX - 1], |second| [second - 1, second]);
        Ok(Self { format: SampleFormat::new(&attr), attr, ids })
    }

    /// Adds the events to a preamble.
    ///
    /// # Errors
    /// Where its own cannot be read.
    pub(crate) fn add_to(&self, preamble: &mut Preamble) -> Result<(), perf_format::Error> {
        let mut events = self.ids.iter().zip(NAMES);
        events.try_for_each(|(id, name)| preamble.add_event(&self.attr, &[*id], name.as_bytes().as_bstr()))
    }

    /// Injects the attrs into a pipe.
    ///
    /// # Errors
    /// None that is known.
    pub(crate) fn inject_attrs(&self, inject: &mut Injection<'_>) -> Result<(), Error> {
        self.ids.iter().try_for_each(|id| {
            let endian = inject.endian();
            let id = endian.put_u64(*id);
            let attr = HeaderAttr { attr: self.attr.clone(), ids: Words(Array::new(&id, endian)) };
            inject.inject(Misc::default(), &Record::HeaderAttr(attr))
        })
    }

    /// Injects the names into a pipe.
    ///
    /// # Errors
    /// None that is known.
    pub(crate) fn inject_names(&self, inject: &mut Injection<'_>) -> Result<(), Error> {
        self.ids.iter().zip(NAMES).try_for_each(|(id, name)| {
            let update = Update::Name(name.as_bytes().as_bstr());
            inject.inject(Misc::default(), &Record::EventUpdate(EventUpdate { id: *id, update }))
        })
    }

    /// Writes the EVENT_DESC feature of a pipe again, with the events; other features pass.
    ///
    /// # Errors
    /// Where the record is no feature.
    pub(crate) fn describe(
        &self,
        record: &RawRecord<'_>,
        inject: &mut Injection<'_>,
    ) -> Result<Verdict, Error> {
        let feature: HeaderFeature<'_> = record.parse_as()?;
        if feature.feat_id != u64::from(Feature::EVENT_DESC.0) {
            return Ok(Verdict::Repipe);
        }
        let mut data = feature.data.to_vec();
        self.push_to(&mut data, record.endian);
        let longer = Record::HeaderFeature(HeaderFeature { data: &data, ..feature });
        match inject.inject(record.misc(), &longer) {
            // The names are in records of their own, too.
            Err(Error::Format(perf_format::Error::RecordTooLarge { .. })) => Ok(Verdict::Repipe),
            written => written.map(|()| Verdict::Drop),
        }
    }

    fn push_to(&self, feature: &mut Vec<u8>, endian: Endian) {
        for (id, name) in self.ids.iter().zip(NAMES) {
            push_event_name(feature, &self.attr, name.as_bytes().as_bstr(), &[*id], endian);
        }
    }
}
