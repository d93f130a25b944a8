//! Samples with what a stack is unwound from: a thread's registers and a piece of its stack.

use super::{At, StreamBuilder, attr, tid};
use crate::Endian;
use crate::attr::{Attr, AttrFlags, SampleType};
use crate::codec::Array;
use crate::record::{CpuMode, Misc, Record};
use crate::sample::{Regs, Sample, StackDump};

/// The registers that [`stack_attr`] asks for, by the numbers of x86-64: the frame pointer (`PERF_REG_X86_BP`), the stack
/// pointer (`PERF_REG_X86_SP`) and the instruction's address (`PERF_REG_X86_IP`).
pub const STACK_REGS: u64 = 1 << 6 | 1 << 7 | 1 << 8;

/// The attr of `perf record --call-graph dwarf,SIZE`, with few registers.
#[must_use]
pub fn stack_attr(size: u32) -> Attr {
    let mut attr = attr(
        SampleType::IP
            | SampleType::TID
            | SampleType::TIME
            | SampleType::CALLCHAIN
            | SampleType::PERIOD
            | SampleType::REGS_USER
            | SampleType::STACK_USER,
    );
    attr.fields.flags |= AttrFlags::EXCLUDE_CALLCHAIN_USER;
    attr.fields.sample_regs_user = STACK_REGS;
    attr.fields.sample_stack_user = size;
    attr
}

/// The registers and the stack of a thread in one sample, in a recording's byte order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserStack {
    endian: Endian,
    abi: u64,
    mask: u64,
    registers: Vec<u8>,
    bytes: Vec<u8>,
    dyn_size: Option<u64>,
}

impl UserStack {
    /// Where the stack pointer is.
    pub const SP: u64 = 0x7ffd_0000_1000;

    /// A thread of x86-64 that runs at `ip`, whose stack begins with these words, and has no frame pointer.
    #[must_use]
    pub fn of_words(endian: Endian, ip: u64, words: &[u64]) -> Self {
        let bytes: Vec<u8> = words.iter().flat_map(|word| endian.put_u64(*word)).collect();
        let dyn_size = Some(bytes.len() as u64).filter(|size| *size > 0);
        let stack = Self { endian, abi: 0, mask: STACK_REGS, registers: Vec::new(), bytes, dyn_size };
        stack.with_registers(2, STACK_REGS, &[0, Self::SP, ip])
    }

    /// The same where the stack is of 32-bit words.
    #[must_use]
    pub fn of_half_words(endian: Endian, ip: u32, words: &[u32]) -> Self {
        let bytes: Vec<u8> = words.iter().flat_map(|word| endian.put_u32(*word)).collect();
        let dyn_size = Some(bytes.len() as u64).filter(|size| *size > 0);
        let stack = Self { bytes, dyn_size, ..Self::of_words(endian, ip.into(), &[]) };
        stack.with_registers(1, STACK_REGS, &[0, Self::SP & u64::from(u32::MAX), ip.into()])
    }

    /// What a kernel thread has: neither registers nor a stack.
    #[must_use]
    pub fn none(endian: Endian) -> Self {
        Self { endian, abi: 0, mask: 0, registers: Vec::new(), bytes: Vec::new(), dyn_size: None }
    }

    /// The same with zeros behind what was copied, as the kernel leaves room for all that was asked for.
    #[must_use]
    pub fn padded_to(mut self, size: usize) -> Self {
        self.bytes.resize(size, 0);
        self
    }

    /// The same where the record tells that so many bytes were copied.
    #[must_use]
    pub fn copied(self, dyn_size: u64) -> Self {
        Self { dyn_size: Some(dyn_size), ..self }
    }

    /// The same with other registers: of an ABI (`PERF_SAMPLE_REGS_ABI_*`), those of the attr's mask.
    #[must_use]
    pub fn with_registers(mut self, abi: u64, mask: u64, registers: &[u64]) -> Self {
        (self.abi, self.mask) = (abi, mask);
        self.registers = registers.iter().flat_map(|value| self.endian.put_u64(*value)).collect();
        self
    }

    /// A sample's field of the registers.
    #[must_use]
    pub fn regs(&self) -> Regs<'_, true> {
        Regs { abi: self.abi, mask: self.mask, regs: Array::new(&self.registers, self.endian) }
    }

    /// A sample's field of the stack.
    #[must_use]
    pub fn dump(&self) -> StackDump<'_> {
        StackDump { bytes: &self.bytes, dyn_size: self.dyn_size }
    }
}

impl StreamBuilder {
    /// A stream that begins with [`stack_attr`].
    #[must_use]
    pub fn with_stacks(endian: Endian) -> Self {
        Self::new(endian).attr(&stack_attr(1024), &[1])
    }

    /// A sample whose stack can be unwound: in a mode, at an address, with the kernel's part of its call chain.
    #[must_use]
    pub fn stack_sample(self, mode: CpuMode, at: At, ip: u64, kernel: &[u64], stack: &UserStack) -> Self {
        let has = |field| self.format.sample_type.contains(field);
        let chain: Vec<u8> = kernel.iter().flat_map(|ip| self.endian.put_u64(*ip)).collect();
        let sample = Sample {
            identifier: has(SampleType::IDENTIFIER).then_some(1),
            ip: has(SampleType::IP).then_some(ip),
            tid: has(SampleType::TID).then_some(tid(at)),
            time: has(SampleType::TIME).then_some(at.time),
            period: has(SampleType::PERIOD).then_some(1),
            callchain: has(SampleType::CALLCHAIN).then_some(Array::new(&chain, self.endian)),
            regs_user: has(SampleType::REGS_USER).then_some(stack.regs()),
            stack_user: has(SampleType::STACK_USER).then_some(stack.dump()),
            ..Sample::default()
        };
        self.full_sample(mode, &sample)
    }

    /// A sample whose fields are those of the last attr.
    #[must_use]
    pub fn full_sample(self, mode: CpuMode, sample: &Sample<'_>) -> Self {
        let body = sample.to_bytes(&self.format, self.endian);
        self.record(Misc::of(mode), &Record::Sample(&body))
    }
}
