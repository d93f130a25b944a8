//! Processes that fork and exec, and what tells of one code twice: what a reader must not take for something else.

use std::fs;

use perf_format::testing::{At, JitDumpBuilder, StreamBuilder};

use crate::made::{ARENA, ARENA_SIZE, Lab, PID, code, dump_of, each, function, hit};

fn with_arena_at(stream: StreamBuilder, time: u64) -> StreamBuilder {
    stream.mmap2(At::new(PID, time), ARENA, ARENA_SIZE, "//anon")
}

#[test]
fn a_number_that_two_functions_have_is_each_ones_own() {
    each(|form, endian| {
        for args in [&["--jit"][..], &["--jit=per-function"]] {
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
