//! The images that are written: what is in them, how they are called, and where they are.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use object::{Object as _, ObjectSection as _, ObjectSegment as _, ObjectSymbol as _};
use perf_format::jitdump::{Line, Move};
use perf_format::testing::{At, JitDumpBuilder, StreamBuilder, ids_in, records};
use perf_format::{BuildId, Endian, RecordType};

use crate::made::{
    ARENA, ARENA_SIZE, FORMS, Form, Lab, PID, SIZE, begun, code, dump_of, each, function, function_image,
    hit, image_name, symbols,
};

/// A recording with a sample in two functions.
fn recording(lab: &Lab, endian: Endian) -> Vec<u8> {
    recording_of(lab, endian).finished_round().bytes()
}

fn recording_of(lab: &Lab, endian: Endian) -> StreamBuilder {
    hit(lab.recording(endian), PID, 200, function(0), &[function(1)])
}

/// The images with their bytes.
fn contents(lab: &Lab) -> BTreeMap<String, Vec<u8>> {
    lab.images().into_iter().map(|name| (name.clone(), lab.image(&name))).collect()
}

#[test]
fn a_function_has_its_name_its_size_and_its_code() {
    each(|form, endian| {
        let lab = Lab::new();
        lab.write_dump(PID, dump_of(endian, 100, &["one", "two"]));
        lab.run(form, &["--jit=per-process"], &recording(&lab, endian)).well((form, endian));
        let image = lab.image(&image_name(PID));
        let file = object::File::parse(&*image).expect("an ELF file");
        assert_eq!(file.is_little_endian(), endian == Endian::Little, "the dump's byte order");
        assert_eq!(file.kind(), object::ObjectKind::Dynamic);
        let text = file.section_by_name(".text").expect("code");
        for name in ["one", "two"] {
            let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name)).expect(name);
            assert_eq!(symbol.size(), SIZE as u64);
            let found = text.data_range(symbol.address(), symbol.size()).expect("in the file");
            assert_eq!(found, Some(&*code(name)), "{form:?} {endian:?}");
        }
    });
}

#[test]
fn the_id_that_is_told_is_that_in_the_image() {
    each(|form, endian| {
        for args in [&["--jit"][..], &["--jit=per-process"], &["--jit", "-b"]] {
            let lab = Lab::new();
            lab.write_dump(PID, dump_of(endian, 100, &["one", "two"]));
            let done = lab.run(form, args, &recording(&lab, endian));
            assert_eq!(done.code, Some(0), "{}", done.told);
            let told = ids_in(&records(&done.stream), endian);
            for (name, image) in contents(&lab) {
                let path = fs::canonicalize(lab.path("images")).expect("there").join(&name);
                let file = object::File::parse(&*image).expect("an ELF file");
                let id = file.build_id().expect("notes").expect("an id").to_owned();
                let id = BuildId::new(&id).expect("20 bytes");
                let path = path.to_str().expect("text");
                let of_image: Vec<_> = told.iter().filter(|(name, _)| name == path).collect();
                assert_eq!(of_image, [&(path.to_owned(), id)], "{form:?} {endian:?} {args:?}: once");
            }
        }
    });
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    each(|form, endian| {
        for args in [&["--jit"][..], &["--jit=per-process"]] {
            let lab = Lab::new();
            let names: Vec<_> = (0..200).map(|number| format!("f{number}")).collect();
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            lab.write_dump(PID, dump_of(endian, 100, &names));
            let mut stream = lab.recording(endian);
            for time in 0..600 {
                stream = hit(stream, PID, 200 + time, function(time * 7 % 200), &[function(time * 13 % 200)]);
            }
            let stream = stream.finished_round().bytes();
            let once = (lab.run(form, args, &stream).well(form).stream, contents(&lab));
            lab.clear();
            let twice = (lab.run(form, args, &stream).well(form).stream, contents(&lab));
            assert!(once == twice, "{form:?} {endian:?} {args:?}");
        }
    });
}

