//! Converts one sample: unwinds its stack, and writes it again with the chain that comes of it. Several workers do that
//! side by side.

use perf_format::codec::Array;
use perf_format::record::{CpuMode, RawRecord, RecordHeader};
use perf_format::sample::{Arch, Raw, Regs, StackDump, frames};
use perf_format::{Endian, Error, Sample, SampleFormat};
use perf_unwind::{
    Architecture, ByteOrder, CallFrame, Modules, Registers, RuleCache, StackMemory, StopReason, Unwound,
    unwind,
};

use super::ConvertCallchain;
use super::layout::StackLayout;

/// `PERF_CONTEXT_USER`: the addresses behind it are of user space.
const CONTEXT_USER: u64 = 512_u64.wrapping_neg();

/// The largest record, in whole words.
const RECORD_AT_MOST: usize = 65528;

/// What is kept from one sample to the next.
#[derive(Debug, Default)]
pub(super) struct Worker {
    cache: RuleCache,
    frames: Vec<CallFrame>,
    chain: Vec<u8>,
}

/// What came of a sample's stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) end: End,
    /// Frames of the kernel's part of the chain, as it was recorded.
    pub(super) kernel: usize,
    /// Frames that tables told.
    pub(super) by_table: usize,
    /// Frames that frame pointers told.
    pub(super) by_frame_pointer: usize,
}

/// How unwinding ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// For a reason.
    Stopped(StopReason),
    /// It was not tried: the sample has no registers of user space, as a kernel thread's, or is a guest's.
    NoRegisters,
    /// It was not tried: the architecture is none that is unwound here.
    Architecture,
}

impl Outcome {
    /// Whether all that was asked for is known: nothing is missing that may be mapped later.
    pub(super) fn is_final(&self) -> bool {
        !matches!(self.end, End::Stopped(StopReason::Unknown { .. } | StopReason::Unmapped { .. }))
    }
}

/// What all samples of a recording have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Common {
    pub(super) options: ConvertCallchain,
    /// The architecture that recorded, if it is known here.
    pub(super) arch: Option<Arch>,
}

impl Worker {
    /// Appends the converted sample to `out`.
    ///
    /// # Errors
    /// Where the sample does not fit its layout; then nothing was appended.
    pub(super) fn convert(
        &mut self,
        record: &RawRecord<'_>,
        layout: &StackLayout,
        common: Common,
        modules: &Modules,
        out: &mut Vec<u8>,
    ) -> Result<Outcome, Error> {
        let mut sample = Sample::parse(&layout.recorded, record)?;
        let recorded = sample.callchain.unwrap_or(Array::new(&[], record.endian));
        let (regs, stack) = (sample.regs_user, sample.stack_user);
        let max_stack = usize::from(common.options.max_stack);
        self.chain.clear();
        self.frames.clear();
        let mut outcome = Outcome { end: End::NoRegisters, kernel: 0, by_table: 0, by_frame_pointer: 0 };
        let is_guests = matches!(record.misc().cpumode(), CpuMode::GuestKernel | CpuMode::GuestUser);
        let mut words = 0;
        if let (Some(regs), Some(stack), false) = (regs, stack, is_guests)
            && regs.abi != 0
        {
            for word in recorded.iter().take_while(|word| *word != CONTEXT_USER).take(max_stack) {
                self.push(word, record.endian);
                words += 1;
            }
            outcome.kernel = frames(Array::new(&self.chain, record.endian), record.misc().cpumode()).count();
            let at_most = max_stack.saturating_sub(words + 1);
            outcome.end = match architecture(common.arch, regs.abi) {
                Some(architecture) => {
                    let unwound = self.unwind(architecture, &regs, &stack, record.endian, modules, at_most);
                    outcome.by_table = unwound.by_table;
                    outcome.by_frame_pointer = unwound.by_frame_pointer;
                    End::Stopped(unwound.stop)
                }
                None => End::Architecture,
            };
            if !self.frames.is_empty() {
                self.push(CONTEXT_USER, record.endian);
                for at in 0..self.frames.len() {
                    let address = self.frames.get(at).map_or(0, CallFrame::lookup_address);
                    self.push(address, record.endian);
                }
            }
            sample.callchain = Some(Array::new(&self.chain, record.endian));
        } else {
            // What was recorded is all that there is.
            sample.callchain = Some(recorded);
        }
        if !common.options.keep_stacks {
            (sample.regs_user, sample.stack_user) = (None, None);
        }
        write(&sample, record, layout, out);
        Ok(outcome)
    }

    fn push(&mut self, word: u64, endian: Endian) {
        self.chain.extend(endian.put_u64(word));
    }

    fn unwind(
        &mut self,
        architecture: Architecture,
        regs: &Regs<'_, true>,
        stack: &StackDump<'_>,
        endian: Endian,
        modules: &Modules,
        at_most: usize,
    ) -> Unwound {
        let registers = Registers::from_perf(architecture, regs.mask, regs.regs.iter());
        let order = byte_order(endian);
        let copied = stack.dyn_size.and_then(|size| stack.bytes.get(..usize::try_from(size).ok()?));
        let sp = registers.stack_pointer().unwrap_or(0);
        let stack = match copied {
            Some(bytes) if bytes.len() < stack.bytes.len() => StackMemory::whole(sp, bytes, order),
            _ => StackMemory::new(sp, stack.bytes, order),
        };
        unwind(modules, &registers, &stack, &mut self.cache, at_most, &mut self.frames)
    }
}

