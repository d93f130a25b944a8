//! The queries of a record: its addresses with what they have in common, as its event lays them out.

use perf_format::attr::SampleType;
use perf_format::codec::Array;
use perf_format::sample::{AddressKind, FieldOffsets, Tid};
use perf_format::{CpuMode, RawRecord, RecordType, SampleFormat};

use super::log::{HostSample, words};
use super::query::Query;
use crate::session::Session;

/// Who asks: what the addresses of one record have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueryContext<'a, 'r> {
    record: &'a RawRecord<'r>,
    pub(super) pid: u32,
    /// In ns.
    pub(super) time: Option<u64>,
}

impl<'a, 'r> QueryContext<'a, 'r> {
    /// `None` where it is not known whose the later part of a chain is.
    pub(super) fn of(record: &'a RawRecord<'r>, format: &SampleFormat) -> Option<Self> {
        let (pid, time) = match record.record_type() {
            RecordType::SAMPLE => (format.tid(record).map_or(0, |tid| tid.pid), format.time(record)),
            // It is looked up as of its own, later time.
            _ => (format.trailer_tid(record).map(|Tid { pid, .. }| pid)?, format.trailer_time(record)),
        };
        Some(Self { record, pid, time })
    }

    /// Whether it is a sample of the host with what a reader unwinds: registers, and mostly the stack.
    pub(super) fn has_stack(&self, format: &SampleFormat) -> bool {
        let fields = format.sample_type;
        (fields.contains(SampleType::REGS_USER) || fields.contains(SampleType::STACK_USER))
            && self.record.record_type() == RecordType::SAMPLE
            && is_of_host(self.record.misc().cpumode())
    }

    pub(super) fn query(
        &self,
        addr: u64,
        cpumode: CpuMode,
        via: AddressKind,
        session: &Session,
    ) -> Option<Query> {
        let (machine, space) = session.space(self.record, cpumode, self.pid)?;
        Some(Query { machine, space, addr, time: self.time, via })
    }

    /// The sample, if it is one of the host that has a time: then it goes into the log as it is.
    pub(super) fn as_host_sample(
        &self,
        format: &SampleFormat,
    ) -> Result<Option<HostSample<'r>>, perf_format::Error> {
        let Self { record, pid, time } = *self;
        let cpumode = record.misc().cpumode();
        let (RecordType::SAMPLE, Some(time), true) = (record.record_type(), time, is_of_host(cpumode)) else {
            return Ok(None);
        };
        let endian = record.endian;
        let chain = format.callchain(record)?.unwrap_or(Array::new(&[], endian));
        Ok(Some(HostSample { pid, cpumode, time, ip: format.ip(record), chain: words(&chain), endian }))
    }
}

/// Where the fields of a record stand, if they stand at one place in all samples of its event.
#[inline]
pub(super) fn field_offsets(record: &RawRecord<'_>, session: &Session) -> Option<FieldOffsets> {
    session.evlist.evsel(record)?.format.field_offsets()
}

/// The sample that stands in a record at the places where all of its event have it, if it is one of the host.
#[inline]
pub(super) fn host_sample<'r>(record: &RawRecord<'r>, offsets: FieldOffsets) -> Option<HostSample<'r>> {
    let RawRecord { bytes, endian, .. } = *record;
    let cpumode = record.misc().cpumode();
    if !is_of_host(cpumode) {
        return None;
    }
    let pid = endian.u32_at(bytes, offsets.tid)?;
    let time = endian.u64_at(bytes, offsets.time)?;
    let ip = Some(endian.u64_at(bytes, offsets.ip)?);
    let chain = match offsets.callchain {
        None => &[][..],
        Some(at) => {
            let count = usize::try_from(endian.u64_at(bytes, at)?).ok()?;
            bytes.get(at + 8..)?.as_chunks().0.get(..count)?
        }
    };
    Some(HostSample { pid, cpumode, time, ip, chain, endian })
}

#[inline]
pub(super) fn is_of_host(cpumode: CpuMode) -> bool {
    !matches!(cpumode, CpuMode::GuestKernel | CpuMode::GuestUser)
}

/// Whether a word of a chain is a marker that a guest's addresses follow: `PERF_CONTEXT_GUEST` to
/// `PERF_CONTEXT_GUEST_USER`, and what lies between.
#[inline(always)]
pub(super) fn is_guest_marker(word: u64) -> bool {
    word.wrapping_sub(2560_u64.wrapping_neg()) <= 2560 - 2048
}
