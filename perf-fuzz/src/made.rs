//! Streams made of a fuzzer's bytes: every record is whole, and few processes, pages and names play in it, so that
//! they meet. What a record holds may still be anything.

use arbitrary::{Result, Unstructured};
use bstr::ByteSlice as _;
use perf_format::attr::SampleType;
use perf_format::record::{BuildIdRecord, Inode, MapFile, Mmap2, SizedBuildId};
use perf_format::testing::{At, StreamBuilder, attr};
use perf_format::{BuildId, CpuMode, Endian, Misc, Record, RecordType};

const NAMES: [&str; 8] = [
    "/bin/a",
    "/lib/b.so",
    "//anon",
    "[vdso]",
    "[kernel.kallsyms]_text",
    "[guest.kernel.kallsyms.7]_text",
    "[module]",
    "relative",
];

const MODES: [CpuMode; 6] = [
    CpuMode::User,
    CpuMode::Kernel,
    CpuMode::GuestUser,
    CpuMode::GuestKernel,
    CpuMode::Hypervisor,
    CpuMode::Unknown,
];

/// A stream: an event, then a step for every few bytes.
pub(crate) fn stream(data: &[u8]) -> Vec<u8> {
    let mut u = Unstructured::new(data);
    let endian = if u.arbitrary().unwrap_or_default() { Endian::Big } else { Endian::Little };
    let mut stream = StreamBuilder::new(endian);
    // Where the bytes end in the middle of a step, the stream ends before it.
    while !u.is_empty() {
        match step(stream.clone(), &mut u) {
            Ok(longer) => stream = longer,
            Err(_) => break,
        }
    }
    stream.bytes()
}

pub(crate) fn step(stream: StreamBuilder, u: &mut Unstructured<'_>) -> Result<StreamBuilder> {
    Ok(match u.arbitrary::<u8>()? % 16 {
        0..3 => mapped(stream, u)?,
        3..7 => {
            let (mode, at, ip) = (*u.choose(&MODES)?, at(u)?, address(u)?);
            let chain: Vec<u64> = (0..u.arbitrary::<u8>()? % 4).map(|_| link(u)).collect::<Result<_>>()?;
            stream.sample(mode, at, ip, &chain)
        }
        7 => {
            let (at, parent) = (at(u)?, pid(u)?);
            stream.fork(at, parent)
        }
        8 => stream.exit(at(u)?),
        9 => stream.exec(at(u)?, "exec"),
        10 => build_id(stream, u)?,
        11 => stream.finished_round(),
        12 => event(stream, u)?,
        13 => {
            let len: u8 = u.arbitrary()?;
            stream.tracing_data(u.bytes((len % 32).into())?)
        }
        _ => any_body(stream, u)?,
    })
}

/// An event whose samples have any of the fields that the builder fills.
fn event(stream: StreamBuilder, u: &mut Unstructured<'_>) -> Result<StreamBuilder> {
    let fields = [
        SampleType::IP | SampleType::TID,
        SampleType::TIME,
        SampleType::CALLCHAIN,
        SampleType::PERIOD,
        SampleType::ID,
        SampleType::IDENTIFIER,
    ];
    let bits: u8 = u.arbitrary()?;
    let chosen = fields.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, field)| *field);
    Ok(stream.attr(&attr(chosen.collect()), &[1, u.arbitrary::<u8>()?.into()]))
}

fn mapped(stream: StreamBuilder, u: &mut Unstructured<'_>) -> Result<StreamBuilder> {
    let (mode, at, start, pages) = (*u.choose(&MODES)?, at(u)?, address(u)?, u.arbitrary::<u8>()? % 4);
    let kind: u8 = u.arbitrary()?;
    let file = match kind & 1 {
        0 => MapFile::Inode(Inode::default()),
        _ => MapFile::BuildId(BuildId::new(u.bytes(usize::from(kind % 24))?).ok()),
    };
    let filename = u.choose(&NAMES)?.as_bytes().as_bstr();
    let prot = if kind & 2 == 0 { 5 } else { 1 };
    let len = u64::from(pages) << 12;
    let map = Mmap2 { pid: at.pid, tid: at.tid, start, len, pgoff: 0, file, prot, flags: 2, filename };
    Ok(stream.traced(Misc::of(mode), &Record::Mmap2(map), at))
}

fn build_id(stream: StreamBuilder, u: &mut Unstructured<'_>) -> Result<StreamBuilder> {
    let mode = *u.choose(&MODES)?;
    let pid = pid(u)?.cast_signed() - 1;
    let build_id = SizedBuildId(BuildId::new(&[u.arbitrary()?; 20]).ok());
    let filename = u.choose(&NAMES)?.as_bytes().as_bstr();
    Ok(stream.record(Misc::of(mode), &Record::BuildId(BuildIdRecord { pid, build_id, filename })))
}

/// A record of any type with any body. The two that announce a payload have none then, or one that is cut.
fn any_body(stream: StreamBuilder, u: &mut Unstructured<'_>) -> Result<StreamBuilder> {
    let number: u8 = u.arbitrary()?;
    let record_type = RecordType::ALL.get(usize::from(number)).copied().unwrap_or(RecordType(number.into()));
    let misc = Misc(u.arbitrary()?);
    let len: u8 = u.arbitrary()?;
    let body = u.bytes(usize::from(len).min(u.len()))?;
    Ok(stream.record(misc, &Record::Other(record_type, body)))
}

fn pid(u: &mut Unstructured<'_>) -> Result<u32> {
    Ok(u32::from(u.arbitrary::<u8>()? % 5))
}

pub(crate) fn at(u: &mut Unstructured<'_>) -> Result<At> {
    let pid = pid(u)?;
    Ok(At { pid, tid: pid, time: u.arbitrary::<u8>()?.into() })
}

pub(crate) fn address(u: &mut Unstructured<'_>) -> Result<u64> {
    let page: u8 = u.arbitrary()?;
    Ok(0x40_0000 + (u64::from(page % 8) << 12) + if page & 0x80 == 0 { 0 } else { 0x123 })
}

/// An address of a call chain, or a marker.
pub(crate) fn link(u: &mut Unstructured<'_>) -> Result<u64> {
    let markers = [128_u64, 512, 640, 2176, 2560];
    match u.arbitrary::<u8>()? % 12 {
        n @ 0..5 => Ok(markers.get(usize::from(n)).copied().unwrap_or_default().wrapping_neg()),
        _ => address(u),
    }
}
