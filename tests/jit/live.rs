//! Dumps that grow while the recording passes.

use std::fs::{self, File};
use std::io::Write as _;

use perf_format::Endian;
use perf_format::testing::{At, JitDumpBuilder};

use crate::common::perftool;
use crate::common::running::{Running, pipe, rest};
use crate::made::{Done, ENDIANS, Lab, PID, begun, code, function, hit, with_arena};

/// The program between two pipes, with what it has been given so far.
struct Live<'l> {
    lab: &'l Lab,
    running: Running,
    to: File,
    from: File,
}

impl<'l> Live<'l> {
    fn start(lab: &'l Lab, args: &[&str]) -> Self {
        let mut command = perftool(&["inject"]);
        command.args(args).arg("--jit-dir").arg(lab.path("images"));
        let (stdin, to) = pipe();
        let (from, stdout) = pipe();
        Self { lab, running: Running::start(command.stdin(stdin).stdout(stdout)), to, from }
    }

    /// Gives it a piece of the stream, and waits until that has been looked at.
    fn give(&mut self, bytes: &[u8]) {
        self.to.write_all(bytes).expect("the program reads");
        self.running.wait_until_it_wants_more(&self.to);
    }

    /// The process writes more into its dump.
    fn dump(&self, bytes: &[u8]) {
        let file = File::options().create(true).append(true).open(self.lab.dump_path(PID));
        file.and_then(|mut file| file.write_all(bytes)).expect("written");
    }

    fn end(self) -> Done {
        drop(self.to);
        let stream = rest(self.from);
        let ended = self.running.end();
        Done { code: ended.status.code(), told: ended.told, stream }
    }
}

/// The bytes of a function in a dump, made at 100 ns.
fn made(endian: Endian, number: u64, name: &str) -> Vec<u8> {
    let dump = JitDumpBuilder::new(endian);
    let header = dump.clone().bytes().len();
    dump.load(At::new(PID, 100), function(number), number, name.as_bytes(), &code(name))
        .bytes()
        .split_off(header)
}

/// A sample as bytes, behind a recording that has begun.
fn sample(endian: Endian, time: u64, number: u64) -> Vec<u8> {
    let begun = begun(endian);
    let len = begun.clone().bytes().len();
    hit(begun, PID, time, function(number), &[]).finished_round().bytes().split_off(len)
}

#[test]
fn functions_that_are_told_after_the_dump_was_opened_have_names() {
    for endian in ENDIANS {
        let lab = Lab::new();
        let mut live = Live::start(&lab, &["--jit"]);
        live.dump(&JitDumpBuilder::new(endian).bytes());
        live.give(&lab.recording(endian).bytes());
        let (first, second) = (made(endian, 1, "first"), made(endian, 2, "second"));
        // Its buffers do not end where records do.
        let (part, remainder) = second.split_at(30);
        live.dump(&[&first, part].concat());
        live.give(&sample(endian, 200, 1));
        live.dump(remainder);
        live.give(&sample(endian, 300, 2));
        let done = live.end().well(endian);
        assert_eq!((done.at(200), done.at(300)), (vec!["first+0x0".into()], vec!["second+0x0".into()]));
    }
}

#[test]
fn a_dump_whose_header_is_still_in_a_buffer_is_opened_again() {
    for endian in ENDIANS {
        let lab = Lab::new();
        let mut live = Live::start(&lab, &["--jit", "--strict"]);
        let header = JitDumpBuilder::new(endian).bytes();
        live.dump(&header[..0]);
        live.give(&lab.recording(endian).bytes());
        live.dump(&header[..20]);
        live.give(&sample(endian, 200, 1));
        live.dump(&[&header[20..], &made(endian, 1, "one")].concat());
        live.give(&sample(endian, 300, 1));
        let done = live.end().well(endian);
        assert_eq!(done.at(300), ["one+0x0"]);
        // One that never comes is a dump without a header.
        fs::remove_file(lab.dump_path(PID)).expect("it was there");
        let mut live = Live::start(&lab, &["--jit"]);
        live.dump(&header[..20]);
        live.give(&lab.recording(endian).bytes());
        live.give(&sample(endian, 200, 1));
        live.end().warned("header");
    }
}

#[test]
fn what_was_told_too_late_is_a_warning_that_says_what_to_do() {
    for endian in ENDIANS {
        let lab = Lab::new();
        let mut live = Live::start(&lab, &["--jit"]);
        live.dump(&JitDumpBuilder::new(endian).bytes());
        live.give(&lab.recording(endian).bytes());
        live.give(&sample(endian, 200, 1));
        live.dump(&made(endian, 1, "late"));
        let done = live.end().warned("inject --jit once more");
        assert_eq!(done.at(200), ["//anon"]);
        // What it says helps.
        let again = lab.run(crate::made::Form::Pipe, &["--jit"], &done.stream).well(endian);
        assert_eq!(again.at(200), ["late+0x0"]);
    }
}

#[test]
fn an_image_is_whole_when_its_id_has_been_told() {
    for endian in ENDIANS {
        let lab = Lab::new();
        let mut live = Live::start(&lab, &["--jit"]);
        live.dump(&JitDumpBuilder::new(endian).bytes());
        live.dump(&made(endian, 1, "one"));
        live.give(&lab.recording(endian).bytes());
        assert_eq!(lab.images().len(), 0, "nothing is hit yet");
        live.give(&sample(endian, 200, 1));
        assert_eq!(lab.functions().into_iter().collect::<Vec<_>>(), ["one"]);
        live.end().well(endian);
        assert_eq!(lab.images().len(), 1);
    }
}

#[test]
fn a_perf_map_may_grow_too() {
    let endian = Endian::NATIVE;
    let lab = Lab::new();
    let map = lab.path("dumps").join(format!("perf-{PID}.map"));
    let dumps = lab.path("dumps");
    let mut live = Live::start(&lab, &["--perf-map", "--jitdump-dir", dumps.to_str().expect("text")]);
    let line = |number, name: &str| format!("{:x} 40 {name}\n", function(number));
    fs::write(&map, line(1, "one")).expect("written");
    live.give(&with_arena(begun(endian), PID).bytes());
    live.give(&sample(endian, 200, 1));
    fs::write(&map, line(1, "one") + &line(2, "two")).expect("written");
    live.give(&sample(endian, 300, 2));
    let done = live.end().well(endian);
    assert_eq!((done.at(200), done.at(300)), (vec!["one+0x0".into()], vec!["two+0x0".into()]));
}

#[test]
fn of_two_lines_for_one_address_the_later_one_holds_from_when_it_was_read() {
    let endian = Endian::NATIVE;
    let lab = Lab::new();
    let map = lab.path("dumps").join(format!("perf-{PID}.map"));
    let dumps = lab.path("dumps");
    let mut live = Live::start(&lab, &["--perf-map", "--jitdump-dir", dumps.to_str().expect("text")]);
    let line = |number, name: &str| format!("{:x} 40 {name}\n", function(number));
    fs::write(&map, line(1, "one")).expect("written");
    live.give(&with_arena(begun(endian), PID).bytes());
    live.give(&sample(endian, 200, 1));
    let text = line(1, "one") + &line(1, "anew") + &line(2, "two");
    fs::write(&map, text).expect("written");
    // By this the map is read on.
    live.give(&sample(endian, 300, 2));
    live.give(&sample(endian, 400, 1));
    let done = live.end().well(endian);
    assert_eq!(done.at(200), ["one+0x0"]);
    assert_eq!((done.at(300), done.at(400)), (vec!["two+0x0".into()], vec!["anew+0x0".into()]));
}
