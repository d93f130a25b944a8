//! Ids in the records of maps: what a reader of the output sees, and what stays as it was.

use dumped::dumped;
use insta::assert_snapshot;
use perf_format::record::{CpuMode, Inode, MapFile, Mmap2};
use perf_format::strategies::scenario::{Happening, scenario};
use perf_format::strategies::{config, endian};
use perf_format::testing::{At, OwnedRecord, StreamBuilder, ids_in, records, swapped};
use perf_format::{BuildId, Endian, PipeStream, RawRecord, RecordType};
use perf_inject::{DsoSelection, IdsTo, Plan};
use perf_session::build_id::{BuildIdSource, Chain, FoundId, NoBuildId, NoFiles, Origin, Recorded};
use perf_session::dso::Dso;
use perf_session::hits::hits_of;
use perf_session::machine::HOST;
use perf_session::testing::{Named, id_of, process};
use perf_session::{
    AddressSpace, Error, Event, InOrder, Injection, Passed, RecordSet, Recording, Session, Tool, Verdict,
};
use proptest::prelude::*;

mod dumped;

/// `-b`.
const HIT: Plan = Plan { build_ids: Some(DsoSelection::Hit), ..Plan::NOTHING };

const MMAP2: IdsTo = IdsTo { header: false, events: false, mmap2: true };
const BOTH: IdsTo = IdsTo { header: false, events: true, mmap2: true };

/// `-B`.
fn lazy() -> Plan {
    Plan { drop_unused_maps: true, ids_to: Some(MMAP2), ..HIT }
}

/// The same, but all maps stay.
fn hit() -> Plan {
    Plan { ids_to: Some(MMAP2), ..HIT }
}

/// `--mmap2-buildid-all`.
fn all() -> Plan {
    Plan { build_ids: Some(DsoSelection::Mapped), ids_to: Some(MMAP2), ..HIT }
}

fn out(stream: &[u8], plan: Plan) -> Vec<u8> {
    out_of(stream, plan, Chain(vec![Box::new(Recorded), Box::new(NoFiles), Box::new(Named)]))
}

fn out_of(stream: &[u8], plan: Plan, sources: Chain) -> Vec<u8> {
    let ran = process(stream, &mut plan.tools(sources, IdsTo::default()).as_tools());
    assert_eq!(ran.error, None);
    ran.out
}

/// What a reader sees who has all records in the order of time: where each sample was, by its time.
#[derive(Debug, Default)]
struct Reader {
    sees: Vec<(u64, Vec<Option<String>>)>,
    /// DSOs that were hit and had no id then, memory of no file apart.
    without_id: Vec<String>,
}

impl Tool for Reader {
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
        let word = |at| record.endian.u64_at(record.bytes, at).expect("a sample of this layout");
        let (ip, time, chained) = (word(8), word(24), word(40));
        let pid = record.endian.u32_at(record.bytes, 16).expect("a pid").cast_signed();
        let user = (0..chained)
            .map(|n| (AddressSpace::Process(pid), word(48 + 8 * usize::try_from(n).expect("few"))));
        let of_ip = match record.misc().cpumode() {
            CpuMode::Kernel => AddressSpace::Kernel,
            _ => AddressSpace::Process(pid),
        };
        let mut places = vec![(of_ip, ip)];
        places.extend(user.filter(|(_, addr)| *addr < u64::MAX - 4096));
        let names = places.into_iter().map(|(space, addr)| {
            let map = session.map_at(HOST, space, addr, Some(time))?;
            // For how long a reader remembers the program before an exec is its own affair.
            if session.machines.host().is_before_exec(space, addr, time) {
                return None;
            }
            let dso = session.dso(map.dso)?;
            let has_none = dso.build_id.is_none() && !dso.name.starts_with(b"//anon");
            self.without_id.extend(has_none.then(|| dso.name.to_string()));
            Some(dso.name.to_string())
        });
        self.sees.push((time, names.collect()));
        Ok(Verdict::Repipe)
    }
}

