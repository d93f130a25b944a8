//! What the fuzzer begins with: small pieces of the recordings in tests/data, in the form that each target takes.
//! `cargo xtask fuzz --seeds` writes them to fuzz/corpus.

use std::collections::BTreeMap;
use std::io::{self, Cursor};
use std::path::Path;

use bstr::ByteSlice as _;
use perf_bundle::{Bundle, BundledFile, FileContents, FileRole, pack};
use perf_format::codec::Encoder;
use perf_format::header::PIPE_HEADER_SIZE;
use perf_format::jitdump::{HeaderWords, Id, Line, Move};
use perf_format::testing::{At, JitDumpBuilder, jit_header, swapped};
use perf_format::tracing_data::TracingData;
use perf_format::{BuildId, Endian, Feature, Misc, PerfFile, PipeFeatures, RawRecord, Record, RecordType};
use perf_session::build_id::Origin;
use perf_session::evlist::Evlist;
use perf_session::testing::{BUILD_ID, Elf};

use crate::{cut, jit, laws, sources};

/// What a target begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// The target.
    pub target: &'static str,
    /// What it is.
    pub name: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The most bytes of a miniature.
const MINIATURE_AT_MOST: usize = 4096;

/// Records longer than this are no part of one.
const RECORD_AT_MOST: usize = 1400;

/// A stream's records, of each type the first few, as far as they have room: all kinds of a large recording in a
/// few kilobytes.
#[must_use]
pub fn miniature(stream: &[u8]) -> Vec<u8> {
    let (header, records) = stream.split_at(PIPE_HEADER_SIZE);
    [header, &few(records, MINIATURE_AT_MOST - PIPE_HEADER_SIZE)].concat()
}

/// The first of each type, then the second of each, and so on, as far as there is room; in the order of the stream.
fn few(records: &[u8], at_most: usize) -> Vec<u8> {
    let mut seen: BTreeMap<u32, usize> = BTreeMap::new();
    let mut ranked = Vec::new();
    for (index, piece) in cut(records, Endian::Little).pieces.into_iter().enumerate() {
        let number = Endian::Little.u32_at(piece, 0).unwrap_or_default();
        let rank = seen.entry(number).or_default();
        let enough = match RecordType(number) {
            // Each is of another feature or event.
            RecordType::HEADER_FEATURE | RecordType::HEADER_ATTR => 12,
            RecordType::SAMPLE | RecordType::MMAP2 => 6,
            _ => 2,
        };
        if *rank < enough && piece.len() <= RECORD_AT_MOST {
            ranked.push((*rank, index, piece));
            *rank += 1;
        }
    }
    // All events: without them nothing of the rest can be understood.
    let is_event = |piece: &[u8]| piece.starts_with(&RecordType::HEADER_ATTR.0.to_le_bytes());
    ranked.sort_by_key(|(rank, index, piece)| (!is_event(piece), *rank, *index));
    let mut room = at_most;
    ranked.retain(|(_, _, piece)| match room.checked_sub(piece.len()) {
        Some(left) => {
            room = left;
            true
        }
        None => false,
    });
    ranked.sort_by_key(|(_, index, _)| *index);
    ranked.iter().flat_map(|(_, _, piece)| piece.iter().copied()).collect()
}

/// The same of a file: its records, and of its features the small ones.
///
/// # Panics
/// Where it is no whole file: this is for recordings that are kept.
#[must_use]
pub fn miniature_file(bytes: &[u8]) -> Vec<u8> {
    let mut file = PerfFile::open(Cursor::new(bytes)).expect("a recording");
    let section = file.header.words.data;
    let at = |offset: u64| usize::try_from(offset).expect("in memory");
    let records = few(&bytes[at(section.offset)..at(section.offset + section.size)], 2000);
    let mut preamble = file.preamble().expect("whole");
    preamble.features.retain(|_, data| data.len() <= 400);
    let mut out = Cursor::new(Vec::new());
    let before = preamble.write_before(&mut out).expect("memory");
    io::Write::write_all(&mut out, &records).expect("memory");
    preamble.write_behind(&mut out, before, records.len() as u64).expect("memory");
    out.into_inner()
}

