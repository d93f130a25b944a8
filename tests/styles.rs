//! The styles of build-ids and the forms that they take: what a reader of the output sees, and what stays as it was.

mod common;

use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::process::{Command, Stdio};

use common::scenario::{Happening, scenario};
use common::{HIT, Owned, id_of, ids_in, named, oracle, perftool, process, records, run, stderr};
use perf_format::record::{CpuMode, Inode, MapFile, Misc, Mmap2};
use perf_format::testing::{At, StreamBuilder, swapped};
use perf_format::{BuildId, Endian, PipeStream, RawRecord, RecordType};
use perf_inject::{DsoSelection, IdsTo, Plan};
use perf_session::build_id::{BuildIdSource, Chain, FoundId, NoBuildId, Origin};
use perf_session::dso::Dso;
use perf_session::machine::HOST;
use perf_session::{
    AddressSpace, Error, Event, InOrder, Injection, Passed, RecordSet, Recording, Session, Tool, Verdict,
};
use proptest::prelude::*;

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
    out_of(stream, plan, named())
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
            let dso = session.dso(session.dso_at(HOST, space, addr, Some(time))?)?;
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

fn endian() -> impl Strategy<Value = Endian> {
    prop_oneof![Just(Endian::Little), Just(Endian::Big)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

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
    fn in_order_a_reader_sees_no_more_than_before(mut scenario in scenario(), endian in endian()) {
        scenario.moments.iter_mut().for_each(|moment| moment.cpu = false);
        let stream = scenario.stream(endian);
        let before = reader_of(&stream).sees;
        for plan in [lazy(), hit(), all()] {
            prop_assert_eq!(&reader_of(&out(&stream, plan)).sees, &before);
        }
    }

    /// All else passes as it is.
    #[test]
    fn nothing_but_maps_is_changed(scenario in scenario(), endian in endian()) {
        let others = |stream: &[u8]| -> Vec<Owned> {
            let is_other = |record: &Owned| !matches!(record.record_type, RecordType::MMAP | RecordType::MMAP2);
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
    fn twice_is_once_and_twins_are_alike(mut scenario in scenario(), endian in endian()) {
        let stream = scenario.stream(endian);
        let once = out(&stream, all());
        prop_assert_eq!(&out(&once, all()), &once);
        prop_assert_eq!(out(&swapped(&stream), all()), swapped(&once));
        prop_assert_eq!(out(&swapped(&stream), lazy()), swapped(&out(&stream, lazy())));
        scenario.moments.iter_mut().for_each(|moment| moment.cpu = false);
        let once = out(&scenario.stream(endian), lazy());
        prop_assert_eq!(&out(&once, lazy()), &once);
    }

    /// In order, a map that nothing hits is left out, and one that is hit comes once a process.
    #[test]
    fn maps_that_nothing_hits_are_left_out(mut scenario in scenario(), endian in endian()) {
        scenario.moments.iter_mut().for_each(|moment| moment.cpu = false);
        let stream = scenario.stream(endian);
        let files = |stream: &[u8]| maps(stream, endian).into_iter().filter(|map| map.misc.cpumode() == CpuMode::User && map.filename != "//anon").count();
        let hits: usize = scenario.moments.iter().map(|moment| match &moment.happening {
            Happening::Sample { chain, .. } => 1 + chain.len(),
            _ => 0,
        }).sum();
        prop_assert!(files(&out(&stream, lazy())) <= hits);
    }
}

/// The maps in a stream, those of MMAP records included.
fn maps(stream: &[u8], endian: Endian) -> Vec<Mapped> {
    let is_map = |record: &&Owned| matches!(record.record_type, RecordType::MMAP | RecordType::MMAP2);
    let records = records(stream);
    let raw =
        records.iter().filter(is_map).map(|map| RawRecord::first(&map.bytes, 0, endian).expect("whole"));
    raw.map(|raw| {
        let map = Mmap2::of_record(&raw).expect("a map");
        let Mmap2 { pid, tid, start, len, pgoff, file, prot, flags, filename } = map;
        let (trailer, filename) = (raw.bytes[raw.bytes.len() - 16..].to_vec(), filename.to_string());
        let misc = raw.misc().with(Misc::MMAP_BUILD_ID, false);
        Mapped { misc, pid, tid, start, len, pgoff, file, prot, flags, filename, trailer }
    })
    .collect()
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Mapped {
    misc: Misc,
    pid: u32,
    tid: u32,
    start: u64,
    len: u64,
    pgoff: u64,
    file: MapFile,
    prot: u32,
    flags: u32,
    filename: String,
    trailer: Vec<u8>,
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
    let expected: Vec<Mapped> = maps(&stream, Endian::Little)
        .into_iter()
        .map(|map| {
            let id = match map.filename.as_str() {
                "[kernel.kallsyms]_text" => Some(id_of(b"[kernel.kallsyms]")),
                "/bin/a" => Some(id_of(b"/bin/a")),
                _ => None,
            };
            Mapped { file: id.map_or(map.file, |id| MapFile::BuildId(Some(id))), ..map }
        })
        .collect();
    assert_eq!(maps(&out(&stream, all()), Endian::Little), expected);
    let lazily = maps(&out(&stream, lazy()), Endian::Little);
    let kernel = &lazily[0];
    assert_eq!(kernel, &expected[0], "pid -1, the symbol's name and its address");
    assert_eq!(
        (kernel.pid, kernel.misc.cpumode(), kernel.filename.ends_with("_text")),
        (u32::MAX, CpuMode::Kernel, true)
    );
    // Behind what had to stay, as its sample comes, but with its own time.
    let told = &lazily[3];
    assert_eq!((told.pid, told.start, told.len, told.prot, told.flags), (7, 0x1000, 0x1000, 5, 2));
    assert_eq!(told.trailer[8..], 5_u64.to_le_bytes());
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

/// The ids of one name in each form that a file has.
fn forms(file: &Path, name: &str) -> (usize, usize, usize) {
    let json = perftool(&["buildid-list", "--json", "-i"]).arg(file).output().expect("it runs").stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    let dso =
        json["dsos"].as_array().expect("DSOs").iter().find(|dso| dso["name"] == name).expect("it is there");
    let sources = dso["sources"].as_array().expect("sources");
    let count = |place: &str| sources.iter().filter(|source| source["place"] == place).count();
    (count("header"), count("record"), count("mmap2"))
}

#[test]
fn one_pass_gives_any_set_of_forms_and_takes_none_away() {
    let dir = tempfile::tempdir().expect("a directory");
    let stream = stream()
        .mapped(At::new(1, 1), 0x1000, 0x1000, "/bin/a", inode(3))
        .sample(CpuMode::User, At::new(1, 2), 0x1800, &[])
        .finished_round()
        .bytes();
    let known = format!("--known-build-ids={} /bin/a", "ab".repeat(20));
    let inject = |args: &[&str], input: &[u8], name: &str| {
        let path = dir.path().join(name);
        let output =
            run(perftool(&[&["inject", &known, "-o", path.to_str().expect("text")], args].concat()), input);
        assert!(output.status.success(), "{}", stderr(&output));
        path
    };
    let one_by_one = [
        (&["-b"][..], (1, 0, 0)),
        (&["-b", "--buildid-to=events"], (0, 1, 0)),
        (&["-B"], (0, 0, 1)),
        (&["--mmap2-buildid-all"], (0, 0, 1)),
        (&["--mmap2-buildid-all", "-b"], (1, 0, 0)),
        (&["-B", "--buildid-all"], (1, 0, 0)),
        (&["--buildid-all", "--buildid-to=header,events"], (1, 1, 0)),
        (&["-b", "--buildid-to=header,events,mmap2"], (1, 1, 1)),
        (&["--buildid-all", "--buildid-to=mmap2,events,header"], (1, 1, 1)),
        (&["-B", "--buildid-to=header,mmap2"], (1, 0, 1)),
    ];
    for (args, expected) in one_by_one {
        assert_eq!(forms(&inject(args, &stream, "out"), "/bin/a"), expected, "{args:?}");
    }
    // One after the other, from file to file.
    let mut file = inject(&["-b"], &stream, "1");
    for (args, expected) in [
        (&["-b", "--buildid-to=events"][..], (1, 1, 0)),
        (&["--mmap2-buildid-all"], (1, 1, 1)),
        (&["-B"], (1, 1, 1)),
    ] {
        let next = file.with_extension("next");
        let mut command = perftool(&["inject", &known]);
        let done = command.args(args).arg("-i").arg(&file).arg("-o").arg(&next).output().expect("it runs");
        assert!(done.status.success(), "{}", stderr(&done));
        assert_eq!(forms(&next, "/bin/a"), expected, "{args:?}");
        file = next;
    }
}

#[test]
fn maps_inside_compressed_records_get_their_ids_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("out");
    for recording in ["compressed.pipe"] {
        let input = common::data().join(recording);
        for style in ["-B", "--mmap2-buildid-all"] {
            let mut inject = perftool(&["inject", "--allow-changed", style, "-i"]);
            let done = inject.arg(&input).arg("-o").arg(&out).output().expect("it runs");
            assert!(done.status.success(), "{recording}: {}", stderr(&done));
            let bytes = fs::read(&out).expect("written");
            let mut file = perf_format::PerfFile::open(Cursor::new(bytes)).expect("a file");
            assert!(!file.has(perf_format::Feature::COMPRESSED), "its records are plain");
            let mut reader = file.records().expect("records");
            let mut with_id = 0;
            while let Some(batch) = reader.next_batch().expect("whole") {
                for record in batch.map(|record| record.expect("whole")) {
                    with_id += usize::from(
                        record.misc().has(Misc::MMAP_BUILD_ID) && record.record_type() == RecordType::MMAP2,
                    );
                }
            }
            assert!(with_id >= 1, "{recording} {style}");
        }
    }
}

/// Builds a program that works for a moment in a function of this name; `None` where nothing compiles C.
fn noploop(dir: &Path) -> std::path::PathBuf {
    let source = dir.join("noploop.c");
    let text = "int noploop(void) { volatile int n = 0; while (n < 60000000) n++; return n; }\n\
                int main(void) { return noploop() == 0; }\n";
    fs::write(&source, text).expect("written");
    let program = dir.join("loop");
    let status = Command::new("cc").arg("-O1").arg("-o").arg(&program).arg(&source).status();
    assert!(status.expect("cc is here: Rust links with it").success());
    program
}

fn shell(dir: &Path, line: &str) -> String {
    let mut sh = Command::new("sh");
    let bin = Path::new(env!("CARGO_BIN_EXE_perftool"));
    sh.args(["-c", line]).current_dir(dir).env("P", bin).stdin(Stdio::null());
    String::from_utf8_lossy(&sh.output().expect("sh runs").stdout).into_owned()
}

/// What perf's own test of pipes runs, with this program in perf inject's place.
#[test]
fn in_each_pairing_and_style_perf_report_finds_the_symbol() {
    if !oracle::perf_is_here("the pairings of perf's pipe test") {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    noploop(dir.path());
    let record = "perf record -q -e task-clock:u -F 2000";
    let made =
        format!("{record} -o - ./loop > x.pipe; {record} -g -o - ./loop > g.pipe; {record} -o x.data ./loop");
    shell(dir.path(), &made);
    if fs::metadata(dir.path().join("x.data")).map_or(0, |meta| meta.len()) < 2000 {
        return oracle::cannot_record("task-clock:u");
    }
    let pairings = [
        "cat x.pipe | $P inject STYLE | perf report -i -",
        "cat g.pipe | $P inject STYLE | perf report -i -",
        "cat x.pipe | $P inject STYLE -o y.data; perf report -i y.data",
        "$P inject STYLE -i x.data | perf report -i -",
        "$P inject STYLE -i x.pipe | perf report -i -",
        "$P inject STYLE -i x.pipe -o z.data; perf report -i z.data",
    ];
    for style in ["-B", "-b", "--buildid-all", "--mmap2-buildid-all"] {
        for pairing in pairings {
            let said = shell(dir.path(), &pairing.replace("STYLE", style));
            assert!(said.contains("noploop"), "{style}: {pairing}\n{said}");
        }
        let live = format!("{record} -o - ./loop | $P inject {style} | perf report -i -");
        assert!(shell(dir.path(), &live).contains("noploop"), "{style}, live");
    }
}
