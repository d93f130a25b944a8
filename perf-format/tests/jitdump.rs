//! jitdumps in both byte orders, cut anywhere, growing, and with sizes that no record could have.

use std::cell::Cell;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::rc::Rc;

use bstr::ByteSlice as _;
use perf_format::jitdump::{
    DebugInfo, Extent, HeaderWords, Id, JitDump, Kind, Line, Load, MAGIC, Move, RECORD_AT_MOST, Unwinding,
};
use perf_format::strategies::config;
use perf_format::testing::{At, JitDumpBuilder, jit_header};
use perf_format::{Endian, Error};
use proptest::prelude::*;
use proptest::sample::Index;

const ORDERS: [Endian; 2] = [Endian::Little, Endian::Big];

const MOVED: Move = Move {
    pid: 7,
    tid: 8,
    vma: 1,
    old_code_addr: 0x1000,
    new_code_addr: 0x2000,
    code_size: 4,
    code_index: 3,
};

/// A record, with what it says where it only tells a place.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Load {
        at: At,
        code_addr: u64,
        code_index: u64,
        name: Vec<u8>,
        code: Vec<u8>,
    },
    Move(u64, Move),
    Lines {
        time: u64,
        code_addr: u64,
        lines: Vec<(u64, u32, u32, Vec<u8>)>,
    },
    Close(u64),
    Unwinding {
        time: u64,
        mapped_size: u64,
        eh_frame: Vec<u8>,
        eh_frame_hdr: Vec<u8>,
    },
    Unknown(u64, Id),
    /// An error that one may go on behind.
    Bad(String),
}

impl Said {
    fn build(&self, dump: JitDumpBuilder) -> JitDumpBuilder {
        match self {
            Self::Load { at, code_addr, code_index, name, code } => {
                dump.load(*at, *code_addr, *code_index, name, code)
            }
            Self::Move(time, moved) => dump.moved(*time, moved),
            Self::Lines { time, code_addr, lines } => {
                let line = |(addr, line, discriminator, file): &(_, _, _, Vec<u8>)| {
                    (*addr, *line, *discriminator, file.clone())
                };
                let owned: Vec<_> = lines.iter().map(line).collect();
                let lines: Vec<_> = owned
                    .iter()
                    .map(|(addr, line, discriminator, file)| Line {
                        addr: *addr,
                        line: *line,
                        discriminator: *discriminator,
                        file: file.as_bstr(),
                    })
                    .collect();
                dump.debug_info(*time, *code_addr, &lines)
            }
            Self::Close(time) => dump.close(*time),
            Self::Unwinding { time, mapped_size, eh_frame, eh_frame_hdr } => {
                dump.unwinding(*time, *mapped_size, eh_frame, eh_frame_hdr)
            }
            Self::Unknown(time, id) => dump.record(*id, *time, b"what it may be"),
            Self::Bad(_) => unreachable!("nobody builds these"),
        }
    }
}

/// One of each kind.
fn one_of_each() -> Vec<Said> {
    let line = |addr, line, file: &[u8]| (addr, line, 0, file.to_vec());
    vec![
        Said::Lines {
            time: 1,
            code_addr: 0x1000,
            lines: vec![line(0x1000, 1, b"/a.js"), line(0x1002, 9, b""), line(0x1003, u32::MAX, b"/a.js")],
        },
        Said::Unwinding { time: 2, mapped_size: 32, eh_frame: vec![1; 20], eh_frame_hdr: vec![2; 8] },
        Said::Load {
            at: At { pid: 7, tid: 8, time: 3 },
            code_addr: 0x1000,
            code_index: 3,
            name: b"JS:*f /a.js:1:1".to_vec(),
            code: b"\x90\0\0\xc3".to_vec(),
        },
        Said::Move(4, MOVED),
        Said::Unknown(5, Id(99)),
        Said::Load {
            at: At::new(7, 6),
            code_addr: 0x3000,
            code_index: 4,
            name: Vec::new(),
            code: Vec::new(),
        },
        Said::Close(7),
    ]
}

fn built(endian: Endian, said: &[Said]) -> Vec<u8> {
    said.iter().fold(JitDumpBuilder::new(endian), |dump, said| said.build(dump)).bytes()
}

