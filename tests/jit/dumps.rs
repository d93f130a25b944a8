//! Dumps of every kind: longer headers, the second version, cut ones, unordered ones, damaged ones, none.

use std::fs;

use perf_format::RecordType;
use perf_format::jitdump::{HeaderWords, Id};
use perf_format::record::{CpuMode, Misc, Mmap, Record};
use perf_format::testing::{At, JitDumpBuilder, jit_header};

use crate::made::{
    ARENA, ARENA_SIZE, FORMS, Lab, PID, begun, code, dump_of, each, function, function_image, hit, no_inode,
    with_arena,
};

/// A recording with a sample in the second function at 200, called by the first.
fn recording(lab: &Lab, endian: perf_format::Endian) -> Vec<u8> {
    hit(lab.recording(endian), PID, 200, function(1) + 1, &[function(0) + 2]).finished_round().bytes()
}

const BOTH: [&str; 2] = ["b+0x1", "a+0x2"];

#[test]
fn bytes_behind_the_header_and_the_second_version_are_no_matter() {
    each(|form, endian| {
        for (version, more) in [(1, 8), (1, 41), (2, 0), (2, 8)] {
            let lab = Lab::new();
            let header = HeaderWords { version, total_size: 40 + more, ..jit_header() };
            let dump = JitDumpBuilder::with_header(endian, &header);
            let dump = dump.raw(&vec![0xff; usize::try_from(more).expect("few")]);
            let records = dump_of(endian, 100, &["a", "b"]).bytes().split_off(40);
            lab.write_dump(PID, dump.raw(&records));
            let done = lab.run(form, &["--jit"], &recording(&lab, endian)).well((form, endian, version));
            assert_eq!(done.at(200), BOTH, "{form:?} {endian:?} version {version}, {more} bytes more");
        }
    });
}

#[test]
fn records_that_are_not_known_and_the_end_that_is_told_are_passed_over() {
    each(|form, endian| {
        let lab = Lab::new();
        let functions = dump_of(endian, 100, &["a", "b"]).bytes().split_off(40);
        let dump = JitDumpBuilder::new(endian).record(Id(77), 90, &[0xff; 24]).raw(&functions);
        lab.write_dump(PID, dump.record(Id(5), 120, &[]).close(130));
        let done = lab.run(form, &["--jit"], &recording(&lab, endian)).well((form, endian));
        assert_eq!(done.at(200), BOTH, "{form:?} {endian:?}");
    });
}

#[test]
fn of_a_dump_that_was_cut_all_that_is_whole_counts_and_the_cut_is_a_warning() {
    each(|form, endian| {
        let whole = dump_of(endian, 100, &["a", "b"]).bytes();
        let record = 56 + 2 + code("b").len();
        for cut in [1, code("b").len() + 2, record - 1] {
            let lab = Lab::new();
            fs::write(lab.dump_path(PID), &whole[..whole.len() - cut]).expect("written");
            let stream = recording(&lab, endian);
            let done = lab.run(form, &["--jit"], &stream).warned("it ends inside a record at ");
            assert_eq!(done.at(200), ["//anon", "a+0x2"], "{form:?} {endian:?} without {cut} bytes");
            let strict = lab.run(form, &["--jit", "--strict"], &stream);
            assert_eq!(strict.code, Some(1), "{form:?} {endian:?}: {}", strict.told);
        }
    });
}

#[test]
fn functions_that_stand_in_another_order_than_their_times_have_their_names() {
    each(|form, endian| {
        let lab = Lab::new();
        let dump = JitDumpBuilder::new(endian)
            .load(At::new(PID, 300), function(0), 3, b"third", &code("third"))
            .load(At::new(PID, 100), function(0), 1, b"first", &code("first"))
            .load(At::new(PID, 200), function(0), 2, b"second", &code("second"));
        lab.write_dump(PID, dump);
        let mut stream = lab.recording(endian);
        for time in [350, 150, 250] {
            stream = hit(stream, PID, time, function(0), &[]);
        }
        let done = lab.run(form, &["--jit"], &stream.finished_round().bytes()).well((form, endian));
        let names = [150, 250, 350].map(|time| done.at(time).concat());
        assert_eq!(names, ["first+0x0", "second+0x0", "third+0x0"], "{form:?} {endian:?}");
    });
}

