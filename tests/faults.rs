//! When the world fails: disks that fill up, readers that go, inputs that stall, shrink or are not there, and too few
//! files to be had. Processes and file systems are real ones.
#![expect(clippy::print_stderr, reason = "a test that is left out says so")]

mod common;

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::perftool;
use common::running::{
    Ended, Running, feed, open_to_read, open_to_write, pipe, read_up_to, rest, set_nonblocking,
    wait_for_bytes, wait_until,
};
use perf_format::record::{CpuMode, Inode, MapFile};
use perf_format::testing::{At, StreamBuilder, ids_in, injected, records};
use perf_format::{Endian, PerfFile, Section};
use perf_session::testing::Elf;
use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::io::ioctl_fionread;
use rustix::pipe::fcntl_getpipe_size;
use rustix::process::Signal;
use tempfile::TempDir;

const INT: Signal = Signal::INT;
const TERM: Signal = Signal::TERM;
const PERFTOOL: &str = env!("CARGO_BIN_EXE_perftool");

/// A stream of so many samples of 64 bytes each, in a file that is nowhere: nothing will be injected.
fn stream(samples: u64) -> Vec<u8> {
    let mut stream =
        StreamBuilder::with_callchains(Endian::NATIVE).mmap2(At::new(1, 1), 0x1000, 0x80_0000, "/nowhere/a");
    for n in 0..samples {
        stream = stream.sample(CpuMode::User, At::new(1, 2 + n), 0x1000 + n, &[0x2000, 0x3000]);
    }
    stream.bytes()
}

/// More than pipes and buffers hold: 4 MiB.
const LARGE: u64 = 1 << 16;

/// A directory with a stream in both formats: `in.pipe` and `in.data`.
fn both_formats(stream: &[u8]) -> (TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let (pipe, data) = (dir.path().join("in.pipe"), dir.path().join("in.data"));
    fs::write(&pipe, stream).expect("written");
    Running::start(perftool(&["inject"]).arg("-i").arg(&pipe).arg("-o").arg(&data)).end().well();
    (dir, pipe, data)
}

/// What the kernel says of a full disk.
const NO_SPACE: &str = "No space left on device (os error 28)";

/// Whether a file system may be mounted where nobody else sees it. Where not, a test that needs it says that it was
/// left out; in CI that is a failure.
fn may_mount(test: &str) -> bool {
    let script = "mount -t tmpfs none /tmp";
    let ran = Command::new("unshare").args(["--mount", "sh", "-c", script]).output();
    let may = ran.is_ok_and(|output| output.status.success());
    assert!(may || std::env::var_os("CI").is_none(), "CI has to run as root, with unshare(1) and mount(8)");
    if !may {
        eprintln!("left out, since only root may mount: {test}");
    }
    may
}

/// Runs a script where `$dir` is a small file system that only it sees; `$perftool` is the program. What is in
/// `$dir` at its end is listed on standard output, and `out` is copied to the place that is given.
fn on_a_small_disk(script: &str, dir: &TempDir, stdin: Stdio, copy: &Path) -> (Ended, String) {
    let around = format!(
        "mount -t tmpfs -o size=64k none \"$dir\" || exit 9; {script}; code=$?
        test ! -e \"$dir/out\" || cp \"$dir/out\" \"$copy\"; ls -A \"$dir\"; exit $code"
    );
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "sh", "-c", &around]).env("perftool", PERFTOOL);
    let (read, write) = pipe();
    unshare.env("dir", dir.path()).env("copy", copy);
    let ended = Running::start(unshare.stdin(stdin).stdout(write)).end();
    (ended, String::from_utf8(rest(read)).expect("names"))
}