/// The next record, and its end in the dump.
fn next<S: Read + Seek>(dump: &mut JitDump<S>) -> Result<Option<(Said, u64)>, Error> {
    let record = match dump.next_record() {
        Ok(record) => record,
        Err(error @ Error::Structure { .. }) => {
            return Ok(Some((Said::Bad(error.to_string()), dump.offset())));
        }
        Err(error) => return Err(error),
    };
    let Some(record) = record else { return Ok(None) };
    let (time, end) = (record.timestamp, record.offset + u64::from(record.size));
    let said = match record.kind {
        Kind::Load(Load { pid, tid, code_addr, code_index, name, name_at, code, .. }) => {
            let name = name.to_vec();
            assert_eq!(dump.bytes(name_at)?, name);
            let at = At { pid, tid, time };
            Said::Load { at, code_addr, code_index, name, code: dump.bytes(code)? }
        }
        Kind::Move(moved) => Said::Move(time, moved),
        Kind::DebugInfo(info) => {
            let bytes = dump.bytes(info.entries)?;
            let lines = info.lines(&bytes)?;
            let owned = |line: &Line<'_>| (line.addr, line.line, line.discriminator, line.file.to_vec());
            Said::Lines { time, code_addr: info.code_addr, lines: lines.iter().map(owned).collect() }
        }
        Kind::Close => Said::Close(time),
        Kind::Unwinding(Unwinding { mapped_size, eh_frame, eh_frame_hdr }) => {
            let (eh_frame, eh_frame_hdr) = (dump.bytes(eh_frame)?, dump.bytes(eh_frame_hdr)?);
            Said::Unwinding { time, mapped_size, eh_frame, eh_frame_hdr }
        }
        Kind::Unknown(id) => Said::Unknown(time, id),
    };
    assert_eq!(dump.offset(), end);
    Ok(Some((said, end)))
}

/// All that can be had of a source, and where the last of it ends.
fn read<S: Read + Seek>(source: S) -> Result<(Vec<Said>, u64), Error> {
    let mut dump = JitDump::open(source)?;
    let mut all = (Vec::new(), dump.offset());
    while let Some((said, end)) = next(&mut dump)? {
        all.0.push(said);
        all.1 = end;
    }
    Ok(all)
}

/// All that a whole dump says.
#[track_caller]
fn said(bytes: &[u8]) -> Vec<Said> {
    let (said, end) = read(Cursor::new(bytes)).expect("it can be read");
    assert_eq!(end, bytes.len() as u64);
    said
}

/// The error of a dump whose only record is this one.
#[track_caller]
fn bad(dump: JitDumpBuilder) -> String {
    match &said(&dump.bytes())[..] {
        [Said::Bad(error)] => error.clone(),
        other => panic!("{other:?}"),
    }
}

/// A file that another may lengthen, which reads a few bytes at a time, and remembers the most that it was asked for.
#[derive(Clone, Default)]
struct Growing {
    bytes: Rc<Cell<Vec<u8>>>,
    position: u64,
    asked: Rc<Cell<usize>>,
    /// The length that it says to have, where that is not the length of the bytes; what is behind them reads as 0.
    len: Option<u64>,
}

impl Growing {
    fn push(&self, bytes: &[u8]) {
        let mut all = self.bytes.take();
        all.extend_from_slice(bytes);
        self.bytes.set(all);
    }
}

impl Read for Growing {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.asked.set(self.asked.get().max(room.len()));
        let bytes = self.bytes.take();
        let rest = bytes.get(usize::try_from(self.position).unwrap()..).unwrap_or_default();
        let mut len = rest.len().min(room.len()).min(13);
        room[..len].copy_from_slice(&rest[..len]);
        if let (0, Some(all)) = (len, self.len) {
            len = room.len().min(usize::try_from(all.saturating_sub(self.position)).unwrap());
            room[..len].fill(0);
        }
        self.position += len as u64;
        self.bytes.set(bytes);
        Ok(len)
    }
}

impl Seek for Growing {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let bytes = self.bytes.take();
        let len = self.len.unwrap_or(bytes.len() as u64);
        self.bytes.set(bytes);
        self.position = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::End(0) => len,
            other => panic!("{other:?} is not asked for"),
        };
        Ok(self.position)
    }
}