#[test]
fn an_image_for_each_function_is_called_by_its_number() {
    each(|form, endian| {
        let lab = Lab::new();
        lab.write_dump(PID, dump_of(endian, 100, &["one", "two", "never"]));
        let done = lab.run(form, &["--jit"], &recording(&lab, endian)).well((form, endian));
        assert_eq!(done.at(200), ["one+0x0", "two+0x0"], "{form:?} {endian:?}");
        let images = contents(&lab);
        let names: Vec<_> = images.keys().map(String::as_str).collect();
        assert_eq!(names, ["jitted-7-1.so", "jitted-7-2.so"]);
        let functions = images.values().map(|image| symbols(image).len());
        assert_eq!(functions.collect::<Vec<_>>(), [1, 1]);
    });
}

#[test]
fn an_image_of_a_pipe_is_there_before_the_end_of_its_round() {
    for form in [Form::Pipe, Form::Packed] {
        for endian in crate::made::ENDIANS {
            let lab = Lab::new();
            lab.write_dump(PID, dump_of(endian, 100, &["one", "two", "three"]));
            let stream = hit(lab.recording(endian), PID, 200, function(0), &[]).finished_round();
            let stream = hit(stream, PID, 300, function(0), &[function(1)]).finished_round();
            let stream = hit(stream, PID, 400, function(1), &[function(2)]);
            let done = lab.run(form, &["--jit=per-process"], &stream.bytes()).well((form, endian));
            assert_eq!(done.at(400), ["two+0x0", "three+0x0"]);
            assert_eq!(lab.images().len(), 3, "one a round: {:?}", lab.images());
            assert!(lab.images().contains(&image_name(PID)));
            let (maps, ids) = (RecordType::MMAP2, RecordType::BUILD_ID);
            let types: Vec<_> = done.types().into_iter().filter(|of| [maps, ids].contains(of)).collect();
            assert_eq!(types[4..], [maps, ids, maps, ids, maps, ids]);
        }
    }
    let lab = Lab::new();
    lab.write_dump(PID, dump_of(Endian::NATIVE, 100, &["one", "two"]));
    let stream = hit(lab.recording(Endian::NATIVE), PID, 200, function(0), &[]).finished_round();
    let stream = hit(stream, PID, 300, function(1), &[]).finished_round().bytes();
    lab.run(Form::File, &["--jit=per-process"], &stream).well("a file");
    assert_eq!(lab.images().len(), 1, "a file has no reader yet");
}

#[test]
fn lines_are_in_the_image() {
    for form in FORMS {
        let endian = Endian::NATIVE;
        let lab = Lab::new();
        let line = |at: u64, line| Line {
            addr: function(0) + at,
            line,
            discriminator: 0,
            file: "/src/made-up.js".into(),
        };
        let dump = JitDumpBuilder::new(endian)
            .debug_info(100, function(0), &[line(0, 10), line(0x10, 20)])
            .load(At::new(PID, 100), function(0), 1, b"one", &code("one"))
            .load(At::new(PID, 100), function(1), 2, b"two", &code("two"));
        lab.write_dump(PID, dump);
        lab.run(form, &["--jit"], &recording(&lab, endian)).well(form);
        let image = lab.image(&function_image(PID, 1));
        let file = object::File::parse(&*image).expect("an ELF file");
        for section in [".debug_line", ".debug_info", ".debug_abbrev"] {
            assert!(file.section_by_name(section).is_some(), "{section}");
        }
        let contains = |text: &[u8]| image.windows(text.len()).any(|window| window == text);
        assert!(contains(b"made-up.js"));
    }
}

