//! Dumps that others may have put where a dump should be: each is a warning, and nothing hangs or is written elsewhere.
#![expect(clippy::print_stderr, reason = "a test that is left out says so")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown, symlink};
use std::path::Path;

use perf_format::Endian;
use perf_format::jitdump::{HeaderWords, MAGIC};
use perf_format::record::{Inode, MapFile};
use perf_format::testing::{At, JitDumpBuilder, jit_header};
use perf_session::evidence::FileFacts;
use rustix::fs::{CWD, Mode, major, minor, mkfifoat};

use crate::made::{ARENA, FORMS, Form, Lab, PID, begun, dump_of, function, hit, sparse, with_arena};

const NATIVE: Endian = Endian::NATIVE;

/// A recording with a sample in the first function.
fn recording(lab: &Lab) -> Vec<u8> {
    hit(lab.recording(NATIVE), PID, 200, function(0), &[]).finished_round().bytes()
}

/// All files below a directory with their contents, as far as they are regular and small.
fn all(dir: &Path, into: &mut BTreeMap<String, Option<Vec<u8>>>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let entry = entry.expect("an entry");
        let meta = entry.metadata().expect("there");
        let name = entry.path().display().to_string();
        if meta.is_dir() {
            all(&entry.path(), into);
        }
        let small = meta.is_file() && meta.len() < 1 << 20;
        into.insert(name, small.then(|| fs::read(entry.path()).expect("readable")));
    }
}

/// What is in the lab but for inputs and outputs.
fn elsewhere(lab: &Lab) -> BTreeMap<String, Option<Vec<u8>>> {
    let mut files = BTreeMap::new();
    all(&lab.path(""), &mut files);
    files.retain(|name, _| !name.contains("/images") && !name.contains("/in."));
    files
}

/// With something in a dump's place, a recording passes as it is with one warning, that says this and where; with
/// `--strict` it does not.
#[track_caller]
fn is_refused(lab: &Lab, says: &str) {
    let stream = recording(lab);
    let before = elsewhere(lab);
    for form in FORMS {
        let done = lab.run(form, &["--jit"], &stream).warned(says);
        assert!(done.told.contains(&lab.marker(PID)), "{}", done.told);
        lab.passed_as_it_is(form, &stream, &done);
        let strict = lab.run(form, &["--jit", "--strict"], &stream);
        assert_eq!(strict.code, Some(1), "{form:?}: {}", strict.told);
        assert!(strict.told.contains(says), "{}", strict.told);
    }
    assert!(elsewhere(lab) == before, "nothing else is written");
}

#[test]
fn a_link_is_not_followed() {
    let lab = Lab::new();
    fs::write(lab.path("real"), dump_of(NATIVE, 100, &["a"]).bytes()).expect("written");
    symlink(lab.path("real"), lab.dump_path(PID)).expect("a link");
    is_refused(&lab, "it is no regular file");
    fs::remove_file(lab.dump_path(PID)).expect("removed");
    symlink(lab.path("nowhere"), lab.dump_path(PID)).expect("a link");
    is_refused(&lab, "it is no regular file");
}

#[test]
fn a_directory_and_a_fifo_and_a_device_are_no_dumps() {
    let lab = Lab::new();
    fs::create_dir(lab.dump_path(PID)).expect("made");
    is_refused(&lab, "it is no regular file");
    fs::remove_dir(lab.dump_path(PID)).expect("removed");
    // Nobody ever writes to it.
    mkfifoat(CWD, lab.dump_path(PID), Mode::RWXU).expect("a FIFO");
    is_refused(&lab, "it is no regular file");
    fs::remove_file(lab.dump_path(PID)).expect("removed");
    let socket = std::os::unix::net::UnixListener::bind(lab.dump_path(PID)).expect("a socket");
    is_refused(&lab, "");
    drop(socket);
}

#[test]
fn a_dump_of_somebody_else_is_not_read_unless_that_is_wanted() {
    let lab = Lab::new();
    lab.write_dump(PID, dump_of(NATIVE, 100, &["a"]));
    if chown(lab.dump_path(PID), Some(54_321), None).is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI has to run as root: files are given away");
        return eprintln!("left out, since only root gives files away: a dump of somebody else");
    }
    is_refused(&lab, "it belongs to user 54321");
    for form in FORMS {
        let done = lab.run(form, &["--jit", "-f"], &recording(&lab)).well(form);
        assert_eq!(done.at(200), ["a+0x0"], "{form:?}");
    }
}