#[test]
fn a_disk_that_fills_up_under_a_stream_holds_what_was_written() {
    if !may_mount("a full disk under standard output") {
        return;
    }
    let stream = stream(LARGE);
    let (files, as_pipe, as_data) = both_formats(&stream);
    let copy = files.path().join("copy");
    let disk = tempfile::tempdir().expect("a directory");
    let (read, write) = pipe();
    feed(write, stream.clone());
    let file = |path: &Path| Stdio::from(File::open(path).expect("there"));
    for (what, stdin) in
        [("a pipe", read.into()), ("pipe format", file(&as_pipe)), ("a file", file(&as_data))]
    {
        fs::remove_file(&copy).ok();
        let (ended, _) =
            on_a_small_disk("\"$perftool\" inject -b --allow-changed > \"$dir/out\"", &disk, stdin, &copy);
        let written = fs::read(&copy).expect("there is an output");
        assert!(written.len() > 32 << 10 && written.len() <= 64 << 10, "{what}: {}", written.len());
        let count = format!("writing failed after {} bytes", written.len());
        assert_eq!(ended.causes(), [&count, NO_SPACE], "{what}");
        assert!(what == "a file" || stream.starts_with(&written), "{what}: as it came");
    }
}

#[test]
fn a_disk_that_fills_up_leaves_what_had_the_name_before() {
    if !may_mount("a full disk under -o FILE") {
        return;
    }
    let (files, as_pipe, as_data) = both_formats(&stream(LARGE));
    let copy = files.path().join("copy");
    let disk = tempfile::tempdir().expect("a directory");
    for input in [as_pipe, as_data] {
        for from in ["-i \"$input\"", "< \"$input\"", "< \"$fifo\""] {
            let script = format!(
                "echo before > \"$dir/out\"; input={}; fifo={}
                mkfifo \"$fifo\"; cat \"$input\" > \"$fifo\" 2> /dev/null & cat=$!
                \"$perftool\" inject -b --allow-changed -o \"$dir/out\" {from}; code=$?; kill $cat 2> /dev/null; rm \"$fifo\"; (exit $code)",
                input.display(),
                files.path().join("fifo").display(),
            );
            if from.contains("fifo") && input.ends_with("in.data") {
                continue;
            }
            let (ended, left) = on_a_small_disk(&script, &disk, Stdio::null(), &copy);
            assert_eq!(ended.causes().last(), Some(&NO_SPACE));
            assert_eq!(left, "out\n", "nothing else is left");
            assert_eq!(fs::read(&copy).expect("there"), b"before\n");
        }
    }
}

#[test]
fn when_the_reader_goes_in_the_middle_the_program_ends_by_sigpipe() {
    let stream = stream(LARGE);
    let (files, as_pipe, as_data) = both_formats(&stream);
    let fifo = files.path().join("fifo");
    mkfifoat(CWD, &fifo, Mode::RWXU).expect("a FIFO");
    let (read, write) = pipe();
    feed(write, stream.clone());
    let file = |path: &Path| Stdio::from(File::open(path).expect("there"));
    for (what, stdin) in
        [("a pipe", read.into()), ("pipe format", file(&as_pipe)), ("a file", file(&as_data))]
    {
        let mut perftool = perftool(&["inject", "-b", "--allow-changed"]);
        let (from, to) = pipe();
        let (head_out, head_in) = pipe();
        let running = Running::start(perftool.stdin(stdin).stdout(to));
        let head = Running::start(Command::new("head").args(["-c", "100"]).stdin(from).stdout(head_in));
        let got = rest(head_out);
        assert!(got.len() == 100 && got.starts_with(b"PERFILE2"), "{what}");
        head.end().well();
        running.end().by(Signal::PIPE);
    }
    // The reader of a FIFO that was named is a reader, too.
    let mut command = perftool(&["inject", "-b", "--allow-changed", "-i"]);
    let running = Running::start(command.arg(&as_pipe).arg("-o").arg(&fifo).stdin(Stdio::null()));
    let mut reader = open_to_read(&fifo);
    read_up_to(&mut reader, &mut Vec::new(), 100);
    drop(reader);
    running.end().by(Signal::PIPE);
}

/// Where a stream can be cut: in a record's head, behind it, and in its body, with the end of what is whole then.
fn cuts(stream: &[u8]) -> Vec<(usize, usize)> {
    let whole = 16 + records(stream).iter().take(20).map(|record| record.bytes.len()).sum::<usize>();
    [1, 7, 8, 33].map(|torn| (whole, whole + torn)).to_vec()
}

