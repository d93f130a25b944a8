//! A sample in full, and the `sample_id` trailer: two tables of which bit of `sample_type` brings which field.

use crate::Endian;
use crate::Error;
use crate::attr::SampleType;
use crate::codec::{Array, Decoder, Encoder, FieldError};
use crate::record::{Misc, RawRecord, RecordHeader, RecordType};
use crate::sample::fields::SampleField;
use crate::sample::{
    AuxData, BranchStack, Cpu, DataSource, Raw, ReadValues, Regs, SampleFormat, StackDump, Tid, WeightStruct,
};

macro_rules! fields {
    ($(#[$meta:meta])* pub struct $name:ident<'a> { $($(#[$fmeta:meta])* $bit:ident $field:ident: $ty:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct $name<'a> {
            $($(#[$fmeta])* pub $field: Option<$ty>,)*
            /// The bytes behind the fields known here.
            pub rest: &'a [u8],
        }

        impl<'a> $name<'a> {
            fn read(format: &SampleFormat, d: &mut Decoder<'a>) -> Result<Self, FieldError> {
                let mut body = Self::default();
                $(if format.sample_type.contains(SampleType::$bit) {
                    let value = SampleField::read(format, d)
                        .map_err(|problem| FieldError { field: stringify!($field), problem })?;
                    body.$field = Some(value);
                })*
                body.rest = d.field("rest")?;
                Ok(body)
            }

            fn write(&self, format: &SampleFormat, e: &mut Encoder<'_>) {
                $(if let Some(value) = &self.$field {
                    SampleField::write(value, format, e);
                })*
                e.bytes(self.rest);
            }
        }
    };
}

fields! {
    /// `PERF_RECORD_SAMPLE` in full: each field that the attr's `sample_type` names, in the order of the record.
    pub struct Sample<'a> {
        /// The event's id.
        IDENTIFIER identifier: u64,
        /// The address.
        IP ip: u64,
        /// Process and thread.
        TID tid: Tid,
        /// The time, in ns.
        TIME time: u64,
        /// A data address.
        ADDR addr: u64,
        /// The event's id.
        ID id: u64,
        /// The stream's id.
        STREAM_ID stream_id: u64,
        /// The CPU.
        CPU cpu: Cpu,
        /// Events since the last sample.
        PERIOD period: u64,
        /// Counter values.
        READ read: ReadValues,
        /// The call chain, innermost first, with its markers.
        CALLCHAIN callchain: Array<'a, u64>,
        /// A tracepoint's fields.
        RAW raw: Raw<'a>,
        /// The last branches.
        BRANCH_STACK branch_stack: BranchStack<'a>,
        /// User registers.
        REGS_USER regs_user: Regs<'a, true>,
        /// A piece of the user stack.
        STACK_USER stack_user: StackDump<'a>,
        /// A weight.
        WEIGHT weight: u64,
        /// Three weights in one word.
        WEIGHT_STRUCT weight_struct: WeightStruct,
        /// Where the data of a memory access came from.
        DATA_SRC data_src: DataSource,
        /// Transaction flags.
        TRANSACTION transaction: u64,
        /// Registers at the interrupt.
        REGS_INTR regs_intr: Regs<'a, false>,
        /// A physical address.
        PHYS_ADDR phys_addr: u64,
        /// The cgroup's id.
        CGROUP cgroup: u64,
        /// Page size at the data address, in bytes.
        DATA_PAGE_SIZE data_page_size: u64,
        /// Page size at the address, in bytes.
        CODE_PAGE_SIZE code_page_size: u64,
        /// AUX data.
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
        TIME time: u64,
        /// The event's id.
        ID id: u64,
        /// The stream's id.
        STREAM_ID stream_id: u64,
        /// The CPU.
        CPU cpu: Cpu,
        /// The event's id.
        IDENTIFIER identifier: u64,
    }
}

impl<'a> Sample<'a> {
    /// Reads a SAMPLE record in full.
    ///
    /// # Errors
    /// [`Error::Malformed`] with the field that the record has no room for.
    pub fn parse(format: &SampleFormat, raw: &RawRecord<'a>) -> Result<Self, Error> {
        let mut d = Decoder::new(raw.bytes, RecordHeader::SIZE, raw.endian, raw.misc());
        Self::read(format, &mut d).map_err(|error| Error::malformed(raw.offset, raw.record_type(), error))
    }

    /// The bytes of the sample after its header.
    #[must_use]
    pub fn to_bytes(&self, format: &SampleFormat, endian: Endian) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(format, &mut Encoder::new(&mut out, endian, Misc::default()));
        out
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
        let mut d = Decoder::new(raw.bytes, start.unwrap_or(raw.bytes.len()), raw.endian, raw.misc());
        Self::read(format, &mut d).map_err(|error| Error::malformed(raw.offset, raw.record_type(), error))
    }

    /// The trailer's bytes.
    #[must_use]
    pub fn to_bytes(&self, format: &SampleFormat, endian: Endian) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(format, &mut Encoder::new(&mut out, endian, Misc::default()));
        out
    }
}
