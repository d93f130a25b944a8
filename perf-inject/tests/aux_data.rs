//! Recordings with AUX data, a hardware trace that nobody has decoded: what it hits is not known, so all that is mapped
//! gets its id, and no map is left out.

use insta::assert_snapshot;
use perf_dump::{DumpOptions, dump_text};
use perf_format::codec::{Array, Words};
use perf_format::record::{Auxtrace, AuxtraceInfo, CpuMode, MapFile, Misc, Mmap2};
use perf_format::testing::{At, OwnedRecord, StreamBuilder, ids_in, injected, records};
use perf_format::{Endian, RawRecord, Record, RecordType};
use perf_inject::{DsoSelection, IdsTo, Plan};
use perf_session::build_id::{Chain, NoFiles, Recorded};
use perf_session::testing::{Named, id_of, process};

const MMAP2: IdsTo = IdsTo { header: false, events: false, mmap2: true };
const EVENTS: IdsTo = IdsTo { header: false, events: true, mmap2: false };

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

fn info(stream: StreamBuilder) -> StreamBuilder {
    // Intel PT's.
    let words = Words(Array::new(&[0; 200], Endian::Little));
    let info = AuxtraceInfo { trace_type: 1, reserved: 0, priv_data: words };
    stream.record(Misc::default(), &Record::AuxtraceInfo(info))
}

/// An AUXTRACE record, and eight bytes of a trace.
fn trace(stream: StreamBuilder) -> StreamBuilder {
    let trace = Auxtrace { size: 8, offset: 0, reference: 0, idx: 0, tid: 0, cpu: 1, reserved: 0 };
    stream.record(Misc::default(), &Record::Auxtrace(trace)).raw(&[0x55; 8])
}

/// Maps of two processes and of the kernel, and one sample. What `before` and `between` add stands in front of all, and
/// behind half of them.
fn stream(
    endian: Endian,
    before: impl Fn(StreamBuilder) -> StreamBuilder,
    between: impl Fn(StreamBuilder) -> StreamBuilder,
) -> Vec<u8> {
    let stream = before(StreamBuilder::with_callchains(endian))
        .kernel(0xffff_ffff_8100_0000, 0x100_0000)
        .mmap2(At { pid: 1, tid: 11, time: 10 }, 0x1000, 0x1000, "/bin/a")
        .mmap2(At::new(1, 11), 0x3000, 0x1000, "[vdso]")
        .mmap2(At::new(1, 12), 0x5000, 0x1000, "//anon")
        .fork(At::new(2, 15), 1);
    between(stream)
        .mmap2(At { pid: 2, tid: 22, time: 20 }, 0x7000, 0x1000, "/lib/b.so")
        .mmap2(At::new(0, 21), 0x7000, 0x1000, "/lib/outside.so")
        .sample(CpuMode::User, At::new(1, 30), 0x1800, &[])
        .finished_round()
        .bytes()
}

fn same(stream: StreamBuilder) -> StreamBuilder {
    stream
}

/// All that is mapped there and has an id.
const ALL: [&str; 5] = ["/bin/a", "/lib/b.so", "/lib/outside.so", "[kernel.kallsyms]", "[vdso]"];

#[test]
fn with_a_trace_all_that_is_mapped_gets_its_id() {
    for endian in [Endian::Little, Endian::Big] {
        let streams = [stream(endian, info, same), stream(endian, same, trace), stream(endian, info, trace)];
        for stream in streams {
            let mut named = ids_in(&injected(&stream, &out(&stream, EVENTS)), endian);
            named.sort();
            assert_eq!(named, ALL.map(|name| (name.to_owned(), id_of(name.as_bytes()))));
        }
        let without = stream(endian, same, same);
        assert_eq!(
            ids_in(&injected(&without, &out(&without, EVENTS)), endian).len(),
            1,
            "the sample's alone"
        );
    }
}

/// What comes out of a recording in which the trace is seen late, a line a record, in either byte order.
fn text(ids_to: IdsTo) -> String {
    let text = |endian| {
        let mut options = DumpOptions::default();
        options.offsets = false;
        dump_text(&out(&stream(endian, same, trace), ids_to), options).expect("perf data")
    };
    assert_eq!(text(Endian::Little), text(Endian::Big));
    text(Endian::Little)
}

#[test]
fn what_was_mapped_before_the_trace_is_seen_gets_its_id_in_front_of_it() {
    assert_snapshot!(text(EVENTS));
}

/// A map without its id: where it is, of which thread, and with which trailer.
type Mapped = (u32, u32, u64, String, Vec<u8>);

/// The maps of MMAP2 records, in the order of processes and addresses, and whether each has its id.
fn maps(stream: &[u8], endian: Endian) -> Vec<(Mapped, bool)> {
    let records = records(stream);
    let is_map = |record: &&OwnedRecord| record.record_type == RecordType::MMAP2;
    let mut maps: Vec<_> = records
        .iter()
        .filter(is_map)
        .map(|map| {
            let raw = RawRecord::first(&map.bytes, 0, endian).expect("whole");
            let Mmap2 { pid, tid, start, file, filename, .. } = raw.parse_as().expect("a map");
            let trailer = raw.bytes[raw.bytes.len() - 8..].to_vec();
            let id = MapFile::BuildId(Some(id_of(filename)));
            ((pid, tid, start, filename.to_string(), trailer), file == id)
        })
        .filter(|((pid, ..), _)| *pid != u32::MAX)
        .collect();
    maps.sort();
    maps
}

#[test]
fn with_a_trace_no_map_is_left_out() {
    for endian in [Endian::Little, Endian::Big] {
        for stream in [stream(endian, info, same), stream(endian, info, trace)] {
            let expected: Vec<_> =
                maps(&stream, endian).into_iter().map(|(map, _)| (map.clone(), map.3 != "//anon")).collect();
            assert_eq!(maps(&out(&stream, MMAP2), endian), expected);
        }
        let without = stream(endian, same, same);
        assert_eq!(maps(&out(&without, MMAP2), endian).len(), 2, "memory, and what the sample hits");
    }
}

#[test]
fn maps_that_were_left_out_before_the_trace_was_seen_come_in_front_of_it() {
    // A reader sorts them in front of the fork, so that the child has them as well.
    assert_snapshot!(text(MMAP2));
}
