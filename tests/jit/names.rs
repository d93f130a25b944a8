//! Which functions get names, and when.

use perf_format::attr::SampleType;
use perf_format::jitdump::Move;
use perf_format::record::{CallchainDeferred, CpuMode, Misc, Record};
use perf_format::sample::{StackDump, Tid};
use perf_format::testing::{At, JitDumpBuilder, attr, callchain_attr, jit_header, records};
use perf_format::{Endian, RecordType, Sample, SampleFormat};

use crate::made::{
    ARENA, ARENA_SIZE, Form, Lab, PID, SIZE, begun, code, dump_of, each, function, hit, monotonic, symbols,
    with_arena,
};

fn set(names: &[&str]) -> std::collections::BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn functions_that_are_hit_have_names_and_no_others_are_written() {
    each(|form, endian| {
        let lab = Lab::new();
        lab.write_dump(PID, dump_of(endian, 100, &["own", "caller", "of the kernel", "never", "at its end"]));
        let stream = lab.recording(endian);
        let stream = hit(stream, PID, 200, function(0) + 4, &[function(1) + 8]);
        let stream = stream.sample(
            CpuMode::Kernel,
            At::new(PID, 300),
            0xffff_ffff_8100_0010,
            &[128_u64.wrapping_neg(), 0xffff_ffff_8100_0010, 512_u64.wrapping_neg(), function(2)],
        );
        let stream = hit(stream, PID, 400, function(3) + SIZE as u64, &[function(4) + SIZE as u64 - 1]);
        let stream = stream.finished_round().bytes();
        let done = lab.run(form, &["--jit"], &stream).well((form, endian));
        assert_eq!(done.at(200), ["own+0x4", "caller+0x8"], "{form:?} {endian:?}");
        assert_eq!(done.at(300)[1..], ["of the kernel+0x0"], "{form:?} {endian:?}");
        assert_eq!(done.at(400), ["//anon", "at its end+0x3f"], "{form:?} {endian:?}");
        assert_eq!(lab.functions(), set(&["own", "caller", "of the kernel", "at its end"]));
        assert_eq!(done.maps().len(), 4, "one for each function");
    });
}

#[test]
fn an_address_that_is_used_again_has_the_name_of_its_time() {
    each(|form, endian| {
        let lab = Lab::new();
        let dump = JitDumpBuilder::new(endian)
            .load(At::new(PID, 100), ARENA, 1, b"first", &code("first"))
            .load(At::new(PID, 200), ARENA + 0x20, 2, b"second", &code("second"))
            .load(At::new(PID, 300), ARENA, 3, b"third", &code("third"));
        lab.write_dump(PID, dump);
        let mut stream = lab.recording(endian);
        for time in [50, 150, 250, 350] {
            stream = hit(stream, PID, time, ARENA + 0x10, &[ARENA + 0x30]);
        }
        let done = lab.run(form, &["--jit"], &stream.finished_round().bytes()).well((form, endian));
        assert_eq!(done.at(50), ["//anon", "//anon"], "there was no code yet");
        assert_eq!(done.at(150), ["first+0x10", "first+0x30"]);
        assert_eq!(done.at(250), ["first+0x10", "second+0x10"]);
        assert_eq!(done.at(350), ["third+0x10", "third+0x30"]);
    });
}

#[test]
fn a_function_that_moves_keeps_its_name_and_what_comes_after_it_has_its_own() {
    each(|form, endian| {
        let lab = Lab::new();
        let moved = |from, to| Move {
            pid: PID,
            tid: PID,
            vma: to,
            old_code_addr: from,
            new_code_addr: to,
            code_size: SIZE as u64,
            code_index: 1,
        };
        let dump = JitDumpBuilder::new(endian)
            .load(At::new(PID, 100), function(0), 1, b"moved", &code("moved"))
            .moved(200, &moved(function(0), function(1)))
            .load(At::new(PID, 300), function(0), 2, b"in its old place", &code("other"))
            .moved(400, &moved(function(1), function(2)));
        lab.write_dump(PID, dump);
        let mut stream = lab.recording(endian);
        for (time, at) in [(150, 0), (250, 1), (350, 0), (360, 1), (450, 2), (460, 0)] {
            stream = hit(stream, PID, time, function(at) + 1, &[]);
        }
        let stream = stream.finished_round().bytes();
        for (args, copies) in [("--jit=per-process", 1), ("--jit", 3)] {
            let done = lab.run(form, &[args], &stream).well((form, endian));
            let names = [150, 250, 350, 360, 450, 460].map(|time| done.at(time).concat());
            let moved = "moved+0x1";
            let other = "in its old place+0x1";
            assert_eq!(names, [moved, moved, other, moved, moved, other], "{form:?} {endian:?}");
            let images = lab.images();
            let all = images.iter().flat_map(|name| symbols(&lab.image(name)));
            let is = all.filter(|(name, ..)| name == "moved").count();
            assert_eq!(is, copies, "an image has one distance");
            lab.clear();
        }
    });
}

