//! The fields of one record.

use perf_format::record::{HeaderAttr, Read, Record};
use perf_format::{
    Arch, Error, FieldData, FieldKind, FieldVisitor, RawRecord, RecordHeader, RecordType, Sample,
    SampleContext, SampleId, VisitFields as _,
};
use perf_session::evlist::Evlist;

use crate::attr::visit_attr;

/// What explains the fields of records.
#[derive(Debug)]
pub(crate) struct Explained<'e> {
    pub(crate) evlist: &'e Evlist,
    pub(crate) arch: Option<Arch>,
}

/// Tells the fields of a record. What cannot be parsed is bytes, and the reason.
pub(crate) fn visit(record: &RawRecord<'_>, explained: &Explained<'_>, v: &mut dyn FieldVisitor) {
    if let Err(error) = visit_parsed(record, explained, v) {
        v.field("error", FieldKind::Number, FieldData::Text(reason(&error).as_str().into()));
        let body = record.bytes.get(RecordHeader::SIZE..).unwrap_or_default();
        v.field("data", FieldKind::Memory, FieldData::Bytes(body));
    }
}

/// What is wrong with a record, without what its line says already.
fn reason(error: &Error) -> String {
    match error {
        Error::Malformed { field, problem, .. } => format!("{field}: {problem}"),
        error => error.to_string(),
    }
}

/// The same. Nothing was told where it is an error.
fn visit_parsed(
    record: &RawRecord<'_>,
    explained: &Explained<'_>,
    v: &mut dyn FieldVisitor,
) -> Result<(), Error> {
    if !record.record_type().is_kernel() {
        let (body, rest) = record.parse_with_rest(0)?;
        match body {
            Record::HeaderAttr(HeaderAttr { attr, ids }) => {
                if v.begin_group("attr") {
                    visit_attr(&attr, v);
                }
                v.end_group();
                v.field("ids", FieldKind::EventId, FieldData::Words(ids.0));
            }
            body => body.visit(v),
        }
        visit_rest(rest, v);
        return Ok(());
    }
    if record.record_type() == RecordType::SAMPLE {
        return visit_sample(record, explained, v);
    }
    let layout = explained.evlist.evsel(record);
    let format = layout.map(|evsel| evsel.format);
    let (body, rest) = record.parse_with_rest(format.map_or(0, |format| format.trailer_len()))?;
    let id = format.map(|format| SampleId::parse(&format, record)).transpose()?;
    match (body, format) {
        (Record::Read(Read { pid, tid, .. }), Some(format)) => {
            let values = format.read_values(record)?;
            v.field("pid", FieldKind::Pid, FieldData::Signed(pid.cast_signed().into()));
            v.field("tid", FieldKind::Tid, FieldData::Signed(tid.cast_signed().into()));
            values.visit(v);
        }
        (body, _) => {
            body.visit(v);
            visit_rest(rest, v);
        }
    }
    if let Some(id) = id.filter(|id| *id != SampleId::default()) {
        if v.begin_group("sample_id") {
            id.visit(&SampleContext::default(), v);
        }
        v.end_group();
    }
    Ok(())
}

/// Bytes behind the fields, unless they are padding.
fn visit_rest(rest: &[u8], v: &mut dyn FieldVisitor) {
    if rest.iter().any(|byte| *byte != 0) {
        v.field("rest", FieldKind::Number, FieldData::Bytes(rest));
    }
}

fn visit_sample(
    record: &RawRecord<'_>,
    explained: &Explained<'_>,
    v: &mut dyn FieldVisitor,
) -> Result<(), Error> {
    let Some(evsel) = explained.evlist.event_of(record) else {
        let body = record.bytes.get(RecordHeader::SIZE..).unwrap_or_default();
        v.field("error", FieldKind::Number, FieldData::Text("its event is not known".into()));
        v.field("data", FieldKind::Memory, FieldData::Bytes(body));
        return Ok(());
    };
    let context = SampleContext { arch: explained.arch, tracepoint: evsel.tracepoint.as_ref() };
    // It is looked at where it is: it has room for every field, and to move it takes longer than to read it.
    match Sample::parse(&evsel.format, record) {
        Ok(ref sample) => {
            v.field("event", FieldKind::Number, FieldData::Text(evsel.name.as_ref()));
            sample.visit(&context, v);
            Ok(())
        }
        Err(error) => Err(error),
    }
}
