//! Drafts of off-CPU samples: all of a sample but how long the thread was away, and until when.

use perf_format::attr::SampleType;
use perf_format::record::Misc;
use perf_format::sample::{Cpu, Regs, StackDump, Tid};
use perf_format::{Array, CpuMode, Endian, RawRecord, RecordHeader, RecordType, Sample, SampleFormat};

use super::events::AddedEvents;

/// A sample without its event, its time and its period: where a thread was when it left its CPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SampleDraft(Vec<u8>);

/// The fixed fields that are written when the sample goes out.
const LATER: SampleType =
    SampleType::IDENTIFIER.union(SampleType::ID).union(SampleType::TIME).union(SampleType::PERIOD);

/// How drafts are made of one event's samples. It is worked out once, since each switch has a draft.
#[derive(Debug, Clone)]
pub(crate) struct DraftLayout {
    from: SampleFormat,
    to: SampleFormat,
    /// Where in a sample each of the draft's fixed fields stands; `None` for those that the sample has not, and those that
    /// are written later.
    words: Box<[Option<usize>]>,
    /// Where in a sample the number of its CPU stands.
    pub(crate) cpu: Option<usize>,
}

impl DraftLayout {
    /// How the samples of one format become drafts of another.
    pub(crate) fn new(from: SampleFormat, to: SampleFormat) -> Self {
        let fields = SampleFormat::FIXED.into_iter().filter(|field| to.sample_type.contains(*field));
        let words: Box<_> =
            fields.map(|field| from.field_offset(field).filter(|_| !LATER.contains(field))).collect();
        Self { from, to, words, cpu: from.field_offset(SampleType::CPU) }
    }

    /// Appends the draft of a sample at the place of this one; `None` where it has not the fields that its event has.
    #[inline]
    pub(crate) fn write(&self, sample: &RawRecord<'_>, out: &mut Vec<u8>) -> Option<()> {
        let Self { from, to, .. } = self;
        let has = |field| to.sample_type.contains(field);
        let start = out.len();
        out.extend_from_slice(&[0; RecordHeader::SIZE]);
        for from in &self.words {
            let word = match from {
                Some(from) => *sample.bytes.get(*from..)?.first_chunk()?,
                None => [0; 8],
            };
            out.extend_from_slice(&word);
        }
        if has(SampleType::CALLCHAIN) {
            let chain = from.callchain(sample).ok()?.unwrap_or(Array::new(&[], sample.endian));
            out.extend_from_slice(&sample.endian.put_u64(chain.len() as u64));
            out.extend_from_slice(chain.bytes());
        }
        if has(SampleType::REGS_USER) || has(SampleType::STACK_USER) {
            let parsed = Sample::parse(from, sample).ok()?;
            out.extend(stack(&parsed, to, sample.endian));
        }
        put_header(out.get_mut(start..)?, sample.misc(), sample.endian)
    }
}

/// Appends the draft of a sample at no place, of which the thread alone is known.
pub(crate) fn write_nowhere(
    tid: Tid,
    cpu: Option<Cpu>,
    to: &SampleFormat,
    endian: Endian,
    out: &mut Vec<u8>,
) -> Option<()> {
    let has = |field| to.sample_type.contains(field);
    let zero = |field| has(field).then_some(0);
    let sample = Sample {
        identifier: zero(SampleType::IDENTIFIER),
        ip: zero(SampleType::IP),
        tid: has(SampleType::TID).then_some(tid),
        time: zero(SampleType::TIME),
        addr: zero(SampleType::ADDR),
        id: zero(SampleType::ID),
        stream_id: zero(SampleType::STREAM_ID),
        cpu: has(SampleType::CPU).then_some(cpu.unwrap_or(Cpu { cpu: 0, reserved: 0 })),
        period: zero(SampleType::PERIOD),
        callchain: has(SampleType::CALLCHAIN).then_some(Array::new(&[], endian)),
        ..Sample::default()
    };
    let start = out.len();
    out.extend_from_slice(&[0; RecordHeader::SIZE]);
    out.extend(sample.to_bytes(to, endian));
    out.extend(stack(&Sample::default(), to, endian));
    put_header(out.get_mut(start..)?, Misc::of(CpuMode::User), endian)
}

/// Writes the header of a draft, which is eight bytes or a multiple of them long, as all of the kernel's samples are.
fn put_header(draft: &mut [u8], misc: Misc, endian: Endian) -> Option<()> {
    let size = u16::try_from(draft.len()).ok()?;
    let header = RecordHeader { record_type: RecordType::SAMPLE, misc, size };
    *draft.first_chunk_mut()? = header.to_bytes(endian);
    Some(())
}

impl SampleDraft {
    /// A draft that was written before. It is kept in this buffer, whatever was in it.
    pub(crate) fn new(draft: &[u8], mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        buffer.extend_from_slice(draft);
        Self(buffer)
    }

    /// The buffer that it is kept in.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.0
    }

    /// Bytes that it takes, which may be more than it has where its buffer had another draft.
    pub(crate) fn held(&self) -> usize {
        self.0.capacity()
    }

    /// Appends the sample of an event, of a time and with a period, both in ns.
    pub(crate) fn write(&self, event: u64, time: u64, period: u64, to: &DraftPlaces, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.0);
        let endian = to.endian;
        let mut put = |at: Option<usize>, word| {
            let place = at.and_then(|at| out.get_mut(start + at..)?.first_chunk_mut());
            if let Some(place) = place {
                *place = endian.put_u64(word);
            }
        };
        put(to.identifier, event);
        put(to.id, event);
        put(to.time, time);
        put(to.period, period);
    }
}

/// Where what is written later stands in a draft.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DraftPlaces {
    endian: Endian,
    identifier: Option<usize>,
    id: Option<usize>,
    time: Option<usize>,
    period: Option<usize>,
}

impl DraftPlaces {
    pub(crate) fn of(events: &AddedEvents, endian: Endian) -> Self {
        let at = |field| events.format.field_offset(field);
        Self {
            endian,
            identifier: at(SampleType::IDENTIFIER),
            id: at(SampleType::ID),
            time: at(SampleType::TIME),
            period: at(SampleType::PERIOD),
        }
    }
}

/// The user registers and the user stack; none where the sample has none, or registers of another mask.
fn stack(sample: &Sample<'_>, to: &SampleFormat, endian: Endian) -> Vec<u8> {
    let none = Regs { abi: 0, mask: to.user_registers(), regs: Array::new(&[], endian) };
    let regs = sample.regs_user.filter(|regs| regs.mask == none.mask).unwrap_or(none);
    let stack = sample.stack_user.unwrap_or(StackDump { bytes: &[], dyn_size: None });
    let sample = Sample {
        regs_user: to.sample_type.contains(SampleType::REGS_USER).then_some(regs),
        stack_user: to.sample_type.contains(SampleType::STACK_USER).then_some(stack),
        ..Sample::default()
    };
    sample.to_bytes(to, endian)
}