#[test]
fn the_bytes_of_each_record_are_the_formats_own() {
    let header = b"DTiJ\x01\0\0\0\x28\0\0\0\x3e\0\0\0\0\0\0\0\x07\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let load =
        b"\0\0\0\0\x3c\0\0\0\x03\0\0\0\0\0\0\0\x07\0\0\0\x08\0\0\0\xf0\x0f\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\
        \x02\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0f\0\x90\xc3";
    let moved =
        b"\x01\0\0\0\x40\0\0\0\x04\0\0\0\0\0\0\0\x07\0\0\0\x08\0\0\0\x01\0\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\
        \0\x20\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0";
    let lines = b"\x02\0\0\0\x44\0\0\0\x05\0\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\
        \0\x10\0\0\0\0\0\0\x0b\0\0\0\x0c\0\0\0a\0\x01\x10\0\0\0\0\0\0\x0d\0\0\0\x0e\0\0\0\xff\0";
    let close = b"\x03\0\0\0\x10\0\0\0\x06\0\0\0\0\0\0\0";
    let unwinding =
        b"\x04\0\0\0\x2b\0\0\0\x07\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0EEH";
    let dump = [&header[..], load, moved, lines, close, unwinding].concat();
    let at = At { pid: 7, tid: 8, time: 3 };
    let all = [
        Said::Load { at, code_addr: 0x1000, code_index: 9, name: b"f".to_vec(), code: b"\x90\xc3".to_vec() },
        Said::Move(4, MOVED),
        Said::Lines {
            time: 5,
            code_addr: 0x1000,
            lines: vec![(0x1000, 11, 12, b"a".to_vec()), (0x1001, 13, 14, b"a".to_vec())],
        },
        Said::Close(6),
        Said::Unwinding { time: 7, mapped_size: 16, eh_frame: b"EE".to_vec(), eh_frame_hdr: b"H".to_vec() },
    ];
    assert_eq!(said(&dump), all);
    let mut reader = JitDump::open(Cursor::new(&dump)).unwrap();
    let Some(Kind::Load(load)) = reader.next_record().unwrap().map(|record| record.kind) else { panic!() };
    let (name, code) = (Extent { offset: 96, len: 1 }, Extent { offset: 98, len: 2 });
    assert_eq!((load.vma, load.name_at, load.code), (0xff0, name, code));
    assert_eq!(&built(Endian::Big, &[])[..8], b"JiTD\0\0\0\x01");
}

#[test]
fn every_record_is_read_in_both_orders() {
    for endian in ORDERS {
        assert_eq!(said(&built(endian, &one_of_each())), one_of_each());
    }
}

#[test]
fn both_versions_are_read_and_more_header_than_is_known_is_passed_over() {
    for endian in ORDERS {
        for version in [1, 2] {
            for more in [0, 1, 8, 40, 41, 100, 70_000] {
                for flags in [0, 1] {
                    let words =
                        HeaderWords { version, total_size: 40 + more, elf_mach: 183, flags, ..jit_header() };
                    let more = vec![0x55; usize::try_from(more).unwrap()];
                    let dump = JitDumpBuilder::with_header(endian, &words).raw(&more).close(5).bytes();
                    assert_eq!(said(&dump), [Said::Close(5)]);
                    let header = JitDump::open(Cursor::new(&dump)).unwrap().header();
                    assert_eq!((header.endian, header.version, header.elf_mach), (endian, version, 183));
                    assert_eq!((header.pid, header.timestamp, header.arch_timestamp), (7, 1, flags == 1));
                }
            }
        }
    }
}

#[test]
fn a_header_that_no_known_version_has_is_refused() {
    let good = jit_header();
    let cases = [
        (HeaderWords { version: 0, ..good }, "version: a value of 0x0 is not possible"),
        (HeaderWords { version: 3, ..good }, "version: a value of 0x3 is not possible"),
        (HeaderWords { total_size: 0, ..good }, "total_size: a size of 0 is not possible"),
        (HeaderWords { total_size: 39, ..good }, "total_size: a size of 39 is not possible"),
        (HeaderWords { flags: 2, ..good }, "flags: a value of 0x2 is not possible"),
        (HeaderWords { flags: 1 << 63 | 1, ..good }, "flags: a value of 0x8000000000000001 is not possible"),
    ];
    for endian in ORDERS {
        for (words, problem) in cases {
            let dump = JitDumpBuilder::with_header(endian, &words).close(1).bytes();
            let said = read(Cursor::new(dump)).unwrap_err().to_string();
            assert_eq!(said, format!("jitdump header at offset 0x0: field {problem}"));
        }
        let words = HeaderWords { magic: MAGIC ^ 1 << 16, ..good };
        let dump = JitDumpBuilder::with_header(endian, &words).bytes();
        assert!(matches!(read(Cursor::new(dump)), Err(Error::NotJitDump { .. })));
        // All that a size can say is passed over, though there is not so much.
        let words = HeaderWords { total_size: u32::MAX, ..good };
        let dump = JitDumpBuilder::with_header(endian, &words).close(1).bytes();
        assert_eq!(read(Cursor::new(dump)).unwrap(), (vec![], u32::MAX.into()));
    }
    let said = read(Cursor::new(b"\x7fELF\x02\x01\x01")).unwrap_err().to_string();
    assert_eq!(said, "not a jitdump: it starts with \"\\x7fELF\", not JiTD or DTiJ");
}