#[test]
fn samples_that_stand_before_the_mapping_of_the_dump_have_names_too() {
    each(|form, endian| {
        for rounds in [0, 1] {
            let lab = Lab::new();
            lab.write_dump(PID, dump_of(endian, 30, &["early"]));
            let mut stream = hit(with_arena(begun(endian), PID), PID, 200, function(0), &[function(0) + 8]);
            // Out of a buffer that was emptied later.
            stream = (0..rounds).fold(stream, |stream, _| stream.finished_round());
            stream = lab.marked(stream, PID);
            let stream = hit(stream, PID, 300, function(0) + 1, &[]).finished_round().bytes();
            let done = lab.run(form, &["--jit"], &stream).well((form, endian, rounds));
            assert_eq!(done.at(200), ["early+0x0", "early+0x8"], "{form:?} {endian:?} {rounds}");
            assert_eq!(done.at(300), ["early+0x1"]);
        }
    });
}

#[test]
fn memory_that_would_cover_code_is_left_out_and_other_memory_stays() {
    each(|form, endian| {
        for name in ["//anon", "[anon:jit]", "/memfd:jit (deleted)"] {
            let lab = Lab::new();
            lab.write_dump(PID, dump_of(endian, 100, &["covered", "later"]));
            let mut stream = hit(lab.recording(endian), PID, 200, function(0), &[]);
            // What mprotect does to the memory, and more of it elsewhere.
            stream = stream.mmap2(At::new(PID, 300), ARENA, ARENA_SIZE, name);
            stream = stream.mmap2(At::new(PID, 310), ARENA - ARENA_SIZE, ARENA_SIZE, name);
            stream = stream.mmap2(At::new(8, 320), ARENA, ARENA_SIZE, name);
            let stream = hit(stream, PID, 400, function(0) + 1, &[function(1) + 2]).finished_round().bytes();
            let done = lab.run(form, &["--jit"], &stream).well((form, endian, name));
            assert_eq!(done.at(400), ["covered+0x1", "later+0x2"], "{form:?} {endian:?} {name}");
            assert_eq!(done.maps().len(), 2, "{:?}", done.maps());
        }
    });
}

#[test]
fn a_file_that_is_mapped_over_code_later_has_its_own_name() {
    each(|form, endian| {
        let lab = Lab::new();
        lab.write_dump(PID, dump_of(endian, 100, &["gone"]));
        let stream = hit(lab.recording(endian), PID, 200, function(0), &[]);
        let stream = stream.mmap2(At::new(PID, 300), ARENA, ARENA_SIZE, "/nowhere/a.so");
        let stream = hit(stream, PID, 400, function(0), &[]).finished_round().bytes();
        let done = lab.run(form, &["--jit"], &stream).well((form, endian));
        assert_eq!((done.at(200), done.at(400)), (vec!["gone+0x0".into()], vec!["/nowhere/a.so".into()]));
    });
}

#[test]
fn each_of_two_processes_has_its_own_functions() {
    each(|form, endian| {
        let lab = Lab::new();
        lab.write_dump(PID, dump_of(endian, 100, &["of the one"]));
        let header = perf_format::jitdump::HeaderWords { pid: 8, ..jit_header() };
        let other = JitDumpBuilder::with_header(endian, &header);
        lab.write_dump(8, other.load(At::new(8, 100), ARENA, 1, b"of the other", &code("b")));
        let stream = lab.marked(with_arena(lab.recording(endian), 8), 8);
        let stream = hit(stream, PID, 200, ARENA, &[]);
        let stream = hit(stream, 8, 210, ARENA, &[]);
        let stream = hit(with_arena(stream, 9), 9, 220, ARENA, &[]).finished_round().bytes();
        let done = lab.run(form, &["--jit"], &stream).well((form, endian));
        let names = [200, 210, 220].map(|time| done.at(time).concat());
        assert_eq!(names, ["of the one+0x0", "of the other+0x0", "//anon"], "{form:?} {endian:?}");
        assert_eq!(lab.images().len(), 2);
    });
}