/// A dump whose middle record says that it has more code than it has bytes.
fn damaged(endian: perf_format::Endian) -> JitDumpBuilder {
    let words = [
        &endian.put_u32(PID)[..],
        &endian.put_u32(PID),
        &endian.put_u64(function(2)),
        &endian.put_u64(function(2)),
        &endian.put_u64(1 << 40),
        &endian.put_u64(9),
        b"damaged\0",
    ];
    let dump = JitDumpBuilder::new(endian).load(At::new(PID, 100), function(0), 1, b"a", &code("a"));
    let dump = dump.record(Id::CODE_LOAD, 100, &words.concat());
    dump.load(At::new(PID, 100), function(1), 2, b"b", &code("b"))
}

#[test]
fn a_damaged_record_is_a_warning_and_the_others_count() {
    each(|form, endian| {
        let lab = Lab::new();
        lab.write_dump(PID, damaged(endian));
        let stream = recording(&lab, endian);
        let done = lab.run(form, &["--jit"], &stream).warned("not all names");
        assert!(done.told.contains(&lab.marker(PID)), "{}", done.told);
        assert_eq!(done.at(200), BOTH, "{form:?} {endian:?}");
    });
}

#[test]
fn behind_a_record_that_has_no_end_nothing_counts() {
    each(|form, endian| {
        for size in [15, 0, u32::MAX] {
            let lab = Lab::new();
            let dump = dump_of(endian, 100, &["a"]);
            let prefix = [&endian.put_u32(0)[..], &endian.put_u32(size), &endian.put_u64(100)];
            lab.write_dump(PID, dump.raw(&prefix.concat()).raw(&[0xff; 100]));
            let done = lab.run(form, &["--jit"], &recording(&lab, endian)).warned("not all names");
            assert_eq!(done.at(200), ["//anon", "a+0x2"], "{form:?} {endian:?} {size}");
        }
    });
}

#[test]
fn without_its_dump_a_recording_passes_as_it_is_with_a_warning() {
    each(|form, endian| {
        let lab = Lab::new();
        let stream = recording(&lab, endian);
        let done = lab.run(form, &["--jit"], &stream).warned("no names for the jitted code of process 7");
        assert!(done.told.contains("No such file"), "{}", done.told);
        lab.passed_as_it_is(form, &stream, &done);
    });
}

#[test]
fn with_strict_a_dump_that_is_missing_or_damaged_is_an_error() {
    each(|form, endian| {
        for dump in [None, Some(JitDumpBuilder::new(endian).raw(&[0xff; 16])), Some(damaged(endian))] {
            let lab = Lab::new();
            if let Some(dump) = dump {
                lab.write_dump(PID, dump);
            }
            let done = lab.run(form, &["--jit", "--strict"], &recording(&lab, endian));
            assert_eq!(done.code, Some(1), "{form:?} {endian:?}: {}", done.told);
            assert!(done.told.starts_with("perftool: error: "), "{}", done.told);
            assert!(done.told.contains(&lab.marker(PID)), "{}", done.told);
        }
        let lab = Lab::new();
        lab.write_dump(PID, dump_of(endian, 100, &["a", "b"]));
        lab.run(form, &["--jit", "--strict"], &recording(&lab, endian)).well((form, endian));
    });
}

#[test]
fn a_dump_that_is_mapped_twice_is_read_once() {
    each(|form, endian| {
        for there in [true, false] {
            let lab = Lab::new();
            if there {
                lab.write_dump(PID, dump_of(endian, 100, &["a", "b"]));
            }
            let stream = lab.marked(lab.recording(endian), PID);
            let stream = hit(stream, PID, 200, function(1) + 1, &[function(0) + 2]).finished_round().bytes();
            let done = lab.run(form, &["--jit"], &stream);
            assert_eq!(done.told.lines().count(), usize::from(!there), "{}", done.told);
            assert_eq!(done.at(200) == BOTH, there, "{form:?} {endian:?}");
        }
    });
}

#[test]
fn a_function_of_no_bytes_and_one_without_a_name_do_no_harm() {
    each(|form, endian| {
        let lab = Lab::new();
        let dump = JitDumpBuilder::new(endian)
            .load(At::new(PID, 90), function(0), 1, b"nothing", b"")
            .load(At::new(PID, 100), function(0), 2, b"a", &code("a"))
            .load(At::new(PID, 110), function(0) + 2, 3, b"nothing", b"")
            .load(At::new(PID, 110), function(2), 4, b"", &code("nameless"))
            .load(At::new(PID, 120), function(1), 5, b"b", &code("b"));
        lab.write_dump(PID, dump);
        let stream = hit(lab.recording(endian), PID, 200, function(1) + 1, &[function(0) + 2, function(2)]);
        let done = lab.run(form, &["--jit"], &stream.finished_round().bytes()).well((form, endian));
        assert_eq!(done.at(200)[..2], BOTH, "{form:?} {endian:?}");
    });
}