#[test]
fn a_dump_cut_anywhere_gives_its_whole_records() {
    for endian in ORDERS {
        let all = one_of_each();
        let dump = built(endian, &all);
        let ends: Vec<_> = (0..=all.len()).map(|count| built(endian, &all[..count]).len()).collect();
        for len in 0..=dump.len() {
            let cut = read(Cursor::new(&dump[..len]));
            if len < 40 {
                let said = cut.unwrap_err().to_string();
                assert_eq!(said, format!("the input ends inside its header: {len} of 40 bytes"));
                continue;
            }
            let whole = ends.iter().filter(|end| **end <= len).count() - 1;
            assert_eq!(cut.unwrap(), (all[..whole].to_vec(), ends[whole] as u64), "cut at {len}");
        }
    }
}

#[test]
fn a_growing_dump_gives_each_record_once_when_it_is_whole() {
    for endian in ORDERS {
        let all = one_of_each();
        let dump = built(endian, &all);
        let file = Growing::default();
        assert!(matches!(JitDump::open(file.clone()), Err(Error::HeaderTruncated { have: 0, need: 40 })));
        file.push(&dump[..40]);
        let mut reader = JitDump::open(file.clone()).unwrap();
        let mut seen = Vec::new();
        for at in 40..dump.len() {
            // However often it is asked.
            for _ in 0..3 {
                assert_eq!(next(&mut reader).unwrap(), None);
            }
            file.push(&dump[at..=at]);
            if let Some((said, end)) = next(&mut reader).unwrap() {
                assert_eq!(end, at as u64 + 1);
                seen.push(said);
            }
        }
        assert_eq!(seen, all);
    }
}

#[test]
fn a_record_whose_source_was_cut_since_is_not_there_any_more() {
    let dump = built(Endian::Little, &one_of_each());
    let file = Growing::default();
    file.push(&dump);
    let mut reader = JitDump::open(file.clone()).unwrap();
    let mut places = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        if let Kind::Load(load) = record.kind {
            places.push(load.code);
        }
    }
    file.bytes.set(Vec::new());
    assert_eq!(next(&mut reader).unwrap(), None);
    assert_eq!(next(&mut reader).unwrap(), None);
    let Extent { offset, len } = places[0];
    let error = reader.bytes(places[0]).unwrap_err();
    assert!(matches!(error, Error::Truncated { offset: at, have: 0, need } if (at, need) == (offset, len)));
}

#[test]
fn a_size_that_no_record_has_is_the_end_and_stays_it() {
    for endian in ORDERS {
        let good = built(endian, &one_of_each());
        for size in [0, 1, 15, RECORD_AT_MOST + 1, u32::MAX] {
            let prefix = [&endian.put_u32(99)[..], &endian.put_u32(size), &[0; 8]].concat();
            let dump = [&good[..], &prefix, &good[40..]].concat();
            let mut reader = JitDump::open(Cursor::new(dump)).unwrap();
            for expected in one_of_each() {
                assert_eq!(next(&mut reader).unwrap().unwrap().0, expected);
            }
            for _ in 0..2 {
                let said = next(&mut reader).unwrap_err().to_string();
                let expected = format!(
                    "a jitdump record with id 99 at offset {:#x} has size {size}; a record has 16 bytes at least \
                     and 67108864 at most",
                    good.len()
                );
                assert_eq!(said, expected);
            }
        }
    }
}

/// A record of this kind with one of its words exchanged, and a good record behind it.
fn with_word(endian: Endian, id: Id, body: &[u8], at: usize, word: u64) -> JitDumpBuilder {
    let mut body = body.to_vec();
    body[at..at + 8].copy_from_slice(&endian.put_u64(word));
    JitDumpBuilder::new(endian).record(id, 1, &body)
}

