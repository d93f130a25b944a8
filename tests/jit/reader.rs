//! A reader of recordings as simple as can be: it holds records back and sorts them as perf does, keeps the maps of each
//! process, and looks for names in the files that are mapped.

use std::collections::BTreeMap;
use std::fs;

use object::{Object as _, ObjectSegment as _};
use perf_format::record::{Mmap2, Record};
use perf_format::testing::records;
use perf_format::{CpuMode, Endian, RawRecord, RecordType, Sample, SampleFormat, SampleId};

use crate::made::symbols;

/// Where a sample was, and its callers: `NAME+0xOFFSET` in a function, else the name of what is mapped, else `?`.
pub(crate) type Frames = Vec<String>;

/// What is seen of a recording.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// By time.
    pub(crate) samples: Vec<(u64, Frames)>,
    /// How many records came when later ones had been given out.
    pub(crate) late: usize,
}

#[derive(Debug, Default)]
struct Reader {
    format: Option<SampleFormat>,
    waiting: Vec<(u64, Happening)>,
    latest: u64,
    /// Up to when the next end of a round gives records out, and up to when they are out.
    next: u64,
    out: u64,
    maps: BTreeMap<u32, Vec<Map>>,
    files: BTreeMap<String, Option<Vec<u8>>>,
    seen: Seen,
}

#[derive(Debug)]
enum Happening {
    Map(u32, Map),
    Fork { pid: u32, parent: u32 },
    Exec(u32),
    Sample { pid: u32, addresses: Vec<u64> },
}

#[derive(Debug, Clone)]
struct Map {
    start: u64,
    end: u64,
    pgoff: u64,
    name: String,
}

/// What is seen of a stream.
pub(crate) fn seen(stream: &[u8]) -> Seen {
    let endian = if stream.starts_with(b"PERFILE2") { Endian::Little } else { Endian::Big };
    let mut reader = Reader::default();
    for record in records(stream) {
        reader.take(&RawRecord::first(&record.bytes, 0, endian).expect("a whole record"));
    }
    reader.give_out(u64::MAX);
    reader.seen
}

/// The maps of a process in the order of their times: each with its time, start and length.
pub(crate) fn maps(stream: &[u8], pid: u32) -> Vec<(u64, u64, u64)> {
    let endian = if stream.starts_with(b"PERFILE2") { Endian::Little } else { Endian::Big };
    let mut format = None;
    let mut maps = Vec::new();
    for record in records(stream) {
        let record = RawRecord::first(&record.bytes, 0, endian).expect("a whole record");
        if let Ok(Record::HeaderAttr(event)) = record.parse() {
            format = Some(SampleFormat::new(&event.attr));
        } else if record.record_type() == RecordType::MMAP2 {
            let time = SampleId::parse(format.as_ref().expect("an event"), &record).expect("a trailer").time;
            let map = Mmap2::of_record(&record).expect("a map");
            if map.pid == pid {
                maps.push((time.expect("a time"), map.start, map.len));
            }
        }
    }
    maps.sort_by_key(|(time, ..)| *time);
    maps
}

impl Reader {
    fn take(&mut self, record: &RawRecord<'_>) {
        if record.record_type() == RecordType::FINISHED_ROUND {
            self.give_out(self.next);
            self.next = self.latest;
            return;
        }
        if let Ok(Record::HeaderAttr(event)) = record.parse() {
            self.format = Some(SampleFormat::new(&event.attr));
            return;
        }
        let format = self.format.as_ref().expect("an event stands first");
        let time_of = |record| SampleId::parse(format, record).ok().and_then(|id| id.time);
        let (time, happening) = match record.record_type() {
            RecordType::SAMPLE => {
                let sample = Sample::parse(format, record).expect("a sample");
                let chain = sample.callchain.into_iter().flat_map(|chain| chain.iter());
                let chain: Vec<u64> = chain.filter(|ip| *ip < u64::MAX - 4096).collect();
                let addresses = match chain.is_empty() {
                    true => sample.ip.into_iter().collect(),
                    false => chain,
                };
                let pid = sample.tid.expect("a process").pid;
                (sample.time, Happening::Sample { pid, addresses })
            }
            RecordType::MMAP | RecordType::MMAP2 if record.misc().cpumode() == CpuMode::User => {
                let map = Mmap2::of_record(record).expect("a map");
                let (end, name) = (map.start + map.len, map.filename.to_string());
                let kept = Map { start: map.start, end, pgoff: map.pgoff, name };
                (time_of(record), Happening::Map(map.pid, kept))
            }
            RecordType::FORK | RecordType::COMM => {
                let raw = RawRecord::first(record.bytes, 0, record.endian).expect("a whole record");
                let happening = match raw.parse_before(format.trailer_len()) {
                    Ok(Record::Fork(task)) if task.pid != task.ppid => {
                        Happening::Fork { pid: task.pid, parent: task.ppid }
                    }
                    Ok(Record::Comm(comm)) => Happening::Exec(comm.pid),
                    _ => return,
                };
                (time_of(record), happening)
            }
            _ => return,
        };
        let time = time.expect("a time");
        self.seen.late += usize::from(time < self.out);
        self.latest = self.latest.max(time);
        self.waiting.push((time, happening));
    }

    fn give_out(&mut self, up_to: u64) {
        self.waiting.sort_by_key(|(time, _)| *time);
        let end = self.waiting.partition_point(|(time, _)| *time <= up_to);
        for (time, happening) in self.waiting.drain(..end).collect::<Vec<_>>() {
            self.out = self.out.max(time);
            match happening {
                Happening::Map(pid, map) => self.maps.entry(pid).or_default().push(map),
                Happening::Fork { pid, parent } => {
                    let maps = self.maps.get(&parent).cloned().unwrap_or_default();
                    self.maps.insert(pid, maps);
                }
                Happening::Exec(pid) => _ = self.maps.remove(&pid),
                Happening::Sample { pid, addresses } => {
                    let frames = addresses.iter().map(|addr| self.name(pid, *addr)).collect();
                    self.seen.samples.push((time, frames));
                }
            }
        }
    }

    /// Of several maps the last counts.
    fn name(&mut self, pid: u32, addr: u64) -> String {
        let maps = self.maps.get(&pid).map(Vec::as_slice).unwrap_or_default();
        let Some(map) = maps.iter().rev().find(|map| (map.start..map.end).contains(&addr)) else {
            return "?".to_owned();
        };
        let read = || fs::read(&map.name).ok().filter(|bytes| bytes.starts_with(b"\x7fELF"));
        let Some(image) = self.files.entry(map.name.clone()).or_insert_with(read) else {
            return map.name.clone();
        };
        in_image(image, addr - map.start + map.pgoff).unwrap_or_else(|| map.name.clone())
    }
}

/// The function at an offset of an image.
fn in_image(image: &[u8], offset: u64) -> Option<String> {
    let file = object::File::parse(image).expect("an ELF file");
    let address = file.segments().find_map(|segment| {
        let (at, len) = segment.file_range();
        (at..at + len).contains(&offset).then(|| segment.address() + (offset - at))
    })?;
    let functions = symbols(image);
    let (name, start, _) =
        functions.iter().find(|(_, start, size)| (*start..start + size).contains(&address))?;
    Some(format!("{name}+{:#x}", address - start))
}
