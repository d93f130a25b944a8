//! What a process tells of its code, and a stream of samples that hit it, out of a fuzzer's bytes: few addresses, times
//! and numbers, so that they meet.

use arbitrary::{Result, Unstructured};
use bstr::{BString, ByteSlice as _};
use perf_format::attr::{AttrFlags, SampleType};
use perf_format::codec::Array;
use perf_format::jitdump::{HeaderWords, Id, Line, Move};
use perf_format::record::{CallchainDeferred, Inode, MapFile, TimeConv};
use perf_format::sample::{StackDump, Tid};
use perf_format::testing::{At, JitDumpBuilder, StreamBuilder, attr, jit_header};
use perf_format::{Attr, CpuMode, Endian, Misc, Record, Sample, SampleFormat};

use crate::pieces::some;

/// Processes that no machine has: their numbers are beyond the kernel's highest.
const PIDS: [u32; 2] = [0x7000_0007, 0x7000_0008];

/// The process of the dump, as it knows itself.
const INNER_PID: u32 = 7;

/// What the process maps its dump by.
pub(super) const MARKER: &str = "/nowhere/jit-7.dump";

/// A file that is no dump.
pub(super) const FILE: &str = "/bin/a";

/// What else is mapped: memory, and what is like it.
const NAMES: [&str; 6] = ["//anon", "/memfd:jit (deleted)", "[anon:code]", "[heap]", FILE, MARKER];

/// Addresses at which something ends.
const ENDS: [u64; 16] = [
    0,
    1,
    0xff0,
    0x1000,
    0x2000,
    0x2010,
    (1 << 30) - 8,
    1 << 30,
    (1 << 31) - 0x40,
    (1 << 32) - 8,
    1 << 32,
    1 << 47,
    1 << 63,
    u64::MAX - 0x1000,
    u64::MAX - 0x40,
    u64::MAX,
];

/// The most functions of a perf map that are larger than a page: their code is zeros, which take time to write.
const LARGE_AT_MOST: usize = 2;

/// A run.
#[derive(Debug)]
pub(super) struct Made {
    /// What is asked for, a bit each.
    pub(super) flags: u8,
    /// The file in which the process tells of its code, and its name.
    pub(super) file: (String, Vec<u8>),
    pub(super) stream: Vec<u8>,
}

impl Made {
    pub(super) fn of(u: &mut Unstructured<'_>) -> Result<Self> {
        let (flags, kind): (u8, u8) = (u.arbitrary()?, u.arbitrary()?);
        let len: u16 = u.arbitrary()?;
        let steps = u.bytes(usize::from(len).min(u.len()))?;
        let endian = if kind & 4 == 0 { Endian::Little } else { Endian::Big };
        let its_endian = if kind & 8 == 0 { Endian::Little } else { Endian::Big };
        let (dump, map) = ("jit-7.dump".to_owned(), format!("perf-{}.map", PIDS[0]));
        let file = match kind & 3 {
            0 => (dump, built(its_endian, u)?),
            1 => (dump, u.bytes(u.len())?.to_vec()),
            2 => (map, lines(u)),
            _ => (map, u.bytes(u.len())?.to_vec()),
        };
        Ok(Self { flags, file, stream: stream(&event(kind), endian, steps) })
    }
}

/// An event, with the bits that are left to say what of.
fn event(kind: u8) -> Attr {
    let mut fields = SampleType::IP | SampleType::TID | SampleType::CALLCHAIN;
    if kind & 0x10 != 0 {
        fields |= SampleType::STACK_USER;
    }
    if kind & 0x60 != 0x60 {
        fields |= SampleType::TIME;
    }
    let mut attr = attr(fields);
    if kind & 0x60 != 0x20 {
        attr.fields.flags |= AttrFlags::USE_CLOCKID;
        attr.fields.clockid = 1;
    }
    attr
}

/// A stream: an event, then a step for every few bytes.
fn stream(attr: &Attr, endian: Endian, steps: &[u8]) -> Vec<u8> {
    let mut u = Unstructured::new(steps);
    let mut stream = StreamBuilder::new(endian).attr(attr, &[1]);
    let event = (SampleFormat::new(attr), endian);
    while !u.is_empty() {
        match step(stream.clone(), &event, &mut u) {
            Ok(longer) => stream = longer,
            Err(_) => break,
        }
    }
    stream.bytes()
}

