//! The fields of a sample that are more than one word.

use crate::attr::BranchSampleType;
use crate::codec::{Array, Codec, Decoder, Encoder, Problem, layout};
use crate::sample::{Arch, BranchFlags, ReadValues, SampleFormat};

/// A field of a sample, whose layout may depend on the attr.
pub(crate) trait SampleField<'a>: Sized {
    fn read(format: &SampleFormat, d: &mut Decoder<'a>) -> Result<Self, Problem>;
    fn write(&self, format: &SampleFormat, e: &mut Encoder<'_>);
}

/// Most fields do not depend on the attr.
impl<'a, T: Codec<'a>> SampleField<'a> for T {
    fn read(_: &SampleFormat, d: &mut Decoder<'a>) -> Result<Self, Problem> {
        d.get()
    }

    fn write(&self, _: &SampleFormat, e: &mut Encoder<'_>) {
        e.put(self);
    }
}

impl SampleField<'_> for ReadValues {
    fn read(format: &SampleFormat, d: &mut Decoder<'_>) -> Result<Self, Problem> {
        Self::read(format.read_format, d)
    }

    fn write(&self, format: &SampleFormat, e: &mut Encoder<'_>) {
        Self::write(self, format.read_format, e);
    }
}

layout! {
    /// Process and thread.
    pub fixed struct Tid {
        /// Process (thread group).
        pub pid: u32 as Pid,
        /// Thread.
        pub tid: u32 as Tid,
    }
}

layout! {
    /// The CPU.
    pub fixed struct Cpu {
        /// Its number.
        pub cpu: u32 as Cpu,
        /// Nothing so far: 0.
        pub reserved: u32 as Padding = "res",
    }
}

layout! {
    /// One taken branch, `struct perf_branch_entry`.
    pub fixed struct Branch {
        /// Where it was taken.
        pub from: u64 as Address,
        /// Where it went.
        pub to: u64 as Address,
        /// Whether it was predicted, its kind and more.
        pub flags: BranchFlags,
    }
}

/// Three weights in one word, `union perf_sample_weight`: the kernel writes the word, so that the first weight is
/// its low half in either byte order. What each is depends on the PMU; on x86 the first is a load's latency and the second
/// the instruction's, in cycles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WeightStruct {
    /// The low 32 bits, `var1_dw`.
    pub var1: u32,
    /// The next 16 bits, `var2_w`.
    pub var2: u16,
    /// The high 16 bits, `var3_w`.
    pub var3: u16,
}

impl Codec<'_> for WeightStruct {
    fn decode(d: &mut Decoder<'_>) -> Result<Self, Problem> {
        let [a, b, c, d, e, f, g, h] = d.get::<u64>()?.to_le_bytes();
        let (var2, var3) = (u16::from_le_bytes([e, f]), u16::from_le_bytes([g, h]));
        Ok(Self { var1: u32::from_le_bytes([a, b, c, d]), var2, var3 })
    }

    fn encode(&self, e: &mut Encoder<'_>) {
        e.put(&(u64::from(self.var1) | u64::from(self.var2) << 32 | u64::from(self.var3) << 48));
    }
}

/// The data of a tracepoint or of a PMU, as bytes. [`EventFormat`](crate::EventFormat) finds a tracepoint's fields in
/// them, whose numbers are in the byte order of the recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a>(pub &'a [u8]);

impl<'a> Codec<'a> for Raw<'a> {
    fn decode(d: &mut Decoder<'a>) -> Result<Self, Problem> {
        let size: u32 = d.get()?;
        let bytes = usize::try_from(size).ok().and_then(|size| d.take(size).ok());
        bytes.map(Self).ok_or(Problem::Count(size.into()))
    }

    fn encode(&self, e: &mut Encoder<'_>) {
        e.put(&u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        e.bytes(self.0);
    }
}

/// AUX data of a sample: a size and that many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuxData<'a>(pub &'a [u8]);

impl<'a> Codec<'a> for AuxData<'a> {
    fn decode(d: &mut Decoder<'a>) -> Result<Self, Problem> {
        let size = d.get()?;
        sized(size, d).map(Self)
    }

    fn encode(&self, e: &mut Encoder<'_>) {
        e.put(&(self.0.len() as u64));
        e.bytes(self.0);
    }
}

fn sized<'a>(size: u64, d: &mut Decoder<'a>) -> Result<&'a [u8], Problem> {
    usize::try_from(size).ok().and_then(|size| d.take(size).ok()).ok_or(Problem::Count(size))
}

