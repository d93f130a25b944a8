//! Recordings that are packed with gzip, xz or zstd, and those in file format that come through a pipe: read as the plain
//! file is, with what was whole before a cut, and without anything left behind.

mod common;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::running::{Running, pipe, read_up_to, rest};
use common::{data, perftool, run, stderr};
use flate2::Compression;
use flate2::write::GzEncoder;
use insta::assert_snapshot;
use lzma_rust2::{XzOptions, XzWriter};
use perf_format::Endian;
use perf_format::record::CpuMode;
use perf_format::testing::{At, StreamBuilder, records};
use rustix::process::Signal;
use tempfile::TempDir;

/// Packs bytes.
type Pack = fn(&[u8]) -> Vec<u8>;

const PACKERS: [(&str, Pack); 3] = [("gz", gz), ("xz", xz), ("zst", zst)];

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut writer = XzWriter::new(Vec::new(), XzOptions::with_preset(1)).expect("memory");
    writer.write_all(bytes).expect("memory");
    writer.finish().expect("memory")
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    let mut packed = vec![0; zstd_safe::compress_bound(bytes.len())];
    let len = zstd_safe::compress(packed.as_mut_slice(), bytes, 3).expect("it fits");
    packed.truncate(len);
    packed
}

/// The ways that something can be read: as a file that is named, as one on standard input, and through a pipe.
const WAYS: [&str; 3] = ["-i FILE", "< FILE", "cat FILE |"];

fn read(args: &[&str], bytes: &[u8], way: &str, dir: &TempDir) -> Output {
    let path = dir.path().join("input");
    fs::write(&path, bytes).expect("written");
    let mut command = perftool(args);
    command.env("TMPDIR", dir.path());
    let done = match way {
        "-i FILE" => command.arg("-i").arg(&path).stdin(Stdio::null()).output().expect("it runs"),
        "< FILE" => {
            command.args(["-i", "-"]).stdin(File::open(&path).expect("there")).output().expect("it runs")
        }
        _ => {
            command.args(["-i", "-"]);
            run(command, bytes)
        }
    };
    fs::remove_file(path).expect("it was there");
    done
}

fn names(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn a_recording_is_read_as_the_plain_file_is_however_it_is_packed_and_comes() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("out");
    let out = out.to_str().expect("text");
    for name in [
        "callchain.pipe",
        "tracepoint.pipe",
        "compressed.pipe",
        "callchain.data",
        "plain.data",
        "newest.data",
    ] {
        let plain = fs::read(data().join(name)).expect("a recording");
        for args in [
            &["inject", "-b", "--allow-changed"][..],
            &["inject", "-b", "--allow-changed", "-o", out],
            &["buildid-list", "-H"],
            &["buildid-list", "--json"],
        ] {
            let result = |bytes: &[u8], way: &str| {
                let done = read(args, bytes, way, &dir);
                let left = names(dir.path());
                let written = fs::read(out).ok();
                fs::remove_file(out).ok();
                assert_eq!(left.len(), usize::from(written.is_some()), "{left:?}");
                (done.stdout, written, done.status.code(), String::from_utf8(done.stderr).expect("text"))
            };
            let expected = result(&plain, WAYS[0]);
            assert_eq!((expected.2, &*expected.3), (Some(0), ""), "{name}");
            for way in WAYS {
                assert!(result(&plain, way) == expected, "{name} {way} {args:?}");
                for (ending, pack) in PACKERS {
                    assert!(result(&pack(&plain), way) == expected, "{name}.{ending} {way} {args:?}");
                }
            }
        }
    }
}

#[test]
fn several_packed_pieces_behind_one_another_are_one_recording() {
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["callchain.pipe", "callchain.data"] {
        let plain = fs::read(data().join(name)).expect("a recording");
        let expected = read(&["buildid-list", "-H"], &plain, WAYS[0], &dir).stdout;
        for (ending, pack) in PACKERS {
            let (one, two) = plain.split_at(plain.len() / 2 + 5);
            let packed = [pack(one), pack(b""), pack(two)].concat();
            for way in WAYS {
                let done = read(&["buildid-list", "-H"], &packed, way, &dir);
                assert!(done.status.success(), "{name}.{ending}: {}", stderr(&done));
                assert!(done.stdout == expected, "{name}.{ending}");
            }
        }
    }
}