fn step(
    stream: StreamBuilder,
    (format, endian): &(SampleFormat, Endian),
    u: &mut Unstructured<'_>,
) -> Result<StreamBuilder> {
    Ok(match u.arbitrary::<u8>()? % 16 {
        0..6 => {
            let body = sample(format, *endian, u)?;
            stream.record(Misc::of(CpuMode::User), &Record::Sample(&body))
        }
        6 => {
            let (at, cookie, ips) = (at(u)?, u.arbitrary::<u8>()?.into(), addresses(*endian, u)?);
            let deferred = CallchainDeferred { cookie, ips: Array::new(&ips, *endian) };
            stream.traced(Misc::of(CpuMode::User), &Record::CallchainDeferred(deferred), at)
        }
        7 | 8 => {
            let (at, inode) = (at(u)?, u.arbitrary::<u8>()?);
            // Of another file of that name the number tells.
            let file = MapFile::Inode(Inode { ino: u64::from(inode & 1), ..Inode::default() });
            stream.mapped(at, address(u)?, 0x1000, MARKER, file)
        }
        9 | 10 => {
            let (at, start, pages) = (at(u)?, address(u)?, u.arbitrary::<u8>()?);
            stream.mmap2(at, start, u64::from(pages) << 8, u.choose(&NAMES)?)
        }
        11 => {
            let (at, parent) = (at(u)?, *u.choose(&PIDS)?);
            stream.fork(at, parent)
        }
        12 => stream.exec(at(u)?, "exec"),
        13 => {
            let words: [u8; 3] = u.arbitrary()?;
            let [time_shift, time_mult, time_zero] = words.map(u64::from);
            let conversion = TimeConv { time_shift, time_mult, time_zero, wrap: None };
            stream.record(Misc::default(), &Record::TimeConv(conversion))
        }
        14 => {
            let body = some(u, 64)?;
            stream.record(Misc(u.arbitrary()?), &Record::Sample(body))
        }
        _ => stream.finished_round(),
    })
}

fn sample(format: &SampleFormat, endian: Endian, u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let has = |field| format.sample_type.contains(field);
    let (at, ip, chain) = (at(u)?, address(u)?, addresses(endian, u)?);
    let stack = if has(SampleType::STACK_USER) { addresses(endian, u)? } else { Vec::new() };
    let dyn_size = (!stack.is_empty()).then_some(stack.len() as u64);
    let sample = Sample {
        ip: Some(ip),
        tid: Some(Tid { pid: at.pid, tid: at.tid }),
        time: has(SampleType::TIME).then_some(at.time),
        callchain: Some(Array::new(&chain, endian)),
        stack_user: has(SampleType::STACK_USER).then_some(StackDump { bytes: &stack, dyn_size }),
        ..Sample::default()
    };
    Ok(sample.to_bytes(format, endian))
}

fn at(u: &mut Unstructured<'_>) -> Result<At> {
    let which: u8 = u.arbitrary()?;
    Ok(At::new(PIDS[usize::from(which & 1)], u64::from(which >> 1)))
}

/// A few addresses as a record has them.
fn addresses(endian: Endian, u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for _ in 0..u.arbitrary::<u8>()? % 5 {
        bytes.extend(endian.put_u64(address(u)?));
    }
    Ok(bytes)
}

/// Mostly one in a few pages; or far from them by less than an image may be long; or where something ends.
fn address(u: &mut Unstructured<'_>) -> Result<u64> {
    let [kind, low]: [u8; 2] = u.arbitrary()?;
    let low = u64::from(low);
    Ok(match kind {
        0..=0x9f => 0x7f00_0000_0000 + u64::from(kind & 3) * 0x1000 + low * 16,
        0xa0..=0xcf => 0x7f00_0000_0000 + (u64::from(kind & 15) << 27) + low,
        _ => ENDS[usize::from(kind & 15)].saturating_add(low & 15),
    })
}

/// A dump with a record for every few bytes, and a little damage.
fn built(endian: Endian, u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let [flags, damage]: [u8; 2] = u.arbitrary()?;
    let places: Vec<(u16, u8)> = (0..damage % 4).map(|_| u.arbitrary()).collect::<Result<_>>()?;
    let elf_mach = [62, 62, 183, 3, 22, 0, 1 << 16, u32::MAX][usize::from(flags & 7)];
    let pid = if flags & 0x30 == 0x30 { 8 } else { INNER_PID };
    let header = HeaderWords { elf_mach, pid, flags: u64::from(flags >> 6 == 3), ..jit_header() };
    let mut dump = JitDumpBuilder::with_header(endian, &header);
    while !u.is_empty() {
        match with_record(dump.clone(), endian, u) {
            Ok(longer) => dump = longer,
            Err(_) => break,
        }
    }
    let mut dump = dump.bytes();
    for (place, bits) in places {
        let place = usize::from(place) % dump.len();
        dump[place] ^= bits;
    }
    Ok(dump)
}

