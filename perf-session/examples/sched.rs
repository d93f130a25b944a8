//! Prints who runs when: `perf record -e sched:sched_switch -a -o - | cargo run --example sched -- /dev/stdin`.

use std::io::Write as _;

use perf_session::SessionReader;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    let mut reader = SessionReader::open(std::env::args_os().nth(1).ok_or("which recording?")?)?;
    while let Some(record) = reader.next()? {
        let is_switch = record.evsel().is_some_and(|event| event.name == "sched:sched_switch");
        let (true, Some(sample), Some(fields)) = (is_switch, record.sample()?, record.fields()?) else {
            continue;
        };
        let field = |name| fields.get(name).ok_or(name);
        writeln!(
            out,
            "{:12} [{:03}] {}:{} -> {}:{}",
            sample.time.unwrap_or_default(),
            sample.cpu.map_or(0, |cpu| cpu.cpu),
            field("prev_comm")?,
            field("prev_pid")?,
            field("next_comm")?,
            field("next_pid")?,
        )?;
    }
    Ok(())
}