/// A copy of the user stack, from the stack pointer on: the memory that unwinding by DWARF reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StackDump<'a> {
    /// The bytes that the record holds, as many as the attr's `sample_stack_user` says.
    pub bytes: &'a [u8],
    /// How many of them the kernel copied, the rest being of no meaning; `None` where the record holds none at all.
    pub dyn_size: Option<u64>,
}

impl<'a> Codec<'a> for StackDump<'a> {
    fn decode(d: &mut Decoder<'a>) -> Result<Self, Problem> {
        let size: u64 = d.get()?;
        let bytes = sized(size, d)?;
        Ok(Self { bytes, dyn_size: if size == 0 { None } else { Some(d.get()?) } })
    }

    fn encode(&self, e: &mut Encoder<'_>) {
        e.put(&(self.bytes.len() as u64));
        e.bytes(self.bytes);
        e.put(&self.dyn_size);
    }
}

/// The values of registers, those of one of the attr's two masks: `sample_regs_user` where `USER` is true
/// ([`Sample::regs_user`](crate::Sample::regs_user)), otherwise `sample_regs_intr`
/// ([`Sample::regs_intr`](crate::Sample::regs_intr)). [`named`](Self::named) gives them names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Regs<'a, const USER: bool> {
    /// `PERF_SAMPLE_REGS_ABI_*`: 0 none, 1 32-bit, 2 64-bit.
    pub abi: u64,
    /// The attr's mask: a bit for each register that was recorded, of the number that [`Arch::register_name`] takes.
    pub mask: u64,
    /// The registers of the mask, from its lowest bit; none where the abi is 0.
    pub regs: Array<'a, u64>,
}

impl<'a, const USER: bool> Regs<'a, USER> {
    /// The registers with the names that perf has for them, in the order of their numbers. The architecture is that of the
    /// machine that recorded ([`Preamble::arch`](crate::Preamble::arch)). One that has no name is `unknown`; an x86 XMM
    /// register is two words of one name, the low one first.
    ///
    /// ```
    /// # let preamble = perf_format::Preamble::new(perf_format::Endian::Little, Vec::new());
    /// # let sample = perf_format::Sample::default();
    /// if let (Some(regs), Some(arch)) = (sample.regs_user, preamble.arch()) {
    ///     for (name, value) in regs.named(arch) {
    ///         println!("{name} {value:#x}");
    ///     }
    /// }
    /// ```
    pub fn named(&self, arch: Arch) -> impl Iterator<Item = (&'static str, u64)> + use<'a, USER> {
        let mask = self.mask;
        let numbers = (0..u64::BITS).filter(move |number| mask >> number & 1 != 0);
        numbers
            .zip(self.regs.iter())
            .map(move |(number, value)| (arch.register_name(number).unwrap_or("unknown"), value))
    }
}

impl<'a, const USER: bool> SampleField<'a> for Regs<'a, USER> {
    fn read(format: &SampleFormat, d: &mut Decoder<'a>) -> Result<Self, Problem> {
        let abi = d.get()?;
        let mask = if USER { format.regs_user } else { format.regs_intr };
        let count = if abi == 0 { 0 } else { u64::from(mask.count_ones()) };
        Ok(Self { abi, mask, regs: Array::counted(d, count)? })
    }

    fn write(&self, _: &SampleFormat, e: &mut Encoder<'_>) {
        e.put(&self.abi);
        self.regs.encode_elements(e);
    }
}

/// The last branches taken, `struct perf_branch_stack`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BranchStack<'a> {
    /// Index of the newest entry in hardware, if the attr has `HW_INDEX`.
    pub hw_idx: Option<u64>,
    /// The branches, newest first.
    pub entries: Array<'a, Branch>,
    /// A word of counters an entry, if the attr has `COUNTERS`.
    pub counters: Option<Array<'a, u64>>,
}

impl<'a> SampleField<'a> for BranchStack<'a> {
    fn read(format: &SampleFormat, d: &mut Decoder<'a>) -> Result<Self, Problem> {
        let count = d.get()?;
        let has = |flag| format.branch_sample_type.contains(flag);
        let hw_idx = if has(BranchSampleType::HW_INDEX) { Some(d.get()?) } else { None };
        let entries = Array::counted(d, count)?;
        let counters = if has(BranchSampleType::COUNTERS) { Some(Array::counted(d, count)?) } else { None };
        Ok(Self { hw_idx, entries, counters })
    }

    fn write(&self, _: &SampleFormat, e: &mut Encoder<'_>) {
        e.put(&(self.entries.len() as u64));
        e.put(&self.hw_idx);
        self.entries.encode_elements(e);
        if let Some(counters) = &self.counters {
            counters.encode_elements(e);
        }
    }
}