/// The body of the only record of a dump.
fn body(dump: JitDumpBuilder) -> Vec<u8> {
    dump.bytes()[56..].to_vec()
}

#[test]
fn a_code_size_is_held_against_its_record() {
    for endian in ORDERS {
        let start = || JitDumpBuilder::new(endian);
        let load = body(start().load(At::new(7, 1), 0x1000, 1, b"name", b"12345678"));
        let sized = |size| with_word(endian, Id::CODE_LOAD, &load, 24, size);
        let wrong = "jitdump CODE_LOAD record at offset 0x28: field";
        for (size, code) in [(0, &b""[..]), (1, b"8"), (8, b"12345678")] {
            let Said::Load { name, code: read, .. } = said(&sized(size).bytes()).remove(0) else { panic!() };
            assert_eq!((&name[..], &read[..]), (&b"name"[..], code));
        }
        for size in [9, 13] {
            assert_eq!(bad(sized(size)), format!("{wrong} name: it has no terminating NUL"));
        }
        for size in [14, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(bad(sized(size)), format!("{wrong} code_size: a size of {size} is not possible"));
        }
        let far = with_word(endian, Id::CODE_LOAD, &load, 16, u64::MAX - 7);
        assert_eq!(bad(far), format!("{wrong} code_addr: a value of 0xfffffffffffffff8 is not possible"));
        // The last functions that there may be.
        let last = with_word(endian, Id::CODE_LOAD, &load, 16, u64::MAX - 8);
        assert!(matches!(said(&last.bytes())[..], [Said::Load { .. }]));
    }
}

#[test]
fn a_moved_function_lies_in_the_address_space() {
    for endian in ORDERS {
        let moved = body(JitDumpBuilder::new(endian).moved(1, &MOVED));
        for (size, problem) in [
            (0, None),
            (1, None),
            (u64::MAX - 0x2000, None),
            (u64::MAX - 0x1fff, Some("new_code_addr: a value of 0x2000 is not possible")),
            (u64::MAX, Some("old_code_addr: a value of 0x1000 is not possible")),
        ] {
            let dump = with_word(endian, Id::CODE_MOVE, &moved, 32, size);
            match problem {
                None => assert_eq!(said(&dump.bytes()), [Said::Move(1, Move { code_size: size, ..MOVED })]),
                Some(problem) => {
                    assert_eq!(
                        bad(dump),
                        format!("jitdump CODE_MOVE record at offset 0x28: field {problem}")
                    );
                }
            }
        }
    }
}

#[test]
fn a_count_of_lines_is_held_against_its_record() {
    for endian in ORDERS {
        let line = Line { addr: 0x1000, line: 1, discriminator: 2, file: b"".as_bstr() };
        let lines = body(JitDumpBuilder::new(endian).debug_info(1, 0x1000, &[line, line]));
        let counted = |count| with_word(endian, Id::CODE_DEBUG_INFO, &lines, 8, count);
        for count in [0, 1, 2] {
            let Said::Lines { lines, .. } = said(&counted(count).bytes()).remove(0) else { panic!() };
            assert_eq!(lines.len() as u64, count);
        }
        for count in [3, 1 << 60, u64::MAX] {
            let wrong = "jitdump CODE_DEBUG_INFO record at offset 0x28: field nr_entry: a count of";
            assert_eq!(bad(counted(count)), format!("{wrong} {count} does not fit"));
        }
    }
}

