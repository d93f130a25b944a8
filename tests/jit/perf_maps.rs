//! `--perf-map`: names from text files.

use std::fs;

use perf_format::Endian;
use perf_format::jitdump::HeaderWords;
use perf_format::testing::{At, JitDumpBuilder, jit_header};

use crate::made::{
    ARENA, Form, Lab, PID, begun, each, function, function_image, hit, no_inode, symbols, with_arena,
};

/// Runs `--perf-map` on samples at these addresses, with a map of this text.
fn named(form: Form, endian: Endian, text: &[u8], addresses: &[u64]) -> (Lab, Vec<String>) {
    let lab = Lab::new();
    let dir = lab.path("dumps");
    fs::write(dir.join(format!("perf-{PID}.map")), text).expect("written");
    let (own, callers) = addresses.split_first().expect("an address");
    let stream = hit(with_arena(begun(endian), PID), PID, 200, *own, callers).finished_round().bytes();
    let args = ["--perf-map", "--jitdump-dir", dir.to_str().expect("text")];
    let done = lab.run(form, &args, &stream).well((form, endian, String::from_utf8_lossy(text)));
    let seen = done.at(200);
    (lab, seen)
}

fn line(number: u64, name: &str) -> String {
    format!("{:x} 40 {name}\n", function(number))
}

#[test]
fn functions_of_a_perf_map_have_names() {
    each(|form, endian| {
        let text =
            line(0, "LazyCompile:~add /srv/a file.js:3:1") + &line(1, "py::f:/a b.py") + &line(2, "never");
        let (lab, seen) = named(form, endian, text.as_bytes(), &[function(0) + 1, function(1) + 2]);
        assert_eq!(seen, ["LazyCompile:~add /srv/a file.js:3:1+0x1", "py::f:/a b.py+0x2"]);
        assert_eq!(lab.functions().len(), 2, "{form:?} {endian:?}");
        let symbols = symbols(&lab.image(&function_image(PID, 1)));
        assert!(symbols.iter().all(|(_, _, size)| *size == 0x40), "{symbols:?}");
    });
}

#[test]
fn of_lines_for_one_address_the_last_counts() {
    each(|form, endian| {
        let text = line(0, "interpreted") + &line(1, "other") + &line(0, "compiled");
        let (_, seen) = named(form, endian, text.as_bytes(), &[function(0), function(1)]);
        assert_eq!(seen, ["compiled+0x0", "other+0x0"], "{form:?} {endian:?}");
    });
}

#[test]
fn numbers_may_begin_with_0x_and_lines_with_anything() {
    each(|form, endian| {
        let text =
            format!("not a line\n\n{ARENA:#x} 0x40 a\r\n{:X} 40 b\n{:x} zz c\n", function(1), function(2));
        let text = [text.as_bytes(), b"\xff\xfe 40 d\n", line(3, "e").as_bytes()].concat();
        let at = [function(0), function(1), function(2), function(3)];
        let (_, seen) = named(form, endian, &text, &at);
        assert_eq!(seen, ["a+0x0", "b+0x0", "//anon", "e+0x0"], "{form:?} {endian:?}");
    });
}

/// The pid of a process that is gone.
fn gone() -> u32 {
    let mut child = std::process::Command::new("true").spawn().expect("it runs");
    child.wait().expect("it ends");
    child.id()
}

#[test]
fn fields_are_apart_by_blanks_or_tabs_and_a_last_line_needs_no_end_where_the_process_is_gone() {
    each(|form, endian| {
        let (lab, pid) = (Lab::new(), gone());
        let dir = lab.path("dumps");
        let text = format!("{:x}\t40\ta\n  {:x} 40  b c\n{:x} 40 d", function(0), function(1), function(2));
        fs::write(dir.join(format!("perf-{pid}.map")), text).expect("written");
        let stream = hit(with_arena(begun(endian), pid), pid, 200, function(2), &[function(0), function(1)]);
        let args = ["--perf-map", "--jitdump-dir", dir.to_str().expect("text")];
        let done = lab.run(form, &args, &stream.finished_round().bytes()).well((form, endian));
        assert_eq!(done.at(200), ["d+0x0", "a+0x0", "b c+0x0"], "{form:?} {endian:?}");
    });
}

#[test]
fn a_map_by_the_pid_that_a_dump_tells_is_found_in_the_directory() {
    each(|form, endian| {
        let (lab, pid) = (Lab::new(), gone());
        let dir = lab.path("dumps");
        let header = HeaderWords { pid: 1, ..jit_header() };
        lab.write_dump(1, JitDumpBuilder::with_header(endian, &header));
        fs::write(dir.join("perf-1.map"), line(1, "b")).expect("written");
        let stream = with_arena(begun(endian), pid);
        let stream = stream.mapped(At::new(pid, 20), 0x7e00_0000_0000, 0x1000, &lab.marker(1), no_inode());
        let stream = hit(stream, pid, 200, function(1), &[]).finished_round().bytes();
        let args = ["--jit", "--perf-map", "--jitdump-dir", dir.to_str().expect("text")];
        assert_eq!(lab.run(form, &args, &stream).well((form, endian)).at(200), ["b+0x0"], "{form:?}");
    });
}

#[test]
fn that_no_process_has_a_perf_map_is_one_warning_and_with_strict_an_error() {
    each(|form, endian| {
        let lab = Lab::new();
        let stream = hit(with_arena(begun(endian), PID), PID, 200, ARENA, &[]).finished_round().bytes();
        let dir = lab.path("dumps");
        let args = ["--perf-map", "--jitdump-dir", dir.to_str().expect("text")];
        // Whatever process has this pid here, its memory is not at this place of its map.
        let done = lab.run(form, &args, &stream).warned("there is no perf map");
        assert_eq!((done.at(200), lab.images().len()), (vec!["//anon".to_owned()], 0));
        let strict = [&args[..], &["--strict"]].concat();
        assert_eq!(lab.run(form, &strict, &stream).code, Some(1), "{form:?} {endian:?}");
    });
}

#[test]
fn a_function_of_absurd_size_does_no_harm() {
    each(|form, endian| {
        let text = format!("0 ffffffffffffffff all\n{ARENA:x} ffffffffffff most\n") + &line(0, "a");
        let (lab, seen) = named(form, endian, text.as_bytes(), &[function(0)]);
        assert_eq!(seen, ["a+0x0"], "{form:?} {endian:?}");
        assert!(lab.image(&function_image(PID, 3)).len() < 1 << 20);
        let text = format!("{ARENA:x} ffffffffffff most\n");
        let (lab, _) = named(form, endian, text.as_bytes(), &[function(0)]);
        let size = fs::metadata(lab.path("images").join(function_image(PID, 1))).map_or(0, |meta| meta.len());
        assert!(size < 1 << 28, "{size}");
    });
}