/// The program between two pipes, or between a pipe and a file that is its standard output.
fn between(into_a_file: bool) -> (Running, File, File) {
    let (stdin, to) = pipe();
    let (from, stdout) = pipe();
    let mut command = perftool(&["inject", "-b", "--allow-changed"]);
    command.stdin(stdin);
    if !into_a_file {
        return (Running::start(command.stdout(stdout)), to, from);
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    let written = file.reopen().expect("the same file");
    (Running::start(command.stdout(file.into_file())), to, written)
}

/// The program where its input stalls, with what has come out by then if its output is a pipe.
fn stalled(sent: &[u8], whole: usize, into_a_file: bool) -> (Running, File, File, Vec<u8>) {
    let (running, mut to, mut from) = between(into_a_file);
    to.write_all(sent).expect("the program reads");
    let mut out = Vec::new();
    read_up_to(&mut from, &mut out, if into_a_file { 0 } else { whole });
    running.wait_until_it_wants_more(&to);
    (running, to, from, out)
}

/// How it ends, and what still comes out: a pipe is to be read before, a file can be when it is whole.
fn ended(running: Running, from: File, into_a_file: bool) -> (Ended, Vec<u8>) {
    let out = if into_a_file { Vec::new() } else { rest(from.try_clone().expect("the same pipe")) };
    let ended = running.end();
    (ended, if into_a_file { rest(from) } else { out })
}

#[test]
fn an_input_that_stalls_inside_a_record_goes_on_or_ends_there() {
    let stream = stream(1000);
    for (whole, cut) in cuts(&stream) {
        for (into_a_file, goes_on) in [(false, true), (false, false), (true, true), (true, false)] {
            let (running, mut to, from, mut out) = stalled(&stream[..cut], whole, into_a_file);
            if goes_on {
                to.write_all(&stream[cut..]).expect("the program reads");
            }
            drop(to);
            let (ended, rest) = ended(running, from, into_a_file);
            out.extend(rest);
            if goes_on {
                ended.well();
                assert!(out == stream, "cut at {cut}");
                continue;
            }
            let (torn, size) = (cut - whole, if cut < whole + 8 { 8 } else { 64 });
            let said = format!("the input ends inside a record at offset {whole:#x}: {torn} of {size} bytes");
            assert_eq!(ended.causes(), [said]);
            assert!(out == stream[..whole], "cut at {cut}");
        }
    }
}

#[test]
fn an_interrupt_inside_a_record_loses_nothing_and_a_second_one_ends() {
    let stream = stream(1000);
    for (whole, cut) in cuts(&stream) {
        for (signal, into_a_file) in [(INT, false), (INT, true), (TERM, false), (TERM, true)] {
            let (running, mut to, from, mut out) = stalled(&stream[..cut], whole, into_a_file);
            running.signal(signal);
            to.write_all(&stream[cut..]).expect("the program reads on");
            drop(to);
            let (done, rest) = ended(running, from, into_a_file);
            out.extend(rest);
            done.well();
            assert!(out == stream, "cut at {cut}");
            // And twice.
            let (running, _to, from, mut out) = stalled(&stream[..cut], whole, into_a_file);
            running.signal(signal);
            running.signal(signal);
            let (done, rest) = ended(running, from, into_a_file);
            out.extend(rest);
            done.by(signal);
            assert!(out == stream[..whole], "a torn record is not written");
        }
    }
}

#[test]
fn an_interrupt_before_the_header_is_whole_ends_nothing() {
    let stream = stream(100);
    for signal in [INT, TERM] {
        let (running, mut to, from) = between(false);
        to.write_all(&stream[..8]).expect("the program reads");
        running.wait_until_it_wants_more(&to);
        running.signal(signal);
        // Where the program is gone its end says more than that nobody reads.
        to.write_all(&stream[8..]).ok();
        drop(to);
        running.end().well();
        assert!(rest(from) == stream);
    }
}

#[test]
fn an_interrupt_before_the_header_is_whole_leaves_no_file_behind() {
    let stream = stream(100);
    let dir = tempfile::tempdir().expect("a directory");
    let (stdin, mut to) = pipe();
    let mut command = perftool(&["inject", "-b", "--allow-changed", "-o"]);
    let running = Running::start(command.arg(dir.path().join("out")).stdin(stdin));
    to.write_all(&stream[..8]).expect("the program reads");
    running.wait_until_it_wants_more(&to);
    running.signal(TERM);
    drop(to);
    assert!(!running.end().status.success());
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

#[test]
fn however_the_program_ends_it_leaves_no_file_behind() {
    let stream = stream(100);
    for signal in [Signal::HUP, Signal::KILL] {
        let dir = tempfile::tempdir().expect("a directory");
        let (stdin, mut to) = pipe();
        let mut command = perftool(&["inject", "-b", "--allow-changed", "-o"]);
        let running = Running::start(command.arg(dir.path().join("out")).stdin(stdin));
        to.write_all(&stream).expect("the program reads");
        running.wait_until_it_wants_more(&to);
        running.signal(signal);
        running.end().by(signal);
        assert_eq!(names(dir.path()), Vec::<String>::new());
    }
}

#[test]
fn a_file_that_may_not_grow_on_is_an_error() {
    let (dir, as_pipe, as_data) = both_formats(&stream(LARGE));
    for input in [as_pipe, as_data] {
        let script = format!(
            "ulimit -f 8; exec {PERFTOOL} inject -b --allow-changed -i {} -o {0}.out",
            input.display()
        );
        let ended = Running::start(Command::new("sh").args(["-c", &script])).end();
        assert_eq!(ended.causes().last(), Some(&"File too large (os error 27)"));
        assert_eq!(names(dir.path()), ["in.data", "in.pipe"]);
    }
}

#[test]
fn from_fifo_to_fifo_all_of_each_part_comes_out_before_the_next_goes_in() {
    let dir = tempfile::tempdir().expect("a directory");
    let (input, output) = (dir.path().join("in"), dir.path().join("out"));
    for fifo in [&input, &output] {
        mkfifoat(CWD, fifo, Mode::RWXU).expect("a FIFO");
    }
    let stream = stream(1000);
    let mut command = perftool(&["inject", "-b", "--allow-changed", "-i"]);
    let running = Running::start(command.arg(&input).arg("-o").arg(&output).stdin(Stdio::null()));
    let mut to = open_to_write(&input);
    let mut from = open_to_read(&output);
    let (whole, _) = cuts(&stream)[0];
    let mut out = Vec::new();
    for (begin, end) in [(0, whole), (whole, stream.len())] {
        to.write_all(&stream[begin..end]).expect("the program reads");
        read_up_to(&mut from, &mut out, end);
    }
    drop(to);
    out.extend(rest(from));
    running.end().well();
    assert!(out == stream);
    assert!(fs::metadata(&output).is_ok_and(|meta| meta.file_type().is_fifo()), "nothing took its place");
}

#[test]
fn where_nothing_can_be_written_nothing_is_touched() {
    if !may_mount("a file system that is read-only") {
        return;
    }
    let (files, as_pipe, as_data) = both_formats(&stream(100));
    let (copy, disk) = (files.path().join("copy"), tempfile::tempdir().expect("a directory"));
    for (input, name) in [(&as_pipe, "out"), (&as_data, "out"), (&as_data, "new")] {
        let script = format!(
            "echo before > \"$dir/out\"; mount -o remount,ro \"$dir\"
            \"$perftool\" inject -b --allow-changed -i {} -o \"$dir/{name}\"",
            input.display()
        );
        let (ended, left) = on_a_small_disk(&script, &disk, Stdio::null(), &copy);
        let where_to = format!("nothing can be made in {}", disk.path().display());
        let cannot = "what has that name cannot be replaced";
        let what = if name == "out" { cannot } else { &where_to };
        assert_eq!(ended.causes(), [what, "Read-only file system (os error 30)"]);
        assert_eq!(left, "out\n");
        assert_eq!(fs::read(&copy).expect("there"), b"before\n");
        // As somebody to whom the directory does not belong.
        let home = tempfile::tempdir().expect("a directory");
        let script = format!(
            "echo before > \"$dir/out\"; chmod 0755 \"$dir\"
            home={}; cp \"$perftool\" {} \"$home\"; chmod -R go+rX \"$home\"
            setpriv --reuid 65534 --regid 65534 --clear-groups \
                \"$home/perftool\" inject -b --allow-changed -i \"$home\"/in.* -o \"$dir/{name}\"",
            home.path().display(),
            input.display(),
        );
        let (ended, left) = on_a_small_disk(&script, &disk, Stdio::null(), &copy);
        assert_eq!(ended.causes(), [what, "Permission denied (os error 13)"]);
        assert_eq!(left, "out\n");
    }
}

/// A file's inode, as a record of a map tells it.
fn inode(path: &Path) -> MapFile {
    let meta = fs::metadata(path).expect("there");
    let (maj, min) = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
    MapFile::Inode(Inode { maj, min, ino: meta.ino(), ..Inode::default() })
}

#[test]
fn a_process_that_is_gone_when_its_files_are_looked_for_ends_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let (gone, kept) = (dir.path().join("gone"), dir.path().join("kept"));
    for (file, id) in [(&gone, [1; 20]), (&kept, [2; 20])] {
        fs::write(file, Elf::with_build_id(&id).bytes()).expect("written");
    }
    let mut process = Command::new("true").spawn().expect("it starts");
    let at = At::new(process.id(), 0);
    let name = |path: &Path| path.to_str().expect("text").to_owned();
    let stream = StreamBuilder::with_callchains(Endian::NATIVE)
        .mapped(at, 0x1000, 0x1000, &name(&gone), inode(&gone))
        .mapped(at, 0x2000, 0x1000, &name(&kept), inode(&kept))
        .sample(CpuMode::User, at, 0x1800, &[0x1900])
        .sample(CpuMode::User, at, 0x2800, &[])
        .exit(at)
        .bytes();
    let (running, mut to, from) = between(false);
    to.write_all(&stream[..20]).expect("the program reads");
    running.wait_until_it_wants_more(&to);
    // While the program runs they were there.
    process.wait().expect("it ends");
    fs::remove_file(&gone).expect("it was there");
    to.write_all(&stream[20..]).expect("the program reads");
    drop(to);
    let out = rest(from);
    running.end().well();
    let ids = ids_in(&injected(&stream, &out), Endian::NATIVE);
    let [(found, id)] = &ids[..] else { panic!("of what is gone there is no id: {ids:?}") };
    assert_eq!((found.as_str(), id.as_bytes()), (&*name(&kept), &[2; 20][..]));
}

#[test]
fn a_file_that_shrinks_while_it_is_read_is_an_error() {
    let stream = stream(2 * LARGE);
    let (dir, _, data) = both_formats(&stream);
    let fifo = dir.path().join("fifo");
    mkfifoat(CWD, &fifo, Mode::RWXU).expect("a FIFO");
    let bytes = fs::read(&data).expect("there");
    let section = PerfFile::open(File::open(&data).expect("there")).expect("a header").header.words.data;
    let map = records(&stream)[1].bytes.len() as u64;
    // More than pipe and buffers hold has not been read yet: 4 of 8 MiB, inside a record and between two.
    for torn in [40, 0] {
        let whole = map + 64 * LARGE;
        fs::write(&data, &bytes).expect("written");
        let running = Running::start(
            perftool(&["inject", "-b", "--allow-changed", "-i"])
                .arg(&data)
                .arg("-o")
                .arg(&fifo)
                .stdin(Stdio::null()),
        );
        let from = open_to_read(&fifo);
        wait_for_bytes(&from);
        let shrunk = File::options().write(true).open(&data).expect("there");
        shrunk.set_len(section.offset + whole + torn).expect("it can");
        let out = rest(from);
        let ended = running.end();
        let causes = ended.causes();
        if torn > 0 {
            let at = section.offset + whole;
            let said = format!("the input ends inside a record at offset {at:#x}: {torn} of 64 bytes");
            assert_eq!(causes, [said]);
        }
        let at = |offset: u64| usize::try_from(offset).expect("small");
        assert!(out.ends_with(&bytes[at(section.offset)..at(section.offset + whole)]), "what was whole");
    }
}

#[test]
fn a_file_that_shrinks_while_it_is_read_gives_no_file() {
    // Many names to be told, then 4 MiB of samples.
    let mut stream = StreamBuilder::with_callchains(Endian::NATIVE);
    for n in 0..1000 {
        let (at, name) = (At::new(1, 1), format!("/nowhere/{}{n}", "x".repeat(100)));
        stream = stream.mmap2(at, 0x1000, 0x1000, &name).sample(CpuMode::User, at, 0x1000, &[]);
    }
    for n in 0..LARGE {
        stream = stream.sample(CpuMode::User, At::new(1, 2 + n), 0x1000, &[0x2000, 0x3000]);
    }
    let (dir, _, data) = both_formats(&stream.bytes());
    let (fifo, output) = (dir.path().join("fifo"), dir.path().join("out"));
    mkfifoat(CWD, &fifo, Mode::RWXU).expect("a FIFO");
    let bytes = fs::read(&data).expect("there");
    let Section { offset, size } =
        PerfFile::open(File::open(&data).expect("there")).expect("it").header.words.data;
    for to in ["header", "events"] {
        fs::write(&data, &bytes).expect("written");
        let from = open_to_read(&fifo);
        let script =
            "exec \"$perftool\" inject -b -v --buildid-to=$to -i \"$data\" -o \"$output\" 2> \"$fifo\"";
        let mut sh = Command::new("sh");
        sh.args(["-c", script]).env("perftool", PERFTOOL).env("to", to).env("data", &data);
        let running = Running::start(sh.env("output", &output).env("fifo", &fifo));
        // Nobody reads what it has to say: it waits, and has not read what the samples are.
        wait_until("the pipe is full", || ioctl_fionread(&from).expect("a pipe") > 60_000 && running.waits());
        let shrunk = File::options().write(true).open(&data).expect("there");
        shrunk.set_len(offset + size - 64 * (LARGE / 4)).expect("it can");
        let told = String::from_utf8(rest(from)).expect("text");
        let code = running.end().status.code();
        assert_eq!(code, Some(1), "to {to}: {}", told.lines().last().unwrap_or_default());
        assert!(told.contains("\nperftool: error: "), "{told}");
        assert_eq!(names(dir.path()), ["fifo", "in.data", "in.pipe"], "to {to}");
    }
}

/// The names in a directory, sorted.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = entries.map(|name| name.into_string().expect("text")).collect();
    names.sort();
    names
}