fn reader_of(stream: &[u8]) -> Reader {
    let records = PipeStream::open(stream).expect("a header").records();
    let mut reader = Reader::default();
    let mut records = [records];
    let tools: &mut [&mut dyn Tool] = &mut [&mut reader];
    InOrder::new(tools).run(&mut records, &mut Session::new(), &mut Passed::default()).expect("whole");
    reader.sees.sort();
    reader
}

proptest! {
    #![proptest_config(config(96, "in_maps"))]

    /// Whatever the order of the records, each sample finds what it found, and what it finds has its id. Where it found
    /// nothing, a map of its parent's may be told that an exec, still to come, has ended before: no real sample's
    /// address lies there.
    #[test]
    fn with_maps_told_when_they_are_hit_a_reader_sees_the_same(scenario in scenario(), endian in endian()) {
        let stream = scenario.stream(endian);
        let before = reader_of(&stream).sees;
        for plan in [lazy(), hit(), all()] {
            let after = reader_of(&out(&stream, plan));
            prop_assert_eq!(after.sees.len(), before.len());
            for ((_, after), (_, before)) in after.sees.iter().zip(&before) {
                let found = after.iter().zip(before).map(|(after, before)| before.as_ref().and(after.as_ref()));
                prop_assert_eq!(found.collect::<Vec<_>>(), before.iter().map(Option::as_ref).collect::<Vec<_>>());
            }
            prop_assert_eq!(after.without_id, Vec::<String>::new());
        }
    }

    /// In a stream that is in the order of time, nothing is found but what was.
    #[test]
    fn in_order_a_reader_sees_no_more_than_before(scenario in scenario(), endian in endian()) {
        let scenario = scenario.in_order();
        let stream = scenario.stream(endian);
        let before = reader_of(&stream).sees;
        for plan in [lazy(), hit(), all()] {
            prop_assert_eq!(&reader_of(&out(&stream, plan)).sees, &before);
        }
    }

    /// All else passes as it is.
    #[test]
    fn nothing_but_maps_is_changed(scenario in scenario(), endian in endian()) {
        let others = |stream: &[u8]| -> Vec<OwnedRecord> {
            let is_other = |record: &OwnedRecord| !matches!(record.record_type, RecordType::MMAP | RecordType::MMAP2);
            records(stream).into_iter().filter(is_other).collect()
        };
        let stream = scenario.stream(endian);
        for plan in [lazy(), all()] {
            prop_assert_eq!(others(&out(&stream, plan)), others(&stream));
        }
        prop_assert_eq!(records(&out(&stream, all())).len(), records(&stream).len());
    }

    /// Where the records are in order, or stay where they are. Of a map that comes behind its samples, a second pass
    /// may tell a piece of it at another place.
    #[test]
    fn twice_is_once_and_twins_are_alike(scenario in scenario(), endian in endian()) {
        let stream = scenario.stream(endian);
        let once = out(&stream, all());
        prop_assert_eq!(&out(&once, all()), &once);
        prop_assert_eq!(out(&swapped(&stream), all()), swapped(&once));
        prop_assert_eq!(out(&swapped(&stream), lazy()), swapped(&out(&stream, lazy())));
        let once = out(&scenario.in_order().stream(endian), lazy());
        prop_assert_eq!(&out(&once, lazy()), &once);
    }

    /// In order, a map that nothing hits is left out, and one that is hit comes once a process.
    #[test]
    fn maps_that_nothing_hits_are_left_out(scenario in scenario(), endian in endian()) {
        let scenario = scenario.in_order();
        let stream = scenario.stream(endian);
        let files = |stream: &[u8]| maps(stream, endian).into_iter().filter(|map| map.cpumode == CpuMode::User && map.filename != "//anon").count();
        let hits: usize = scenario.moments.iter().map(|moment| match &moment.happening {
            Happening::Sample { chain, .. } => 1 + chain.len(),
            _ => 0,
        }).sum();
        prop_assert!(files(&out(&stream, lazy())) <= hits);
    }
}

