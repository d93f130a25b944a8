//! Processes that fork and exec, and what tells of one code twice: what a reader must not take for something else.

use std::fs;

use perf_format::attr::SampleType;
use perf_format::codec::Array;
use perf_format::record::{Inode, MapFile, Mmap2, Record};
use perf_format::sample::{StackDump, Tid};
use perf_format::testing::{At, JitDumpBuilder, StreamBuilder, attr, callchain_attr, records};
use perf_format::{CpuMode, Misc, RawRecord, RecordType, Sample, SampleFormat, SampleId};

use crate::made::{ARENA, ARENA_SIZE, Form, Lab, PID, begun, code, dump_of, each, function, hit, monotonic};

fn with_arena_at(stream: StreamBuilder, time: u64) -> StreamBuilder {
    stream.mmap2(At::new(PID, time), ARENA, ARENA_SIZE, "//anon")
}

#[test]
fn a_number_that_two_functions_have_is_each_ones_own() {
    each(|form, endian| {
        for args in [&["--jit"][..], &["--jit=per-process"]] {
            let lab = Lab::new();
            let dump = JitDumpBuilder::new(endian)
                .load(At::new(PID, 100), function(0), 1, b"a", &code("a"))
                .load(At::new(PID, 100), function(1), 1, b"b", &code("b"));
            lab.write_dump(PID, dump);
            let stream = hit(lab.recording(endian), PID, 200, function(1) + 1, &[function(0) + 2]);
            let stream = stream.finished_round().bytes();
            let done = lab.run(form, args, &stream).well((form, endian));
            assert_eq!(done.at(200), ["b+0x1", "a+0x2"], "{form:?} {endian:?} {args:?}");
        }
    });
}

#[test]
fn a_child_has_the_names_of_the_code_that_it_was_born_with() {
    each(|form, endian| {
        let lab = Lab::new();
        lab.write_dump(PID, dump_of(endian, 100, &["hit by both", "hit by the child alone"]));
        let stream = hit(lab.recording(endian), PID, 200, function(0), &[]).fork(At::new(8, 300), PID);
        let stream = hit(stream, 8, 400, function(0) + 1, &[function(1) + 2]).finished_round().bytes();
        let done = lab.run(form, &["--jit"], &stream).well((form, endian));
        assert_eq!(done.at(400), ["hit by both+0x1", "hit by the child alone+0x2"], "{form:?} {endian:?}");
    });
}

/// hotspot calls what comes later a violation of the order of time.
#[test]
fn out_of_a_file_a_map_stands_in_the_round_of_its_function_however_late_that_is_hit() {
    each(|form, endian| {
        let lab = Lab::new();
        lab.write_dump(PID, dump_of(endian, 205, &["one"]));
        let mut stream = lab.recording(endian);
        for time in [100, 200, 300, 400, 500] {
            stream = hit(stream, PID, time, function(7), &[]);
            stream = hit(stream, PID, time + 10, function(7), &[]).finished_round();
        }
        let stream = hit(stream, PID, 600, function(0), &[]).finished_round().bytes();
        let done = lab.run(form, &["--jit"], &stream).well((form, endian));
        assert_eq!(done.at(600), ["one+0x0"], "{form:?} {endian:?}");
        let records = records(&done.stream);
        let is_image = |record: &perf_format::testing::OwnedRecord| {
            let raw = RawRecord::first(&record.bytes, 0, endian).expect("a whole record");
            let map = (record.record_type == RecordType::MMAP2).then(|| Mmap2::of_record(&raw));
            map.is_some_and(|map| map.expect("a map").filename.ends_with(b".so"))
        };
        let before = records.iter().take_while(|record| !is_image(record));
        let rounds = before.filter(|record| record.record_type == RecordType::FINISHED_ROUND).count();
        // Live, it is known when it is hit.
        assert_eq!(rounds, if form == Form::File { 1 } else { 5 }, "{form:?} {endian:?}");
    });
}

