//! `struct perf_event_attr`: what an event counts and what its samples hold. It has grown from 64 to 144 bytes;
//! every size is read, and what a newer kernel appended is kept.

use bitflags::bitflags;

use crate::codec::{Codec, Decoder, Encoder, Fixed as _, Problem, layout};
use crate::misc::Misc;
use crate::visit::{FieldData, FieldKind, FieldVisitor, VisitField, VisitFields, visit_flags};
use crate::{Endian, Error};

layout! {
    /// The fields of `struct perf_event_attr` (include/uapi/linux/perf_event.h) known here. Those past the size
    /// that an attr was written with are 0.
    pub fixed struct AttrFields {
        /// `PERF_TYPE_*`.
        pub kind: u32 as Number = "type",
        /// Bytes of the attr as its writer had it; 0 means 64.
        pub size: u32,
        /// The event, in the terms of its type.
        pub config: u64 as Hex,
        /// Events a sample, or samples a second where the `FREQ` flag is set.
        pub sample_period_or_freq: u64,
        /// The fields that a sample holds.
        pub sample_type: SampleType,
        /// The fields that a counter's value holds.
        pub read_format: ReadFormat,
        /// The flag bits.
        pub flags: AttrFlags,
        /// Events or bytes before the reader is woken.
        pub wakeup: u32 as Number = "wakeup_events",
        /// Breakpoint type.
        pub bp_type: u32,
        /// `config1`, breakpoint address, probe name.
        pub config1: u64 as Hex,
        /// `config2`, breakpoint length, probe offset. From 72 bytes.
        pub config2: u64 as Hex,
        /// The fields that a branch stack holds. From 80 bytes.
        pub branch_sample_type: BranchSampleType,
        /// The mask of the user registers in a sample. From 96 bytes.
        pub sample_regs_user: u64 as Hex,
        /// Bytes of user stack.
        pub sample_stack_user: u32,
        /// The clock of the times, where the `USE_CLOCKID` flag is set; signed.
        pub clockid: i32,
        /// The mask of the registers at the interrupt in a sample. From 104 bytes.
        pub sample_regs_intr: u64 as Hex,
        /// Bytes of AUX data before the reader is woken. From 112 bytes.
        pub aux_watermark: u32,
        /// The deepest call chain.
        pub sample_max_stack: u16,
        /// Reserved.
        pub reserved_2: u16 as Padding = "__reserved_2",
        /// Bytes of AUX data in a sample. From 120 bytes.
        pub aux_sample_size: u32,
        /// AUX actions.
        pub aux_action: u32 as Hex,
        /// Data of a SIGTRAP. From 128 bytes.
        pub sig_data: u64 as Hex,
        /// `config3`. From 136 bytes.
        pub config3: u64 as Hex,
        /// `config4`. From 144 bytes.
        pub config4: u64 as Hex,
    }
}

