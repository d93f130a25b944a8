//! Processes with jitted code, made up: their recording, their dumps, and the program run on both.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use object::{Object as _, ObjectSymbol as _};
use perf_format::attr::{Attr, AttrFlags};
use perf_format::header::PIPE_HEADER_SIZE;
use perf_format::record::{Inode, MapFile, Mmap2, Record};
use perf_format::testing::{At, JitDumpBuilder, StreamBuilder, callchain_attr, records};
use perf_format::{CpuMode, Endian, Misc, RawRecord, RecordType};
use tempfile::TempDir;
use zstd_safe::{CCtx, InBuffer, OutBuffer};

use crate::common::perftool;
use crate::common::running::{Running, feed, pipe, rest};
use crate::reader::{Frames, seen};

/// The process with jitted code.
pub(crate) const PID: u32 = 7;

/// Where its code is.
pub(crate) const ARENA: u64 = 0x7f00_0000_0000;
pub(crate) const ARENA_SIZE: u64 = 0x10_0000;

/// The size of its functions in bytes, where that is no matter.
pub(crate) const SIZE: usize = 0x40;

pub(crate) const ENDIANS: [Endian; 2] = [Endian::Little, Endian::Big];

/// What the program is given and gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// From a pipe to a pipe.
    Pipe,
    /// The same, and the records come compressed.
    Packed,
    /// From a file to a file.
    File,
}

pub(crate) const FORMS: [Form; 3] = [Form::Pipe, Form::Packed, Form::File];

/// Does something for each form of a recording in each byte order.
pub(crate) fn each(mut test: impl FnMut(Form, Endian)) {
    for form in FORMS {
        ENDIANS.into_iter().for_each(|endian| test(form, endian));
    }
}

/// An event whose times are those of `CLOCK_MONOTONIC`, as `perf record -k 1` has them.
pub(crate) fn monotonic(mut attr: Attr) -> Attr {
    attr.fields.flags |= AttrFlags::USE_CLOCKID;
    attr.fields.clockid = 1;
    attr
}

/// The address of a function in the memory for code, by its number.
pub(crate) fn function(number: u64) -> u64 {
    ARENA + 0x100 * number
}

/// A file that a process maps by a name, of which no inode is told.
pub(crate) fn no_inode() -> MapFile {
    MapFile::Inode(Inode::default())
}

/// A directory in which dumps are in `dumps`, images in `images`.
#[derive(Debug)]
pub(crate) struct Lab(TempDir);

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) told: String,
    /// The output as a pipe has it.
    pub(crate) stream: Vec<u8>,
}

impl Done {
    /// It went well, and there was nothing to tell.
    pub(crate) fn well(self, what: impl std::fmt::Debug) -> Self {
        assert_eq!((self.code, &*self.told), (Some(0), ""), "{what:?}");
        self
    }

    /// It went well but for one warning, of which this is a part.
    pub(crate) fn warned(self, of: &str) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.told);
        assert!(
            self.told.starts_with("perftool: warning: ") && self.told.contains(of),
            "{of}: {}",
            self.told
        );
        assert_eq!(self.told.lines().count(), 1, "{}", self.told);
        self
    }

    /// What a reader sees.
    pub(crate) fn seen(&self) -> Vec<(u64, Frames)> {
        let seen = seen(&self.stream);
        assert_eq!(seen.late, 0, "records that come too late for a reader");
        seen.samples
    }

    /// The frames of the sample at a time.
    pub(crate) fn at(&self, time: u64) -> Frames {
        let at: Vec<_> = self.seen().into_iter().filter(|(at, _)| *at == time).collect();
        assert_eq!(at.len(), 1, "one sample is of {time}");
        at.into_iter().flat_map(|(_, frames)| frames).collect()
    }

    /// The maps of images: their starts, lengths, offsets and names.
    pub(crate) fn maps(&self) -> Vec<(u64, u64, u64, String)> {
        let endian = if self.stream.starts_with(b"PERFILE2") { Endian::Little } else { Endian::Big };
        let records = records(&self.stream);
        let maps = records.iter().filter(|record| record.record_type == RecordType::MMAP2).map(|record| {
            let raw = RawRecord::first(&record.bytes, 0, endian).expect("a whole record");
            let map = Mmap2::of_record(&raw).expect("a map");
            (map.start, map.len, map.pgoff, map.filename.to_string())
        });
        maps.filter(|(.., name)| name.ends_with(".so")).collect()
    }

    pub(crate) fn types(&self) -> Vec<RecordType> {
        records(&self.stream).iter().map(|record| record.record_type).collect()
    }
}