/// Every seed, made of the recordings in the repository at `root`.
///
/// # Errors
/// Where they cannot be read.
///
/// # Panics
/// Where they are not what they were.
pub fn seeds(root: &Path) -> io::Result<Vec<Seed>> {
    let read = |name: &str| std::fs::read(root.join("tests/data").join(name));
    let mut seeds = Seeds(Vec::new());
    seeds.whole_runs(&read)?;
    seeds.headers();
    for name in PIPES {
        seeds.parts(name, &read(&format!("{name}.pipe"))?);
    }
    seeds.features(&read("plain.data")?);
    seeds.compressed(&read("compressed.pipe")?);
    seeds.tracing_data(&read("tracepoint.pipe")?);
    seeds.jitdumps();
    seeds.jitted();
    seeds.switches();
    seeds.object_files(&root.join("perf-session/tests/data"))?;
    seeds.stacks(&read("dwarf.pipe")?);
    seeds.bundles()?;
    seeds.unwinding(&root.join("perf-unwind/tests/data"))?;
    Ok(seeds.0)
}

/// The recordings that differ most from each other.
const PIPES: [&str; 9] = [
    "callchain",
    "dwarf",
    "registers",
    "addresses",
    "group",
    "tracepoint-and-clock",
    "namespaces",
    "build-id-mmap",
    "system-wide",
];

struct Seeds(Vec<Seed>);

impl Seeds {
    fn add(&mut self, target: &'static str, name: &str, bytes: impl Into<Vec<u8>>) {
        let (name, bytes) = (name.to_owned(), bytes.into());
        if !self.0.iter().any(|seed| seed.target == target && seed.bytes == bytes) {
            self.0.push(Seed { target, name, bytes });
        }
    }

