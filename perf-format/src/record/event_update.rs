//! EVENT_UPDATE: an event's unit, scale, name or CPUs, which its attr has no room for.

use bstr::BStr;

use crate::codec::{Decoder, Encoder, FieldError, Layout};
use crate::record::CpuMap;
use crate::visit::{FieldData, FieldKind, FieldVisitor, VisitField as _, VisitFields};

/// `PERF_RECORD_EVENT_UPDATE`, `struct perf_record_event_update`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventUpdate<'a> {
    /// One of the event's ids.
    pub id: u64,
    /// The property that it updates.
    pub update: Update<'a>,
}

/// The union in `struct perf_record_event_update`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Update<'a> {
    /// `PERF_EVENT_UPDATE__UNIT`.
    Unit(&'a BStr),
    /// `PERF_EVENT_UPDATE__SCALE`: the bits of an `f64`.
    Scale(u64),
    /// `PERF_EVENT_UPDATE__NAME`.
    Name(&'a BStr),
    /// `PERF_EVENT_UPDATE__CPUS`.
    Cpus(CpuMap<'a>),
    /// A kind not known here.
    Other(u64, &'a [u8]),
}

impl<'a> Layout<'a> for EventUpdate<'a> {
    fn read(d: &mut Decoder<'a>) -> Result<Self, FieldError> {
        let kind: u64 = d.field("type")?;
        let id = d.field("id")?;
        let update = match kind {
            0 => Update::Unit(d.field("unit")?),
            1 => Update::Scale(d.field("scale")?),
            2 => Update::Name(d.field("name")?),
            3 => Update::Cpus(CpuMap::read(d)?),
            other => Update::Other(other, d.field("data")?),
        };
        Ok(Self { id, update })
    }

    fn write(&self, e: &mut Encoder<'_>) {
        let mut head = |kind: u64| {
            e.put(&kind);
            e.put(&self.id);
        };
        match &self.update {
            Update::Unit(unit) => {
                head(0);
                e.put(unit);
            }
            Update::Scale(scale) => {
                head(1);
                e.put(scale);
            }
            Update::Name(name) => {
                head(2);
                e.put(name);
            }
            Update::Cpus(cpus) => {
                head(3);
                cpus.write(e);
            }
            Update::Other(kind, data) => {
                head(*kind);
                e.bytes(data);
            }
        }
    }
}

impl VisitFields for EventUpdate<'_> {
    fn visit(&self, v: &mut dyn FieldVisitor) {
        let word = match &self.update {
            Update::Unit(_) => "UNIT",
            Update::Scale(_) => "SCALE",
            Update::Name(_) => "NAME",
            Update::Cpus(_) => "CPUS",
            Update::Other(..) => "",
        };
        match &self.update {
            Update::Other(kind, _) => kind.visit_as("type", FieldKind::Number, v),
            _ => v.field("type", FieldKind::Number, FieldData::Word(word)),
        }
        self.id.visit_as("id", FieldKind::EventId, v);
        match &self.update {
            Update::Unit(unit) => unit.visit_as("unit", FieldKind::Number, v),
            // As exact as the bits are, in the same digits everywhere.
            Update::Scale(scale) => {
                let scale = format!("{:?}", f64::from_bits(*scale));
                v.field("scale", FieldKind::Number, FieldData::Word(&scale));
            }
            Update::Name(name) => name.visit_as("name", FieldKind::Number, v),
            Update::Cpus(cpus) => {
                if v.begin_group("cpus") {
                    cpus.visit(v);
                }
                v.end_group();
            }
            Update::Other(_, data) => data.visit_as("data", FieldKind::Number, v),
        }
    }
}