#[test]
fn in_a_namespace_of_pids_the_dump_has_the_number_that_its_process_knows() {
    each(|form, endian| {
        let lab = Lab::new();
        let header = HeaderWords { pid: 2, ..jit_header() };
        let functions = dump_of(endian, 100, &["a", "b"]).bytes().split_off(40);
        lab.write_dump(2, JitDumpBuilder::with_header(endian, &header).raw(&functions));
        let marker = lab.marker(2);
        let stream = with_arena(begun(endian), PID);
        let stream = stream.mapped(At::new(PID, 20), 0x7e00_0000_0000, 0x1000, &marker, no_inode());
        let stream = hit(stream, PID, 200, function(1) + 1, &[function(0) + 2]).finished_round().bytes();
        let done = lab.run(form, &["--jit"], &stream).well((form, endian));
        assert_eq!(done.at(200), BOTH, "{form:?} {endian:?}");
        assert!(lab.images().contains(&function_image(PID, 1)), "{:?}", lab.images());
    });
}

#[test]
fn records_of_maps_may_be_of_the_old_kind() {
    each(|form, endian| {
        let lab = Lab::new();
        lab.write_dump(PID, dump_of(endian, 100, &["a", "b"]));
        let marker = lab.marker(PID);
        let mut stream = begun(endian);
        for (start, filename, time) in
            [(ARENA, "//anon", 10), (0x7e00_0000_0000, &*marker, 20), (ARENA, "//anon", 150)]
        {
            let (pid, tid, len, filename) = (PID, PID, ARENA_SIZE, filename.into());
            let map = Record::Mmap(Mmap { pid, tid, start, len, pgoff: 0, filename });
            stream = stream.traced(Misc::of(CpuMode::User), &map, At::new(PID, time));
        }
        let stream = hit(stream, PID, 200, function(1) + 1, &[function(0) + 2]).finished_round().bytes();
        let done = lab.run(form, &["--jit"], &stream).well((form, endian));
        assert_eq!(done.at(200), BOTH, "{form:?} {endian:?}");
    });
}

#[test]
fn dumps_from_elsewhere_are_looked_for_in_a_directory_first() {
    for form in FORMS {
        let lab = Lab::new();
        let endian = perf_format::Endian::NATIVE;
        lab.write_dump(PID, dump_of(endian, 100, &["not this", "nor this"]));
        let other = lab.path("elsewhere");
        fs::create_dir(&other).expect("made");
        let other = other.to_str().expect("text");
        let stream = recording(&lab, endian);
        let args = ["--jit", "--jitdump-dir", other];
        let done = lab.run(form, &args, &stream).well(form);
        assert_eq!(done.at(200), ["nor this+0x1", "not this+0x2"], "it is not in the directory");
        lab.clear();
        let there = lab.path("elsewhere").join("jit-7.dump");
        fs::write(there, dump_of(endian, 100, &["a", "b"]).bytes()).expect("written");
        assert_eq!(lab.run(form, &args, &stream).well(form).at(200), BOTH);
        fs::remove_file(lab.dump_path(PID)).expect("removed");
        lab.clear();
        assert_eq!(lab.run(form, &args, &stream).well(form).at(200), BOTH);
        assert!(lab.images().contains(&function_image(PID, 1)));
    }
}

#[test]
fn processes_outside_of_a_containers_pid_namespace_have_no_names_of_each_other() {
    // All of them are pid 0 there.
    each(|form, endian| {
        let lab = Lab::new();
        lab.write_dump(0, dump_of(endian, 100, &["a", "b"]));
        let stream = lab.marked(with_arena(begun(endian), 0), 0);
        let stream = hit(stream, 0, 200, function(1) + 1, &[function(0) + 2]).finished_round().bytes();
        let done =
            lab.run(form, &["--jit"], &stream).warned("no process of the recording has mapped a jitdump");
        let maps = |types: &[RecordType]| types.iter().filter(|is| **is == RecordType::MMAP2).count();
        assert_eq!(maps(&done.types()), 2, "{form:?} {endian:?}: {:?}", done.types());
    });
}
