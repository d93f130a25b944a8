//! Prints what a recording says of itself, in perf's words: `cargo run --example features -- perf.data`.

use std::io::Write as _;

use perf_session::SessionReader;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    let reader = SessionReader::open(std::env::args_os().nth(1).ok_or("which recording?")?)?;
    let preamble = reader.preamble();
    for feature in preamble.features.keys() {
        match preamble.feature(*feature) {
            Some(Ok(value)) => writeln!(out, "{value}")?,
            Some(Err(error)) => writeln!(out, "{error}")?,
            None => {}
        }
    }
    for event in preamble.event_infos()? {
        writeln!(out, "event {} has the ids {:?}", event.name, event.ids)?;
    }
    Ok(())
}