#[test]
fn with_few_files_to_be_had_thousands_of_dsos_are_asked_for() {
    let dir = tempfile::tempdir().expect("a directory");
    // A process that runs: its files are looked for through it first.
    let at = At::new(std::process::id(), 0);
    let mut stream = StreamBuilder::with_callchains(Endian::NATIVE);
    let mut expected = Vec::new();
    for n in 0..12_000_u64 {
        let path = dir.path().join(n.to_string());
        let name = path.to_str().expect("text");
        let start = 0x10_0000 + n * 0x1000;
        let exists = n.is_multiple_of(6);
        let file = if exists {
            let id: Vec<u8> = (n + 1).to_le_bytes().into_iter().cycle().take(20).collect();
            fs::write(&path, Elf::with_build_id(&id).bytes()).expect("written");
            expected.push((name.to_owned(), id));
            inode(&path)
        } else {
            MapFile::Inode(Inode { ino: n + 1, ..Inode::default() })
        };
        stream = stream.mapped(at, start, 0x1000, name, file).sample(CpuMode::User, at, start + 1, &[]);
    }
    let stream = stream.bytes();
    for args in ["", "--symfs=/", "--debug-dir=/", "--mmap2-buildids --buildid-to=events"] {
        let script = format!("ulimit -n 16; exec {PERFTOOL} inject -b --allow-changed {args}");
        let (stdin, to) = pipe();
        let (from, stdout) = pipe();
        feed(to, stream.clone());
        let running = Running::start(Command::new("sh").args(["-c", &script]).stdin(stdin).stdout(stdout));
        let out = rest(from);
        running.end().well();
        let ids = ids_in(&injected(&stream, &out), Endian::NATIVE);
        let ids: Vec<_> = ids.into_iter().map(|(name, id)| (name, id.as_bytes().to_vec())).collect();
        assert!(ids == expected, "{args}: {} of {} ids", ids.len(), expected.len());
    }
}