/// The maps in a stream, those of MMAP records included.
fn maps(stream: &[u8], endian: Endian) -> Vec<Mapped> {
    let is_map = |record: &&OwnedRecord| matches!(record.record_type, RecordType::MMAP | RecordType::MMAP2);
    let records = records(stream);
    let raw =
        records.iter().filter(is_map).map(|map| RawRecord::first(&map.bytes, 0, endian).expect("whole"));
    raw.map(|raw| {
        let Mmap2 { pid, file, filename, .. } = Mmap2::of_record(&raw).expect("a map");
        Mapped { cpumode: raw.misc().cpumode(), pid, file, filename: filename.to_string() }
    })
    .collect()
}

#[derive(Debug)]
struct Mapped {
    cpumode: CpuMode,
    pid: u32,
    file: MapFile,
    filename: String,
}

fn stream() -> StreamBuilder {
    StreamBuilder::with_callchains(Endian::Little)
}

fn inode(ino: u64) -> MapFile {
    MapFile::Inode(Inode { maj: 8, min: 1, ino, ino_generation: 0 })
}

#[test]
fn a_map_keeps_all_but_its_inode_and_the_kernel_its_place() {
    let stream = stream()
        .kernel(0xffff_ffff_8000_0000, 0x100_0000)
        .mapped(At { pid: 7, tid: 8, time: 5 }, 0x1000, 0x1000, "/bin/a", inode(3))
        .mmap2(At::new(7, 6), 0x5000, 0x1000, "//anon")
        .mmap2(At::new(7, 6), 0x6000, 0x1000, "[stack]")
        .sample(CpuMode::User, At::new(7, 9), 0x1800, &[])
        .sample(CpuMode::Kernel, At::new(7, 9), 0xffff_ffff_8000_0010, &[])
        .bytes();
    let text = |stream: &[u8]| dumped(stream, &[RecordType::MMAP, RecordType::MMAP2], &[]);
    assert_snapshot!("as_recorded", text(&stream));
    assert_snapshot!("all", text(&out(&stream, all())));
    // One that was hit stands behind what had to stay, as its sample comes, but with its own time.
    assert_snapshot!("lazily", text(&out(&stream, lazy())));
}

/// Ids by inode, as files have them: no two alike.
#[derive(Debug)]
struct ByInode;

impl BuildIdSource for ByInode {
    fn build_id(&mut self, dso: &Dso, _: &Recording) -> Result<Option<FoundId>, NoBuildId> {
        let id = dso.inode.and_then(|inode| BuildId::new(&inode.ino.to_le_bytes()).ok());
        Ok(id.map(|id| FoundId::from(Origin::File, id)))
    }
}