    /// Recordings in both formats and orders, for the targets that take one as it is.
    fn whole_runs(&mut self, read: &dyn Fn(&str) -> io::Result<Vec<u8>>) -> io::Result<()> {
        for name in ["callchain", "two-events", "build-id-mmap", "namespaces", "compressed", "switches"] {
            self.add("inject", name, miniature(&read(&format!("{name}.pipe"))?));
        }
        let pipe = miniature(&read("callchain.pipe")?);
        let twin = swapped(&pipe);
        let plain = miniature_file(&read("plain.data")?);
        let twins_file = laws::pipe_to_file(sources::HIT, &twin[..]).out;
        // The byte in front tells the order; the rest begins with a header, which is damage.
        self.add("recover", "callchain", [&[0], &pipe[..]].concat());
        self.add("recover", "twin", [&[1], &twin[..]].concat());
        self.add("recover", "compressed", [&[0], &miniature(&read("compressed.pipe")?)[16..]].concat());
        for target in ["inject", "buildid_list", "dump", "diff", "framing"] {
            self.add(target, "twin", &twin[..]);
        }
        for target in ["inject", "buildid_list", "dump", "file"] {
            self.add(target, "file", &plain[..]);
            self.add(target, "twins-file", &twins_file[..]);
        }
        self.add("file", "callchain-file", miniature_file(&read("callchain.data")?));
        self.add("header", "file", &plain[..200]);
        self.add("header", "twins-file", &twins_file[..200]);
        self.add("framing", "callchain", &pipe[..]);
        self.add("framing", "payload", payloads());
        self.add("buildid_list", "build-id-mmap", miniature(&read("build-id-mmap.pipe")?));
        self.add("buildid_list", "compressed", miniature(&read("compressed.pipe")?));
        // Steps of the kind that crate::made makes streams of.
        let mut state = 1_u32;
        for (name, len) in [("steps-few", 60), ("steps-more", 400), ("steps-many", 1500)] {
            let steps = std::iter::repeat_with(|| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state.to_be_bytes()[0]
            });
            self.add("inject", name, steps.take(len).collect::<Vec<_>>());
        }
        Ok(())
    }

    /// Stacks, recorded and made up.
    fn stacks(&mut self, recorded: &[u8]) {
        let pipe = miniature(recorded);
        let no_tables = [0, 0];
        self.add("callchain", "dwarf", [&no_tables, &pipe[..]].concat());
        self.add("callchain", "twin", [&no_tables, &swapped(&pipe)[..]].concat());
        let file = laws::pipe_to_file(sources::HIT, &pipe[..]).out;
        self.add("callchain", "file", [&no_tables, &file[..]].concat());
        let mut state = 5_u32;
        for (name, len) in [("steps-few", 120), ("steps-more", 600), ("steps-many", 2000)] {
            let steps = std::iter::repeat_with(|| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state.to_be_bytes()[0]
            });
            self.add("callchain", name, no_tables.into_iter().chain(steps.take(len)).collect::<Vec<_>>());
        }
    }

    fn headers(&mut self) {
        self.add("header", "pipe", perf_format::header::pipe_header(Endian::Little));
        self.add("header", "pipes-twin", perf_format::header::pipe_header(Endian::Big));
        self.add("header", "old", [*b"PERFFILE", 104_u64.to_be_bytes()].concat());
    }

    /// Records and samples by themselves: of each recording the first of each type that is new.
    fn parts(&mut self, recording: &str, stream: &[u8]) {
        let mut evlist = Evlist::default();
        let mut samples = 0;
        for piece in cut(&stream[PIPE_HEADER_SIZE..], Endian::Little).pieces {
            let raw = RawRecord::first(piece, 0, Endian::Little).expect("a whole record");
            if let Ok(Record::HeaderAttr(event)) = raw.parse() {
                evlist.add(event.attr, event.ids.0.iter());
            }
            match raw.record_type() {
                RecordType::SAMPLE if samples == 0 => {
                    let attr = &evlist.evsel(&raw).expect("its event is known").attr.fields;
                    let mut seed = vec![2];
                    seed.extend(u32::try_from(attr.sample_type.bits()).unwrap_or(u32::MAX).to_le_bytes());
                    seed.push(attr.read_format.bits().to_le_bytes()[0]);
                    seed.extend(attr.sample_regs_user.to_le_bytes());
                    seed.extend(attr.sample_regs_intr.to_le_bytes());
                    seed.extend(raw.misc().0.to_le_bytes());
                    seed.extend_from_slice(&raw.bytes[8..]);
                    self.add("sample", recording, seed);
                    samples += 1;
                }
                record_type => self.record(record_type, &raw),
            }
        }
    }

    fn record(&mut self, record_type: RecordType, raw: &RawRecord<'_>) {
        let Some(index) = RecordType::ALL.iter().position(|other| *other == record_type) else { return };
        let name = record_type.to_string();
        if self.0.iter().any(|seed| seed.target == "record" && seed.name == name) {
            return;
        }
        let mut seed = vec![0x30, u8::try_from(index).expect("few types")];
        seed.extend(raw.misc().0.to_le_bytes());
        seed.extend_from_slice(&raw.bytes[8..]);
        self.add("record", &name, seed);
    }

    fn features(&mut self, file: &[u8]) {
        let preamble = PerfFile::open(Cursor::new(file)).and_then(|mut file| file.preamble()).expect("whole");
        self.add("features", "table", [&[0], &preamble.features[&Feature::BUILD_ID][..]].concat());
        self.add("features", "events", [&[2], &preamble.features[&Feature::EVENT_DESC][..]].concat());
        let pipe = miniature(&preamble.to_pipe(PipeFeatures::All, |_, _| ()).expect("it fits"));
        self.add("features", "frame", [&[4], &pipe[PIPE_HEADER_SIZE..]].concat());
        let twin = swapped(&pipe);
        self.add("features", "twins-frame", [&[5], &twin[PIPE_HEADER_SIZE..]].concat());
    }

    /// The compressed stream as it is, as much of it as there is room for; and records for compressing.
    fn compressed(&mut self, stream: &[u8]) {
        let mut pieces = Vec::new();
        for piece in cut(&stream[PIPE_HEADER_SIZE..], Endian::Little).pieces {
            let raw = RawRecord::first(piece, 0, Endian::Little).expect("a whole record");
            if let Ok(Record::Compressed(piece)) = raw.parse() {
                pieces.extend_from_slice(piece);
            }
        }
        pieces.truncate(MINIATURE_AT_MOST);
        self.add("compressed", "stream", [&[0], &pieces[..]].concat());
        let records = few(&stream[PIPE_HEADER_SIZE..], 1500);
        self.add("compressed", "records", [&[2], &records[..]].concat());
        self.add("compressed", "twins-records", [&[1, 0, 0, 0, 68, 0, 0, 0, 8][..], &[0; 4]].concat());
    }

    /// Tracing data with its long texts cut short.
    fn tracing_data(&mut self, stream: &[u8]) {
        let pieces = cut(&stream[PIPE_HEADER_SIZE..], Endian::Little).pieces;
        let piece = pieces.iter().find(|piece| piece.starts_with(&66_u32.to_le_bytes()));
        let piece = piece.expect("tracing data is in it");
        let size = usize::from(piece[6]);
        let whole = TracingData::parse(&piece[size..], 0).expect("it can be read");
        for (name, endian, version) in
            [("short", Endian::Little, "0.6"), ("twin", Endian::Big, "0.6"), ("old", Endian::Little, "0.5")]
        {
            self.add("tracing_data", name, shortened(&whole, endian, version));
        }
    }

    fn jitdumps(&mut self) {
        self.add("jitdump", "dump", jitdump(JitDumpBuilder::new(Endian::Little)));
        self.add("jitdump", "twin", jitdump(JitDumpBuilder::new(Endian::Big)));
        let header = HeaderWords { version: 2, total_size: 48, flags: 1, ..jit_header() };
        let longer = JitDumpBuilder::with_header(Endian::Little, &header).raw(&[0; 8]);
        self.add("jitdump", "longer-header", jitdump(longer));
    }

    fn jitted(&mut self) {
        for (name, order, endian) in [("image", 0, Endian::Little), ("twin", 1, Endian::Big)] {
            for (name, place) in [(name.to_owned(), 0), (format!("{name}-with-frames"), 0xfe)] {
                let target = [order | place, 0];
                self.add("jit_image", &name, [&target[..], &jitted(endian), &jitted(endian)].concat());
            }
        }
        // Marker, samples, memory, the end of a round: by turns, at few addresses.
        let mut steps = Vec::new();
        for turn in 0..24_u8 {
            match turn % 8 {
                0 => steps.extend([7, 0, 0, 0xf1, 0]),
                3 => steps.extend([9, turn << 1, turn & 3, 0, 0x10, 0]),
                7 => steps.push(15),
                _ => steps.extend([0, turn << 2, turn & 3, turn & 7, 1, 0, turn & 7, 1, 1, turn & 7]),
            }
        }
        let len = u16::try_from(steps.len()).expect("few steps").to_le_bytes();
        let mut dump = vec![0, 0];
        let mut map = Vec::new();
        for turn in 0..16_u8 {
            dump.extend([(1 + turn % 3) | (turn << 5), turn, turn & 3, turn & 7, 1, b'f', 8]);
            dump.extend([turn; 8]);
            map.extend([turn & 3, turn & 7, 0, 16, 2, b'm', turn]);
        }
        let text = b"7f0000000000 20 a\n0x7f0000000020 0x20 b c\n7f0000001000 ffffffffffffffff d\ntorn";
        let real = jitdump(JitDumpBuilder::new(Endian::Little));
        for (name, flags, kind, tells) in [
            ("dump", 0x10, 0, &dump[..]),
            ("twins-dump", 0x40, 0x0c, &dump),
            ("stacks", 0x30, 0x10, &dump),
            ("functions-alone", 0x02, 0, &dump),
            ("another-clock", 0x08, 0x20, &dump),
            ("dump-as-it-is", 0x05, 1, &real),
            ("map", 0x10, 2, &map),
            ("map-as-it-is", 0x11, 3, text),
        ] {
            self.add("jit", name, [&[flags, kind], &len[..], &steps, tells].concat());
        }
    }

    fn object_files(&mut self, packed: &Path) -> io::Result<()> {
        let elf = Elf::with_build_id(&[0xab; 20]);
        self.add("elf_notes", "notes", &elf.notes[..]);
        self.add("elf_notes", "elf64", elf.bytes());
        let other = Elf::new(object_endian(), false).note(b"XEN\0", BUILD_ID, b"not it");
        self.add("elf_notes", "elf32", other.note(b"GNU\0", BUILD_ID, &[7; 16]).bytes());
        self.add("elf_notes", "sections", Elf { segments: false, ..elf }.bytes());
        for end in ["gz", "xz", "zst"] {
            self.add("elf_notes", end, std::fs::read(packed.join(format!("module.ko.{end}")))?);
        }
        Ok(())
    }

    /// Bundles, as tars.
    fn bundles(&mut self) -> io::Result<()> {
        let elf = || FileContents::Memory(Elf::with_build_id(&[0xab; 20]).bytes());
        let mut bundle = Bundle::default();
        bundle.recording = vec![(None, FileContents::Memory(b"PERFILE2".to_vec()))];
        let id = |bytes: &[u8]| BuildId::new(bytes).map_err(io::Error::other);
        let text = FileContents::Memory(b"ffffffff81000000 T _text\n".to_vec());
        bundle.files = vec![
            BundledFile::new("/bin/a".into(), Some(id(&[0xab; 20])?), FileRole::Elf, elf(), Origin::File)?,
            BundledFile::new(
                "[kernel.kallsyms]".into(),
                Some(id(&[7; 20])?),
                FileRole::Kallsyms,
                text,
                Origin::Kernel,
            )?,
            BundledFile::new("/bin/go".into(), None, FileRole::Elf, elf(), Origin::File)?,
        ];
        let mut packed = Vec::new();
        pack(&bundle, &mut packed, &mut |_| Ok(())).map_err(io::Error::other)?;
        let mut tar = Vec::with_capacity(1 << 20);
        zstd_safe::decompress(&mut tar, &packed)
            .map_err(|code| io::Error::other(zstd_safe::get_error_name(code)))?;
        // As long as an input may be; the links, which are passed over, stand last.
        tar.truncate(8192);
        self.add("unbundle", "packed", packed);
        self.add("unbundle", "tar", tar);
        Ok(())
    }

    /// Files with tables, and registers and stacks of theirs.
    /// Threads that sleep, are woken and come back, with and without statistics.
    fn switches(&mut self) {
        use perf_format::testing::sched::{SchedEvent, SchedStream};
        let events = [SchedEvent::Switch, SchedEvent::Waking, SchedEvent::StatSleep, SchedEvent::CpuClock];
        for (name, endian) in [("little-endian", Endian::Little), ("big-endian", Endian::Big)] {
            let at = |tid, time| perf_format::testing::At::new(tid, time);
            let stream = SchedStream::new(endian, &events)
                .switch(0, at(2, 10), 1, 3, &[0x1000])
                .waking(1, at(4, 20), 2)
                .stat_sleep(1, at(4, 21), 2, 11)
                .switch(1, at(4, 30), 0, 2, &[0x2000])
                .finished_round();
            self.add("off_cpu", name, stream.bytes());
        }
        let steps: Vec<u8> = (0..96_u8).map(|at| at.wrapping_mul(37)).collect();
        self.add("off_cpu", "steps", [&[0, 0xff][..], &steps].concat());
    }

    fn unwinding(&mut self, files: &Path) -> io::Result<()> {
        let [file, debug] = ["seed.so", "seed.debug"].map(|name| std::fs::read(files.join(name)));
        let (file, debug) = (file?, debug?);
        let words = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
        // In perf's order: rbp, rsp and rip are the seventh to ninth. with_frame is called by with_alloca, and that by start.
        let registers = words(&[1, 2, 3, 4, 5, 6, 0x1000, 0x1000, 0x333]);
        let mut stack = [0; 40];
        (stack[23], stack[22], stack[33]) = (0x36d, 0x1100, 0x38e);
        let part = |bytes: &[u8]| {
            let len = u16::try_from(bytes.len()).map_or([0; 2], u16::to_le_bytes);
            [&len[..], bytes].concat()
        };
        let input =
            |file: &[u8], debug: &[u8]| [part(file), part(debug), part(&registers), words(&stack)].concat();
        self.add("unwind", "file", input(&file, &debug));
        let tables = file.get(0x390..0x47c).unwrap_or_default();
        for (name, kind) in [("x86", 8), ("aarch64", 9), ("x86-64", 10), ("no-header", 2), ("big-endian", 14)]
        {
            self.add("unwind", name, input(&[&[kind], tables].concat(), &[]));
        }
        Ok(())
    }
}