bitflags! {
    /// `enum perf_event_sample_format`: what a sample holds.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct SampleType: u64 {
        /// The address.
        const IP = 1 << 0;
        /// Process and thread.
        const TID = 1 << 1;
        /// The time, in ns.
        const TIME = 1 << 2;
        /// A data address.
        const ADDR = 1 << 3;
        /// Counter values.
        const READ = 1 << 4;
        /// The call chain.
        const CALLCHAIN = 1 << 5;
        /// The event's id.
        const ID = 1 << 6;
        /// The CPU.
        const CPU = 1 << 7;
        /// Events since the last sample.
        const PERIOD = 1 << 8;
        /// The stream's id.
        const STREAM_ID = 1 << 9;
        /// A tracepoint's fields, or a PMU's own data.
        const RAW = 1 << 10;
        /// Last branches.
        const BRANCH_STACK = 1 << 11;
        /// User registers.
        const REGS_USER = 1 << 12;
        /// A piece of the user stack.
        const STACK_USER = 1 << 13;
        /// A weight.
        const WEIGHT = 1 << 14;
        /// The source of the data (`union perf_mem_data_src`).
        const DATA_SRC = 1 << 15;
        /// The event's id, at a place that does not depend on the other bits.
        const IDENTIFIER = 1 << 16;
        /// Transaction flags.
        const TRANSACTION = 1 << 17;
        /// Registers at the interrupt.
        const REGS_INTR = 1 << 18;
        /// Physical address.
        const PHYS_ADDR = 1 << 19;
        /// AUX data.
        const AUX = 1 << 20;
        /// The cgroup's id.
        const CGROUP = 1 << 21;
        /// Page size at the data address, in bytes.
        const DATA_PAGE_SIZE = 1 << 22;
        /// Page size at the address, in bytes.
        const CODE_PAGE_SIZE = 1 << 23;
        /// Three weights in one word.
        const WEIGHT_STRUCT = 1 << 24;
        const _ = !0;
    }

    /// `enum perf_event_read_format`: what a counter's value holds.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct ReadFormat: u64 {
        /// Time enabled, in ns.
        const TOTAL_TIME_ENABLED = 1 << 0;
        /// Time running, in ns.
        const TOTAL_TIME_RUNNING = 1 << 1;
        /// The event's id.
        const ID = 1 << 2;
        /// The values of the whole group.
        const GROUP = 1 << 3;
        /// Samples lost.
        const LOST = 1 << 4;
        const _ = !0;
    }

    /// `enum perf_branch_sample_type`: which branches a branch stack holds, and what of each.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct BranchSampleType: u64 {
        /// Those of user mode.
        const USER = 1 << 0;
        /// Those of the kernel.
        const KERNEL = 1 << 1;
        /// Those of the hypervisor.
        const HV = 1 << 2;
        /// Branches of any kind.
        const ANY = 1 << 3;
        /// Calls of any kind.
        const ANY_CALL = 1 << 4;
        /// Returns of any kind.
        const ANY_RETURN = 1 << 5;
        /// Indirect calls.
        const IND_CALL = 1 << 6;
        /// Transactions that were aborted.
        const ABORT_TX = 1 << 7;
        /// Those in transactions.
        const IN_TX = 1 << 8;
        /// Those outside of transactions.
        const NO_TX = 1 << 9;
        /// Conditional branches.
        const COND = 1 << 10;
        /// The entries are a call stack.
        const CALL_STACK = 1 << 11;
        /// Indirect jumps.
        const IND_JUMP = 1 << 12;
        /// Direct calls.
        const CALL = 1 << 13;
        /// The flags are left out.
        const NO_FLAGS = 1 << 14;
        /// The cycles are left out.
        const NO_CYCLES = 1 << 15;
        /// The flags have the kind of the branch.
        const TYPE_SAVE = 1 << 16;
        /// An index stands before the entries.
        const HW_INDEX = 1 << 17;
        /// The flags have the privilege level.
        const PRIV_SAVE = 1 << 18;
        /// Counters stand behind the entries.
        const COUNTERS = 1 << 19;
        const _ = !0;
    }

    /// The flag bits of `struct perf_event_attr`, numbered as a little-endian compiler allocates them.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct AttrFlags: u64 {
        /// Starts disabled.
        const DISABLED = 1 << 0;
        /// Children are counted too.
        const INHERIT = 1 << 1;
        /// Must always be on the PMU.
        const PINNED = 1 << 2;
        /// Must be the only group on the PMU.
        const EXCLUSIVE = 1 << 3;
        /// User mode is not counted.
        const EXCLUDE_USER = 1 << 4;
        /// Kernel mode is not counted.
        const EXCLUDE_KERNEL = 1 << 5;
        /// The hypervisor is not counted.
        const EXCLUDE_HV = 1 << 6;
        /// Idle time is not counted.
        const EXCLUDE_IDLE = 1 << 7;
        /// MMAP records are wanted.
        const MMAP = 1 << 8;
        /// COMM records are wanted.
        const COMM = 1 << 9;
        /// The period is a frequency.
        const FREQ = 1 << 10;
        /// Counts of each task are kept apart.
        const INHERIT_STAT = 1 << 11;
        /// An exec enables it.
        const ENABLE_ON_EXEC = 1 << 12;
        /// FORK and EXIT records are wanted.
        const TASK = 1 << 13;
        /// `wakeup` is in bytes.
        const WATERMARK = 1 << 14;
        /// Low bit of `precise_ip`.
        const PRECISE_IP_LOW = 1 << 15;
        /// High bit of `precise_ip`.
        const PRECISE_IP_HIGH = 1 << 16;
        /// MMAP records of data are wanted.
        const MMAP_DATA = 1 << 17;
        /// Records other than samples have a `sample_id` trailer.
        const SAMPLE_ID_ALL = 1 << 18;
        /// The host is not counted.
        const EXCLUDE_HOST = 1 << 19;
        /// Guests are not counted.
        const EXCLUDE_GUEST = 1 << 20;
        /// Kernel call chains are left out.
        const EXCLUDE_CALLCHAIN_KERNEL = 1 << 21;
        /// User call chains are left out.
        const EXCLUDE_CALLCHAIN_USER = 1 << 22;
        /// MMAP2 records are wanted.
        const MMAP2 = 1 << 23;
        /// COMM records mark an exec.
        const COMM_EXEC = 1 << 24;
        /// `clockid` is valid.
        const USE_CLOCKID = 1 << 25;
        /// SWITCH records are wanted.
        const CONTEXT_SWITCH = 1 << 26;
        /// The ring buffer is written from its end to its start.
        const WRITE_BACKWARD = 1 << 27;
        /// NAMESPACES records are wanted.
        const NAMESPACES = 1 << 28;
        /// KSYMBOL records are wanted.
        const KSYMBOL = 1 << 29;
        /// BPF_EVENT records are wanted.
        const BPF_EVENT = 1 << 30;
        /// Samples go to the AUX area of the group's leader.
        const AUX_OUTPUT = 1 << 31;
        /// CGROUP records are wanted.
        const CGROUP = 1 << 32;
        /// TEXT_POKE records are wanted.
        const TEXT_POKE = 1 << 33;
        /// MMAP2 records carry build-ids.
        const BUILD_ID = 1 << 34;
        /// Threads are counted too, but not new processes.
        const INHERIT_THREAD = 1 << 35;
        /// An exec removes it.
        const REMOVE_ON_EXEC = 1 << 36;
        /// Each event raises a SIGTRAP.
        const SIGTRAP = 1 << 37;
        /// User call chains come later.
        const DEFER_CALLCHAIN = 1 << 38;
        /// The event takes the user call chains that come later.
        const DEFER_OUTPUT = 1 << 39;
        const _ = !0;
    }
}

