//! The events of a recording with their names: what the attrs, EVENT_DESC and the tracing data say together.

use std::collections::HashMap;

use bstr::BString;

use crate::event_type::EventType;
use crate::tracing_data::TracingData;
use crate::{Attr, Error, Feature, Preamble, event_names};

/// An event of a recording (perf's `evsel`): what it counts, and by which ids its records are known.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventInfo {
    /// The attr.
    pub attr: Attr,
    /// The ids of its instances, one a CPU or thread: what samples have in their ID or IDENTIFIER field.
    pub ids: Vec<u64>,
    /// The name: `cpu-clock`, `cycles:u`, `sched:sched_switch`.
    pub name: BString,
}

impl Preamble {
    /// The events, in the order of the recording, with their attrs read and their names. A name is that of the EVENT_DESC
    /// feature, by the event's ids or its place. Where that has none it is made from what the event counts, as perf
    /// does: of a tracepoint from the tracing data, of others from type and config ([`Attr::made_up_name`]).
    ///
    /// # Errors
    /// [`Error::Structure`] where an attr cannot be read.
    pub fn event_infos(&self) -> Result<Vec<EventInfo>, Error> {
        let feature = |feature| self.features.get(&feature).map(Vec::as_slice).unwrap_or_default();
        let described = event_names(feature(Feature::EVENT_DESC), self.endian);
        let mut by_id = HashMap::new();
        for (number, event) in described.iter().enumerate() {
            by_id.extend(event.ids.iter().map(|id| (id, number)));
        }
        let tracing_data = TracingData::parse(feature(Feature::TRACING_DATA), 0).ok();
        let tracepoints = tracing_data.map(|data| data.event_names()).unwrap_or_default();
        let in_order = described.len() == self.events.len();

        let info = |(place, event): (usize, &crate::EventAttr)| {
            let attr = Attr::parse(&event.attr, self.endian)?;
            let number = event.ids.iter().find_map(|id| by_id.get(id)).copied();
            let described = described.get(number.or(in_order.then_some(place)).unwrap_or(usize::MAX));
            let name = described.map(|event| event.name).filter(|name| !name.is_empty());
            let name = match (name, attr.event_type()) {
                (Some(name), _) => name.to_owned(),
                (None, EventType::Tracepoint { id }) if tracepoints.contains_key(&id) => {
                    tracepoints.get(&id).cloned().unwrap_or_default()
                }
                _ => attr.made_up_name().into(),
            };
            let all_ids = described.filter(|described| described.ids.len() > event.ids.len());
            let ids = all_ids.map_or_else(|| event.ids.clone(), |described| described.ids.iter().collect());
            Ok(EventInfo { attr, ids, name })
        };
        self.events.iter().enumerate().map(info).collect()
    }

    /// The formats of the recording's tracepoints, if it has any.
    ///
    /// # Errors
    /// [`Error::Structure`] where the tracing data cannot be read.
    pub fn tracing_data(&self) -> Result<Option<TracingData<'_>>, Error> {
        self.features.get(&Feature::TRACING_DATA).map(|data| TracingData::parse(data, 0)).transpose()
    }
}