#[test]
fn images_are_beside_the_output_or_where_they_are_wanted() {
    let endian = Endian::NATIVE;
    let lab = Lab::new();
    lab.write_dump(PID, dump_of(endian, 100, &["one", "two"]));
    let stream = recording(&lab, endian);
    let wanted = lab.path("wanted");
    let done = lab.run(Form::File, &["--jit", "--jit-dir", wanted.to_str().expect("text")], &stream);
    assert_eq!(done.warned("was not there, and is made").at(200), ["one+0x0", "two+0x0"]);
    assert_eq!(lab.images().len(), 0);
    assert!(wanted.join(function_image(PID, 1)).exists());
    let file = lab.path("dumps/jit-7.dump");
    let done = lab.run(Form::File, &["--jit", "--jit-dir", file.to_str().expect("text")], &stream);
    assert_eq!(done.code, Some(1), "a file is no directory");
    assert!(!lab.path("images/out.data").exists(), "{}", done.told);
}

#[test]
fn what_has_the_name_of_an_image_stays_and_the_image_has_another() {
    for form in FORMS {
        let endian = Endian::NATIVE;
        let lab = Lab::new();
        lab.write_dump(PID, dump_of(endian, 100, &["one", "two"]));
        let stream = recording(&lab, endian);
        let (target, image) = (lab.path("target"), lab.path("images").join(function_image(PID, 1)));
        fs::write(&target, "precious").expect("written");
        let wait: [&dyn Fn(); 5] = [
            &|| std::os::unix::fs::symlink(&target, &image).expect("a link"),
            &|| std::os::unix::fs::symlink(lab.path("nowhere"), &image).expect("a link"),
            &|| fs::hard_link(&target, &image).expect("a link"),
            &|| fs::write(&image, "another recording's").expect("written"),
            &|| rustix::fs::mkfifoat(rustix::fs::CWD, &image, rustix::fs::Mode::RWXU).expect("a FIFO"),
        ];
        for wait in wait {
            lab.clear();
            wait();
            let before = fs::symlink_metadata(&image).expect("there");
            assert_eq!(lab.run(form, &["--jit"], &stream).well(form).at(200), ["one+0x0", "two+0x0"]);
            let after = fs::symlink_metadata(&image).expect("there");
            assert_eq!((after.ino(), after.len()), (before.ino(), before.len()), "{form:?}");
            let names: Vec<_> = lab.images().into_iter().collect();
            assert_eq!(names, ["jitted-7-1.1.so", "jitted-7-1.so", "jitted-7-2.so"]);
            assert_eq!(fs::read(&target).expect("there"), b"precious");
            assert!(!lab.path("nowhere").exists());
        }
    }
}

#[test]
fn a_second_run_leaves_the_images_of_the_first_and_makes_none() {
    let endian = Endian::NATIVE;
    for form in FORMS {
        let lab = Lab::new();
        lab.write_dump(PID, dump_of(endian, 100, &["one", "two"]));
        let stream = recording(&lab, endian);
        let first = lab.run(form, &["--jit"], &stream).well(form);
        let images = contents(&lab);
        let second = lab.run(form, &["--jit"], &stream).well(form);
        assert!(contents(&lab) == images, "{form:?}: {:?}", lab.images());
        assert!(first.stream == second.stream, "{form:?}");
        // Another function under the same number is another file.
        lab.write_dump(PID, dump_of(endian, 100, &["uno", "two"]));
        assert_eq!(lab.run(form, &["--jit"], &stream).well(form).at(200), ["uno+0x0", "two+0x0"]);
        let names: Vec<_> = lab.images().into_iter().collect();
        assert_eq!(names, ["jitted-7-1.1.so", "jitted-7-1.so", "jitted-7-2.so"]);
        assert!(images.iter().all(|(name, bytes)| lab.image(name) == *bytes));
    }
}

#[test]
fn an_image_that_somebody_else_may_write_is_not_used_again() {
    let endian = Endian::NATIVE;
    let lab = Lab::new();
    lab.write_dump(PID, dump_of(endian, 100, &["one", "two"]));
    let stream = recording(&lab, endian);
    lab.run(Form::Pipe, &["--jit"], &stream).well("new");
    let image = lab.path("images").join(function_image(PID, 1));
    fs::set_permissions(&image, fs::Permissions::from_mode(0o666)).expect("changed");
    lab.run(Form::Pipe, &["--jit"], &stream).well("once more");
    let names: Vec<_> = lab.images().into_iter().collect();
    assert_eq!(names, ["jitted-7-1.1.so", "jitted-7-1.so", "jitted-7-2.so"]);
}