#[test]
fn the_sizes_of_unwinding_tables_are_held_against_their_record() {
    for endian in ORDERS {
        let tables = body(JitDumpBuilder::new(endian).unwinding(1, 0, b"1234", b"56"));
        let wrong = "jitdump CODE_UNWINDING_INFO record at offset 0x28: field";
        for (at, field, size, fits) in [
            (0, "unwinding_size", 7, false),
            (0, "unwinding_size", u64::MAX, false),
            (0, "unwinding_size", 6, true),
            (0, "unwinding_size", 2, true),
            (8, "eh_frame_hdr_size", 0, true),
            (8, "eh_frame_hdr_size", 1, true),
            (8, "eh_frame_hdr_size", 6, true),
            (8, "eh_frame_hdr_size", 7, false),
            (8, "eh_frame_hdr_size", u64::MAX, false),
            // It is no size of anything in here.
            (16, "mapped_size", u64::MAX, true),
        ] {
            let dump = with_word(endian, Id::CODE_UNWINDING_INFO, &tables, at, size);
            if !fits {
                assert_eq!(bad(dump), format!("{wrong} {field}: a size of {size} is not possible"));
                continue;
            }
            let Said::Unwinding { mapped_size, eh_frame, eh_frame_hdr, .. } = said(&dump.bytes()).remove(0)
            else {
                panic!()
            };
            let both = [&eh_frame[..], &eh_frame_hdr].concat();
            let (all, hdr) = match at {
                0 => (size, 2),
                8 => (6, size),
                _ => (6, 2),
            };
            assert_eq!((both.len() as u64, eh_frame_hdr.len() as u64), (all, hdr));
            assert!(b"123456".starts_with(&both));
            assert_eq!(mapped_size, if at == 16 { size } else { 0 });
        }
        // Without a table there is none of its two parts; a part of nothing does not fit.
        let none = with_word(endian, Id::CODE_UNWINDING_INFO, &tables, 0, 1);
        assert_eq!(bad(none), format!("{wrong} eh_frame_hdr_size: a size of 2 is not possible"));
    }
}

#[test]
fn records_too_small_for_their_fields_are_bad_and_those_behind_are_read() {
    for endian in ORDERS {
        for (id, least) in [
            (Id::CODE_LOAD, 41),
            (Id::CODE_MOVE, 48),
            (Id::CODE_DEBUG_INFO, 16),
            (Id::CODE_UNWINDING_INFO, 24),
            (Id::CODE_CLOSE, 0),
            (Id(5), 0),
        ] {
            for len in 0..=least {
                let dump = JitDumpBuilder::new(endian).record(id, 1, &vec![0; len]).close(9).bytes();
                let said = said(&dump);
                assert_eq!(said.len(), 2);
                assert_eq!(matches!(said[0], Said::Bad(_)), len < least, "{id:?} of {len} bytes");
                assert_eq!(said[1], Said::Close(9));
            }
        }
    }
    let short = JitDumpBuilder::new(Endian::Big).record(Id::CODE_MOVE, 1, &[0; 40]);
    assert_eq!(bad(short), "jitdump CODE_MOVE record at offset 0x28: field code_index: it is cut short");
}

