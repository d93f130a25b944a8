//! A sample in full, and the `sample_id` trailer: two tables of which bit of `sample_type` brings which field.

use crate::Endian;
use crate::Error;
use crate::attr::SampleType;
use crate::codec::{Array, Decoder, Encoder, FieldError};
use crate::record::{Misc, RawRecord, RecordHeader, RecordType};
use crate::sample::fields::SampleField;
use crate::sample::show::{SampleContext, VisitSampleField};
use crate::sample::{
    AuxData, BranchStack, Cpu, DataSource, Raw, ReadValues, Regs, SampleFormat, StackDump, Tid, WeightStruct,
};
use crate::visit::{FieldData, FieldKind, FieldVisitor};

macro_rules! fields {
    ($(#[$meta:meta])* pub struct $name:ident<'a> {
        $($(#[$fmeta:meta])* $bit:ident $field:ident: $ty:ty $(as $kind:ident)?,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct $name<'a> {
            $($(#[$fmeta])* pub $field: Option<$ty>,)*
            /// The bytes behind the fields known here.
            pub rest: &'a [u8],
        }

        impl<'a> $name<'a> {
            /// Reads the fields, the first of which stands at `start`. The errors are those that are returned, since a body
            /// has room for every field, and to move it into another `Result` takes longer than to read it.
            fn read(format: &SampleFormat, raw: &RawRecord<'a>, start: usize) -> Result<Self, Error> {
                let malformed = |error| Error::malformed(raw.offset, raw.record_type(), error);
                let d = &mut Decoder::new(raw.bytes, start, raw.endian, raw.misc());
                let mut body = Self::default();
                $(if format.sample_type.contains(SampleType::$bit) {
                    let value = SampleField::read(format, d)
                        .map_err(|problem| malformed(FieldError { field: stringify!($field), problem }))?;
                    body.$field = Some(value);
                })*
                body.rest = d.field("rest").map_err(malformed)?;
                Ok(body)
            }

            fn write(&self, format: &SampleFormat, e: &mut Encoder<'_>) {
                $(if let Some(value) = &self.$field {
                    SampleField::write(value, format, e);
                })*
                e.bytes(self.rest);
            }

            /// Tells the fields, with what `context` explains of them.
            pub fn visit(&self, context: &SampleContext<'_>, v: &mut dyn FieldVisitor) {
                $(if let Some(value) = &self.$field {
                    let kind = $crate::codec::layout!(@kind $($kind)?);
                    VisitSampleField::visit_in(value, context, stringify!($field), kind, v);
                })*
                if !self.rest.is_empty() {
                    v.field("rest", FieldKind::Number, FieldData::Bytes(self.rest));
                }
            }
        }
    };
}

fields! {
    /// `PERF_RECORD_SAMPLE` in full: each field that the attr's `sample_type` names, in the order of the record. A field
    /// is `None` where the attr does not name it.
    pub struct Sample<'a> {
        /// The id of the event's instance, in front of all fields, so that events of different layouts are told apart.
        IDENTIFIER identifier: u64 as EventId,
        /// The address of the instruction: the instruction pointer.
        IP ip: u64 as Address,
        /// The process and thread that ran.
        TID tid: Tid,
        /// The time, in ns of the recording's clock.
        TIME time: u64 as Time,
        /// The data address of a memory access, or what else the event defines: the address of a page fault or breakpoint.
        ADDR addr: u64 as Address,
        /// The id of the event's instance; where the event was inherited from a parent, the parent's.
        ID id: u64 as EventId,
        /// The id of the event's instance itself, inherited or not.
        STREAM_ID stream_id: u64 as EventId,
        /// The CPU on which it was taken.
        CPU cpu: Cpu,
        /// How much the event's count rose since its last sample: the weight of this one.
        PERIOD period: u64,
        /// The values of the event's counter, and of the others of its group.
        READ read: ReadValues,
        /// The call chain as recorded, innermost address first, with markers between
        /// (`PERF_CONTEXT_*`): [`frames`](crate::sample::frames) tells them apart.
        CALLCHAIN callchain: Array<'a, u64> as Chain,
        /// The data of a tracepoint ([`EventFormat`](crate::EventFormat) has its fields) or of a PMU.
        RAW raw: Raw<'a>,
        /// The last branches that were taken (LBR and the like).
        BRANCH_STACK branch_stack: BranchStack<'a>,
        /// The registers of user space.
        REGS_USER regs_user: Regs<'a, true>,
        /// A copy of the top of the user stack.
        STACK_USER stack_user: StackDump<'a>,
        /// What the sample cost, by the PMU's measure; for loads on x86 the latency, in cycles.
        WEIGHT weight: u64,
        /// The same in three parts; an attr has one of the two.
        WEIGHT_STRUCT weight_struct: WeightStruct,
        /// Where the data of a memory access came from, `union perf_mem_data_src`.
        DATA_SRC data_src: DataSource,
        /// Why a hardware transaction was aborted, `PERF_TXN_*`.
        TRANSACTION transaction: u64 as Hex,
        /// The registers when the event's interrupt came, of the kernel or of user space.
        REGS_INTR regs_intr: Regs<'a, false>,
        /// The physical address of `addr`.
        PHYS_ADDR phys_addr: u64 as Hex,
        /// The id of the cgroup, whose path a CGROUP record gives.
        CGROUP cgroup: u64 as Cgroup,
        /// The page size at `addr`, in bytes.
        DATA_PAGE_SIZE data_page_size: u64,
        /// The page size at `ip`, in bytes.
        CODE_PAGE_SIZE code_page_size: u64,
        /// A piece of a hardware trace, in the tracer's own format.
        AUX aux: AuxData<'a>,
    }
}

fields! {
    /// `struct sample_id`: what stands at the end of the kernel's records other than samples, where the attr has
    /// `sample_id_all`.
    pub struct SampleId<'a> {
        /// Process and thread.
        TID tid: Tid,
        /// The time, in ns.
        TIME time: u64 as Time,
        /// The event's id.
        ID id: u64 as EventId,
        /// The stream's id.
        STREAM_ID stream_id: u64 as EventId,
        /// The CPU.
        CPU cpu: Cpu,
        /// The event's id.
        IDENTIFIER identifier: u64 as EventId,
    }
}

impl<'a> Sample<'a> {
    /// Reads a SAMPLE record in full.
    ///
    /// # Errors
    /// [`Error::Malformed`] with the field that the record has no room for.
    pub fn parse(format: &SampleFormat, raw: &RawRecord<'a>) -> Result<Self, Error> {
        Self::read(format, raw, RecordHeader::SIZE)
    }

    /// The bytes of the sample after its header.
    #[must_use]
    pub fn to_bytes(&self, format: &SampleFormat, endian: Endian) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(format, endian, &mut out);
        out
    }

    /// Writes the bytes of the sample after its header behind what `out` has. Fields that are `Some` are written, whether or
    /// not the format has them.
    pub fn encode(&self, format: &SampleFormat, endian: Endian, out: &mut Vec<u8>) {
        self.write(format, &mut Encoder::new(out, endian, Misc::default()));
    }
}

impl<'a> SampleId<'a> {
    /// Reads the trailer of a record of the kernel that is no sample; all fields are `None` where its event has
    /// no `sample_id_all`.
    ///
    /// # Errors
    /// [`Error::Malformed`] where the record is shorter than its trailer.
    pub fn parse(format: &SampleFormat, raw: &RawRecord<'a>) -> Result<Self, Error> {
        let len = format.trailer_len();
        if len == 0 || !raw.record_type().is_kernel() || raw.record_type() == RecordType::SAMPLE {
            return Ok(Self::default());
        }
        let start = raw.bytes.len().checked_sub(len).filter(|start| *start >= RecordHeader::SIZE);
        Self::read(format, raw, start.unwrap_or(raw.bytes.len()))
    }

    /// The trailer's bytes.
    #[must_use]
    pub fn to_bytes(&self, format: &SampleFormat, endian: Endian) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(format, &mut Encoder::new(&mut out, endian, Misc::default()));
        out
    }
}
