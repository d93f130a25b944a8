//! Reads all samples with linux-perf-data, which has one order: that of time.

use std::fs::File;
use std::io::BufReader;

use linux_perf_data::linux_perf_event_reader::EventRecord;
use linux_perf_data::{PerfFileReader, PerfFileRecord};
use perftool_compare::Sum;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).ok_or("which recording?")?;
    let mut reader = PerfFileReader::parse_file(BufReader::new(File::open(path)?))?;
    let mut sum = Sum::default();
    while let Some(record) = reader.record_iter.next_record(&mut reader.perf_file)? {
        let PerfFileRecord::EventRecord { record, .. } = record else { continue };
        if let EventRecord::Sample(sample) = record.parse()? {
            let number = |value: Option<i32>| value.map(|value| u64::from(value.cast_unsigned()));
            let fields = [sample.ip, sample.timestamp, number(sample.pid), number(sample.tid), sample.period];
            let chain = sample.callchain;
            let addresses = chain.iter().flat_map(|chain| (0..chain.len()).filter_map(|at| chain.get(at)));
            sum.add(fields, addresses);
        }
    }
    println!("{sum}");
    Ok(())
}
