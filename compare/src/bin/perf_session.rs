//! Reads all samples with perf-session, in the order of time, or with `--unsorted` in that of the recording.

use perf_session::SessionReader;
use perftool_compare::Sum;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).ok_or("which recording?")?;
    let mut reader = SessionReader::open(path)?;
    if std::env::args_os().nth(2).is_some_and(|order| order == "--unsorted") {
        reader = reader.unsorted();
    }
    let mut sum = Sum::default();
    while let Some(record) = reader.next()? {
        if let Some(sample) = record.sample()? {
            sum.add_sample(&sample);
        }
    }
    println!("{sum}");
    Ok(())
}