#[test]
fn closed_standard_files_are_no_reason_to_panic() {
    let stream = stream(100);
    let (dir, as_pipe, as_data) = both_formats(&stream);
    let out = dir.path().join("out");
    let run = |line: &str| {
        let (from, stdout) = pipe();
        let mut sh = Command::new("sh");
        sh.args(["-c", &format!("exec {PERFTOOL} {line}")]).stdin(File::open(&as_pipe).expect("there"));
        sh.env("input", &as_data).env("out", &out).stdout(stdout);
        let running = Running::start(&mut sh);
        let out = rest(from);
        (running.end(), out)
    };
    let (ended, got) = run("inject -b <&-");
    assert_eq!(ended.causes(), ["not perf data: it starts with nothing (it is empty), not PERFILE2"]);
    assert_eq!(got, b"");
    let (ended, got) = run("inject -b 2>&-");
    ended.well();
    assert!(got == stream, "all of it");
    for (line, code) in [("inject -b 2>&- <&-", 1), ("inject --no-such 2>&-", 129), ("--help >&-", 0)] {
        let (ended, got) = run(line);
        assert_eq!((ended.status.code(), &ended.told[..], &got[..]), (Some(code), "", &b""[..]), "{line}");
    }
    // Rust opens /dev/null in its place, so that no error can be seen.
    for line in ["inject -b >&-", "inject -b -i \"$input\" >&- <&-", "buildid-list -i \"$input\" >&-"] {
        let (ended, got) = run(line);
        assert!(matches!(ended.status.code(), Some(0 | 1)), "{line}: {}", ended.told);
        assert_eq!(got, b"", "{line}");
    }
    // The files that are opened take none of the three numbers.
    let (ended, _) = run("inject -b -i \"$input\" -o \"$out\" <&- >&- 2>&-");
    ended.well();
    assert!(fs::read(&out).expect("there") == fs::read(&as_data).expect("there"));
}

