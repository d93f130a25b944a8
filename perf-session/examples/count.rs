//! Counts the records of each type: `cargo run --example count -- perf.data`.

use std::collections::BTreeMap;
use std::io::Write as _;

use perf_session::SessionReader;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    let mut reader = SessionReader::open(std::env::args_os().nth(1).ok_or("which recording?")?)?.unsorted();
    let mut counts = BTreeMap::new();
    while let Some(record) = reader.next()? {
        *counts.entry(record.record_type()).or_insert(0) += 1;
    }
    for (record_type, count) in counts {
        writeln!(out, "{count:8} {record_type}")?;
    }
    Ok(())
}