/// The byte order of a recording's machine.
pub(crate) fn byte_order(endian: Endian) -> ByteOrder {
    match endian {
        Endian::Little => ByteOrder::Little,
        Endian::Big => ByteOrder::Big,
    }
}

/// The architecture of the code that ran, by that of the machine and `PERF_SAMPLE_REGS_ABI_*`.
fn architecture(arch: Option<Arch>, abi: u64) -> Option<Architecture> {
    match (arch?, abi) {
        (Arch::X86 | Arch::X86_64, 1) => Some(Architecture::X86),
        (Arch::X86_64, 2) => Some(Architecture::X86_64),
        (Arch::Arm64, 2) => Some(Architecture::Aarch64),
        _ => None,
    }
}

/// Writes a sample in its new layout. A record has a bound: of a chain that would go beyond it, the outermost frames go, and
/// then the end of a stack that stays.
fn write(sample: &Sample<'_>, record: &RawRecord<'_>, layout: &StackLayout, out: &mut Vec<u8>) {
    let start = out.len();
    let len = encode(sample, &layout.converted, record, out);
    if len > RECORD_AT_MOST {
        let over = (len - RECORD_AT_MOST).div_ceil(8);
        let chain = sample.callchain.unwrap_or(Array::new(&[], record.endian));
        let kept = chain.len().saturating_sub(over);
        let bytes: Vec<u8> = chain.iter().take(kept).flat_map(|word| record.endian.put_u64(word)).collect();
        let rest = 8 * over.saturating_sub(chain.len());
        let shorter = Sample {
            callchain: Some(Array::new(&bytes, record.endian)),
            stack_user: sample.stack_user.map(|stack| shortened(stack, rest)),
            ..sample.clone()
        };
        out.truncate(start);
        if encode(&shorter, &layout.converted, record, out) > RECORD_AT_MOST {
            // Something else fills it, as no real sample's does.
            out.truncate(start);
            out.extend_from_slice(record.bytes);
            return;
        }
    }
    finish(record, start, out);
}

/// A stack with so many bytes less.
fn shortened(stack: StackDump<'_>, by: usize) -> StackDump<'_> {
    let bytes = stack.bytes.get(..stack.bytes.len().saturating_sub(by)).unwrap_or_default();
    let dyn_size = stack.dyn_size.map(|size| size.min(bytes.len() as u64)).filter(|_| !bytes.is_empty());
    StackDump { bytes, dyn_size }
}

/// Writes a sample behind room for its header, and returns the length of both.
fn encode(sample: &Sample<'_>, format: &SampleFormat, record: &RawRecord<'_>, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend([0; RecordHeader::SIZE]);
    sample.encode(format, record.endian, out);
    out.len() - start
}

/// Writes the header of a record that begins at `start`.
fn finish(record: &RawRecord<'_>, start: usize, out: &mut [u8]) {
    let size = u16::try_from(out.len() - start).unwrap_or(u16::MAX);
    let header = RecordHeader { size, ..record.header };
    if let Some(place) = out.get_mut(start..start + RecordHeader::SIZE) {
        place.copy_from_slice(&header.to_bytes(record.endian));
    }
}

/// Appends a sample that cannot be read, without what is in it from the registers on: the fields in front stay, and those
/// behind are zero. Where the former cannot be read either, those of a fixed size stay. `None` where not even these are there.
pub(super) fn write_head(record: &RawRecord<'_>, layout: &StackLayout, out: &mut Vec<u8>) -> Option<()> {
    if let Ok(sample) = Sample::parse(&layout.head, record)
        && write_in_front(sample, record, layout, out)
    {
        return Some(());
    }
    let fixed = record.bytes.get(..layout.head.fixed_len())?;
    // Zeros for each of the fields whose sizes vary: of counters, the chain, raw data and branches.
    let zeroed = [fixed, &[0; 16 * 8]].concat();
    let mut sample = Sample::parse(&layout.head, &RawRecord { bytes: &zeroed, ..*record }).ok()?;
    // Raw data fill words with their size.
    sample.raw = sample.raw.map(|_| Raw(&[0; 4]));
    write_in_front(sample, record, layout, out).then_some(())
}

/// Appends the fields in front of the registers, and zeros for those behind. Whether that is no larger than a record can be;
/// otherwise nothing was appended.
fn write_in_front(
    mut sample: Sample<'_>,
    record: &RawRecord<'_>,
    layout: &StackLayout,
    out: &mut Vec<u8>,
) -> bool {
    sample.rest = &[];
    sample.callchain = Some(sample.callchain.unwrap_or(Array::new(&[], record.endian)));
    let start = out.len();
    encode(&sample, &layout.head, record, out);
    let behind = layout.words_behind + if layout.keeps_stacks { 2 } else { 0 };
    out.resize(out.len() + 8 * behind, 0);
    if out.len() - start > RECORD_AT_MOST {
        out.truncate(start);
        return false;
    }
    finish(record, start, out);
    true
}