#[test]
fn of_two_files_of_one_name_only_the_first_gets_its_id_by_the_name() {
    let id = |ino: u64| BuildId::new(&ino.to_le_bytes()).expect("an id");
    let stream = stream()
        .mapped(At::new(1, 1), 0x1000, 0x1000, "/lib/c.so", inode(11))
        .mapped(At::new(2, 1), 0x1000, 0x1000, "/lib/c.so", inode(22))
        .sample(CpuMode::User, At::new(1, 2), 0x1800, &[])
        .sample(CpuMode::User, At::new(2, 3), 0x1800, &[])
        .bytes();
    for which in [DsoSelection::Hit, DsoSelection::Mapped] {
        let plan = Plan { build_ids: Some(which), ids_to: Some(BOTH), ..HIT };
        let out = out_of(&stream, plan, Chain(vec![Box::new(ByInode)]));
        let named = ids_in(&records(&out), Endian::Little);
        assert_eq!(named, [("/lib/c.so".to_owned(), id(11))], "{which:?}");
        let told: Vec<_> = maps(&out, Endian::Little).into_iter().map(|map| (map.pid, map.file)).collect();
        for (pid, ino) in [(1, 11), (2, 22)] {
            assert!(told.contains(&(pid, MapFile::BuildId(Some(id(ino))))), "{which:?} {told:?}");
        }
    }
    // Of a file that was replaced before anybody hit it, the second has no claim to the name either.
    let second_alone = self::stream()
        .mapped(At::new(1, 1), 0x1000, 0x1000, "/lib/c.so", inode(11))
        .mapped(At::new(2, 1), 0x1000, 0x1000, "/lib/c.so", inode(22))
        .sample(CpuMode::User, At::new(2, 3), 0x1800, &[])
        .bytes();
    let events = IdsTo { events: true, ..IdsTo::default() };
    let plan = Plan { ids_to: Some(events), ..HIT };
    assert!(out_of(&second_alone, plan, Chain(vec![Box::new(ByInode)])) == second_alone);
}

/// Until an exec returns, the registers and the user's part of a chain are those of the program before.
#[test]
fn a_chain_into_the_program_before_an_exec_keeps_its_map() {
    let (user, kernel) = (512_u64.wrapping_neg(), 0xffff_ffff_8000_0000);
    for late in [false, true] {
        let exec = |stream: StreamBuilder| stream.exec(At::new(7, 20), "new");
        let old = |stream: StreamBuilder| stream.mmap2(At::new(7, 10), 0x1000, 0x1000, "/bin/old");
        let stream = stream().kernel(kernel, 0x100_0000);
        let stream = if late { old(exec(stream)) } else { exec(old(stream)) }
            .sample(CpuMode::Kernel, At::new(7, 21), kernel + 0x10, &[user, 0x1800])
            .mmap2(At::new(7, 22), 0x1000, 0x1000, "/bin/new")
            .sample(CpuMode::User, At::new(7, 30), 0x1800, &[])
            .finished_round()
            .bytes();
        let mut named: Vec<_> =
            maps(&out(&stream, lazy()), Endian::Little).into_iter().map(|map| map.filename).collect();
        named.sort();
        assert_eq!(named, ["/bin/new", "/bin/old", "[kernel.kallsyms]_text"], "late: {late}");
        let sees = |stream: &[u8]| {
            let mut reader = Seer::default();
            let tools: &mut [&mut dyn Tool] = &mut [&mut reader];
            let records = PipeStream::open(stream).expect("a header").records();
            InOrder::new(tools)
                .run(&mut [records], &mut Session::new(), &mut Passed::default())
                .expect("whole");
            reader.0
        };
        assert_eq!(
            sees(&out(&stream, lazy())),
            ["[kernel.kallsyms]", "/bin/old", "/bin/new"],
            "late: {late}"
        );
        let by_name = Plan { ids_to: Some(IdsTo { events: true, ..IdsTo::default() }), ..HIT };
        let named = ids_in(&records(&out(&stream, by_name)), Endian::Little);
        assert!(named.contains(&("/bin/old".to_owned(), id_of(b"/bin/old"))), "with -b, too: {named:?}");
    }
}

/// The DSOs that the samples hit, each hit of each sample.
#[derive(Debug, Default)]
struct Seer(Vec<String>);

impl Tool for Seer {
    fn wants(&self) -> RecordSet {
        RecordSet::of(&[RecordType::SAMPLE])
    }

    fn event(
        &mut self,
        event: &Event<'_>,
        session: &mut Session,
        _: &mut Injection<'_>,
    ) -> Result<Verdict, Error> {
        let mut hit = Vec::new();
        hits_of(event.record, session, |found| hit.push(found.dso));
        self.0.extend(hit.into_iter().filter_map(|dso| Some(session.dso(dso)?.name.to_string())));
        Ok(Verdict::Repipe)
    }
}