/// Flags are shown by the names of their bits.
macro_rules! flags_by_name {
    ($($ty:ty),*) => {$(
        impl VisitField for $ty {
            fn visit_as(&self, name: &'static str, kind: FieldKind, v: &mut dyn FieldVisitor) {
                visit_flags(name, kind, self, v);
            }
        }
    )*};
}
flags_by_name!(SampleType, ReadFormat, BranchSampleType, AttrFlags);

/// Flag sets that are plain words.
macro_rules! flag_words {
    ($($ty:ty),*) => {$(
        impl Codec<'_> for $ty {
            fn decode(d: &mut Decoder<'_>) -> Result<Self, Problem> {
                d.get().map(Self::from_bits_retain)
            }

            fn encode(&self, e: &mut Encoder<'_>) {
                e.put(&self.bits());
            }
        }

        impl crate::codec::Fixed for $ty {
            const SIZE: usize = 8;
        }
    )*};
}
flag_words!(SampleType, ReadFormat, BranchSampleType);

/// The flags are C bit-fields: a big-endian compiler allocates them from the other end of the word, and within
/// `precise_ip`, the one field of two bits, from its high bit.
impl AttrFlags {
    fn mirrored(word: u64) -> u64 {
        let (low, high) = (Self::PRECISE_IP_LOW.bits(), Self::PRECISE_IP_HIGH.bits());
        let other = word & !(low | high);
        other | if word & low != 0 { high } else { 0 } | if word & high != 0 { low } else { 0 }
    }
}

impl Codec<'_> for AttrFlags {
    fn decode(d: &mut Decoder<'_>) -> Result<Self, Problem> {
        let word: u64 = d.get()?;
        Ok(Self::from_bits_retain(match d.endian() {
            Endian::Little => word,
            Endian::Big => Self::mirrored(word.reverse_bits()),
        }))
    }

    fn encode(&self, e: &mut Encoder<'_>) {
        e.put(&match e.endian() {
            Endian::Little => self.bits(),
            Endian::Big => Self::mirrored(self.bits()).reverse_bits(),
        });
    }
}

impl crate::codec::Fixed for AttrFlags {
    const SIZE: usize = 8;
}

/// An attr as it was recorded: the fields known here, and the bytes that a newer writer put behind them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attr {
    /// The fields.
    pub fields: AttrFields,
    /// Bytes past the 144 known here, kept as they are.
    pub tail: Vec<u8>,
}

impl Attr {
    /// `PERF_ATTR_SIZE_VER0`: the smallest attr, and what a size of 0 means.
    pub const MIN_SIZE: usize = 64;

    /// Every size that a kernel has had so far (`PERF_ATTR_SIZE_VER0` to `VER9`).
    pub const SIZES: [usize; 10] = [64, 72, 80, 96, 104, 112, 120, 128, 136, 144];

    /// Reads an attr from the start of `bytes`: as many as its own `size` says.
    ///
    /// # Errors
    /// [`Error::Structure`] where it is not whole, or its size is less than that of any attr.
    pub fn parse(bytes: &[u8], endian: Endian) -> Result<Self, Error> {
        Decoder::new(bytes, 0, endian, Misc::default())
            .field("size")
            .map_err(|error| Error::structure("attr", 0, error))
    }

    /// The attr's bytes: as many as [`size`](Self::size) says.
    #[must_use]
    pub fn to_bytes(&self, endian: Endian) -> Vec<u8> {
        let mut bytes = Vec::new();
        Encoder::new(&mut bytes, endian, Misc::default()).put(self);
        bytes
    }

