//! For tests, here and in the crates that read perf data: builders of streams and jitdumps in either byte order, and the
//! swapper that makes a recording's twin in the other one.

use bstr::ByteSlice as _;

use crate::attr::{Attr, AttrFields, AttrFlags, SampleType};
use crate::codec::{Array, Words};
use crate::header::pipe_header;
use crate::record::{
    BuildIdRecord, Comm, CpuMode, HeaderAttr, HeaderFeature, Inode, MapFile, Misc, Mmap2, Record, RecordType,
    SizedBuildId, Task, TracingDataRecord,
};
use crate::sample::{Sample, SampleFormat, SampleId, Tid};
use crate::{BuildId, Endian, Feature};

pub mod features;
mod jitdump;
mod outcome;
mod pieces;
pub mod sched;
mod stack;
mod swap;

pub use jitdump::{JitDumpBuilder, jit_header};
pub use outcome::{OwnedRecord, ids_in, injected, records};
pub use pieces::Pieces;
pub use stack::{STACK_REGS, UserStack, stack_attr};
pub use swap::swapped;

/// A pipe's stream under construction. Records other than samples get the trailer of the last attr's format.
#[derive(Debug, Clone)]
pub struct StreamBuilder {
    endian: Endian,
    out: Vec<u8>,
    format: SampleFormat,
}

/// A thread and a moment: what most records have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    /// Process (thread group).
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// When, in ns.
    pub time: u64,
}

impl At {
    /// The first thread of a process at a time.
    #[must_use]
    pub fn new(pid: u32, time: u64) -> Self {
        Self { pid, tid: pid, time }
    }
}

/// An attr with these sample fields, `sample_id_all`, and the size of a 6.1 perf.
#[must_use]
pub fn attr(sample_type: SampleType) -> Attr {
    let flags = AttrFlags::SAMPLE_ID_ALL | AttrFlags::MMAP2 | AttrFlags::COMM_EXEC | AttrFlags::TASK;
    Attr { fields: AttrFields { size: 128, sample_type, flags, ..Default::default() }, tail: Vec::new() }
}

/// The attr of `perf record -g`.
#[must_use]
pub fn callchain_attr() -> Attr {
    attr(SampleType::IP | SampleType::TID | SampleType::TIME | SampleType::CALLCHAIN | SampleType::PERIOD)
}

impl StreamBuilder {
    /// A stream with its header and nothing else.
    #[must_use]
    pub fn new(endian: Endian) -> Self {
        Self { endian, out: pipe_header(endian).to_vec(), format: SampleFormat::new(&Attr::default()) }
    }

    /// A stream that begins with [`callchain_attr`].
    #[must_use]
    pub fn with_callchains(endian: Endian) -> Self {
        Self::new(endian).attr(&callchain_attr(), &[1])
    }

    /// An event.
    #[must_use]
    pub fn attr(mut self, attr: &Attr, ids: &[u64]) -> Self {
        self.format = SampleFormat::new(attr);
        let ids: Vec<u8> = ids.iter().flat_map(|id| self.endian.put_u64(*id)).collect();
        let ids = Words(Array::new(&ids, self.endian));
        self.record(Misc::default(), &Record::HeaderAttr(HeaderAttr { attr: attr.clone(), ids }))
    }

    /// The features that tell where a stream was recorded, as `uname -n`, `-r` and `-m` do.
    #[must_use]
    pub fn recorded_on(mut self, hostname: &str, release: &str, arch: &str) -> Self {
        let features = [(Feature::HOSTNAME, hostname), (Feature::OSRELEASE, release), (Feature::ARCH, arch)];
        for (Feature(number), text) in features {
            let len = u32::try_from(text.len() + 1).expect("a test's name is short").next_multiple_of(64);
            let mut data = self.endian.put_u32(len).to_vec();
            data.extend(text.as_bytes());
            data.resize(4 + len as usize, 0);
            let feature = HeaderFeature { feat_id: number.into(), data: &data };
            self = self.record(Misc::default(), &Record::HeaderFeature(feature));
        }
        self
    }

    /// A record without a trailer.
    #[must_use]
    pub fn record(mut self, misc: Misc, record: &Record<'_>) -> Self {
        record.encode(misc, &[], self.endian, &mut self.out).expect("a test's record fits");
        self
    }

    /// A record of the kernel, with its trailer.
    #[must_use]
    pub fn traced(mut self, misc: Misc, record: &Record<'_>, at: At) -> Self {
        let id = SampleId { tid: Some(tid(at)), time: Some(at.time), ..SampleId::default() };
        let trailer = match self.format.trailer_len() {
            0 => Vec::new(),
            len => {
                let mut bytes = self.of_format(&id);
                bytes.resize(len, 0);
                bytes
            }
        };
        record.encode(misc, &trailer, self.endian, &mut self.out).expect("a test's record fits");
        self
    }