impl Lab {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["dumps", "images"] {
            fs::create_dir(dir.path().join(name)).expect("made");
        }
        Self(dir)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The place of a process's dump.
    pub(crate) fn dump_path(&self, pid: u32) -> PathBuf {
        self.path(&format!("dumps/jit-{pid}.dump"))
    }

    /// By which name a process maps its dump.
    pub(crate) fn marker(&self, pid: u32) -> String {
        self.dump_path(pid).to_str().expect("text").to_owned()
    }

    pub(crate) fn write_dump(&self, pid: u32, dump: JitDumpBuilder) {
        fs::write(self.dump_path(pid), dump.bytes()).expect("written");
    }

    /// A recording that begins with the memory for code at 10 ns, and the mapping of its dump at 20 ns.
    pub(crate) fn recording(&self, endian: Endian) -> StreamBuilder {
        self.marked(with_arena(begun(endian), PID), PID)
    }

    /// A process maps its dump.
    pub(crate) fn marked(&self, stream: StreamBuilder, pid: u32) -> StreamBuilder {
        stream.mapped(At::new(pid, 20), 0x7e00_0000_0000, 0x1000, &self.marker(pid), no_inode())
    }

    /// Runs `inject` on a recording.
    pub(crate) fn run(&self, form: Form, args: &[&str], stream: &[u8]) -> Done {
        match form {
            Form::Pipe => self.through(args, stream),
            Form::Packed => self.through(args, &packed(stream)),
            Form::File => self.to_file(args, stream),
        }
    }

    fn through(&self, args: &[&str], stream: &[u8]) -> Done {
        let mut command = perftool(&["inject"]);
        command.args(args).arg("--jit-dir").arg(self.path("images"));
        let (stdin, to) = pipe();
        let (from, stdout) = pipe();
        let running = Running::start(command.stdin(stdin).stdout(stdout));
        feed(to, stream.to_vec());
        let stream = rest(from);
        let ended = running.end();
        Done { code: ended.status.code(), told: ended.told, stream }
    }

    fn to_file(&self, args: &[&str], stream: &[u8]) -> Done {
        let (input, output) = (self.path("in.data"), self.path("images/out.data"));
        self.file_of(stream, &input);
        fs::remove_file(&output).ok();
        let mut command = perftool(&["inject"]);
        command.args(args).arg("-i").arg(&input).arg("-o").arg(&output).stdin(Stdio::null());
        let ended = Running::start(&mut command).end();
        let stream = if ended.status.success() { stream_of(&output) } else { Vec::new() };
        Done { code: ended.status.code(), told: ended.told, stream }
    }

    /// Makes a file of a stream.
    pub(crate) fn file_of(&self, stream: &[u8], file: &Path) {
        let piped = self.path("in.pipe");
        fs::write(&piped, stream).expect("written");
        Running::start(perftool(&["inject", "-i"]).arg(piped).arg("-o").arg(file)).end().well();
    }

    /// Fails where what came out is not what went in.
    #[track_caller]
    pub(crate) fn passed_as_it_is(&self, form: Form, stream: &[u8], done: &Done) {
        let same = match form {
            Form::Pipe => done.stream == stream,
            // The same, plain.
            Form::Packed => records(&done.stream) == records(stream),
            Form::File => {
                let read = |name| fs::read(self.path(name)).expect("a file");
                read("in.data") == read("images/out.data")
            }
        };
        assert!(same, "{form:?}: it passes as it is");
        assert_eq!(self.images().len(), 0, "{form:?}");
    }