/// A record, or two that belong together.
fn with_record(dump: JitDumpBuilder, endian: Endian, u: &mut Unstructured<'_>) -> Result<JitDumpBuilder> {
    let [kind, time]: [u8; 2] = u.arbitrary()?;
    let time = u64::from(time & 0x7f);
    let number = u64::from(kind >> 5);
    Ok(match kind % 16 {
        kind @ 0..7 => {
            let (address, name, code) = (address(u)?, some(u, 20)?, some(u, 255)?);
            let dump = match kind & 1 {
                0 => dump,
                _ => dump.unwinding(time, 0, &frames(code.len(), endian), &[1; 12]),
            };
            dump.load(At { time, ..At::new(INNER_PID, 0) }, address, number, name, code)
        }
        7 | 8 => {
            let (old, new) = (address(u)?, address(u)?);
            let moved = Move {
                pid: INNER_PID,
                tid: INNER_PID,
                vma: new,
                old_code_addr: old,
                new_code_addr: new,
                code_size: u.arbitrary::<u8>()?.into(),
                code_index: number,
            };
            dump.moved(time, &moved)
        }
        9 => {
            let start = address(u)?;
            let mut lines = Vec::new();
            for _ in 0..number {
                let [into, line]: [u8; 2] = u.arbitrary()?;
                let (addr, line) = (start.wrapping_add(into.into()), line.into());
                lines.push(Line { addr, line, discriminator: 0, file: some(u, 8)?.as_bstr() });
            }
            dump.debug_info(time, start, &lines)
        }
        10 | 11 => {
            let (tables, header): (&[u8], &[u8]) = (some(u, 255)?, some(u, 12)?);
            dump.unwinding(time, number, tables, header)
        }
        12 => dump.close(time),
        13 => dump.record(Id(number.try_into().unwrap_or(0)), time, some(u, 64)?),
        14 => dump.raw(some(u, 64)?),
        _ => {
            let code = vec![0x90; usize::from(u.arbitrary::<u16>()?)];
            dump.load(At { time, ..At::new(INNER_PID, 0) }, address(u)?, number, b"large", &code)
        }
    })
}

/// Unwinding tables of a function of so many bytes, as V8 writes them: a CIE with the augmentation zLR, and an FDE.
pub(crate) fn frames(size: usize, endian: Endian) -> Vec<u8> {
    let size = u32::try_from(size).expect("a small function");
    // From where the pointer stands to where the function does, behind which the tables would.
    let start = (size.next_multiple_of(8) + 0x24).wrapping_neg();
    [
        &endian.put_u32(0x18)[..],
        &[0, 0, 0, 0, 3],
        b"zLR\0",
        &[1, 0x78, 0x10, 2, 0xff, 0x1b, 0x0c, 7, 8, 0x90, 1, 0, 0, 0, 0],
        &endian.put_u32(0x20),
        &endian.put_u32(0x20),
        &endian.put_u32(start),
        &endian.put_u32(size),
        &[0, 0x4f, 0x0e, 0x10, 0x86, 2, 0x43, 0x0d, 6, 2, 0xcb, 0x0d, 7, 0x41, 0x0e, 8, 0x52, 0x0c, 6, 0],
        &[0; 4],
    ]
    .concat()
}

/// A perf map with a line for every few bytes.
fn lines(u: &mut Unstructured<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    let mut large = 0;
    while !u.is_empty() {
        let Ok((start, size, name)) = line(u, &mut large) else { break };
        text.extend_from_slice(format!("{start:x} {size:x} ").as_bytes());
        text.extend_from_slice(&name);
        text.push(b'\n');
    }
    text
}

fn line(u: &mut Unstructured<'_>, large: &mut usize) -> Result<(u64, u64, BString)> {
    let (start, [kind, size]): (u64, [u8; 2]) = (address(u)?, u.arbitrary()?);
    let size = match kind {
        0xf0.. if *large < LARGE_AT_MOST => {
            *large += 1;
            u64::MAX >> (size % 64)
        }
        _ => u64::from(size),
    };
    Ok((start, size, some(u, 20)?.into()))
}