#[test]
fn code_in_a_file_has_its_name_and_the_file_has_its_own_before_and_behind() {
    each(|form, endian| {
        let lab = Lab::new();
        lab.write_dump(PID, dump_of(endian, 100, &["a builtin"]));
        let file = MapFile::Inode(Inode { maj: 8, min: 1, ino: 77, ino_generation: 0 });
        let stream = begun(endian).mapped(At::new(PID, 10), ARENA - 0x4000, 0x10000, "/nowhere/node", file);
        let stream = lab.marked(stream, PID);
        let stream = hit(stream, PID, 200, function(0) + 1, &[ARENA - 0x3f00, ARENA + 0x2345]);
        let stream = stream.finished_round().bytes();
        let done = lab.run(form, &["--jit"], &stream).well((form, endian));
        assert_eq!(done.at(200), ["a builtin+0x1", "/nowhere/node", "/nowhere/node"], "{form:?} {endian:?}");
        let mut file: Vec<(u64, u64)> = Vec::new();
        for (_, start, len) in crate::reader::maps(&done.stream, PID) {
            let end = start + len;
            // What AutoFDO has of maps that lie across others.
            let around =
                file.iter().copied().find(|(low, high)| *low <= start && end <= *high && high - low > len);
            file.retain(|(low, high)| *low >= end || *high <= start);
            file.extend(around.into_iter().flat_map(|(low, high)| [(low, start), (end, high)]));
            file.retain(|(low, high)| low < high);
            file.push((start, end));
        }
        let has = |addr: u64| file.iter().any(|(low, high)| (*low..*high).contains(&addr));
        assert!(has(ARENA - 0x3f00) && has(ARENA + 0x2345) && has(function(0)), "{file:x?}");
    });
}

/// Two workers that are born after their parent has begun a dump, and write on in it.
fn written_by_workers(endian: perf_format::Endian) -> JitDumpBuilder {
    JitDumpBuilder::new(endian)
        .load(At::new(PID, 100), function(0), 1, b"of all", &code("a"))
        .load(At::new(8, 400), function(1), 10, b"of 8", &code("b"))
        .load(At::new(9, 450), function(1), 10, b"of 9", &code("c"))
}

#[test]
fn a_function_is_that_of_the_process_that_its_record_names() {
    each(|form, endian| {
        for args in [&["--jit"][..], &["--jit=per-process"]] {
            let lab = Lab::new();
            lab.write_dump(PID, written_by_workers(endian));
            let stream = lab.recording(endian).fork(At::new(8, 300), PID).fork(At::new(9, 310), PID);
            let stream = hit(stream, 8, 500, function(1), &[function(0)]);
            let stream = hit(stream, 9, 510, function(1), &[function(0)]);
            let stream = hit(stream, PID, 520, function(1), &[function(0)]).finished_round().bytes();
            let done = lab.run(form, args, &stream).well((form, endian));
            let names = [500, 510, 520].map(|time| done.at(time).join(" "));
            assert_eq!(
                names,
                ["of 8+0x0 of all+0x0", "of 9+0x0 of all+0x0", "//anon of all+0x0"],
                "{form:?}"
            );
        }
    });
}

#[test]
fn in_shared_memory_a_function_is_that_of_all_that_have_the_memory() {
    each(|form, endian| {
        let lab = Lab::new();
        let dump = written_by_workers(endian).load(At::new(PID, 460), function(2), 2, b"later", &code("d"));
        lab.write_dump(PID, dump);
        let map = Record::Mmap2(Mmap2 {
            pid: PID,
            tid: PID,
            start: ARENA,
            len: ARENA_SIZE,
            pgoff: 0,
            file: crate::made::no_inode(),
            prot: Mmap2::PROT_READ | Mmap2::PROT_EXEC,
            flags: Mmap2::MAP_SHARED,
            filename: "/dev/zero (deleted)".into(),
        });
        let stream = begun(endian).traced(Misc::of(CpuMode::User), &map, At::new(PID, 10));
        let stream = lab.marked(stream, PID).fork(At::new(8, 300), PID).fork(At::new(9, 310), PID);
        let stream = hit(stream, 8, 420, function(1), &[function(0)]);
        let stream = hit(stream, 8, 500, function(2), &[function(1)]);
        let stream = hit(stream, 9, 510, function(1), &[function(0)]);
        let stream = hit(stream, PID, 520, function(1), &[function(2)]).finished_round().bytes();
        let done = lab.run(form, &["--jit"], &stream).well((form, endian));
        let names = [420, 500, 510, 520].map(|time| done.at(time).join(" "));
        let last = ["of 8+0x0 of all+0x0", "later+0x0 of 9+0x0", "of 9+0x0 of all+0x0", "of 9+0x0 later+0x0"];
        assert_eq!(names, last, "{form:?} {endian:?}");
    });
}

#[test]
fn memory_that_comes_late_covers_no_function_that_is_older() {
    each(|form, endian| {
        let lab = Lab::new();
        lab.write_dump(PID, dump_of(endian, 100, &["one"]));
        // Out of the buffers of three CPUs: the memory grew at 300.
        let stream = hit(with_arena_at(lab.recording(endian), 300), PID, 400, function(0), &[]);
        let stream = hit(stream, PID, 200, function(0), &[]);
        let done = lab.run(form, &["--jit"], &stream.finished_round().bytes()).well((form, endian));
        assert_eq!(
            (done.at(200), done.at(400)),
            (vec!["one+0x0".into()], vec!["one+0x0".into()]),
            "{form:?}"
        );
    });
}