    /// The attr's size in bytes, from its own `size` field.
    #[must_use]
    pub fn size(&self) -> usize {
        match self.fields.size {
            0 => Self::MIN_SIZE,
            size => size as usize,
        }
    }

    /// Whether a flag is set.
    #[must_use]
    pub fn has(&self, flag: AttrFlags) -> bool {
        self.fields.flags.contains(flag)
    }

    /// The clock of the recording's times, where it was chosen.
    #[must_use]
    pub fn clockid(&self) -> Option<i32> {
        self.has(AttrFlags::USE_CLOCKID).then_some(self.fields.clockid)
    }
}

impl Codec<'_> for Attr {
    fn decode(d: &mut Decoder<'_>) -> Result<Self, Problem> {
        let endian = d.endian();
        let size = endian.u32_at(d.rest(), 4).ok_or(Problem::Short)?;
        let len = if size == 0 { Self::MIN_SIZE } else { size as usize };
        if len < Self::MIN_SIZE {
            return Err(Problem::Size(size.into()));
        }
        let bytes = d.take(len).map_err(|_| Problem::Size(size.into()))?;
        let known = bytes.len().min(AttrFields::SIZE);
        let (head, tail) = bytes.split_at_checked(known).ok_or(Problem::Short)?;
        let mut fields = [0; AttrFields::SIZE];
        fields.get_mut(..known).ok_or(Problem::Short)?.copy_from_slice(head);
        let fields = Decoder::new(&fields, 0, endian, Misc::default()).get()?;
        Ok(Self { fields, tail: tail.to_vec() })
    }

    fn encode(&self, e: &mut Encoder<'_>) {
        let mut bytes = Vec::with_capacity(AttrFields::SIZE + self.tail.len());
        Encoder::new(&mut bytes, e.endian(), Misc::default()).put(&self.fields);
        bytes.extend_from_slice(&self.tail);
        bytes.resize(self.size(), 0);
        e.bytes(&bytes);
    }
}

/// The fields as `struct perf_event_attr` names them, and the bytes behind those known here.
impl VisitFields for Attr {
    fn visit(&self, v: &mut dyn FieldVisitor) {
        self.fields.visit(v);
        if !self.tail.is_empty() {
            v.field("tail", FieldKind::Number, FieldData::Bytes(&self.tail));
        }
    }
}

impl VisitField for Attr {
    fn visit_as(&self, name: &'static str, _: FieldKind, v: &mut dyn FieldVisitor) {
        if v.begin_group(name) {
            self.visit(v);
        }
        v.end_group();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8], endian: Endian) -> Result<Attr, Problem> {
        Decoder::new(bytes, 0, endian, Misc::default()).get()
    }

    #[test]
    fn every_size_reads_back_as_it_was_and_later_fields_are_zero() {
        for endian in [Endian::Little, Endian::Big] {
            for size in Attr::SIZES.into_iter().chain([152, 200]) {
                let mut bytes = vec![0x11; size];
                bytes[4..8].copy_from_slice(&endian.put_u32(u32::try_from(size).unwrap()));
                let attr = decoded(&bytes, endian).unwrap();
                assert_eq!(attr.size(), size);
                assert_eq!(attr.fields.config4 == 0, size < 144, "size {size}");
                assert_eq!(attr.tail.len(), size.saturating_sub(144));
                let mut out = Vec::new();
                Encoder::new(&mut out, endian, Misc::default()).put(&attr);
                assert_eq!(out, bytes, "size {size}");
            }
        }
    }

    #[test]
    fn a_size_of_0_is_64_and_sizes_that_cannot_be_are_refused() {
        let attr = decoded(&[0; 200], Endian::Little).unwrap();
        assert_eq!((attr.size(), attr.fields.size), (64, 0));
        let mut bytes = [0; 200];
        bytes[4] = 40;
        assert_eq!(decoded(&bytes, Endian::Little), Err(Problem::Size(40)));
        bytes[4] = 255;
        assert_eq!(decoded(&bytes, Endian::Little), Err(Problem::Size(255)));
        assert_eq!(decoded(&[0; 7], Endian::Little), Err(Problem::Short));
    }

    #[test]
    fn a_big_endian_attr_has_its_flags_at_the_other_end_of_the_word() {
        let mut bytes = [0u8; 64];
        // sample_id_all is the 19th bit that the compiler allocates, from the high end of each byte.
        bytes[42] = 0b0010_0000;
        // precise_ip == 1: the low bit of a field is allocated last.
        bytes[42] |= 0b1000_0000;
        let attr = decoded(&bytes, Endian::Big).unwrap();
        assert_eq!(attr.fields.flags, AttrFlags::SAMPLE_ID_ALL | AttrFlags::PRECISE_IP_LOW);
    }
}
