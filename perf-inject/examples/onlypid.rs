//! Keeps the records of one process, and those of none: `perf record -a -o - | cargo run --example onlypid -- /dev/stdin 123`.

use std::fs::File;

use perf_inject::{Plan, Run};
use perf_session::build_id::Chain;
use perf_session::{Error, Event, Injection, RecordSet, Session, Tool, Verdict};

struct OnlyPid(i32);

impl Tool for OnlyPid {
    fn wants(&self) -> RecordSet {
        RecordSet::KERNEL
    }

    fn cuts(&self) -> RecordSet {
        RecordSet::KERNEL
    }

    fn event(
        &mut self,
        event: &Event<'_>,
        session: &mut Session,
        _: &mut Injection<'_>,
    ) -> Result<Verdict, Error> {
        let pid = session.record(event.record).pid();
        // The kernel's maps are those of -1.
        let is_kept = pid.is_none_or(|pid| [self.0, -1].contains(&pid));
        Ok(if is_kept { Verdict::Repipe } else { Verdict::Drop })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let input = File::open(args.next().ok_or("which recording?")?)?;
    let mut only = OnlyPid(args.next().ok_or("which process?")?.parse()?);
    let mut run = Run::new(Plan::NOTHING, Chain::default()).with_tool(&mut only);
    Ok(run.any_to_pipe(input, &mut std::io::stdout())?)
}