/// A stream of so many samples of 64 bytes each that cannot be packed to nothing, in a file that is nowhere.
fn stream(samples: u64) -> Vec<u8> {
    let mut stream =
        StreamBuilder::with_callchains(Endian::NATIVE).mmap2(At::new(1, 1), 0x1000, 0x80_0000, "/nowhere/a");
    for n in 0..samples {
        let chain = [n.wrapping_mul(0x9e37_79b9_7f4a_7c15), 0x3000];
        stream = stream.sample(CpuMode::User, At::new(1, 2 + n), 0x1000 + n, &chain);
    }
    stream.bytes()
}

/// The end of the last record that is whole in so many bytes of a stream.
fn whole(stream: &[u8], len: usize) -> usize {
    let ends = records(stream).into_iter().scan(16, |at, record| {
        *at += record.bytes.len();
        Some(*at)
    });
    ends.take_while(|end| *end <= len).last().expect("one is whole")
}

#[test]
fn of_a_packed_stream_that_is_cut_all_that_is_whole_comes_out_and_it_is_an_error() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("out");
    let plain = stream(10_000);
    let mut all = String::new();
    for (ending, pack) in PACKERS {
        let packed = pack(&plain);
        let cut = &packed[..packed.len() / 2];
        for way in WAYS {
            let done = read(&["inject", "-b", "--allow-changed"], cut, way, &dir);
            assert_eq!(done.status.code(), Some(1), "{ending} {way}");
            let len = done.stdout.len();
            assert!(len > plain.len() / 3 && plain.starts_with(&done.stdout), "{ending} {way}: {len}");
            assert_eq!(whole(&plain, len), len, "{ending} {way}: whole records");
            if way == WAYS[0] {
                all += &format!("--- {ending}\n{}", stderr(&done));
            }
            // In a file there is as much.
            let done =
                read(&["inject", "-b", "--allow-changed", "-o", out.to_str().expect("text")], cut, way, &dir);
            assert_eq!(done.status.code(), Some(1), "{ending} {way}");
            let back = read(&["inject"], &fs::read(&out).expect("it was kept"), WAYS[0], &dir);
            assert!(back.status.success(), "{}", stderr(&back));
            assert_eq!(records(&back.stdout).last(), records(&plain[..len]).last(), "{ending} {way}");
            fs::remove_file(&out).expect("it was there");
            // The list is what there is until then.
            let done = read(&["buildid-list", "-H"], cut, way, &dir);
            assert_eq!(done.status.code(), Some(1), "{ending} {way}");
            assert!(done.stdout.ends_with(b" /nowhere/a\n"), "{ending} {way}");
            assert!(stderr(&done).contains(" is cut after "), "{}", stderr(&done));
            let done = read(&["inject", "-b", "--allow-changed", "--recover"], cut, way, &dir);
            assert!(done.status.success(), "{ending} {way}: {}", stderr(&done));
            assert_eq!(done.stdout.len(), len, "{ending} {way}");
            assert!(
                stderr(&done).contains("perftool: warning: what is behind is lost: "),
                "{}",
                stderr(&done)
            );
        }
        // All records are whole, and yet there is an end missing.
        let done = read(&["inject"], &packed[..packed.len() - 1], WAYS[0], &dir);
        assert_eq!(done.status.code(), Some(1), "{ending}");
        assert!(stderr(&done).contains(" is cut after "), "{}", stderr(&done));
    }
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"after \d+ bytes", "after N bytes");
    settings.add_filter(r"offset 0x\w+: \d+ of", "offset 0xN: N of");
    settings.add_filter(&dir.path().display().to_string(), "DIR");
    settings.bind(|| assert_snapshot!(all));
}

#[test]
fn of_a_packed_file_that_is_cut_a_pipe_gets_what_is_whole_and_a_file_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let (out, file) = (dir.path().join("out"), dir.path().join("file"));
    let plain = stream(10_000);
    fs::write(dir.path().join("stream"), &plain).expect("written");
    let mut made = perftool(&["inject", "-i"]);
    made.arg(dir.path().join("stream")).arg("-o").arg(&file);
    Running::start(&mut made).end().well();
    let bytes = fs::read(&file).expect("there");
    for (ending, pack) in PACKERS {
        let packed = pack(&bytes);
        let cut = &packed[..packed.len() / 2];
        for way in WAYS {
            let done = read(&["inject"], cut, way, &dir);
            assert_eq!(done.status.code(), Some(1), "{ending} {way}");
            assert!(done.stdout.len() > plain.len() / 3, "{ending} {way}: {}", done.stdout.len());
            assert!(stderr(&done).contains(" is cut after "), "{}", stderr(&done));
            let done = read(&["inject", "-o", out.to_str().expect("text")], cut, way, &dir);
            assert_eq!((done.status.code(), out.exists()), (Some(1), false), "{ending} {way}");
        }
    }
    assert_eq!(names(dir.path()).len(), 2, "{:?}", names(dir.path()));
}