/// The lines of a dump that has nothing else.
fn lines(endian: Endian, files: &[&[u8]]) -> Result<Vec<String>, String> {
    let lines: Vec<_> = (1..)
        .zip(files)
        .map(|(line, file)| Line { addr: 0x1000, line, discriminator: 0, file: file.as_bstr() })
        .collect();
    let dump = JitDumpBuilder::new(endian).debug_info(1, 0x1000, &lines).bytes();
    match read(Cursor::new(dump)).map(|(mut said, _)| said.remove(0)) {
        Ok(Said::Lines { lines, .. }) => {
            Ok(lines.iter().map(|(.., file)| file.to_str_lossy().into_owned()).collect())
        }
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn the_name_ff_is_that_of_the_line_before() {
    for endian in ORDERS {
        let read = lines(endian, &[b"a", b"\xff", b"\xff", b"b", b"", b"\xff", b"\xff\xfe"]).unwrap();
        assert_eq!(read, ["a", "a", "a", "b", "", "", "\u{fffd}\u{fffd}"]);
        let said = lines(endian, &[b"\xff"]).unwrap_err();
        assert_eq!(said, "jitdump line entry at offset 0x48: field name: not what must stand here");
    }
}

#[test]
fn lines_cut_short_are_an_error_with_the_place_of_the_entry() {
    for endian in ORDERS {
        let line = |file: &'static [u8]| Line { addr: 1, line: 2, discriminator: 3, file: file.as_bstr() };
        let dump = JitDumpBuilder::new(endian).debug_info(1, 1, &[line(b"first"), line(b"second")]).bytes();
        let mut reader = JitDump::open(Cursor::new(dump)).unwrap();
        let Some(Kind::DebugInfo(info)) = reader.next_record().unwrap().map(|record| record.kind) else {
            panic!()
        };
        let bytes = reader.bytes(info.entries).unwrap();
        for len in 0..bytes.len() {
            let Err(Error::Structure { offset, .. }) = info.lines(&bytes[..len]) else { panic!("{len}") };
            assert_eq!(offset, 0x48 + if len < 22 { 0 } else { 22 });
        }
        let many = DebugInfo { nr_entry: u64::MAX, ..info };
        let said = many.lines(&bytes).unwrap_err().to_string();
        assert_eq!(said, "jitdump line entry at offset 0x75: field addr: it is cut short");
    }
}

#[test]
fn names_of_any_length_are_read_and_padding_behind_them_is_none_of_the_code() {
    for len in [0, 1, 511, 512, 513, 2048, 65_535, 65_536, 65_537, 1 << 20] {
        let name = vec![b'n'; len];
        let load = |time, code: &[u8]| Said::Load {
            at: At::new(7, time),
            code_addr: 0x1000,
            code_index: time,
            name: name.clone(),
            code: code.to_vec(),
        };
        let all = [load(1, b"code"), load(2, b""), load(3, &[7; 300])];
        assert!(said(&built(Endian::Little, &all)) == all, "{len}");
        let unended = body(JitDumpBuilder::new(Endian::Big).load(At::new(7, 1), 0, 0, &name, b"code"));
        let dump = with_word(Endian::Big, Id::CODE_LOAD, &unended, 24, 5).close(2).bytes();
        assert!(matches!(said(&dump)[..], [Said::Bad(_), Said::Close(2)]), "{len}");
    }
    let padded =
        JitDumpBuilder::new(Endian::Little).load(At::new(7, 1), 0x1000, 1, b"f\0\0\0padding", b"code");
    let Said::Load { name, code, .. } = said(&padded.bytes()).remove(0) else { panic!() };
    assert_eq!((&name[..], &code[..]), (&b"f"[..], &b"code"[..]));
}

#[test]
fn a_function_has_the_addresses_of_its_code() {
    let dump = JitDumpBuilder::new(Endian::Little).load(At::new(7, 1), 0x1000, 1, b"f", &[0; 16]).bytes();
    let mut reader = JitDump::open(Cursor::new(dump)).unwrap();
    let Some(Kind::Load(load)) = reader.next_record().unwrap().map(|record| record.kind) else { panic!() };
    let inside = [0, 0xfff, 0x1000, 0x100f, 0x1010, u64::MAX].map(|address| load.contains(address));
    assert_eq!(inside, [false, false, true, true, false, false]);
}

/// A reader that believed these would ask for more memory than there is.
#[test]
fn what_is_not_there_is_not_made_room_for() {
    let file = Growing::default();
    let prefix = |id: u32| [&id.to_le_bytes()[..], &RECORD_AT_MOST.to_le_bytes(), &[0; 8]].concat();
    file.push(&built(Endian::Little, &[]));
    file.push(&prefix(0));
    file.push(&[0; 200]);
    let mut reader = JitDump::open(file.clone()).unwrap();
    assert_eq!(next(&mut reader).unwrap(), None);
    let error = reader.bytes(Extent { offset: 40, len: usize::MAX }).unwrap_err();
    assert!(matches!(error, Error::Truncated { offset: 40, have: 216, need: usize::MAX }), "{error}");
    let error = reader.bytes(Extent { offset: u64::MAX, len: 1 }).unwrap_err();
    assert!(matches!(error, Error::Truncated { have: 0, need: 1, .. }), "{error}");
    assert!(file.asked.get() <= 1 << 16);

    // Where the file says that it is all there, what is skipped is still not read: a hole is no name.
    let mut file = Growing::default();
    file.push(&built(Endian::Little, &[]));
    for id in [0, 2, 4, 99] {
        file.push(&prefix(id));
        file.push(&[0; 48]);
        file.len = Some(40 + u64::from(RECORD_AT_MOST));
        let mut reader = JitDump::open(file.clone()).unwrap();
        let record = reader.next_record().unwrap().expect("it is there");
        assert_eq!(record.size, RECORD_AT_MOST);
        assert_eq!(reader.next_record().unwrap(), None);
        let position = file.bytes.take();
        file.bytes.set(position[..40].to_vec());
    }
    assert!(file.asked.get() <= 1 << 16);
}

#[test]
fn a_source_that_fails_is_an_error_and_the_record_is_still_to_come() {
    struct Fails(Cursor<Vec<u8>>, Rc<Cell<bool>>);
    impl Read for Fails {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            if self.1.get() { Err(io::Error::other("the disk burns")) } else { self.0.read(room) }
        }
    }
    impl Seek for Fails {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }
    let far = Said::Load {
        at: At::new(7, 1),
        code_addr: 0,
        code_index: 0,
        name: b"far".to_vec(),
        code: vec![1; 100_000],
    };
    let all = [far.clone(), Said::Close(2), far, Said::Close(3)];
    let burns = Rc::new(Cell::new(false));
    let mut reader = JitDump::open(Fails(Cursor::new(built(Endian::Big, &all)), burns.clone())).unwrap();
    let mut seen = Vec::new();
    loop {
        burns.set(true);
        let first = reader.next_record().map(|_| ());
        burns.set(false);
        match first {
            Err(Error::Io { source, .. }) => assert_eq!(source.to_string(), "the disk burns"),
            Err(error) => panic!("{error}"),
            // It was in the window.
            Ok(()) => {
                seen.push(None);
                continue;
            }
        }
        let Some((said, _)) = next(&mut reader).unwrap() else { break };
        seen.push(Some(said));
        assert!(seen.len() <= 4);
    }
    assert_eq!(seen.len(), 4);
    for (seen, said) in seen.iter().zip(&all) {
        assert!(seen.as_ref().is_none_or(|seen| seen == said));
    }
}

fn any_said() -> impl Strategy<Value = Said> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..300);
    let name = || prop::collection::vec(1..=255u8, 0..40);
    let file = prop_oneof![prop::collection::vec(1..255u8, 0..9), Just(b"/a/long/path/to/a/file".to_vec())];
    let lines = prop::collection::vec((any::<u64>(), any::<u32>(), any::<u32>(), file), 0..6);
    let at = (any::<u32>(), any::<u32>(), any::<u64>()).prop_map(|(pid, tid, time)| At { pid, tid, time });
    let address = 0..u64::MAX - 300;
    prop_oneof![
        (at, address.clone(), any::<u64>(), name(), bytes()).prop_map(
            |(at, code_addr, code_index, name, code)| Said::Load { at, code_addr, code_index, name, code }
        ),
        (any::<u64>(), address.clone(), address, 0u64..300).prop_map(|(time, old, new, code_size)| {
            Said::Move(time, Move { old_code_addr: old, new_code_addr: new, code_size, ..MOVED })
        }),
        (any::<u64>(), any::<u64>(), lines).prop_map(|(time, code_addr, lines)| Said::Lines {
            time,
            code_addr,
            lines
        }),
        any::<u64>().prop_map(Said::Close),
        (any::<u64>(), any::<u64>(), bytes(), bytes()).prop_map(
            |(time, mapped_size, eh_frame, eh_frame_hdr)| {
                Said::Unwinding { time, mapped_size, eh_frame, eh_frame_hdr }
            }
        ),
        (any::<u64>(), 5..u32::MAX).prop_map(|(time, id)| Said::Unknown(time, Id(id))),
    ]
}