#[test]
fn a_non_blocking_input_is_waited_for() {
    let stream = stream(1000);
    let (whole, cut) = cuts(&stream)[3];
    let dir = tempfile::tempdir().expect("a directory");
    let named = dir.path().join("out");
    let (_kept, _, as_data) = both_formats(&stream);
    for to_what in ["pipe", "file", "-o"] {
        for parts in [&[8, whole, cut][..], &[16, whole, cut]] {
            let (stdin, mut to) = pipe();
            set_nonblocking(&stdin, true);
            let file = tempfile::NamedTempFile::new().expect("a file");
            let (from, stdout) = match to_what {
                "pipe" => pipe(),
                _ => (file.reopen().expect("it"), file.into_file()),
            };
            let mut command = perftool(&["inject", "-b", "--allow-changed"]);
            if to_what == "-o" {
                command.arg("-o").arg(&named);
            }
            let running = Running::start(command.stdin(stdin).stdout(stdout));
            let mut sent = 0;
            for part in parts.iter().copied().chain([stream.len()]) {
                to.write_all(&stream[sent..part]).ok();
                sent = part;
                running.wait_until_it_wants_more(&to);
            }
            drop(to);
            let ended = running.end();
            assert!(ended.status.success(), "to {to_what}, in parts up to {parts:?}: {}", ended.told);
            match to_what {
                "-o" => assert!(fs::read(&named).expect("there") == fs::read(&as_data).expect("there")),
                _ => assert!(rest(from) == stream, "to {to_what}"),
            }
        }
    }
}