#[test]
fn what_cannot_be_unpacked_or_put_anywhere_is_said() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut all = String::new();
    let mut say = |what: &str, done: &Output| {
        let said = stderr(done).replace(&*dir.path().to_string_lossy(), "DIR");
        all +=
            &format!("--- {what}\n{said}(exit {:?}, {} bytes out)\n", done.status.code(), done.stdout.len());
    };
    let recording = fs::read(data().join("plain.data")).expect("a recording");
    // Its checksum, and its length.
    let mut damaged = gz(&stream(3));
    let end = damaged.len();
    damaged[end - 8..].fill(0x55);
    let far_back = [0x28, 0xb5, 0x2f, 0xfd, 0, (28 - 10) << 3, 3, 0, 0, 0];
    for (what, bytes) in [
        ("something else", &gz(b"GIF89a; no perf data")[..]),
        ("nothing", &xz(b"")),
        ("packed twice", &zst(&gz(&recording))),
        ("cut inside its own header", &gz(&recording)[..5]),
        ("damaged at its end", &damaged),
        ("too far back", &far_back),
        ("garbage behind it", &[&gz(&stream(3))[..], b"garbage"].concat()),
    ] {
        say(what, &read(&["inject"], bytes, WAYS[0], &dir));
    }
    let nowhere = |args: &[&str]| {
        let mut command = perftool(args);
        command.env("TMPDIR", "/nowhere");
        run(command, &recording)
    };
    say("no place for a file from a pipe", &nowhere(&["inject"]));
    say("nor for the list of one", &nowhere(&["buildid-list"]));
    // Beside an output there is.
    let out = dir.path().join("out");
    let done = nowhere(&["inject", "-o", out.to_str().expect("text")]);
    assert!(done.status.success() && out.exists(), "{}", stderr(&done));
    assert_snapshot!(all);
    let script = "ulimit -f 4; exec \"$0\" buildid-list";
    let mut sh = Command::new("sh");
    sh.args(["-c", script, env!("CARGO_BIN_EXE_perftool")]).env("TMPDIR", dir.path());
    let done = run(sh, &recording);
    assert_eq!(done.status.code(), Some(1), "{}", stderr(&done));
    assert!(stderr(&done).ends_with("File too large (os error 27)\n"), "{}", stderr(&done));
}

#[test]
fn a_packed_object_is_its_id_from_standard_input_too() {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("perf-session/tests/data");
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["module.ko", "module.ko.gz", "module.ko.xz", "module.ko.zst"] {
        let bytes = fs::read(modules.join(name)).expect("it is kept");
        for way in ["-i FILE", "< FILE"] {
            let done = read(&["buildid-list"], &bytes, way, &dir);
            assert_eq!(
                String::from_utf8_lossy(&done.stdout),
                format!("{}\n", "cd".repeat(20)),
                "{name} {way}"
            );
        }
    }
}

#[test]
fn of_a_packed_live_stream_all_of_each_part_comes_out_before_the_next_goes_in() {
    let plain = stream(1000);
    let (stdin, mut to) = pipe();
    let (mut from, stdout) = pipe();
    let mut command = perftool(&["inject", "-b", "--allow-changed"]);
    let running = Running::start(command.stdin(stdin).stdout(stdout));
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let mut out = Vec::new();
    let half = whole(&plain, plain.len() / 2);
    for (begin, end) in [(0, 16), (16, half), (half, plain.len())] {
        encoder.write_all(&plain[begin..end]).expect("memory");
        encoder.flush().expect("memory");
        to.write_all(&std::mem::take(encoder.get_mut())).expect("the program reads");
        // An interrupt is the producer's, too, and its last buffers are still to come.
        if end == half {
            read_up_to(&mut from, &mut out, end);
            running.signal(Signal::INT);
        }
    }
    to.write_all(&encoder.finish().expect("memory")).expect("the program reads");
    drop(to);
    out.extend(rest(from));
    running.end().well();
    assert!(out == plain);
}
