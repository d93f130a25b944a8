//! `-B` of recordings whose samples have the user's registers and stack (`perf record --call-graph dwarf`): a reader that
//! unwinds them finds the code that it found before.

use perf_format::record::{CpuMode, Mmap2};
use perf_format::strategies::scenario::scenario;
use perf_format::strategies::{config, endian};
use perf_format::testing::{At, StreamBuilder, ids_in, records};
use perf_format::{Endian, PipeStream, RawRecord, RecordType};
use perf_inject::{DsoSelection, IdsTo, Plan};
use perf_session::build_id::{Chain, NoFiles, Recorded};
use perf_session::machine::HOST;
use perf_session::testing::{Named, process};
use perf_session::{
    AddressSpace, Error, Event, InOrder, Injection, Passed, RecordSet, Session, Tool, Verdict,
};
use proptest::prelude::*;

const MMAP2: IdsTo = IdsTo { header: false, events: false, mmap2: true };
const EVENTS: IdsTo = IdsTo { header: false, events: true, mmap2: false };

/// `PERF_SAMPLE_REGS_USER`, `PERF_SAMPLE_STACK_USER`.
const REGS: u64 = 1 << 12;
const STACK: u64 = 1 << 13;

/// `-B`, or `-b`.
fn out(stream: &[u8], ids_to: IdsTo) -> Vec<u8> {
    let plan = Plan {
        build_ids: Some(DsoSelection::Hit),
        drop_unused_maps: ids_to.mmap2,
        ids_to: Some(ids_to),
        ..Plan::NOTHING
    };
    let sources = Chain(vec![Box::new(Recorded), Box::new(NoFiles), Box::new(Named)]);
    let ran = process(stream, &mut plan.tools(sources, IdsTo::default()).as_tools());
    assert_eq!(ran.error, None);
    ran.out
}

/// The same stream, but each sample has these fields as well: none of what they could hold.
fn with_fields(stream: &[u8], endian: Endian, fields: u64) -> Vec<u8> {
    let mut out = stream[..16].to_vec();
    for mut record in records(stream) {
        match record.record_type {
            RecordType::HEADER_ATTR => {
                let sample_type = endian.u64_at(&record.bytes, 32).expect("an attr");
                record.bytes[32..40].copy_from_slice(&endian.put_u64(sample_type | fields));
            }
            RecordType::SAMPLE => {
                record.bytes.resize(record.bytes.len() + 8 * fields.count_ones() as usize, 0);
                let size = u16::try_from(record.bytes.len()).expect("a small record");
                record.bytes[6..8].copy_from_slice(&endian.put_u16(size));
            }
            _ => {}
        }
        out.extend(record.bytes);
        out.extend(record.payload);
    }
    out
}

/// What a reader could unwind through: of each sample, by its time, the code at each page that anything may be at.
#[derive(Debug, Default)]
struct Unwinder(Vec<(u64, Vec<Option<String>>)>);

impl Tool for Unwinder {
    fn wants(&self) -> RecordSet {
        RecordSet::of(&[RecordType::SAMPLE])
    }

    fn event(
        &mut self,
        event: &Event<'_>,
        session: &mut Session,
        _: &mut Injection<'_>,
    ) -> Result<Verdict, Error> {
        let record = event.record;
        let time = record.endian.u64_at(record.bytes, 24).expect("a time");
        let pid = record.endian.u32_at(record.bytes, 16).expect("a pid").cast_signed();
        let code = (0..40).map(|page| {
            let space = AddressSpace::Process(pid);
            let addr = 0x40_0000 + page * 0x1000;
            let host = session.machines.host();
            let map = session.map_at(HOST, space, addr, Some(time))?;
            let is_of_before = host.is_before_exec(space, addr, time);
            let is_code = map.prot & Mmap2::PROT_EXEC != 0 && !is_of_before;
            Some(session.dso(map.dso)?.name.to_string()).filter(|_| is_code)
        });
        self.0.push((time, code.collect()));
        Ok(Verdict::Repipe)
    }
}

