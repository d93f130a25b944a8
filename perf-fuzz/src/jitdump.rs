//! `jitdump`: what a JIT tells of its functions, whole and while it grows.

use std::cell::Cell;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::rc::Rc;

use perf_format::jitdump::{Extent, Id, JitDump, JitRecord, Kind, RECORD_AT_MOST};
use perf_format::testing::{At, JitDumpBuilder};
use perf_format::{Endian, Error};

use crate::pieces::lengths;

/// The most times that a file grows: each time costs a few reads.
const STEPS_AT_MOST: usize = 32;

/// The bytes are a dump. Its records stand one behind the other, and what they tell lies in them; a dump that grows
/// gives the same; and what was read, written in either order, is read again.
pub fn jitdump(data: &[u8]) {
    let mut seen = Vec::new();
    let end = match JitDump::open(Cursor::new(data)) {
        Ok(mut dump) => {
            let (endian, start) = (dump.header().endian, dump.header().size);
            let end = drain(&mut dump, &mut seen);
            assert_eq!((dump.offset(), end.is_some()), walk(data, start, endian, &seen), "where it ends");
            end
        }
        Err(error) => Some(error.to_string()),
    };
    assert_eq!(grown(data), (seen, end), "as it grew");
    for endian in [Endian::Little, Endian::Big] {
        let (contents, dump) = rebuilt(data, endian);
        let (again, twice) = rebuilt(&dump, endian);
        assert_eq!((again, twice), (contents, dump), "written and read again");
    }
}

/// A record that was given out: its place, and all that was told of it.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    offset: u64,
    end: u64,
    outcome: String,
}

/// Takes all records that are whole; the error behind which there are none.
fn drain<S: Read + Seek>(dump: &mut JitDump<S>, seen: &mut Vec<Seen>) -> Option<String> {
    loop {
        let offset = dump.offset();
        let outcome = match dump.next_record() {
            Ok(Some(record)) => {
                assert_eq!(record.offset, offset);
                lies_in_itself(&record);
                format!("{record:?}")
            }
            Ok(None) => return None,
            Err(error @ Error::Structure { offset: reported, .. }) => {
                assert_eq!(reported, offset, "{error}");
                error.to_string()
            }
            Err(error) => return Some(error.to_string()),
        };
        seen.push(Seen { offset, end: dump.offset(), outcome });
    }
}

/// Asserts that no place is outside of its record, or over another.
fn lies_in_itself(record: &JitRecord<'_>) {
    let places: &[Extent] = match &record.kind {
        Kind::Load(load) => {
            assert_eq!((load.name.len(), load.name.contains(&0)), (load.name_at.len, false));
            // The NUL has a place too.
            &[Extent { len: load.name.len() + 1, ..load.name_at }, load.code]
        }
        Kind::DebugInfo(info) => &[info.entries],
        Kind::Unwinding(tables) => &[tables.eh_frame, tables.eh_frame_hdr],
        Kind::Move(_) | Kind::Close | Kind::Unknown(_) => &[],
    };
    let mut free = record.offset + 16;
    for place in places {
        assert!(place.offset >= free, "{record:?}");
        free = place.offset + place.len as u64;
    }
    assert!(free <= record.offset + u64::from(record.size), "{record:?}");
}

/// The simple reader, which must find the same records; where they end, and whether with a size that none has.
fn walk(data: &[u8], start: u32, endian: Endian, seen: &[Seen]) -> (u64, bool) {
    let mut at = u64::from(start);
    let mut places = seen.iter();
    let is_bad = loop {
        let rest = usize::try_from(at).ok().and_then(|at| data.get(at..)).unwrap_or_default();
        let Some(size) = endian.u32_at(rest, 4).filter(|_| rest.len() >= 16) else { break false };
        if !(16..=RECORD_AT_MOST).contains(&size) {
            break true;
        }
        if rest.len() < usize::try_from(size).expect("a small size") {
            break false;
        }
        let place = places.next().expect("as many records");
        assert_eq!((place.offset, place.end), (at, at + u64::from(size)));
        at = place.end;
    };
    assert_eq!(places.next(), None);
    (at, is_bad)
}