    /// The names of the images.
    pub(crate) fn images(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.path("images")).expect("a directory");
        let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text"));
        names.filter(|name| name != "out.data").collect()
    }

    /// The bytes of an image.
    pub(crate) fn image(&self, name: &str) -> Vec<u8> {
        fs::read(self.path("images").join(name)).expect(name)
    }

    /// The functions in all images.
    pub(crate) fn functions(&self) -> BTreeSet<String> {
        self.images().iter().flat_map(|name| symbols(&self.image(name))).map(|(name, ..)| name).collect()
    }

    /// Takes the images away.
    pub(crate) fn clear(&self) {
        for entry in fs::read_dir(self.path("images")).expect("a directory") {
            fs::remove_file(entry.expect("an entry").path()).expect("removed");
        }
    }
}

/// The name of the image of a function, by its number.
pub(crate) fn function_image(pid: u32, index: u64) -> String {
    format!("jitted-{pid}-{index}.so")
}

/// The name of the first image of a process.
pub(crate) fn image_name(pid: u32) -> String {
    format!("jit-{pid}.so")
}

/// Functions in an image: names, addresses, sizes.
pub(crate) fn symbols(image: &[u8]) -> Vec<(String, u64, u64)> {
    let file = object::File::parse(image).expect("an ELF file");
    let symbols = file.symbols().filter(|symbol| symbol.kind() == object::SymbolKind::Text);
    symbols
        .map(|symbol| (symbol.name().expect("a name").to_owned(), symbol.address(), symbol.size()))
        .collect()
}

/// A recording with call chains, and nothing in it.
pub(crate) fn begun(endian: Endian) -> StreamBuilder {
    StreamBuilder::new(endian).attr(&monotonic(callchain_attr()), &[1])
}

/// A process has memory for code.
pub(crate) fn with_arena(stream: StreamBuilder, pid: u32) -> StreamBuilder {
    stream.mmap2(At::new(pid, 10), ARENA, ARENA_SIZE, "//anon")
}

/// A sample of a process at an address, with its callers.
pub(crate) fn hit(stream: StreamBuilder, pid: u32, time: u64, ip: u64, callers: &[u64]) -> StreamBuilder {
    let chain = [&[512_u64.wrapping_neg(), ip], callers].concat();
    stream.sample(CpuMode::User, At::new(pid, time), ip, &chain)
}

/// The functions of `names`, one behind the other, all made at a time.
pub(crate) fn dump_of(endian: Endian, time: u64, names: &[&str]) -> JitDumpBuilder {
    let mut dump = JitDumpBuilder::new(endian);
    for (number, name) in (0..).zip(names) {
        dump = dump.load(At::new(PID, time), function(number), number + 1, name.as_bytes(), &code(name));
    }
    dump
}

/// Code that differs from that of a function of another name.
pub(crate) fn code(name: &str) -> Vec<u8> {
    name.bytes().cycle().take(SIZE).collect()
}

/// The stream of a file.
pub(crate) fn stream_of(file: &Path) -> Vec<u8> {
    let (from, stdout) = pipe();
    let mut command = perftool(&["inject", "-i"]);
    let running = Running::start(command.arg(file).stdin(Stdio::null()).stdout(stdout));
    let stream = rest(from);
    running.end().well();
    stream
}

/// The same stream; what came from the kernel and the ends of rounds are in compressed records, as `perf record -z`
/// writes them.
pub(crate) fn packed(stream: &[u8]) -> Vec<u8> {
    let endian = if stream.starts_with(b"PERFILE2") { Endian::Little } else { Endian::Big };
    let mut out = stream[..PIPE_HEADER_SIZE].to_vec();
    let mut context = CCtx::create();
    for record in records(stream) {
        if !record.record_type.is_kernel() {
            out.extend(record.bytes);
            out.extend(record.payload);
            continue;
        }
        let mut piece = vec![0; CCtx::out_size()];
        let mut to = OutBuffer::around(&mut piece[..]);
        let mut from = InBuffer::around(&record.bytes);
        context.compress_stream(&mut to, &mut from).expect("it compresses");
        assert_eq!(context.flush_stream(&mut to).expect("it is flushed"), 0);
        let len = to.pos();
        Record::Compressed(&piece[..len]).encode(Misc::default(), &[], endian, &mut out).expect("small");
    }
    out
}

/// A file with a size and nothing in it.
pub(crate) fn sparse(path: &Path, begins: &[u8], size: u64) {
    fs::write(path, begins).expect("written");
    File::options().write(true).open(path).and_then(|file| file.set_len(size)).expect("a file with holes");
}