fn unwound(stream: &[u8]) -> Vec<(u64, Vec<Option<String>>)> {
    let mut reader = Unwinder::default();
    let mut records = [PipeStream::open(stream).expect("a header").records()];
    let tools: &mut [&mut dyn Tool] = &mut [&mut reader];
    InOrder::new(tools).run(&mut records, &mut Session::new(), &mut Passed::default()).expect("whole");
    reader.0.sort();
    reader.0
}

proptest! {
    #![proptest_config(config(96, "stacks"))]

    /// Whatever the order of the records, and whatever the stack leads to.
    #[test]
    fn all_code_that_a_stack_may_lead_through_stays(scenario in scenario(), endian in endian()) {
        for fields in [REGS, STACK, REGS | STACK] {
            let stream = with_fields(&scenario.stream(endian), endian, fields);
            let (before, after) = (unwound(&stream), unwound(&out(&stream, MMAP2)));
            prop_assert_eq!(after.len(), before.len());
            for ((time, after), (_, before)) in after.iter().zip(&before) {
                let found = after.iter().zip(before).map(|(after, before)| before.as_ref().and(after.as_ref()));
                let found: Vec<_> = found.collect();
                prop_assert_eq!(found, before.iter().map(Option::as_ref).collect::<Vec<_>>(), "at {}", time);
            }
        }
    }

    /// In order, it is no other code than was there.
    #[test]
    fn in_order_nothing_is_unwound_to_that_was_not_before(scenario in scenario(), endian in endian()) {
        let stream = with_fields(&scenario.in_order().stream(endian), endian, REGS | STACK);
        prop_assert_eq!(unwound(&out(&stream, MMAP2)), unwound(&stream));
    }

    /// perf's inject does not unwind: `-b` marks what addresses hit that are recorded.
    #[test]
    fn with_ids_by_name_stacks_make_no_difference(scenario in scenario(), endian in endian()) {
        let stream = scenario.stream(endian);
        let ids = |stream: &[u8]| ids_in(&records(&out(stream, EVENTS)), endian);
        prop_assert_eq!(ids(&with_fields(&stream, endian, REGS | STACK)), ids(&stream));
    }
}

/// The processes and names of the maps in a stream.
fn maps(stream: &[u8]) -> Vec<(u32, String)> {
    let records = records(stream);
    let maps = records.iter().filter(|record| record.record_type == RecordType::MMAP2);
    maps.map(|map| {
        let raw = RawRecord::first(&map.bytes, 0, Endian::Little).expect("whole");
        let Mmap2 { pid, filename, .. } = raw.parse_as().expect("a map");
        (pid, filename.to_string())
    })
    .collect()
}

#[test]
fn the_maps_of_processes_without_a_sample_are_left_out_still() {
    let stream = StreamBuilder::with_callchains(Endian::Little)
        .mmap2(At::new(1, 1), 0x1000, 0x1000, "/bin/a")
        .mmap2(At::new(1, 2), 0x3000, 0x1000, "[vdso]")
        .mmap2(At::new(2, 3), 0x1000, 0x1000, "/bin/idle")
        .sample(CpuMode::User, At::new(1, 4), 0x1800, &[])
        .mmap2(At::new(1, 5), 0x5000, 0x1000, "/lib/later.so")
        .mmap2(At::new(2, 6), 0x5000, 0x1000, "/lib/idle.so")
        .finished_round()
        .bytes();
    let stack = with_fields(&stream, Endian::Little, REGS | STACK);
    let of_one =
        |names: &[&str]| -> Vec<(u32, String)> { names.iter().map(|name| (1, (*name).to_owned())).collect() };
    assert_eq!(maps(&out(&stack, MMAP2)), of_one(&["/bin/a", "[vdso]", "/lib/later.so"]));
    assert_eq!(maps(&out(&stream, MMAP2)), of_one(&["/bin/a"]), "without stacks");
}