#[test]
fn the_file_that_was_mapped_is_read_whoever_owns_it_and_no_other_with_its_number() {
    let lab = Lab::new();
    lab.write_dump(PID, dump_of(NATIVE, 100, &["a"]));
    if chown(lab.dump_path(PID), Some(54_321), None).is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI has to run as root: files are given away");
        return eprintln!("left out, since only root gives files away: a dump of another user");
    }
    let file = fs::File::open(lab.dump_path(PID)).expect("there");
    let facts = FileFacts::of(&file).expect("it answers");
    let Some(generation) = facts.generation else {
        return eprintln!("left out, since the file system has no generations: a dump of another user");
    };
    let of = |ino_generation| {
        let (maj, min) = facts.device;
        let file = MapFile::Inode(Inode { maj, min, ino: facts.ino, ino_generation });
        let stream = with_arena(begun(NATIVE), PID);
        let stream = stream.mapped(At::new(PID, 20), 0x7e00_0000_0000, 0x1000, &lab.marker(PID), file);
        hit(stream, PID, 200, function(0), &[]).finished_round().bytes()
    };
    for form in FORMS {
        let done = lab.run(form, &["--jit"], &of(generation.into())).well(form);
        assert_eq!(done.at(200), ["a+0x0"], "{form:?}");
        lab.clear();
        let other = u64::from(generation ^ 1);
        lab.run(form, &["--jit"], &of(other)).warned("with the recorded file's inode number");
        // Of maps from before the recording perf knows no generation.
        lab.run(form, &["--jit"], &of(0)).warned("it belongs to user 54321");
        assert_eq!(lab.images().len(), 0);
    }
}

#[test]
fn another_file_than_the_one_that_was_mapped_is_not_read() {
    let lab = Lab::new();
    lab.write_dump(PID, dump_of(NATIVE, 100, &["a"]));
    let meta = fs::metadata(lab.dump_path(PID)).expect("there");
    let inode = |more: u64| {
        let (maj, min) = (major(meta.dev()), minor(meta.dev()));
        MapFile::Inode(Inode { maj, min, ino: meta.ino() + more, ino_generation: 0 })
    };
    for form in FORMS {
        let of = |file| {
            let stream = with_arena(begun(NATIVE), PID);
            let at = At::new(PID, 20);
            let stream = stream.mapped(at, 0x7e00_0000_0000, 0x1000, &lab.marker(PID), file);
            hit(stream, PID, 200, function(0), &[]).finished_round().bytes()
        };
        lab.run(form, &["--jit"], &of(inode(1))).warned("another file is there now");
        assert_eq!(lab.images().len(), 0);
        assert_eq!(lab.run(form, &["--jit"], &of(inode(0))).well(form).at(200), ["a+0x0"], "{form:?}");
        // A copy is another file, and is taken as it is.
        lab.clear();
        let dumps = lab.path("dumps");
        let args = ["--jit", "--jitdump-dir", dumps.to_str().expect("text")];
        assert_eq!(lab.run(form, &args, &of(inode(1))).well(form).at(200), ["a+0x0"], "{form:?}");
        lab.clear();
    }
}

#[test]
fn a_dump_that_is_of_another_process_is_not_read() {
    let lab = Lab::new();
    let header = HeaderWords { pid: 8, ..jit_header() };
    lab.write_dump(PID, JitDumpBuilder::with_header(NATIVE, &header));
    is_refused(&lab, "it is of process 8");
}

#[test]
fn what_is_no_dump_is_not_read() {
    let whole = dump_of(NATIVE, 100, &["a"]).bytes();
    for begins in [b"".as_slice(), b"Ji", b"garbage that is longer than a header of a dump", &whole[..39]] {
        let lab = Lab::new();
        fs::write(lab.dump_path(PID), begins).expect("written");
        is_refused(&lab, "no names");
    }
    for header in [
        HeaderWords { magic: MAGIC + 1, ..jit_header() },
        HeaderWords { version: 3, ..jit_header() },
        HeaderWords { version: 0, ..jit_header() },
        HeaderWords { total_size: 39, ..jit_header() },
        HeaderWords { flags: 2, ..jit_header() },
    ] {
        let lab = Lab::new();
        lab.write_dump(PID, JitDumpBuilder::with_header(NATIVE, &header));
        is_refused(&lab, "no names");
    }
}

#[test]
fn a_huge_dump_is_not_read_whole() {
    const TB: u64 = 1 << 40;
    for (begins, says) in [
        (Vec::new(), "no names"),
        (b"garbage".to_vec(), "no names"),
        // Behind its function stand records of no size.
        (dump_of(NATIVE, 100, &["a"]).bytes(), "not all names"),
    ] {
        let lab = Lab::new();
        sparse(&lab.dump_path(PID), &begins, TB);
        for form in FORMS {
            lab.run(form, &["--jit"], &recording(&lab)).warned(says);
        }
    }
    // One whose header is as large as it can be.
    let lab = Lab::new();
    let header = HeaderWords { total_size: u32::MAX, ..jit_header() };
    sparse(&lab.dump_path(PID), &JitDumpBuilder::with_header(NATIVE, &header).bytes(), TB);
    for form in FORMS {
        let done = lab.run(form, &["--jit"], &recording(&lab));
        assert_eq!(done.code, Some(0), "{}", done.told);
    }
}