#[test]
fn a_non_blocking_output_is_waited_for() {
    let stream = stream(LARGE);
    let (_dir, as_pipe, as_data) = both_formats(&stream);
    let (read, mut write) = pipe();
    set_nonblocking(&read, true);
    // A header that has to be waited for is another test's.
    write.write_all(&stream[..16]).expect("there is room");
    feed(write, stream[16..].to_vec());
    let file = |path: &Path| Stdio::from(File::open(path).expect("there"));
    for (what, stdin) in
        [("a pipe", read.into()), ("pipe format", file(&as_pipe)), ("a file", file(&as_data))]
    {
        let (from, stdout) = pipe();
        set_nonblocking(&stdout, true);
        let running =
            Running::start(perftool(&["inject", "-b", "--allow-changed"]).stdin(stdin).stdout(stdout));
        // Nobody reads until it has written all that there is room for, and waits.
        wait_until("the pipe is full", || {
            let has = ioctl_fionread(&from).expect("a pipe");
            running.waits() && has > fcntl_getpipe_size(&from).expect("a pipe") as u64 / 2
        });
        let out = rest(from);
        let ended = running.end();
        assert!(ended.status.success(), "{what}: {}", ended.told);
        assert!(out.len() >= stream.len() && (what == "a file" || out == stream), "{what}: all of it");
    }
}