#[test]
fn a_callers_address_that_is_only_on_the_stack_is_in_the_image() {
    each(|form, endian| {
        let lab = Lab::new();
        lab.write_dump(PID, dump_of(endian, 100, &["own", "on the stack", "never"]));
        let fields = callchain_attr().fields.sample_type | SampleType::STACK_USER;
        let mut with_stack = monotonic(attr(fields));
        with_stack.fields.sample_stack_user = 64;
        let format = SampleFormat::new(&with_stack);
        let stream = perf_format::testing::StreamBuilder::new(endian).attr(&with_stack, &[1]);
        let stream = lab.marked(with_arena(stream, PID), PID);
        let mut stack = [0; 64];
        stack[16..24].copy_from_slice(&endian.put_u64(function(1) + 5));
        let chain = [512_u64.wrapping_neg(), function(0)].map(|ip| endian.put_u64(ip)).concat();
        let sample = Sample {
            ip: Some(function(0)),
            tid: Some(Tid { pid: PID, tid: PID }),
            time: Some(200),
            period: Some(1),
            callchain: Some(perf_format::codec::Array::new(&chain, endian)),
            stack_user: Some(StackDump { bytes: &stack, dyn_size: Some(64) }),
            ..Sample::default()
        };
        let body = sample.to_bytes(&format, endian);
        let stream = stream.record(Misc::of(CpuMode::User), &Record::Sample(&body)).finished_round().bytes();
        let done = lab.run(form, &["--jit"], &stream).well((form, endian));
        assert_eq!(done.at(200), ["own+0x0"], "{form:?} {endian:?}");
        assert_eq!(lab.functions(), set(&["own", "on the stack"]), "{form:?} {endian:?}");
    });
}

#[test]
fn the_part_of_a_chain_that_comes_later_has_names_too() {
    each(|form, endian| {
        let lab = Lab::new();
        lab.write_dump(PID, dump_of(endian, 100, &["own", "deferred", "never"]));
        let stream = hit(lab.recording(endian), PID, 200, function(0), &[]);
        let ips = [function(1) + 5].map(|ip| endian.put_u64(ip)).concat();
        let ips = perf_format::codec::Array::new(&ips, endian);
        let record = Record::CallchainDeferred(CallchainDeferred { cookie: 1, ips });
        let stream = stream.traced(Misc::of(CpuMode::User), &record, At::new(PID, 210));
        lab.run(form, &["--jit"], &stream.finished_round().bytes()).well((form, endian));
        assert_eq!(lab.functions(), set(&["own", "deferred"]), "{form:?} {endian:?}");
    });
}

#[test]
fn all_that_was_there_is_still_there_but_for_the_memory_that_covered() {
    for endian in [Endian::Little, Endian::Big] {
        let lab = Lab::new();
        lab.write_dump(PID, dump_of(endian, 100, &["a", "b"]));
        let stream = lab.recording(endian).unknown(200, &[1; 24]).tracing_data(&[7; 48]);
        let stream = hit(stream, PID, 200, function(0), &[function(1)]).unknown(99, &[2; 5]);
        let stream = hit(stream, PID, 210, function(0), &[function(1)]).finished_round().bytes();
        let done = lab.run(Form::Pipe, &["--jit"], &stream).well(endian);
        let mut rest = records(&stream).into_iter().peekable();
        let mut injected = Vec::new();
        for record in records(&done.stream) {
            match rest.next_if_eq(&record) {
                Some(_) => {}
                None => injected.push(record.record_type),
            }
        }
        assert_eq!(rest.next(), None);
        let map_and_id = |of: &RecordType| [RecordType::MMAP2, RecordType::BUILD_ID].contains(of);
        assert!(injected.iter().all(map_and_id), "{injected:?}");
        assert_eq!(done.maps().len(), 2);
    }
}

#[test]
fn a_function_has_no_names_twice() {
    each(|form, endian| {
        let lab = Lab::new();
        lab.write_dump(PID, dump_of(endian, 100, &["a", "b"]));
        let stream = hit(lab.recording(endian), PID, 200, function(0), &[function(1)]).finished_round();
        let once = lab.run(form, &["--jit"], &stream.bytes()).well((form, endian));
        let images = lab.images();
        let again = lab.run(form, &["--jit"], &once.stream).well((form, endian));
        assert_eq!((again.at(200), lab.images()), (once.at(200), images), "{form:?} {endian:?}");
        assert!(again.stream == once.stream, "{form:?} {endian:?}: nothing is added");
    });
}
