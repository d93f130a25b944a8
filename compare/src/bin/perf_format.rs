//! Reads all samples with perf-format, which has one order: that of the recording. The events are looked up by id.

use std::collections::HashMap;
use std::fs::File;

use perf_format::{PerfReader, RecordType, Sample, SampleFormat};
use perftool_compare::Sum;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).ok_or("which recording?")?;
    let mut reader = PerfReader::open(File::open(path)?)?;
    let events = reader.preamble().event_infos()?;
    let formats: Vec<_> = events.iter().map(|event| SampleFormat::new(&event.attr)).collect();
    let first = formats.first().ok_or("no event")?;
    let by_id: HashMap<_, _> = events
        .iter()
        .zip(&formats)
        .flat_map(|(event, format)| event.ids.iter().map(move |id| (*id, format)))
        .collect();
    let id_at = first.id_offset();
    let mut sum = Sum::default();
    while let Some(record) = reader.next_record()? {
        if record.record_type() != RecordType::SAMPLE {
            continue;
        }
        let id = id_at.and_then(|at| record.endian.u64_at(record.bytes, at));
        let format = id.and_then(|id| by_id.get(&id)).copied().unwrap_or(first);
        sum.add_sample(&Sample::parse(format, &record)?);
    }
    println!("{sum}");
    Ok(())
}