#[test]
fn a_dump_whose_times_run_backwards_takes_no_longer_than_another() {
    const FUNCTIONS: u64 = 1 << 19;
    let lab = Lab::new();
    let record = JitDumpBuilder::new(NATIVE).load(At::new(PID, 0), function(0), 1, b"f", &[0x90]);
    let record = record.bytes().split_off(40);
    let mut dump = JitDumpBuilder::new(NATIVE).bytes();
    for number in 0..FUNCTIONS {
        let at = dump.len();
        dump.extend(&record);
        dump[at + 8..at + 16].copy_from_slice(&NATIVE.put_u64(100 + FUNCTIONS - number));
    }
    fs::write(lab.dump_path(PID), dump).expect("written");
    let stream = hit(lab.recording(NATIVE), PID, 200 + FUNCTIONS, function(0), &[]).finished_round().bytes();
    // A run that takes for ever is ended, and fails. So many functions have stood at no address in earnest.
    for form in FORMS {
        let done = lab.run(form, &["--jit"], &stream).warned("more functions than are remembered");
        assert_eq!(done.at(200 + FUNCTIONS), ["f+0x0"]);
    }
}

#[test]
fn names_that_only_look_like_a_dumps_are_passed_over() {
    let lab = Lab::new();
    for name in
        ["jit-7.dump.old", "xjit-7.dump", "jit-.dump", "jit-+7.dump", "jit-7x.dump", "jit-99999999999.dump"]
    {
        fs::write(lab.path("dumps").join(name), "garbage").expect("written");
        let path = lab.path("dumps").join(name);
        let stream = with_arena(begun(NATIVE), PID);
        let stream = stream.mmap2(At::new(PID, 20), 0x7e00_0000_0000, 0x1000, path.to_str().expect("text"));
        let stream = hit(stream, PID, 200, ARENA, &[]).finished_round().bytes();
        let done = lab
            .run(Form::Pipe, &["--jit"], &stream)
            .warned("no process of the recording has mapped a jitdump");
        assert!(done.stream == stream, "{name}");
    }
}

#[test]
fn a_name_in_a_dump_cannot_make_a_line_of_its_own_or_leave_the_directory() {
    let lab = Lab::new();
    let name = b"../../../a\nb\0hidden";
    let dump = JitDumpBuilder::new(NATIVE).load(At::new(PID, 100), ARENA, u64::MAX, name, &[0x90; 32]);
    lab.write_dump(PID, dump);
    let before = elsewhere(&lab);
    for args in [&["--jit"][..], &["--jit=per-process"]] {
        for form in FORMS {
            let done = lab.run(form, args, &recording(&lab)).well(form);
            assert_eq!(done.maps().len(), 1);
            assert_eq!(lab.images().len(), 1, "{:?}", lab.images());
            lab.clear();
        }
    }
    assert!(elsewhere(&lab) == before);
}

#[test]
fn a_perf_map_that_cannot_be_trusted_is_a_warning() {
    let lab = Lab::new();
    let map = lab.path("dumps").join("perf-7.map");
    let dumps = lab.path("dumps");
    let args = ["--perf-map", "--jitdump-dir", dumps.to_str().expect("text")];
    let stream = hit(with_arena(begun(NATIVE), PID), PID, 200, ARENA, &[]);
    let stream = hit(stream, PID, 210, ARENA, &[ARENA + 1]).finished_round().bytes();
    let text = format!("{ARENA:x} 40 a\n");
    fs::write(lab.path("real"), &text).expect("written");
    symlink(lab.path("real"), &map).expect("a link");
    let refused = |says: &str| {
        for form in FORMS {
            let done = lab.run(form, &args, &stream).warned(says);
            assert_eq!((done.at(210).concat(), lab.images().len()), ("//anon//anon".to_owned(), 0));
        }
    };
    refused("it is no regular file");
    fs::remove_file(&map).expect("removed");
    mkfifoat(CWD, &map, Mode::RWXU).expect("a FIFO");
    refused("it is no regular file");
    fs::remove_file(&map).expect("removed");
    fs::create_dir(&map).expect("made");
    refused("it is no regular file");
    fs::remove_dir(&map).expect("removed");
    fs::write(&map, &text).expect("written");
    match chown(&map, Some(54_321), None) {
        Ok(()) => refused("it belongs to user 54321"),
        Err(_) => assert!(std::env::var_os("CI").is_none(), "CI has to run as root: files are given away"),
    }
    fs::remove_file(&map).expect("removed");
    // Holes are one line that never ends.
    sparse(&map, text.as_bytes(), 1 << 40);
    let done = lab.run(Form::Pipe, &args, &stream);
    assert_eq!((done.code, done.at(200).concat()), (Some(0), "a+0x0".to_owned()), "{}", done.told);
}