/// hotspot and perf place a file once: at the start of a map minus its offset.
#[test]
fn an_image_has_one_distance_between_addresses_and_offsets_whatever_was_moved() {
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
        let dump = dump_of(endian, 100, &["one", "two"]).moved(250, &moved(function(0), function(9)));
        lab.write_dump(PID, dump);
        let mut stream = recording_of(&lab, endian);
        for (time, at) in [(300, 9), (310, 1), (320, 9)] {
            stream = hit(stream, PID, time, function(at), &[]);
        }
        let done = lab.run(form, &["--jit"], &stream.finished_round().bytes()).well((form, endian));
        let mut distances = BTreeMap::new();
        for (start, _, pgoff, name) in done.maps() {
            assert_eq!(*distances.entry(name.clone()).or_insert(start - pgoff), start - pgoff, "{name}");
            let bytes = fs::read(&name).expect("an image");
            let file = object::File::parse(&*bytes).expect("an ELF file");
            let first = file.segments().next().expect("a segment");
            assert_eq!((first.address(), first.file_range().0), (0, 0), "it begins where it is loaded");
            assert_eq!(symbols(&bytes).first().map(|(_, address, _)| *address), Some(pgoff));
        }
        assert_eq!(distances.len(), 3, "{form:?} {endian:?}");
        assert_eq!(
            (done.at(200), done.at(300)),
            (vec!["one+0x0".into(), "two+0x0".into()], vec!["one+0x0".into()])
        );
    });
}

/// AutoFDO's quipper: a map inside a larger one must begin and end with pages; of one across two it takes their places.
#[test]
fn no_map_splits_another_but_at_pages() {
    each(|form, endian| {
        for size in [0x1000, 0x2000, ARENA_SIZE] {
            let lab = Lab::new();
            lab.write_dump(PID, dump_of(endian, 100, &["one", "two", "three"]));
            let stream = begun(endian).mmap2(At::new(PID, 10), ARENA, size, "//anon");
            let stream = lab.marked(stream, PID);
            let stream = hit(stream, PID, 200, function(1), &[function(2)]);
            // Larger memory, which comes late.
            let stream = hit(stream, PID, 400, function(0), &[]);
            let stream = stream.mmap2(At::new(PID, 150), ARENA, 2 * size, "//anon").finished_round().bytes();
            let done = lab.run(form, &["--jit"], &stream).well((form, endian));
            let mut maps: Vec<(u64, u64)> = Vec::new();
            for (time, start, len) in crate::reader::maps(&done.stream, PID) {
                let (new, page) = (start..start + len, |at: u64| at.is_multiple_of(0x1000));
                let meets = |old: &(u64, u64)| old.0 < new.end && new.start < old.1;
                let covers = |old: &(u64, u64)| old.0 <= new.start && new.end <= old.1 && old.1 - old.0 > len;
                let around = maps.iter().copied().find(covers);
                maps.retain(|old| !meets(old));
                if let Some((low, high)) = around {
                    assert!(low == new.start || page(new.start), "{size:#x} {time}: {new:x?}");
                    assert!(high == new.end || page(new.end), "{size:#x} {time}: {new:x?}");
                    maps.extend(
                        [(low, new.start), (new.end, high)].into_iter().filter(|(low, high)| low < high),
                    );
                }
                maps.push((new.start, new.end));
            }
            assert_eq!(done.at(200), ["two+0x0", "three+0x0"], "{form:?} {endian:?}");
            assert_eq!(done.at(400), ["one+0x0"], "{form:?} {endian:?}");
        }
    });
}