    /// The fields of a trailer that the format has, in their order; ids and CPUs are 0.
    fn of_format(&self, id: &SampleId<'_>) -> Vec<u8> {
        let has = |field| self.format.sample_type.contains(field);
        let id = SampleId {
            tid: id.tid.filter(|_| has(SampleType::TID)),
            time: id.time.filter(|_| has(SampleType::TIME)),
            ..SampleId::default()
        };
        id.to_bytes(&self.format, self.endian)
    }

    /// A file mapped into a process.
    #[must_use]
    pub fn mmap2(self, at: At, start: u64, len: u64, filename: &str) -> Self {
        self.mapped(at, start, len, filename, MapFile::Inode(Inode::default()))
    }

    /// A file mapped into a process, identified by its inode or its build-id.
    #[must_use]
    pub fn mapped(self, at: At, start: u64, len: u64, filename: &str, file: MapFile) -> Self {
        let map = Mmap2 {
            pid: at.pid,
            tid: at.tid,
            start,
            len,
            pgoff: 0,
            file,
            prot: 5,
            flags: 2,
            filename: filename.as_bytes().as_bstr(),
        };
        self.traced(Misc::of(CpuMode::User), &Record::Mmap2(map), at)
    }

    /// The kernel's image; the address of its reference symbol is hidden.
    #[must_use]
    pub fn kernel(self, start: u64, len: u64) -> Self {
        let map = crate::record::Mmap {
            pid: u32::MAX,
            tid: 0,
            start,
            len,
            pgoff: 0,
            filename: b"[kernel.kallsyms]_text".as_bstr(),
        };
        let at = At { pid: u32::MAX, tid: 0, time: 0 };
        self.traced(Misc::of(CpuMode::Kernel), &Record::Mmap(map), at)
    }

    /// A thread of `parent`, or, with another pid, a process.
    #[must_use]
    pub fn fork(self, at: At, ppid: u32) -> Self {
        let task = Task { pid: at.pid, ppid, tid: at.tid, ptid: ppid, time: at.time };
        self.traced(Misc::default(), &Record::Fork(task), at)
    }

    /// The end of a thread.
    #[must_use]
    pub fn exit(self, at: At) -> Self {
        let task = Task { pid: at.pid, ppid: at.pid, tid: at.tid, ptid: at.tid, time: at.time };
        self.traced(Misc::default(), &Record::Exit(task), at)
    }

    /// An exec.
    #[must_use]
    pub fn exec(self, at: At, name: &str) -> Self {
        let comm = Comm { pid: at.pid, tid: at.tid, comm: name.as_bytes().as_bstr() };
        self.traced(Misc(Misc::COMM_EXEC), &Record::Comm(comm), at)
    }

    /// A sample in a mode, at an address, with the addresses of its call chain if the format has one.
    #[must_use]
    pub fn sample(self, mode: CpuMode, at: At, ip: u64, chain: &[u64]) -> Self {
        let has = |field| self.format.sample_type.contains(field);
        let bytes: Vec<u8> = chain.iter().flat_map(|ip| self.endian.put_u64(*ip)).collect();
        let sample = Sample {
            identifier: has(SampleType::IDENTIFIER).then_some(1),
            ip: has(SampleType::IP).then_some(ip),
            tid: has(SampleType::TID).then_some(tid(at)),
            time: has(SampleType::TIME).then_some(at.time),
            id: has(SampleType::ID).then_some(1),
            period: has(SampleType::PERIOD).then_some(1),
            callchain: has(SampleType::CALLCHAIN).then_some(Array::new(&bytes, self.endian)),
            ..Sample::default()
        };
        let body = sample.to_bytes(&self.format, self.endian);
        self.record(Misc::of(mode), &Record::Sample(&body))
    }

    /// A build-id of the host.
    #[must_use]
    pub fn build_id(self, mode: CpuMode, id: BuildId, filename: &str) -> Self {
        let filename = filename.as_bytes().as_bstr();
        let record = BuildIdRecord { pid: -1, build_id: SizedBuildId(Some(id)), filename };
        self.record(Misc::of(mode), &Record::BuildId(record))
    }

    /// The end of a pass over the ring buffers.
    #[must_use]
    pub fn finished_round(self) -> Self {
        self.record(Misc::default(), &Record::FinishedRound(&[]))
    }

    /// A TRACING_DATA record and the payload behind it.
    #[must_use]
    pub fn tracing_data(self, payload: &[u8]) -> Self {
        let size = u32::try_from(payload.len()).expect("a test's payload is small");
        let record = Record::TracingData(TracingDataRecord { size, pad: Some(0) });
        self.record(Misc::default(), &record).raw(payload)
    }

    /// A record of a type not known here.
    #[must_use]
    pub fn unknown(self, record_type: u32, body: &[u8]) -> Self {
        self.record(Misc::default(), &Record::Other(RecordType(record_type), body))
    }

    /// Bytes as they are.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.out.extend_from_slice(bytes);
        self
    }

    /// The stream.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        self.out
    }
}

fn tid(at: At) -> Tid {
    Tid { pid: at.pid, tid: at.tid }
}