/// The byte order that is not this machine's.
fn object_endian() -> object::Endianness {
    match object::Endianness::default() {
        object::Endianness::Little => object::Endianness::Big,
        object::Endianness::Big => object::Endianness::Little,
    }
}

/// A record of each kind behind what is there, and one that is torn.
fn jitdump(dump: JitDumpBuilder) -> Vec<u8> {
    let line = |addr, line, file: &'static [u8]| Line { addr, line, discriminator: 0, file: file.as_bstr() };
    let lines = [line(0x1000, 3, b"/a.js"), line(0x1001, 4, b"\xff"), line(0x1002, 1, b"/b.js")];
    let moved = Move {
        pid: 7,
        tid: 7,
        old_code_addr: 0x1000,
        new_code_addr: 0x2000,
        code_size: 4,
        ..Move::default()
    };
    dump.debug_info(1, 0x1000, &lines)
        .unwinding(1, 32, &[1; 20], &[2; 12])
        .load(At::new(7, 2), 0x1000, 1, b"f", b"\x90\x90\x90\xc3")
        .moved(3, &moved)
        .record(Id(99), 4, b"unknown")
        .load(At::new(7, 5), 0x3000, 2, b"g", b"")
        .close(6)
        .raw(b"\0\0\0\0torn")
        .bytes()
}

