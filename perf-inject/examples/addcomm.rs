//! Gives a thread a name, in front of its first sample: `cargo run --example addcomm -- perf.data 123 name`.

use std::fs::File;

use perf_format::record::Comm;
use perf_format::{CpuMode, Misc, Record, RecordType};
use perf_inject::{Plan, Run};
use perf_session::build_id::Chain;
use perf_session::{Error, Event, Injection, RecordSet, Session, Tool, Verdict};

struct AddComm {
    tid: u32,
    name: String,
    is_added: bool,
}

impl Tool for AddComm {
    fn wants(&self) -> RecordSet {
        RecordSet::of(&[RecordType::SAMPLE])
    }

    fn event(
        &mut self,
        event: &Event<'_>,
        session: &mut Session,
        inject: &mut Injection<'_>,
    ) -> Result<Verdict, Error> {
        let format = session.evlist.evsel(event.record).map(|evsel| &evsel.format);
        if let Some(format) = format.filter(|_| !self.is_added)
            && let Some(sampled) = format.tid(event.record).filter(|sampled| sampled.tid == self.tid)
        {
            let comm = Comm { pid: sampled.pid, tid: self.tid, comm: self.name.as_str().into() };
            // Of the sample's event, time and CPU.
            let sample_id = format.sample_id(event.record).unwrap_or_default();
            inject.inject_with_sample_id(Misc::of(CpuMode::User), &Record::Comm(comm), &sample_id)?;
            self.is_added = true;
        }
        Ok(Verdict::Repipe)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let input = File::open(args.next().ok_or("which recording?")?)?;
    let tid = args.next().ok_or("which thread?")?.parse()?;
    let name = args.next().ok_or("which name?")?;
    let mut tool = AddComm { tid, name, is_added: false };
    let mut run = Run::new(Plan::NOTHING, Chain::default()).with_tool(&mut tool);
    Ok(run.any_to_pipe(input, &mut std::io::stdout())?)
}
