//! `--perf-map`: names from text files.

use std::fs;

use perf_format::Endian;

use crate::made::{ARENA, Form, Lab, PID, begun, each, function, function_image, hit, symbols, with_arena};

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

#[test]
fn a_last_line_without_its_end_is_a_line_where_the_process_is_gone() {
    each(|form, endian| {
        let text = line(0, "a") + line(1, "b").trim_end();
        let (_, seen) = named(form, endian, text.as_bytes(), &[function(0), function(1)]);
        assert_eq!(seen[0], "a+0x0", "{form:?} {endian:?}");
        assert!(["//anon", "b+0x0"].contains(&&*seen[1]), "whole, or not at all: {seen:?}");
    });
}

#[test]
fn a_process_without_a_perf_map_is_no_warning() {
    each(|form, endian| {
        let lab = Lab::new();
        let stream = hit(with_arena(begun(endian), PID), PID, 200, ARENA, &[]).finished_round().bytes();
        let dir = lab.path("dumps");
        let args = ["--perf-map", "--jitdump-dir", dir.to_str().expect("text")];
        // Whatever process has this pid here, its memory is not at this place of its map.
        let done = lab.run(form, &args, &stream).well((form, endian));
        assert_eq!((done.at(200), lab.images().len()), (vec!["//anon".to_owned()], 0));
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