/// A function of jit_image, with two lines and unwinding tables.
fn jitted(endian: Endian) -> Vec<u8> {
    let frames = jit::frames(12, endian);
    let len = u16::try_from(frames.len()).expect("short tables").to_le_bytes();
    [
        &[0xa0, 7, 0, 4][..],
        b"name",
        &[12],
        &[0x90; 12],
        &[0, 0, 4],
        b"/a.c",
        &[1, 0, 0, 0, 0, 4, 4],
        b"/b.c",
        &[2, 0, 0, 0, 0],
        &len,
        &frames,
    ]
    .concat()
}

/// Records with payloads behind them, which no recording has that is small enough: framing's own form of them.
fn payloads() -> Vec<u8> {
    let auxtrace = perf_format::record::Auxtrace { size: 16, ..Default::default() };
    let mut out = perf_format::testing::StreamBuilder::new(Endian::Little).tracing_data(&[7; 24]).bytes();
    Record::Auxtrace(auxtrace).encode(Misc::default(), &[], Endian::Little, &mut out).expect("it fits");
    out.extend([8; 16]);
    Record::FinishedRound(&[]).encode(Misc::default(), &[], Endian::Little, &mut out).expect("it fits");
    out
}

fn shortened(whole: &TracingData<'_>, endian: Endian, version: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut e = Encoder::new(&mut out, endian, Misc::default());
    let cut = |text: &[u8]| text[..text.len().min(120)].to_vec();
    let long = |e: &mut Encoder<'_>, text: &[u8]| {
        e.put(&(text.len() as u64));
        e.bytes(text);
    };
    let number = |count: usize| u32::try_from(count).expect("a small count");
    e.bytes(b"\x17\x08\x44tracing");
    e.bytes(version.as_bytes());
    e.bytes(&[0, u8::from(endian == Endian::Big), whole.long_size]);
    e.put(&whole.page_size);
    e.bytes(b"header_page\0");
    long(&mut e, &cut(whole.header_page));
    e.bytes(b"header_event\0");
    long(&mut e, &cut(whole.header_event));
    e.put(&1_u32);
    long(&mut e, b"name: function\nID: 1\n");
    e.put(&number(whole.systems.len()));
    for system in &whole.systems {
        e.bytes(system.name);
        e.bytes(&[0]);
        e.put(&number(system.formats.len()));
        system.formats.iter().for_each(|format| long(&mut e, &cut(format)));
    }
    e.put(&3_u32);
    e.bytes(b"sym");
    e.put(&5_u32);
    e.bytes(b"print");
    if version == "0.6" {
        long(&mut e, b"1 init\n");
    }
    out
}