/// The same of a file that grows.
fn grown(data: &[u8]) -> (Vec<Seen>, Option<String>) {
    let file = Growing { data, len: Rc::default(), position: 0, piece: lengths(data)[1] };
    let (mut seen, mut end, mut dump) = (Vec::new(), None, None);
    let steps = lengths(data).map(|step| step.max(data.len() / STEPS_AT_MOST));
    for step in [0].iter().chain(steps.iter().cycle()) {
        file.len.set(data.len().min(file.len.get() + step));
        let opened = match &mut dump {
            Some(dump) => Ok(dump),
            None => JitDump::open(file.clone()).map(|new| dump.insert(new)),
        };
        end = match opened {
            Ok(dump) => drain(dump, &mut seen),
            Err(error) => Some(error.to_string()),
        };
        if file.len.get() == data.len() {
            break;
        }
    }
    (seen, end)
}

/// A file that another lengthens, read in small pieces.
#[derive(Clone)]
struct Growing<'a> {
    data: &'a [u8],
    len: Rc<Cell<usize>>,
    position: u64,
    piece: usize,
}

impl Read for Growing<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let there = &self.data[..self.len.get()];
        let rest = usize::try_from(self.position).ok().and_then(|at| there.get(at..)).unwrap_or_default();
        let len = rest.len().min(room.len()).min(self.piece);
        room[..len].copy_from_slice(&rest[..len]);
        self.position += len as u64;
        Ok(len)
    }
}

impl Seek for Growing<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::End(0) => self.len.get() as u64,
            other => panic!("{other:?} is not asked for"),
        };
        Ok(self.position)
    }
}

/// What can be read of a dump, with all that its records tell the place of; and the same written in an order.
fn rebuilt(data: &[u8], endian: Endian) -> (Vec<String>, Vec<u8>) {
    let mut contents = Vec::new();
    let mut out = JitDumpBuilder::new(endian);
    let Ok(mut dump) = JitDump::open(Cursor::new(data)) else { return (contents, out.bytes()) };
    let mut bytes = JitDump::open(Cursor::new(data)).expect("it was opened");
    let mut bytes = |place| bytes.bytes(place).expect("it is there");
    loop {
        let JitRecord { offset, size, timestamp: time, kind } = match dump.next_record() {
            Ok(Some(record)) => record,
            Err(Error::Structure { .. }) => continue,
            Ok(None) | Err(_) => break,
        };
        match kind {
            Kind::Load(load) => {
                let (at, code) = (At { pid: load.pid, tid: load.tid, time }, bytes(load.code));
                assert_eq!(bytes(load.name_at), load.name);
                contents
                    .push(format!("{at:?} {} {} {} {code:?}", load.code_addr, load.code_index, load.name));
                out = out.load(at, load.code_addr, load.code_index, load.name, &code);
            }
            Kind::Move(moved) => {
                contents.push(format!("{time} {moved:?}"));
                out = out.moved(time, &moved);
            }
            Kind::DebugInfo(info) => {
                let entries = bytes(info.entries);
                match info.lines(&entries) {
                    Ok(lines) => {
                        assert_eq!(lines.len() as u64, info.nr_entry);
                        contents.push(format!("{time} {} {lines:?}", info.code_addr));
                        out = out.debug_info(time, info.code_addr, &lines);
                    }
                    Err(Error::Structure { offset: at, .. }) => {
                        assert!((offset..=offset + u64::from(size)).contains(&at));
                    }
                    Err(error) => panic!("not the error of lines: {error}"),
                }
            }
            Kind::Close => {
                contents.push(format!("{time} closed"));
                out = out.close(time);
            }
            Kind::Unwinding(tables) => {
                let (frame, hdr) = (bytes(tables.eh_frame), bytes(tables.eh_frame_hdr));
                contents.push(format!("{time} {} {frame:?} {hdr:?}", tables.mapped_size));
                out = out.unwinding(time, tables.mapped_size, &frame, &hdr);
            }
            Kind::Unknown(Id(id)) => {
                let len = usize::try_from(size).expect("a small size") - 16;
                let body = bytes(Extent { offset: offset + 16, len });
                contents.push(format!("{time} {id} {body:?}"));
                out = out.record(Id(id), time, &body);
            }
        }
    }
    (contents, out.bytes())
}