#[test]
fn after_an_exec_memory_is_no_code_of_before() {
    each(|form, endian| {
        let lab = Lab::new();
        lab.write_dump(PID, dump_of(endian, 100, &["before"]));
        let stream = hit(lab.recording(endian), PID, 200, function(0), &[]).exec(At::new(PID, 300), "other");
        let stream = hit(stream, PID, 400, function(0), &[]);
        let stream = hit(with_arena_at(stream, 500), PID, 600, function(0), &[]).finished_round().bytes();
        let done = lab.run(form, &["--jit"], &stream).well((form, endian));
        let names = [200, 400, 600].map(|time| done.at(time).concat());
        assert_eq!(names, ["before+0x0", "?", "//anon"], "{form:?} {endian:?}");
    });
}

#[test]
fn code_of_before_an_exec_that_nothing_hit_then_is_not_told_later() {
    each(|form, endian| {
        let lab = Lab::new();
        lab.write_dump(PID, dump_of(endian, 100, &["before"]));
        let stream = lab.recording(endian).exec(At::new(PID, 300), "other");
        let stream = hit(with_arena_at(stream, 500), PID, 600, function(0), &[]).finished_round().bytes();
        let done = lab.run(form, &["--jit"], &stream).well((form, endian));
        assert_eq!(done.at(600), ["//anon"], "{form:?} {endian:?}");
    });
}

#[test]
fn a_dump_and_a_perf_map_go_together() {
    each(|form, endian| {
        let lab = Lab::new();
        lab.write_dump(PID, dump_of(endian, 100, &["dumped"]));
        let map = lab.path("dumps").join(format!("perf-{PID}.map"));
        fs::write(map, format!("{:x} 40 mapped\n", function(1))).expect("written");
        let stream =
            hit(lab.recording(endian), PID, 200, function(0), &[function(1)]).finished_round().bytes();
        let dir = lab.path("dumps");
        let args = ["--jit", "--perf-map", "--jitdump-dir", dir.to_str().expect("text")];
        let done = lab.run(form, &args, &stream).well((form, endian));
        assert_eq!(done.at(200), ["dumped+0x0", "mapped+0x0"], "{form:?} {endian:?}");
    });
}

#[test]
fn memory_that_is_told_late_does_not_cover_unwinding_tables() {
    each(|form, endian| {
        let lab = Lab::new();
        let dump = JitDumpBuilder::new(endian).unwinding(100, 0, &[0; 32], &[0; 20]);
        lab.write_dump(PID, dump.load(At::new(PID, 100), function(0), 1, b"own", &code("own")));
        let fields = callchain_attr().fields.sample_type | SampleType::STACK_USER;
        let mut attr = monotonic(attr(fields));
        attr.fields.sample_stack_user = 8;
        let format = SampleFormat::new(&attr);
        let chain = [512_u64.wrapping_neg(), function(0)].map(|ip| endian.put_u64(ip)).concat();
        let sample = Sample {
            ip: Some(function(0)),
            tid: Some(Tid { pid: PID, tid: PID }),
            time: Some(200),
            period: Some(1),
            callchain: Some(Array::new(&chain, endian)),
            stack_user: Some(StackDump { bytes: &[0; 8], dyn_size: Some(8) }),
            ..Sample::default()
        };
        let body = sample.to_bytes(&format, endian);
        let stream = lab.marked(StreamBuilder::new(endian).attr(&attr, &[1]), PID);
        let stream = stream.record(Misc::of(CpuMode::User), &Record::Sample(&body));
        // Out of the buffer of the CPU on which the process was before.
        let stream = stream.mmap2(At::new(PID, 50), ARENA, ARENA_SIZE, "//anon").finished_round().bytes();
        let done = lab.run(form, &["--jit=per-process"], &stream).well((form, endian));
        assert_eq!(done.at(200), ["own+0x0"], "{form:?} {endian:?}");
        let maps: Vec<_> = records(&done.stream)
            .iter()
            .filter(|record| record.record_type == RecordType::MMAP2)
            .map(|record| {
                let raw = RawRecord::first(&record.bytes, 0, endian).expect("a whole record");
                let map = Mmap2::of_record(&raw).expect("a map");
                let time = SampleId::parse(&format, &raw).expect("a trailer").time.expect("a time");
                (time, map.start..map.start + map.len, map.filename.to_string())
            })
            .collect();
        let tables =
            maps.iter().find(|(_, range, name)| name.ends_with(".so") && !range.contains(&function(0)));
        let (told, tables, _) = tables.expect("they have a map");
        for (time, range, name) in &maps {
            let covers =
                time >= told && range.start < tables.end && tables.start < range.end && range != tables;
            assert!(!covers, "{form:?} {endian:?}: {name} {range:x?} covers {tables:x?}");
        }
    });
}