proptest! {
    #![proptest_config(config(256, "jitdump"))]

    #[test]
    fn what_is_written_is_read_back(
        all in prop::collection::vec(any_said(), 0..12),
        endian in prop::sample::select(&ORDERS[..]),
    ) {
        prop_assert_eq!(said(&built(endian, &all)), all);
    }

    #[test]
    fn a_dump_that_comes_in_pieces_is_what_it_is_whole(
        all in prop::collection::vec(any_said(), 0..12),
        endian in prop::sample::select(&ORDERS[..]),
        mut cuts in prop::collection::vec(any::<Index>(), 0..8),
    ) {
        let dump = built(endian, &all);
        let mut cuts: Vec<_> = cuts.drain(..).map(|cut| 40 + cut.index(dump.len() - 39)).collect();
        cuts.sort_unstable();
        cuts.push(dump.len());
        let file = Growing::default();
        file.push(&dump[..40]);
        let mut reader = JitDump::open(file.clone()).unwrap();
        let (mut seen, mut at) = (Vec::new(), 40);
        for cut in cuts {
            file.push(&dump[at..cut]);
            at = cut;
            while let Some((said, end)) = next(&mut reader).unwrap() {
                prop_assert!(end <= cut as u64);
                seen.push(said);
            }
        }
        prop_assert_eq!(seen, all);
    }

    #[test]
    fn a_damaged_dump_is_read_or_refused(
        damage in prop::collection::vec((any::<Index>(), any::<u8>()), 1..4),
        endian in prop::sample::select(&ORDERS[..]),
    ) {
        let mut dump = built(endian, &one_of_each());
        for (at, byte) in damage {
            let at = at.index(dump.len());
            dump[at] = byte;
        }
        let _ = read(Cursor::new(dump));
    }
}
