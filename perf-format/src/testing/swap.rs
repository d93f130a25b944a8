//! The swapper: a stream's twin in the other byte order, each record read and written by its own layout.

use std::collections::HashMap;

use crate::header::pipe_header;
use crate::record::{HeaderFeature, RawRecord, Record, RecordType};
use crate::sample::{Sample, SampleFormat, SampleId};
use crate::{Endian, Feature, PipeStream};

/// The twin of a pipe's stream. Records that cannot be read keep their bytes behind a swapped header; of the features
/// only the texts are swapped; payloads, which declare their own byte order, stay as they are.
///
/// # Panics
/// Where the stream is not whole: this is for tests.
#[must_use]
pub fn swapped(stream: &[u8]) -> Vec<u8> {
    let mut reader = PipeStream::open(stream).expect("a pipe's stream").records();
    let endian = reader.endian();
    let mut out = pipe_header(endian.other()).to_vec();
    let mut formats = Formats::default();
    while let Some(batch) = reader.next_batch().expect("whole records") {
        for record in batch {
            swap(&record.expect("whole records"), &mut formats, &mut out);
        }
        while let Some(payload) = reader.next_payload().expect("a whole payload") {
            out.extend_from_slice(payload);
        }
    }
    out
}

#[derive(Default)]
struct Formats {
    first: Option<SampleFormat>,
    by_id: HashMap<u64, SampleFormat>,
}

impl Formats {
    fn of(&self, raw: &RawRecord<'_>) -> Option<SampleFormat> {
        let first = self.first?;
        let at = match raw.record_type() {
            RecordType::SAMPLE => first.id_offset(),
            _ => first.trailer_id_offset().and_then(|offset| raw.bytes.len().checked_sub(offset)),
        };
        let id = at.and_then(|at| raw.endian.u64_at(raw.bytes, at));
        Some(id.and_then(|id| self.by_id.get(&id)).copied().unwrap_or(first))
    }
}

fn swap(raw: &RawRecord<'_>, formats: &mut Formats, out: &mut Vec<u8>) {
    let to = raw.endian.other();
    let format = formats.of(raw).filter(|_| raw.record_type().is_kernel());
    if raw.record_type() == RecordType::SAMPLE
        && let Some(sample) = format.and_then(|format| Some((Sample::parse(&format, raw).ok()?, format)))
    {
        let body = sample.0.to_bytes(&sample.1, to);
        return push(&Record::Sample(&body), raw, &[], to, out);
    }
    let trailer = format.map_or_else(Vec::new, |format| {
        SampleId::parse(&format, raw).map(|id| id.to_bytes(&format, to)).unwrap_or_default()
    });
    let feature;
    let record = match raw.parse_before(trailer.len()) {
        Ok(Record::HeaderAttr(event)) => {
            let format = SampleFormat::new(&event.attr);
            formats.first.get_or_insert(format);
            formats.by_id.extend(event.ids.0.iter().map(|id| (id, format)));
            Record::HeaderAttr(event)
        }
        Ok(Record::HeaderFeature(text)) if is_text(Feature(u32::try_from(text.feat_id).unwrap_or(0))) => {
            feature = swapped_text(text.data, raw.endian);
            Record::HeaderFeature(HeaderFeature { feat_id: text.feat_id, data: &feature })
        }
        Ok(record) => record,
        Err(_) => Record::Other(raw.record_type(), &raw.bytes[8..raw.bytes.len() - trailer.len()]),
    };
    push(&record, raw, &trailer, to, out);
}

fn push(record: &Record<'_>, raw: &RawRecord<'_>, trailer: &[u8], to: Endian, out: &mut Vec<u8>) {
    let start = out.len();
    record.encode(raw.misc(), trailer, to, out).expect("as large as it was");
    // Some writers pad names further than their layout needs.
    let padding = raw.bytes.len().saturating_sub(out.len() - start);
    if padding > 0 {
        out.truncate(start);
        let trailer = [&vec![0; padding], trailer].concat();
        record.encode(raw.misc(), &trailer, to, out).expect("as large as it was");
    }
    assert_eq!(out.len() - start, raw.bytes.len(), "the twin of {} at {:#x}", raw.record_type(), raw.offset);
}

fn is_text(feature: Feature) -> bool {
    use Feature as F;
    [F::HOSTNAME, F::OSRELEASE, F::VERSION, F::ARCH, F::CPUDESC, F::CPUID].contains(&feature)
}

fn swapped_text(data: &[u8], endian: Endian) -> Vec<u8> {
    let len = endian.u32_at(data, 0).unwrap_or_default();
    let mut data = data.to_vec();
    if let Some(place) = data.get_mut(..4) {
        place.copy_from_slice(&endian.other().put_u32(len));
    }
    data
}
